"""An image file, opened safely: whole, of a known format, and of a size that its bytes can hold."""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError
from ocuseg.images.content import Content, read_content
from ocuseg.images.dicom import is_dicom, open_dicom
from ocuseg.images.medical import Medical
from ocuseg.images.nifti import is_nifti, open_nifti
from ocuseg.images.orientation import ORIENTATION, TURNS, orientation_of
from ocuseg.images.plausibility import (
    MAX_PIXELS,
    check_claim,
    check_png,
    check_png_pixels,
    check_ratio,
    damaged,
    maxval_of,
)

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageFile", "open_image_file", "silence"]

_PLUGINS = {"PNG": "Png", "JPEG": "Jpeg", "TIFF": "Tiff", "BMP": "Bmp", "GIF": "Gif", "WebP": "WebP"}  # others: Ppm
_PHOTOMETRIC, _PLANAR, _SAMPLE_FORMAT = 0x0106, 0x011C, 0x0153
_MOST_SAMPLES = 8  # of a pixel of a TIFF; red, green, blue, alpha and some more

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF8", "GIF"),
    (b"RIFF", "WebP"),
    (b"P1", "PBM"),
    (b"P2", "PGM"),
    (b"P3", "PPM"),
    (b"P4", "PBM"),
    (b"P5", "PGM"),
    (b"P6", "PPM"),
)
# Pillow reports doubtful headers through `warnings`, whose filters belong to the whole process.
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One opened image file: its content, and Pillow's view of it with only the header read.

    `size` is (height, width) upright; `mode` is Pillow's; `bits` are those of one channel. `array` takes the place of
    `picture` for the few TIFF files that Pillow cannot read: (H, W) or (H, W, channels) as stored. `medical` is what
    DICOM and NIfTI have instead of both.
    """

    path: Path
    content: Content
    format: str
    mode: str
    bits: int
    size: tuple[int, int]
    orientation: int
    frames: int
    picture: Image | None
    array: NDArray[Any] | None = None
    medical: Medical | None = None

    def load(self, *, labels: bool = False) -> Image | NDArray[Any]:
        """Return the decoded first frame, upright only as far as `upright` says.

        Of a medical file these are levels to be seen, or with `labels` its values as they are stored. Raises ImageError
        where the file is truncated or damaged.
        """
        if self.medical is not None:
            with silence(), _silent("pydicom", "nibabel.global"):
                return self.medical.labels() if labels else self.medical.image()
        if self.picture is None:
            assert self.array is not None
            return self.array
        if self.format == "PNG":
            check_png_pixels(self.content)
        try:
            with silence() if self.format == "TIFF" else contextlib.nullcontext():
                self.picture.load()
        except Exception as error:  # the decoders raise whatever their libraries do; each means the same to a user
            raise damaged(self.path, self.format, error) from error
        return self.picture

    def upright(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Return decoded pixels (H, W, ...) turned as the file's EXIF orientation asks."""
        if self.format == "TIFF" and self.picture is not None:  # Pillow turns TIFF, and only TIFF, when it decodes
            return pixels
        return TURNS[self.orientation](pixels)

    def low_bytes(self) -> Image:
        """Return the low bytes of a 16-bit file with colours or alpha, of which Pillow's image has the high bytes."""
        swap = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
        with silence():
            picture = _open(self.content.open(), self.format)
            tiles = []
            for tile in picture.tile:  # type: ignore[attr-defined]
                args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
                raw_mode = str(args[0])
                # Of grey with alpha there is no such mode; its four bytes are those of red, green, blue and alpha.
                of_grey = raw_mode == "LA;16B"
                swapped = ("RGBA" if of_grey else raw_mode[:-1] + swap[raw_mode[-1]], *args[1:])
                tiles.append(tile._replace(args=swapped if isinstance(tile.args, tuple) else swapped[0]))
            picture.tile = tiles  # type: ignore[attr-defined]
            picture.load()
        return picture.getchannel("G") if of_grey else picture


def open_image_file(
    source: Path | str | Content, *, max_pixels: int = MAX_PIXELS, on_read: Callable[[], object] | None = None
) -> ImageFile:
    """Return an image file with its header read and its pixels not yet decoded.

    `on_read` is called whenever Pillow takes more of the file. Raises ImageError, naming the file, where it is missing,
    no file, unreadable, empty, no image, cut off, damaged in its header, of more than `max_pixels`, or of a size that
    its bytes cannot hold (a decompression bomb).
    """
    content = source if isinstance(source, Content) else read_content(Path(source))
    path = content.path
    family = next((name for magic, name in _MAGIC if content.head.startswith(magic)), None)
    # After the 128 bytes that DICOM leaves to anybody, its own mark counts: they may begin as a TIFF does.
    if is_dicom(content.head) or (family is None and is_nifti(content.head)):
        return _open_medical(content, max_pixels)
    if family is None or (family == "WebP" and content.head[8:12] != b"WEBP"):
        raise ImageError(
            f"{path}: is not an image; give PNG, JPEG, TIFF, BMP, PPM, PGM, GIF, WebP, DICOM or NIfTI, or remove it",
            kind="not an image",
        )
    exif = check_png(content, max_pixels) if family == "PNG" else None
    try:
        with silence():
            picture = _open(content.open(on_read), family)
            opened = _describe(content, family, picture, exif)
            if family == "TIFF" and _is_misread(_tags(picture), opened.bits):
                raise ValueError("of a kind that Pillow reads wrongly")
    except Exception as error:
        if family != "TIFF":
            raise damaged(path, family, error) from error
        opened = _open_with_tifffile(content, error, min(max_pixels, MAX_PIXELS))
    else:
        check_ratio(
            path,
            content.num_bytes,
            opened.size,
            family=family,
            mode=opened.mode,
            bits=opened.bits,
            compression=picture.info.get("compression"),
            max_pixels=max_pixels,
        )
    return opened


def _open(file: BinaryIO, family: str) -> Image:
    plugin = _PLUGINS.get(family, "Ppm")
    # Not by `Image.open`, which has a limit of pixels of its own and may load, and try, the plugins of all formats.
    opened: Image = getattr(importlib.import_module(f"PIL.{plugin}ImagePlugin"), f"{plugin}ImageFile")(file)
    return opened


def _open_medical(content: Content, max_pixels: int) -> ImageFile:
    with silence(), _silent("pydicom", "nibabel.global"):
        found = (open_dicom if is_dicom(content.head) else open_nifti)(content, min(max_pixels, MAX_PIXELS))
    return ImageFile(
        content.path, content, found.format, found.mode, found.bits, found.size, 1, found.frames, None, medical=found
    )


def _describe(content: Content, family: str, picture: Image, exif: bytes | None) -> ImageFile:
    size = (picture.height, picture.width)
    bits = 1 if picture.mode == "1" else 8
    orientation = orientation_of(picture, exif)
    if family == "PNG":
        bits = content.head[24]
    elif family == "TIFF":
        tags = _tags(picture)
        size = (int(tags[257]), int(tags[256]))
        bits = max(tags.get(258, (1,)))
    elif family == "PGM" or family == "PPM":
        bits = max(1, maxval_of(content.head).bit_length())
    if orientation >= 5:
        size = (size[1], size[0])
    frames = int(getattr(picture, "n_frames", 1)) if family in ("GIF", "TIFF", "WebP", "PNG") else 1
    return ImageFile(content.path, content, family, picture.mode, bits, size, orientation, frames, picture)


def _tags(picture: Image) -> Any:
    return picture.tag_v2  # type: ignore[attr-defined]


def _is_misread(tags: Any, bits: int) -> bool:
    """Tell TIFF files of which Pillow returns noise, the negative, or signed numbers as unsigned ones."""
    is_signed = 2 in np.atleast_1d(tags.get(_SAMPLE_FORMAT, 1))
    return (bits > 8 and (tags.get(_PLANAR) == 2 or tags.get(_PHOTOMETRIC) == 0)) or (bits == 8 and is_signed)


def _open_with_tifffile(content: Content, reason: Exception, max_pixels: int) -> ImageFile:
    """Return a TIFF file that Pillow cannot read (16-bit grey with alpha), or reads wrongly, decoded."""
    import tifffile

    path = content.path
    try:
        with silence(), _silent("tifffile"), tifffile.TiffFile(content.open()) as tiff:
            page = tiff.pages[0]
            size = (int(page.imagelength), int(page.imagewidth))
            if page.samplesperpixel > _MOST_SAMPLES:  # all of which may be one and the same strip
                raise ImageError(f"{path}: is a TIFF of {page.samplesperpixel} channels; save it with 1 to 4")
            needed = size[0] * (size[1] * page.samplesperpixel * page.bitspersample // 8)
            check_claim(path, content.num_bytes, size, needed, 1 if page.compression == 1 else None, max_pixels)
            pixels = page.asarray()
            if "S" in page.axes and page.axes[0] == "S":
                pixels = np.moveaxis(pixels, 0, -1)
            if page.photometric == 0 and pixels.dtype in (np.uint8, np.uint16):
                pixels = ~pixels  # 0 is white
            tag = page.tags.get(ORIENTATION)
            frames, bits = len(tiff.pages), int(page.bitspersample)
    except ImageError:
        raise
    except Exception as error:
        if "imagecodecs" in str(error):  # which is not among what this package needs
            raise ImageError(
                f"{path}: is a TIFF of 16-bit channels in a compression that is not read with them; save it without "
                "compression or with deflate, or pip install imagecodecs"
            ) from error
        raise damaged(path, "TIFF", reason) from error
    if pixels.ndim not in (2, 3) or pixels.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"{path}: is a TIFF of {pixels.dtype} values; save it with 8 or 16 bits per channel")
    orientation = int(tag.value) if tag is not None and int(tag.value) in TURNS else 1
    upright = (size[1], size[0]) if orientation >= 5 else size
    mode = f"{1 if pixels.ndim == 2 else pixels.shape[2]}x{bits}"
    return ImageFile(path, content, "TIFF", mode, bits, upright, orientation, frames, None, pixels)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what Pillow says of doubtful headers to itself."""
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Keep the logs of libraries to themselves, as they report what becomes an exception here; within `silence`."""
    loggers = [logging.getLogger(name) for name in names]
    try:
        for logger in loggers:
            logger.disabled = True
        yield
    finally:
        for logger in loggers:
            logger.disabled = False
