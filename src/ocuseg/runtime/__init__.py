"""From a bundle to a function from images to logits: by which runtime, in which precision, and why."""

from __future__ import annotations

from ocuseg.runtime.choice import Choice, choose_runtime, cuda_gpu, faster_if_installed, runtime_names
from ocuseg.runtime.engines import Runtime
from ocuseg.runtime.opening import open_runtime

__all__ = [
    "Choice",
    "Runtime",
    "choose_runtime",
    "cuda_gpu",
    "faster_if_installed",
    "open_runtime",
    "runtime_names",
]
