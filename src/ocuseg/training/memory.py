"""Memory that a step frees is kept for the next one, instead of going back to the system and being cleared anew."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["kept_memory"]

# From glibc's malloc.h, and its defaults; see mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_DEFAULT_TRIM_BYTES, _DEFAULT_MMAPS = 128 * 1024, 65536
_NEVER = -1


@contextmanager
def kept_memory() -> Iterator[None]:
    """Within it, what this process frees stays with it, for its next allocation; afterwards it goes back.

    The allocator of Linux (glibc) maps each large array from the system and returns it when it is freed; the system
    clears every page again for the next step. That was a tenth of the time of a training step on a CPU. The peak of
    memory stays the same. Elsewhere (other systems, musl) nothing is done.
    """
    found = _glibc()
    if found is None:
        yield
        return
    mallopt, trim = found
    mallopt(_MMAP_MAX, 0)
    mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        mallopt(_MMAP_MAX, _DEFAULT_MMAPS)
        mallopt(_TRIM_THRESHOLD, _DEFAULT_TRIM_BYTES)
        trim(0)


def _glibc() -> tuple[Callable[[int, int], int], Callable[[int], int]] | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    # musl has no mallopt; gnu_get_libc_version is glibc's alone.
    if not all(hasattr(library, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")):
        return None
    return library.mallopt, library.malloc_trim
