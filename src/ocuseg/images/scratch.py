"""A large image decoded into a file of plain pixels, so that no more of it than a few rows is ever held."""

from __future__ import annotations

import mmap
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError
from ocuseg.images.access import on_black
from ocuseg.images.imagefile import ImageFile, open_image_file
from ocuseg.images.plausibility import MAX_PIXELS_BY_ROWS
from ocuseg.images.segments import segment_reason, segment_rows

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Stored", "decode_to_file", "needs_the_whole", "scratch_file"]

_FAMILIES = ("PNG", "JPEG", "TIFF", "BMP", "PPM", "PGM", "PBM")
# Bytes that Pillow holds for a pixel, and so are in the file where it decodes into it.
_PILLOW_BYTES = {"1": 1, "L": 1, "P": 1, "LA": 4, "RGB": 4, "RGBA": 4, "CMYK": 4}
# The coefficients of a progressive JPEG are held by libjpeg until the last scan: 1.2 GB at 20,000 x 20,000 in 4:2:0.
_MOST_COEFFICIENT_BYTES = 1_250_000_000
_BAND_PX = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """How the pixels of an image lie in a file: row by row, `num_bytes` each, in the order of Pillow's `mode`.

    `palette` (256, 4) has the RGBA colours of mode P. `blends` says whether the alpha channel, if there is one, counts.
    """

    size: tuple[int, int]
    mode: str
    num_bytes: int
    palette: NDArray[np.uint8] | None = None
    blends: bool = False

    def read(self, file: BinaryIO, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.uint8]:
        """Return a part of the image as (h, w, 3) uint8 RGB; transparent parts are black."""
        colours, alpha = self._split(self._raw(file, rows, columns))
        return on_black(colours, alpha) if self.blends else colours

    def shows_through(self, file: BinaryIO) -> bool:
        """Return whether any pixel is not wholly transparent; without an alpha channel False."""
        step = max(1, _BAND_PX // self.size[1])
        for top in range(0, self.size[0], step):
            band = self._raw(file, (top, min(top + step, self.size[0])), (0, self.size[1]))
            alpha = self._split(band)[1]
            if alpha is None:
                return False
            if alpha.any():
                return True
        return False

    def _raw(self, file: BinaryIO, rows: tuple[int, int], columns: tuple[int, int]) -> NDArray[np.uint8]:
        height, width = rows[1] - rows[0], columns[1] - columns[0]
        pixels = np.empty((height, width, self.num_bytes), np.uint8)
        at_once = height if width == self.size[1] else 1
        for start in range(0, height, at_once):
            file.seek(((rows[0] + start) * self.size[1] + columns[0]) * self.num_bytes)
            file.readinto(pixels[start : start + at_once].reshape(-1).data)  # type: ignore[attr-defined]
        return pixels

    def _split(self, raw: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Colours (h, w, 3) and alpha (h, w), if there is one."""
        if self.palette is not None:
            raw = self.palette[raw[..., 0]]
        elif self.mode == "CMYK":
            from PIL import Image

            picture = Image.frombuffer("CMYK", (raw.shape[1], raw.shape[0]), raw.tobytes(), "raw", "CMYK", 0, 1)
            return np.asarray(picture.convert("RGB")), None
        elif raw.shape[2] <= 2:
            colours = np.repeat(raw[..., :1], 3, axis=2)
            return colours, raw[..., 1] if raw.shape[2] == 2 else None
        has_alpha = self.mode in ("LA", "RGBA", "P")
        return np.ascontiguousarray(raw[..., :3]), raw[..., 3] if has_alpha else None


def needs_the_whole(file: ImageFile) -> str | None:
    """Return what keeps an image from being decoded into a file, as the end of 'it has ...'; None if nothing does."""
    if file.format not in _FAMILIES:
        return f"the format {file.format}"
    if file.picture is None or file.bits > 8 or file.mode not in _PILLOW_BYTES:
        return f"pixels of the kind {file.mode} with {file.bits} bits per channel"
    if "transparency" in file.picture.info and file.mode != "P":
        return "a transparent colour"
    if file.format == "TIFF":
        if file.orientation != 1:
            return "an orientation"
        return None if file.picture.info["compression"] == "raw" else segment_reason(file)
    if file.format == "JPEG" and file.picture.info.get("progressive") and _has_many_coefficients(file):
        return "the form of a progressive JPEG"
    return None


def _has_many_coefficients(file: ImageFile) -> bool:
    layers = file.picture.layer  # type: ignore[union-attr]
    most = max(h * v for _, h, v, _ in layers)
    pixels = file.size[0] * file.size[1]
    return bool(sum(2 * pixels * h * v / most for _, h, v, _ in layers) > _MOST_COEFFICIENT_BYTES)


def scratch_file(file: ImageFile, folder: Path | str | None) -> BinaryIO:
    """Return a file without a name that has room for the pixels of an image; raises ImageError where there is none."""
    needed = file.size[0] * file.size[1] * _PILLOW_BYTES[file.mode]
    try:
        free = shutil.disk_usage(folder or tempfile.gettempdir()).free
        if free < needed:
            raise OSError(f"{free / 1e9:.1f} GB are free")
        scratch = cast("BinaryIO", tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - closed by who reads it
        try:
            # With room that is only promised, a full disk would end the process while Pillow writes.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(scratch.fileno(), 0, needed)
            else:
                scratch.truncate(needed)
        except BaseException:
            scratch.close()
            raise
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ImageError(
            f"{file.path}: needs {needed / 1e9:.1f} GB of disk while it is predicted ({reason}); free space"
        ) from error
    return scratch


def decode_to_file(path: Path, scratch: BinaryIO) -> Stored:
    """Write the pixels of an image, of which `needs_the_whole` has nothing to say, into a file; return how they lie.

    Raises ImageError where the image is truncated or damaged.
    """
    release: list[mmap.mmap] = []

    def on_read() -> None:
        # What is written stays with the system, which may put it on disk; it is no longer the memory of this process.
        for mapping in release:
            if hasattr(mapping, "madvise"):
                mapping.madvise(mmap.MADV_DONTNEED)

    file = open_image_file(path, max_pixels=MAX_PIXELS_BY_ROWS, on_read=on_read)
    assert file.picture is not None
    stored_size = (file.picture.height, file.picture.width)
    palette = _palette(file.picture)  # before Pillow changes it, as it does while it decodes
    if file.format == "TIFF" and file.picture.info["compression"] != "raw":
        num_bytes = _write_segments(file, scratch)
    else:
        num_bytes = _PILLOW_BYTES[file.mode]
        _decode_mapped(file, scratch, release)
    stored = Stored(stored_size, file.mode, num_bytes, palette)
    return replace(stored, blends=stored.shows_through(scratch))


def _decode_mapped(file: ImageFile, scratch: BinaryIO, release: list[mmap.mmap]) -> None:
    """Let Pillow decode into the file as if it were its own memory."""
    from PIL import Image

    picture = file.picture
    assert picture is not None
    mode = "L" if file.mode == "1" else file.mode  # both have a byte for each pixel
    row_bytes = picture.width * _PILLOW_BYTES[file.mode]
    mapping = mmap.mmap(scratch.fileno(), picture.height * row_bytes)
    release.append(mapping)
    core: Any = Image.core  # type: ignore[attr-defined]
    picture.im = core.map_buffer(mapping, picture.size, "raw", 0, (mode, row_bytes, 1))
    try:
        file.load()
    finally:
        release.clear()
        if sys.platform == "win32":  # where a file and its view need not agree
            mapping.flush()


def _write_segments(file: ImageFile, scratch: BinaryIO) -> int:
    num_bytes = 0
    for rows in segment_rows(file):
        if not num_bytes:
            scratch.seek(0)
        num_bytes = rows.shape[2]
        scratch.write(rows.data)
    return num_bytes


def _palette(picture: Image) -> NDArray[np.uint8] | None:
    from PIL import Image

    if picture.mode != "P":
        return None
    swatch = Image.frombytes("P", (256, 1), bytes(range(256)))
    swatch.putpalette(picture.palette)  # type: ignore[arg-type]
    if "transparency" in picture.info:
        swatch.info["transparency"] = picture.info["transparency"]
    colours: NDArray[np.uint8] = np.asarray(swatch.convert("RGBA"))[0]
    return colours
