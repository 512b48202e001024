"""Run lengths as annotation formats write them, read with their sizes checked before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ocuseg.images import MAX_PIXELS

__all__ = ["coco_counts", "pixels_of_runs", "runs_of_pixels", "unpack_words"]


def pixels_of_runs(counts: ArrayLike, size: tuple[int, int], *, by_columns: bool) -> NDArray[np.bool_]:
    """Return (H, W) bool from the lengths of runs, of which the first is not set; row by row or `by_columns`.

    Raises ValueError unless the lengths are whole numbers of at least 0 that fill the size; a last run of pixels that
    are not set may be missing.
    """
    height, width = size
    if height < 1 or width < 1 or height * width > MAX_PIXELS:
        raise ValueError(f"runs for {height} x {width} pixels")
    lengths = np.asarray(counts)
    if lengths.ndim != 1 or (lengths.size and not np.issubdtype(lengths.dtype, np.integer)):
        raise ValueError("runs that are no whole numbers")
    lengths = lengths.astype(np.int64)
    if lengths.size and (lengths.min() < 0 or lengths.max() > height * width):
        raise ValueError("a run that is longer than the image")
    rest = height * width - int(lengths.sum())
    if rest < 0 or (rest and lengths.size % 2):
        raise ValueError(f"runs for {int(lengths.sum())} pixels, not {height * width}")
    lengths = np.append(lengths, rest) if rest else lengths
    flat = np.repeat(np.arange(lengths.size) % 2 == 1, lengths)
    return flat.reshape(width, height).T if by_columns else flat.reshape(height, width)


def runs_of_pixels(pixels: NDArray[np.bool_]) -> list[int]:
    """Return the lengths of the runs of (H, W) pixels row by row; the first is of pixels that are not set, or 0."""
    flat = np.concatenate(([False], pixels.ravel(), [False]))
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    ends = np.append(edges, pixels.size) if not edges.size or edges[-1] != pixels.size else edges
    return [int(length) for length in np.diff(np.concatenate(([0], ends)))]


def coco_counts(text: str | bytes) -> NDArray[np.int64]:
    """Return the run lengths of COCO's compressed form.

    Each number is in groups of five bits, the lowest first, in characters from `0` on; from the fourth number on it is
    the difference from the last but one (github.com/cocodataset/cocoapi, maskApi.c). pycocotools decodes it as well,
    but trusts the numbers that it finds. Raises ValueError on other characters and on a text that breaks off.
    """
    raw = text.encode("ascii") if isinstance(text, str) else text
    codes = np.frombuffer(raw, np.uint8).astype(np.int64) - 48
    if not codes.size:
        return codes
    ends = np.flatnonzero((codes & 32) == 0)
    if codes.min() < 0 or codes.max() > 63 or not ends.size or ends[-1] != codes.size - 1:
        raise ValueError("compressed runs that break off or hold other characters")
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise ValueError("a run that is longer than any image")
    place = np.arange(codes.size) - np.repeat(starts, lengths)
    numbers = np.add.reduceat((codes & 31) << (5 * place), starts)
    numbers -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)
    numbers[1::2] = np.cumsum(numbers[1::2])
    numbers[2::2] = np.cumsum(numbers[2::2])
    return numbers


def unpack_words(data: Sequence[Any], count: int) -> bytes:
    """Return `count` bytes out of the packed runs of Label Studio's brush.

    The form is that of thi.ng/rle-pack: 32 bits with the number of words, 5 with their width less 1, four times 4 with
    a width less 1 for run lengths; then blocks of a bit (a run, or words as they are), two bits that choose the width
    of the length, the length less 1, and one word or as many as that. Raises ValueError where it says another number.
    """
    if not isinstance(data, list | tuple):  # of a number, `bytes` would make as many zeros
        raise ValueError("runs that are no list of bytes")
    source = bytes(data)
    at = 0

    def read(bits: int) -> int:
        nonlocal at
        at += bits
        if at > 8 * len(source):
            raise ValueError("runs that break off")
        chunk = source[(at - bits) // 8 : (at + 7) // 8]
        return int.from_bytes(chunk, "big") >> (-at % 8) & ((1 << bits) - 1)

    total, width = read(32), read(5) + 1
    if total != count or width != 8:
        raise ValueError(f"runs for {total} words of {width} bits, not {count} of 8")
    widths = [read(4) + 1 for _ in range(4)]
    words = bytearray()
    while len(words) < count:
        is_run = read(1)
        length = min(read(widths[read(2)]) + 1, count - len(words))
        words += read(8).to_bytes(1, "big") * length if is_run else read(8 * length).to_bytes(length, "big")
    return bytes(words)
