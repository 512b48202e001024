"""Which way up a stored picture is, by its EXIF orientation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ORIENTATION", "TURNS", "orientation_of"]

ORIENTATION = 0x0112
"""The tag's number, in EXIF and in TIFF."""


def orientation_of(picture: Image, exif: bytes | None) -> int:
    """Return the EXIF orientation, 1 to 8, of a picture whose pixels are not decoded; 1, upright, where it is unknown.

    `exif` is the content of the eXIf chunk of a PNG, where it has one before its pixels.
    """
    from PIL import Image

    try:
        if picture.format == "PNG":  # Pillow would decode the whole picture in search of a late eXIf chunk
            tags = Image.Exif()
            tags.load(exif or b"")
        else:
            tags = picture.getexif()
        found = tags.get(ORIENTATION, 1)
    except Exception:  # a picture with broken EXIF is still a picture
        return 1
    return found if found in TURNS else 1


def _as_is(pixels: NDArray[Any]) -> NDArray[Any]:
    return pixels


TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: _as_is,
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels, 1),
}
"""What turns pixels (H, W, ...) as they are stored upright, by the EXIF orientation."""
