"""An image by its rows: held in memory where it is small, on disk where it is not."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError
from ocuseg.images.access import read_image
from ocuseg.images.imagefile import ImageFile, open_image_file
from ocuseg.images.medical import Facts
from ocuseg.images.orientation import TURNS
from ocuseg.images.plausibility import MAX_PIXELS, MAX_PIXELS_BY_ROWS
from ocuseg.images.scratch import Stored, decode_to_file, needs_the_whole, scratch_file

__all__ = ["HeldImage", "ImageRows", "open_rows"]

# Above this an image goes to disk: Pillow and NumPy would hold seven bytes of each pixel, and more for a moment.
_HELD_PX = 1 << 24


class ImageRows(Protocol):
    """An upright image of `size` (height, width), of which any rows can be had; `close` gives back what it holds."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows `top` to `bottom` as (bottom - top, width, 3) uint8 RGB."""

    def close(self) -> None:
        """Give back the memory or disk; no rows can be had any more."""


class HeldImage:
    """The rows of an image (H, W, 3) uint8 in memory; `facts` are what a medical file says of it beside."""

    def __init__(self, pixels: NDArray[np.uint8], facts: Facts | None = None) -> None:
        self.pixels, self.facts = pixels, facts

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows `top` to `bottom`, not copied."""
        return self.pixels[top:bottom]

    def close(self) -> None:
        """Do nothing: the memory goes with the object."""


class _StoredImage:
    """The rows of an image whose pixels lie in a file, unturned; they may be asked for by several threads."""

    def __init__(self, file: BinaryIO, stored: Stored, size: tuple[int, int], orientation: int) -> None:
        self._file, self._stored, self._orientation = file, stored, orientation
        self._lock = threading.Lock()
        self.size = size

    def rows(self, top: int, bottom: int) -> NDArray[np.uint8]:
        # The first upright row is the last stored one (3, 4) or a column, the last (7, 8) or the first (5, 6).
        if self._orientation in (3, 4, 7, 8):
            top, bottom = self.size[0] - bottom, self.size[0] - top
        band, all_of_it = (top, bottom), (0, self.size[1])
        with self._lock:
            part = self._stored.read(self._file, *((all_of_it, band) if self._orientation >= 5 else (band, all_of_it)))
        return np.ascontiguousarray(TURNS[self._orientation](part))

    def close(self) -> None:
        self._file.close()


def open_rows(path: Path | str, scratch_folder: Path | str | None = None) -> ImageRows:
    """Return an image by its rows, as `read_image` would read it.

    A large one is decoded into a file without a name in `scratch_folder` (by default that of the system), which is gone
    once it is closed, whatever happens. Some kinds of image, such as those of 16 bits, are held in memory, up to
    MAX_PIXELS. Raises ImageError as `read_image` does, above MAX_PIXELS_BY_ROWS, and where there is too little disk.
    """
    file = open_image_file(path, max_pixels=MAX_PIXELS_BY_ROWS)
    pixels = file.size[0] * file.size[1]
    reason = needs_the_whole(file)
    if pixels <= _HELD_PX or (reason and pixels <= MAX_PIXELS):
        return HeldImage(read_image(path), None if file.medical is None else file.medical.facts)
    if reason:
        raise ImageError(
            f"{path}: has {file.size[1]} x {file.size[0]} pixels and {reason}, which is read up to "
            f"{MAX_PIXELS // 1_000_000} million pixels; save it as an upright TIFF or PNG of 8 bits, or scale it down"
        )
    return _spilt(file, scratch_folder)


def _spilt(file: ImageFile, folder: Path | str | None) -> ImageRows:
    scratch = scratch_file(file, folder)
    try:
        stored = decode_to_file(file.path, scratch)
        return _StoredImage(scratch, stored, file.size, file.orientation)
    except BaseException:
        scratch.close()
        raise
