"""Freed memory stays with the process while a training runs, and goes back afterwards."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import numpy as np
import pytest

from ocuseg.training import memory
from ocuseg.training.memory import kept_memory

# Page faults of writing 64 MiB ten times over, each time into fresh memory.
_FAULTS = """
import resource, sys
import numpy as np
from contextlib import nullcontext
from ocuseg.training.memory import kept_memory
with kept_memory() if sys.argv[1] == "kept" else nullcontext():
    np.ones(64 << 20, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        np.ones(64 << 20, np.uint8)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system's allocator is not glibc")
def test_memory_is_not_cleared_again_for_each_step() -> None:
    plain, kept = (
        int(subprocess.run([sys.executable, "-c", _FAULTS, how], check=True, capture_output=True, text=True).stdout)
        for how in ("plain", "kept")
    )
    assert kept < plain / 10


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: pytest.fail("the allocator was touched"))
    assert memory._glibc() is None
    with kept_memory():
        assert np.ones(3).sum() == 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the system's allocator is not glibc")
def test_an_error_within_leaves_the_allocator_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def call(*arguments: int) -> int:
        calls.append(arguments)
        return 1

    monkeypatch.setattr(memory, "_glibc", lambda: (call, call))
    with pytest.raises(ValueError, match="within"), kept_memory():
        raise ValueError("within")
    assert calls[-3:] == [(-4, 65536), (-1, 128 * 1024), (0,)]
