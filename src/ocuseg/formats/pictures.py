"""Small pictures inside annotation files: the bits that they stand for."""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ocuseg.images import MAX_PIXELS

__all__ = ["decode_pixels"]


def decode_pixels(file: BinaryIO) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of a PNG are set: those that are not transparent, else those that are not black.

    Raises ValueError where it is no PNG or claims more pixels than any image may have.
    """
    from PIL.PngImagePlugin import PngImageFile

    try:
        picture: Any = PngImageFile(file)  # `Image.open` has a limit that warns
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError("a picture of more pixels than an image may have")
        if "A" in picture.mode or "transparency" in picture.info:
            return np.asarray(picture.convert("RGBA"))[..., 3] > 0
        pixels = np.asarray(picture)
    except (OSError, SyntaxError) as error:
        raise ValueError("a picture that cannot be read") from error
    if pixels.ndim == 3:
        pixels = pixels.max(axis=2)
    return pixels > 0
