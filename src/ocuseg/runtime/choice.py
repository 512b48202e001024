"""Which runtime computes, in which precision, and why: told by the machine, never by a timing."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import NamedTuple

from ocuseg.errors import UsageError
from ocuseg.machine import bf16_feature, has_nvidia_driver, is_installed, package_versions, processor_features
from ocuseg.runtime.loading import import_openvino
from ocuseg.wording import meant

__all__ = [
    "LITTLE_PX",
    "Choice",
    "Gpu",
    "choose_runtime",
    "cuda_gpu",
    "faster_if_installed",
    "openvino_bf16",
    "runtime_names",
]

_RUNTIMES = ("onnxruntime", "openvino", "pytorch")
_PRECISIONS = ("auto", "fp32", "bf16")
_OPENVINO_FEATURES = ("AMX-BF16", "AVX512-BF16")
_INT8_FEATURES = ("AMX-INT8", "AVX512-VNNI", "AVX-VNNI")

LITTLE_PX = 1 << 20
"""Pixels through the network below which the start decides, and ONNX Runtime is ready first.

OpenVINO needs 0.1 to 0.2 s more to load and compile. On one core with AVX512-BF16 it has won them back after less than
0.1 (unet, width 32), 0.3 (unet-small) or 2 (hrnet small-v1) million pixels. To import PyTorch alone takes a second.
"""


@dataclass(frozen=True, slots=True)
class Choice:
    """What computes: `runtime`, `precision` (fp32, bf16, int8), `device` (cpu, cuda), and why, as one short clause."""

    runtime: str
    precision: str
    device: str
    reason: str

    @property
    def name(self) -> str:
        """What computes and in which precision, such as `openvino bf16` or `pytorch bf16 cuda`."""
        return f"{self.runtime} {self.precision}" + ("" if self.device == "cpu" else f" {self.device}")


class Gpu(NamedTuple):
    """A CUDA GPU that PyTorch can use: its name, and whether it computes in bf16."""

    name: str
    bf16: bool


def runtime_names() -> tuple[str, ...]:
    """Return the runtimes that can be asked for, installed or not."""
    return _RUNTIMES


def choose_runtime(
    wanted: str = "auto", precision: str = "auto", *, int8: bool = False, work_px: int | None = None
) -> Choice:
    """Return what will compute a network, from what is installed and what the machine has.

    `auto` is PyTorch on a CUDA GPU; else OpenVINO where the processor has AMX or AVX512-BF16, for there it computes in
    bf16; else ONNX Runtime, which without bf16 is as fast. `work_px`, the pixels that will go through the network in
    all (None: many or unknown), makes it ONNX Runtime below `LITTLE_PX`. `int8` says that the network is quantised: it
    stays on the processor, where OpenVINO is faster with AMX or VNNI. Raises UsageError for an unknown word, and for
    what the machine or the runtime cannot do.
    """
    if wanted not in ("auto", *_RUNTIMES):
        raise UsageError(
            f"runtime {wanted!r} is unknown; {meant(wanted, _RUNTIMES)}give one of auto, {', '.join(_RUNTIMES)}"
        )
    if precision not in _PRECISIONS:
        raise UsageError(f"precision {precision!r} is unknown; give one of {', '.join(_PRECISIONS)}")
    little = work_px is not None and work_px < LITTLE_PX
    if int8:
        return _for_int8(wanted, precision, little)
    if wanted == "auto":
        return _fastest(precision, little)
    if wanted == "onnxruntime":
        if precision == "bf16":
            raise UsageError("onnxruntime computes in fp32 only; give --runtime openvino or pytorch for bf16")
        return Choice("onnxruntime", "fp32", "cpu", "asked for")
    return _openvino(precision) if wanted == "openvino" else _pytorch(precision)


def cuda_gpu() -> Gpu | None:
    """Return the GPU that PyTorch computes on, None where there is none.

    PyTorch is imported, which takes a second, only where there is a driver and PyTorch may be a build for it.
    """
    if not (has_nvidia_driver() and is_installed("torch") and is_installed("safetensors")):
        return None
    if (package_versions()["torch"] or "").endswith("+cpu"):
        return None
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        return None
    major, _ = torch.cuda.get_device_capability()
    # torch.cuda.is_bf16_supported() is also true where bf16 is emulated; Ampere (8.0) is the first to compute in it.
    return Gpu(str(torch.cuda.get_device_name()), major >= 8)


def openvino_bf16() -> str | None:
    """Return by what an installed OpenVINO computes in bf16 here, None where it does not or is not installed."""
    if not is_installed("openvino"):
        return None
    if processor_features() is not None:
        feature = bf16_feature()
        return feature if feature in _OPENVINO_FEATURES else None
    # The system does not say what the processor has, but OpenVINO knows.
    try:
        capabilities = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except UsageError:  # it is there, and cannot be imported
        return None
    return "bf16 arithmetic" if "BF16" in capabilities else None


def faster_if_installed() -> list[str]:
    """Return a line for each package that would make prediction faster on this machine, and how to get it."""
    lines = []
    if has_nvidia_driver() and cuda_gpu() is None:
        lines.append("PyTorch for CUDA, on the NVIDIA GPU: see https://pytorch.org/get-started/locally")
    feature = bf16_feature()
    if feature in _OPENVINO_FEATURES and not is_installed("openvino"):
        lines.append(f"OpenVINO, in bf16 by {feature}: pip install 'ocuseg[openvino]'")
    return lines


def _fastest(precision: str, little: bool) -> Choice:
    if little and precision != "bf16":
        return Choice("onnxruntime", "fp32", "cpu", "for so few pixels, as it starts fastest")
    gpu = cuda_gpu()
    if gpu is not None and (gpu.bf16 or precision != "bf16"):
        return Choice("pytorch", "bf16" if gpu.bf16 and precision != "fp32" else "fp32", "cuda", gpu.name)
    feature = openvino_bf16()
    if feature is not None and precision != "fp32":
        return Choice("openvino", "bf16", "cpu", f"the processor has {feature}")
    if precision == "bf16":
        raise UsageError(
            "nothing that is installed computes in bf16 here; leave out --precision, or see 'ocuseg doctor'"
        )
    return Choice("onnxruntime", "fp32", "cpu", _why_onnxruntime(precision))


def _why_onnxruntime(precision: str) -> str:
    if precision == "fp32":
        return "fp32 was asked for, in which nothing else is faster"
    feature = bf16_feature()
    if feature is None:
        return "no bf16 arithmetic was found, and without it nothing else is faster"
    if feature in _OPENVINO_FEATURES:
        return f"OpenVINO is not installed, which would use {feature}"
    return f"no runtime is known to be faster with {feature}"


def _openvino(precision: str) -> Choice:
    feature = openvino_bf16() if precision != "fp32" else None
    if precision == "bf16" and feature is None and is_installed("openvino"):
        raise UsageError("openvino has no bf16 arithmetic on this processor; give --precision fp32")
    why = "asked for" if feature is None else f"asked for; the processor has {feature}"
    return Choice("openvino", "fp32" if feature is None else "bf16", "cpu", why)


def _pytorch(precision: str) -> Choice:
    gpu = cuda_gpu()
    if gpu is not None:
        if precision == "bf16" and not gpu.bf16:
            raise UsageError(f"{gpu.name} has no bf16 arithmetic; give --precision fp32")
        chosen = "bf16" if gpu.bf16 and precision != "fp32" else "fp32"
        return Choice("pytorch", chosen, "cuda", f"asked for, on {gpu.name}")
    # Emulated bf16 is slower than fp32. Where the system does not say what the processor has, the user decides.
    if precision == "bf16" and processor_features() is not None and bf16_feature() is None:
        raise UsageError("the processor has no bf16 arithmetic, without which fp32 is faster; give --precision fp32")
    return Choice("pytorch", "bf16" if precision == "bf16" else "fp32", "cpu", "asked for")


def _for_int8(wanted: str, precision: str, little: bool) -> Choice:
    if precision != "auto":
        raise UsageError(f"the network is quantised to int8, not {precision}; leave out --precision")
    if wanted == "pytorch":
        raise UsageError("pytorch does not compute the int8 network of this bundle; give --runtime onnxruntime")
    if wanted != "auto":
        return Choice(wanted, "int8", "cpu", "asked for")
    features = [name for name in processor_features() or () if name in _INT8_FEATURES]
    if features and is_installed("openvino") and not little:
        return Choice("openvino", "int8", "cpu", f"the bundle is int8, the processor has {features[0]}")
    return Choice("onnxruntime", "int8", "cpu", "the bundle is int8")
