"""A bundle becomes a function from images to logits, computed by what was chosen for this machine."""

from __future__ import annotations

import logging

from ocuseg.bundle import Bundle
from ocuseg.errors import ModelError, UsageError
from ocuseg.machine import usable_cores
from ocuseg.runtime.choice import Choice, choose_runtime
from ocuseg.runtime.engines import ENGINES, Runtime

__all__ = ["open_runtime"]

_log = logging.getLogger("ocuseg")


def open_runtime(
    bundle: Bundle,
    runtime: str = "auto",
    *,
    threads: int | None = None,
    precision: str = "auto",
    work_px: int | None = None,
) -> Runtime:
    """Return the network of `bundle` as a function, computed by what `choose_runtime` answers for this machine.

    `threads` None is all usable cores; for PyTorch, what this process has set, but no more than these. `work_px` is
    how many pixels will go through the network in all, None for many or unknown. Where `auto` chose what then cannot
    be opened, ONNX Runtime takes its place, which is said. Raises UsageError for an unknown or not installed runtime or
    a precision that it lacks, ModelError where it cannot open the network.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"{threads} threads cannot compute; give 1 or more")
    choice = choose_runtime(runtime, precision, int8=bundle.info.precision == "int8", work_px=work_px)
    cores = usable_cores()
    try:
        return ENGINES[choice.runtime](bundle, choice, threads, cores)
    except (UsageError, ModelError) as error:
        if runtime != "auto" or choice.runtime == "onnxruntime" or precision == "bf16":
            raise
        _log.warning("%s: %s; onnxruntime computes instead", choice.name, error)
        kept = "int8" if choice.precision == "int8" else "fp32"
        second = Choice("onnxruntime", kept, "cpu", f"{choice.runtime} could not open the network")
        return ENGINES["onnxruntime"](bundle, second, threads, cores)
