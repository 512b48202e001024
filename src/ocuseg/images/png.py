"""PNG files that are written by bands of rows, for pictures that are never held whole."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.files import written_whole

__all__ = ["WriteRows", "image_rows", "mask_palette", "mask_rows", "probability_levels", "probability_rows"]

WriteRows = Callable[[NDArray[Any]], None]
"""Takes the next rows of a picture from the top."""

_GREY, _RGB, _PALETTE = 0, 2, 3
_NO_FILTER, _UP = 0, 2
_IGNORED_COLOUR = (255, 255, 255)


@contextlib.contextmanager
def mask_rows(path: Path | str, size: tuple[int, int], classes: Classes, *, software: str = "") -> Iterator[WriteRows]:
    """Yield a function that takes the rows (n, W) uint8 of a mask, for a file like that of `write_mask`."""
    notes = [(b"tEXt", b"Software\0" + software.encode("latin-1"))] if software else []
    chunks = [*notes, (b"PLTE", mask_palette(classes).tobytes())]
    with _written(path, size, _PALETTE, 8, chunks, level=6, filtered=False) as put:
        yield lambda rows: put(np.ascontiguousarray(rows, np.uint8))


@contextlib.contextmanager
def probability_rows(path: Path | str, size: tuple[int, int]) -> Iterator[WriteRows]:
    """Yield a function that takes rows (n, W) of probabilities, for a file like that of `write_probability`."""
    with _written(path, size, _GREY, 16, [], level=3) as put:
        yield lambda rows: put(probability_levels(rows).astype(">u2").view(np.uint8))


@contextlib.contextmanager
def image_rows(path: Path | str, size: tuple[int, int]) -> Iterator[WriteRows]:
    """Yield a function that takes rows (n, W, 3) of uint8 RGB, for a PNG like that of `write_image`."""
    with _written(path, size, _RGB, 8, [], level=3) as put:
        yield lambda rows: put(np.ascontiguousarray(rows).reshape(len(rows), -1))


def mask_palette(classes: Classes) -> NDArray[np.uint8]:
    """Return the colours (256, 3) that a mask is shown in: those of the classes, and white for the ignored id."""
    palette = np.zeros((256, 3), dtype=np.uint8)
    palette[: len(classes)] = classes.colours
    if classes.ignore_index is not None:
        palette[classes.ignore_index] = _IGNORED_COLOUR
    return palette


def probability_levels(probability: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Return probabilities 0..1 as levels 0..65535, where 65535 is 1. Raises ValueError on NaN."""
    if np.isnan(probability).any():
        raise ValueError("probability holds NaN")
    levels: NDArray[np.uint16]
    levels = np.floor(np.clip(probability, 0, 1).astype(np.float64) * 65535 + 0.5).astype(np.uint16)
    return levels


@contextlib.contextmanager
def _written(
    path: Path | str,
    size: tuple[int, int],
    colours: int,
    bits: int,
    chunks: list[tuple[bytes, bytes]],
    *,
    level: int,
    filtered: bool = True,
) -> Iterator[Callable[[NDArray[np.uint8]], None]]:
    """Yield a function that takes rows of bytes (n, row bytes); the PNG is there whole or not at all."""
    height, width = size
    with written_whole(path) as temporary, temporary.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        _write_chunk(file, b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0))
        for name, content in chunks:
            _write_chunk(file, name, content)
        deflate = zlib.compressobj(level)
        above: NDArray[np.uint8] | None = None
        count = 0

        def put(rows: NDArray[np.uint8]) -> None:
            nonlocal above, count
            lines = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
            lines[:, 0] = _UP if filtered else _NO_FILTER
            lines[:, 1:] = rows
            if filtered:
                lines[1:, 1:] -= rows[:-1]
                if above is not None:
                    lines[0, 1:] -= above
                above = rows[-1].copy()
            count += len(rows)
            _write_chunk(file, b"IDAT", deflate.compress(lines.data))

        yield put
        if count != height:
            raise ValueError(f"{count} rows were given for a picture of {height}")
        _write_chunk(file, b"IDAT", deflate.flush())
        _write_chunk(file, b"IEND", b"")


def _write_chunk(file: BinaryIO, name: bytes, content: bytes) -> None:
    if content or name == b"IEND":
        file.write(struct.pack(">I", len(content)) + name)
        file.write(content)
        file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(name))))
