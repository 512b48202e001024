"""Which arithmetic a run uses, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from ocuseg.errors import UsageError

__all__ = ["Precision", "choose_precision"]


@dataclass(frozen=True, slots=True)
class Precision:
    """The chosen arithmetic: `name` is fp32 or bf16, `device` cpu or cuda, `reason` one short clause."""

    name: str
    device: str
    reason: str

    @property
    def lightning(self) -> Literal["bf16-mixed", "32-true"]:
        """The word that Lightning's trainer takes."""
        return "bf16-mixed" if self.name == "bf16" else "32-true"


def choose_precision(wanted: str = "auto", device: str = "auto") -> Precision:
    """Return bf16 where the processor or GPU computes in it, else fp32, unless `wanted` says which.

    The choice depends on the machine alone, never on a timing, so that two runs with one seed stay identical.
    Raises UsageError for an unknown word, or for `cuda` where there is none.
    """
    if wanted not in ("auto", "fp32", "bf16"):
        raise UsageError(f"precision {wanted!r} is unknown; give auto, fp32 or bf16")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device {device!r} is unknown; give auto, cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device cuda: PyTorch finds no CUDA GPU here; use device auto or cpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    has_bf16, where = _cuda_bf16() if device == "cuda" else _cpu_bf16()
    if wanted == "auto":
        return Precision("bf16" if has_bf16 else "fp32", device, where)
    reason = "asked for" if wanted == "fp32" or has_bf16 else f"asked for, although {where}"
    return Precision(wanted, device, reason)


def _cuda_bf16() -> tuple[bool, str]:
    name = torch.cuda.get_device_name()
    major, _ = torch.cuda.get_device_capability()
    # torch.cuda.is_bf16_supported() is also true where bf16 is emulated; Ampere (8.0) is the first to compute in it.
    return (True, f"{name} computes in bf16") if major >= 8 else (False, f"{name} has no bf16 arithmetic")


def _cpu_bf16() -> tuple[bool, str]:
    capabilities = _cpu_capabilities()
    for key, name in (("amx_bf16", "AMX"), ("avx512_bf16", "AVX512-BF16"), ("bf16", "Arm bf16"), ("sve_bf16", "SVE")):
        if capabilities.get(key):
            return True, f"the processor has {name}"
    return False, "the processor has no bf16 arithmetic"


def _cpu_capabilities() -> dict[str, bool]:
    if hasattr(torch.cpu, "get_capabilities"):  # since PyTorch 2.12
        return dict(torch.cpu.get_capabilities())
    return {
        "amx_bf16": bool(torch.cpu._is_amx_tile_supported()),
        "avx512_bf16": bool(torch.cpu._is_avx512_bf16_supported()),
    }
