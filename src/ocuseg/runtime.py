"""From a bundle to a function from images to logits: ONNX Runtime, OpenVINO or PyTorch."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocuseg.bundle import Bundle
from ocuseg.errors import ModelError, OcusegError, UsageError
from ocuseg.machine import usable_cores
from ocuseg.wording import meant

__all__ = ["Runtime", "open_runtime", "runtime_names"]

_PRECISIONS = ("auto", "fp32", "bf16")


class Runtime(Protocol):
    """A function from images (N, 3, H, W) float32 to logits (N, C, H, W) float32.

    H and W are multiples of the network's own. It may be called from several threads.
    """

    @property
    def name(self) -> str:
        """What computes and in which precision, such as `onnxruntime fp32`."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits of `images`."""


def open_runtime(
    bundle: Bundle, runtime: str = "auto", *, threads: int | None = None, precision: str = "auto"
) -> Runtime:
    """Return the network of `bundle` as a function; `auto` is ONNX Runtime on the CPU.

    `threads` None is all usable cores; for PyTorch, what this process has set. `precision` `auto` is fp32, except for
    OpenVINO, which takes bf16 where the processor has it. Raises UsageError for an unknown or not installed runtime
    or a precision that it lacks, ModelError where it cannot open the network.
    """
    if runtime not in ("auto", *_RUNTIMES):
        raise UsageError(
            f"runtime {runtime!r} is unknown; {meant(runtime, _RUNTIMES)}give one of auto, {', '.join(_RUNTIMES)}"
        )
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads cannot compute; give 1 or more")
    if precision not in _PRECISIONS:
        raise UsageError(f"precision {precision!r} is unknown; give one of {', '.join(_PRECISIONS)}")
    open_one = _RUNTIMES["onnxruntime" if runtime == "auto" else runtime]
    return open_one(bundle, threads, precision)


def runtime_names() -> tuple[str, ...]:
    """Return the runtimes that can be asked for, installed or not."""
    return tuple(_RUNTIMES)


class _OnnxRuntime:
    def __init__(self, bundle: Bundle, threads: int | None, precision: str) -> None:
        if precision == "bf16":
            raise UsageError("onnxruntime computes in fp32 only; give --runtime openvino or pytorch for bf16")
        onnxruntime = _require("onnxruntime", "onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or usable_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what matters is raised
        # The memory plan of one image size is useless for the next and would be kept beside it.
        options.enable_mem_pattern = False
        self._where = str(bundle.onnx_path)
        self._session = _opened(
            self._where,
            "onnxruntime",
            lambda: onnxruntime.InferenceSession(self._where, options, providers=["CPUExecutionProvider"]),
        )
        self._input = self._session.get_inputs()[0].name
        self.name = "onnxruntime fp32"

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return _computed(self._where, images, lambda: self._session.run(None, {self._input: images})[0])


class _OpenVino:
    def __init__(self, bundle: Bundle, threads: int | None, precision: str) -> None:
        openvino = _import_openvino()
        config: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads or usable_cores(), "PERFORMANCE_HINT": "LATENCY"}
        if precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = {"fp32": "f32", "bf16": "bf16"}[precision]
        self._where = str(bundle.onnx_path)
        core = openvino.Core()
        self._compiled = _opened(self._where, "openvino", lambda: core.compile_model(self._where, "CPU", config))
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()
        used = str(self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())
        self.name = f"openvino {'bf16' if used == 'bf16' else 'fp32'}"

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        # One request holds one set of buffers, so that calls have to wait for each other.
        with self._lock:
            return _computed(self._where, images, lambda: self._request.infer([images])[0].copy())


class _PyTorch:
    def __init__(self, bundle: Bundle, threads: int | None, precision: str) -> None:
        torch = _require("torch", "ocuseg[train]")
        load_file = _require("safetensors.torch", "ocuseg[train]").load_file
        from ocuseg.networks import build_network

        self._where = str(bundle.weights_path)
        try:
            network = build_network(bundle.info.network)
        except OcusegError as error:
            raise ModelError(f"{bundle.folder}: {error}; export the bundle again") from error
        _opened(self._where, "pytorch", lambda: network.load_state_dict(load_file(self._where, device="cpu")))
        self._network = network.eval()
        self._torch = torch
        self._bf16 = precision == "bf16"
        # PyTorch's number of threads belongs to the whole process, a training run among others.
        if threads is not None:
            torch.set_num_threads(threads)
        self.name = f"pytorch {'bf16' if self._bf16 else 'fp32'}"

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return _computed(self._where, images, lambda: self._forward(images))

    def _forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        torch = self._torch
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
            batch = torch.from_numpy(np.ascontiguousarray(images)).contiguous(memory_format=torch.channels_last)
            logits: NDArray[np.float32] = self._network(batch).float().contiguous().numpy()
        return logits


_RUNTIMES: dict[str, Callable[[Bundle, int | None, str], Runtime]] = {
    "onnxruntime": _OnnxRuntime,
    "openvino": _OpenVino,
    "pytorch": _PyTorch,
}


def _require(module: str, package: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{module.partition('.')[0]} is not installed; run: pip install '{package}'") from error


def _import_openvino() -> ModuleType:
    """OpenVINO without its telemetry, which would otherwise report the import itself over the network."""
    silenced = "openvino_telemetry"
    before = sys.modules.get(silenced)
    # None makes an import fail, and OpenVINO then takes its own silent stub.
    sys.modules[silenced] = None  # type: ignore[assignment]
    try:
        return _require("openvino", "ocuseg[openvino]")
    finally:
        if before is None:
            del sys.modules[silenced]
        else:
            sys.modules[silenced] = before


def _opened(where: str, name: str, open_it: Callable[[], Any]) -> Any:
    # The three libraries raise types of their own without a common base.
    try:
        return open_it()
    except Exception as error:
        raise ModelError(f"{where}: {name} cannot open it ({_reason(error)}); export the bundle again") from error


def _computed(where: str, images: NDArray[np.float32], compute: Callable[[], Any]) -> NDArray[np.float32]:
    try:
        logits = np.asarray(compute(), np.float32)
    except MemoryError:
        raise
    except Exception as error:
        # ONNX Runtime and PyTorch report a refused allocation in words, as an error like any other.
        if "alloc" in str(error).lower():
            raise MemoryError from error
        size = " x ".join(map(str, images.shape))
        raise ModelError(
            f"{where}: the network fails on images of {size} ({_reason(error)}); give smaller images or tiles"
        ) from error
    if logits.ndim != 4 or logits.shape[::2] != (len(images), images.shape[2]) or logits.shape[3] != images.shape[3]:
        raise ModelError(
            f"{where}: gives logits of shape {logits.shape} for images {images.shape}; export the bundle again"
        )
    return logits


def _reason(error: Exception) -> str:
    """The last line of a message, where the libraries put the cause, in bounded length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else type(error).__name__
