"""A compressed TIFF file, decoded strip by strip or tile by tile."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError
from ocuseg.images.imagefile import ImageFile, silence
from ocuseg.images.plausibility import damaged

__all__ = ["segment_reason", "segment_rows"]

# What a segment needs of its file to be decoded: bits, compression, colours, orders, predictor, palette, extra samples,
# sample format, JPEG tables, the two keys of CCITT, and those of YCbCr.
_KEPT = (258, 259, 262, 266, 277, 284, 292, 293, 317, 320, 338, 339, 347, 529, 530, 532)
_WIDTH, _LENGTH, _OFFSETS, _ROWS, _COUNTS, _PLANAR = 256, 257, 273, 278, 279, 284
_TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_COUNTS = 322, 323, 324, 325
_OLD_JPEG = 6
_LARGEST_PX = 1 << 25


def segment_reason(file: ImageFile) -> str | None:
    """Return why a compressed TIFF cannot be decoded part by part, as the end of 'it has ...'; None where it can."""
    tags = file.picture.tag_v2  # type: ignore[union-attr]
    if tags.get(_PLANAR, 1) != 1:
        return "channels that are stored apart"
    if tags.get(259) == _OLD_JPEG:
        return "the old form of JPEG in a TIFF"
    height, width = _segment_size(tags)
    if height * width > _LARGEST_PX:
        return f"compressed parts of {width} x {height} pixels"
    return None


def segment_rows(file: ImageFile) -> Iterator[NDArray[np.uint8]]:
    """Return an iterator over the rows (n, W, channels) of a TIFF from the top, a row of strips or tiles at a time.

    Raises ImageError where a part is damaged or missing.
    """
    tags = file.picture.tag_v2  # type: ignore[union-attr]
    image_width, image_height = int(tags[_WIDTH]), int(tags[_LENGTH])
    is_tiled = _TILE_OFFSETS in tags
    height, width = _segment_size(tags)
    offsets = tags[_TILE_OFFSETS if is_tiled else _OFFSETS]
    counts = tags[_TILE_COUNTS if is_tiled else _COUNTS]
    across, down = -(-image_width // width), -(-image_height // height)
    if min(len(offsets), len(counts)) < across * down:
        raise damaged(file.path, "TIFF", "parts of it are missing")
    reader = file.content.open()
    for row in range(down):
        # The last strip ends with the image, the last tiles are whole.
        rows = height if is_tiled else min(height, image_height - row * height)
        parts = []
        for index in range(row * across, (row + 1) * across):
            reader.seek(offsets[index])
            data = reader.read(counts[index])
            if len(data) < counts[index]:
                raise damaged(file.path, "TIFF", "it ends too early")
            parts.append(_decoded(file, tags, data, (rows, width)))
        whole = np.concatenate(parts, axis=1) if across > 1 else parts[0]
        yield np.ascontiguousarray(whole[: image_height - row * height, :image_width])


def _segment_size(tags: Any) -> tuple[int, int]:
    if _TILE_OFFSETS in tags:
        return int(tags[_TILE_LENGTH]), int(tags[_TILE_WIDTH])
    height = int(tags[_LENGTH])
    return min(int(tags.get(_ROWS, height)), height), int(tags[_WIDTH])


def _decoded(file: ImageFile, tags: Any, data: bytes, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The pixels (h, w, channels) of one part, as those of a small TIFF file that has nothing else."""
    from PIL import TiffImagePlugin

    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=tags.prefix)
    for tag in _KEPT:
        if tag in tags:
            directory.tagtype[tag] = tags.tagtype[tag]
            directory[tag] = tags[tag]
    directory[_WIDTH], directory[_LENGTH], directory[_ROWS] = size[1], size[0], size[0]
    directory[_OFFSETS], directory[_COUNTS] = 0, len(data)  # an offset counts from the end of the directory
    content = BytesIO()
    directory.save(content)
    content.write(data)
    content.seek(0)
    try:
        with silence():
            picture = TiffImagePlugin.TiffImageFile(content)
            picture.load()
    except Exception as error:  # whatever libtiff reports
        raise damaged(file.path, "TIFF", error) from error
    if picture.mode != file.mode:
        raise ImageError(f"{file.path}: has parts of different kinds; save it again")
    pixels = np.asarray(picture)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * 255
    return pixels.reshape(*size, -1)
