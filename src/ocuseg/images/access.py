"""Read and write images and masks, whatever the format, bit depth and mode of the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.encoding import RawMask
from ocuseg.errors import ImageError, UsageError
from ocuseg.files import written_whole
from ocuseg.images.content import Content
from ocuseg.images.depth import to_eight_bits
from ocuseg.images.imagefile import ImageFile, open_image_file
from ocuseg.images.medical import Facts
from ocuseg.images.plausibility import MAX_PIXELS, maxval_of, told_as_damage
from ocuseg.images.png import mask_palette, probability_levels

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "MAX_PIXELS",
    "ImageHeader",
    "on_black",
    "read_facts",
    "read_field_of_view",
    "read_header",
    "read_image",
    "read_mask",
    "save_mask",
    "write_image",
    "write_mask",
    "write_probability",
]

_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    ".png": {"format": "PNG", "compress_level": 3},
    ".jpg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".jpeg": {"format": "JPEG", "quality": 95, "subsampling": 0},
    ".tif": {"format": "TIFF", "compression": "tiff_lzw"},
    ".tiff": {"format": "TIFF", "compression": "tiff_lzw"},
    ".bmp": {"format": "BMP"},
    ".webp": {"format": "WEBP", "lossless": True},
}


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a file says of itself before its pixels are decoded.

    `size` is (height, width) in pixels, upright; `mode` is Pillow's (`RGB`, `L`, `P`, `I;16`, ...); `bits` are those
    of one channel; `orientation` is the EXIF value 1 to 8 (1: stored upright); of several `frames` only the first is
    read.
    """

    size: tuple[int, int]
    mode: str
    bits: int
    format: str
    orientation: int
    frames: int


def read_header(path: Path | str) -> ImageHeader:
    """Return a file's header, without decoding its pixels.

    Raises ImageError as `ocuseg.images.imagefile.open_image_file` does.
    """
    file = open_image_file(path)
    return ImageHeader(file.size, file.mode, file.bits, file.format, file.orientation, file.frames)


def read_facts(source: Path | str | Content) -> Facts:
    """Return what a medical file says of its picture beside the pixels; of other files that is nothing.

    Raises ImageError as `read_header` does.
    """
    medical = open_image_file(source).medical
    return Facts() if medical is None else medical.facts


def read_image(source: Path | str | Content, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Return an image as (H, W, 3) uint8 RGB, upright by its EXIF orientation.

    Transparent parts become black. 16 bits are scaled to 8 by their full range (65535 becomes 255), or by that of 8,
    10, 12 or 14 bits where the brightest value of the image fits into them. Of several frames or pages it is the first.
    DICOM and NIfTI are taken as `docs/medical.md` says.
    Raises ImageError where the file cannot be read as a whole, or has more than `max_pixels`, of which none is decoded.
    """
    file = open_image_file(source, max_pixels=max_pixels)
    loaded = file.load()
    with told_as_damage(file.path, file.format):
        pixels = _image_of_array(loaded) if isinstance(loaded, np.ndarray) else _image_of_picture(file, loaded)
    return np.ascontiguousarray(file.upright(pixels))


def read_mask(path: Path | str) -> RawMask:
    """Return the raw values of a mask, upright by its EXIF orientation; `MaskEncoding.decode` gives class ids.

    Grey levels and palette indices are those that the file stores (2- and 4-bit PNG and PGM are not stretched to 255),
    except that 1 bit gives 0 and 255. Three equal channels are grey. Transparent pixels are 0. Raises ImageError where
    the file cannot be read as a whole or holds fractions.
    """
    file = open_image_file(path)
    loaded = file.load(labels=True)
    with told_as_damage(file.path, file.format):
        raw = _mask_of_array(loaded) if isinstance(loaded, np.ndarray) else _mask_of_picture(file, loaded)
    return RawMask(np.ascontiguousarray(file.upright(raw.values)), raw.kind, raw.palette)


def read_field_of_view(path: Path | str) -> NDArray[np.bool_]:
    """Return a field of view as (H, W) bool: inside is what is brighter than half of the brightest value.

    0/1, 0/255 and JPEG files are read alike; a file of zeros is outside everywhere. Raises ImageError.
    """
    levels = read_mask(path).levels
    inside: NDArray[np.bool_] = levels > float(levels.max()) / 2
    return inside


def write_image(path: Path | str, image: NDArray[np.uint8]) -> Path:
    """Write an (H, W, 3) uint8 image, whole or not at all, in the format of the path's suffix; return the path.

    Raises UsageError on a suffix that is not known, OutputError where it cannot be written.
    """
    from PIL import Image

    options = _SAVE_OPTIONS.get(Path(path).suffix.lower())
    if options is None:
        raise UsageError(f"{path}: cannot be written as an image; end its name in {', '.join(_SAVE_OPTIONS)}")
    with written_whole(path) as temporary:
        Image.fromarray(np.ascontiguousarray(image)).save(temporary, **options)
    return Path(path)


def write_mask(path: Path | str, mask: NDArray[np.uint8], classes: Classes, *, software: str = "") -> Path:
    """Write an (H, W) uint8 mask as PNG whose palette has the colours of the classes; the index is the id.

    The ignored id is white; `software` is noted in the file as what made it. Returns the path; raises OutputError
    where it cannot be written.
    """
    with written_whole(path) as temporary:
        save_mask(temporary, mask, classes, software=software)
    return Path(path)


def save_mask(file: Path | BinaryIO, mask: NDArray[np.uint8], classes: Classes, *, software: str = "") -> None:
    """Put what `write_mask` writes into an open file, or at a path."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    picture = Image.fromarray(np.ascontiguousarray(mask, dtype=np.uint8))
    picture.putpalette(mask_palette(classes).tobytes())
    notes = PngInfo()
    if software:
        notes.add_text("Software", software)
    picture.save(file, format="PNG", bits=8, pnginfo=notes)


def write_probability(path: Path | str, probability: NDArray[np.floating[Any]]) -> Path:
    """Write (H, W) probabilities 0..1 as 16-bit grey PNG, where 65535 is 1; return the path.

    Raises ValueError on NaN, OutputError where it cannot be written.
    """
    from PIL import Image

    levels = probability_levels(probability)
    with written_whole(path) as temporary:
        Image.fromarray(levels).save(temporary, format="PNG", compress_level=3)
    return Path(path)


def _image_of_picture(file: ImageFile, picture: Image) -> NDArray[np.uint8]:
    if picture.mode == "I" or picture.mode.startswith("I;16"):
        return _image_of_array(_whole_numbers(file, picture))
    if picture.mode == "F":
        raise ImageError(f"{file.path}: holds fractions (32-bit floats); save it with 8 or 16 bits per channel")
    alpha = None
    if picture.mode in _WITH_ALPHA or "transparency" in picture.info:
        with_alpha = np.asarray(picture.convert("RGBA"))
        pixels, alpha = with_alpha[..., :3], with_alpha[..., 3]
    else:
        pixels = np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
    # Of 16-bit colours Pillow keeps the high bytes, next to nothing of a 10- or 12-bit picture.
    if file.bits == 16 and picture.mode in ("RGB", "RGBA") and pixels.max(initial=0) < 128:
        if file.format == "PPM":
            raise ImageError(f"{file.path}: is a PPM of 16 bits, the lower half in use; save it as PNG or TIFF")
        low = np.asarray(file.low_bytes().convert("RGB"))
        pixels = to_eight_bits(pixels.astype(np.uint16) << 8 | low)
    return on_black(pixels, alpha)


def _image_of_array(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (H, W, 3) uint8 from (H, W) or (H, W, 1..4 or more) of any unsigned type."""
    alpha = None
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        alpha = to_eight_bits(pixels[..., -1], bits=8 * pixels.itemsize)
        pixels = pixels[..., :-1]
    eight = to_eight_bits(pixels)
    if eight.ndim == 2:
        eight = eight[..., np.newaxis]
    return on_black(np.repeat(eight, 3, axis=2) if eight.shape[2] == 1 else eight[..., :3], alpha)


def on_black(pixels: NDArray[np.uint8], alpha: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Return pixels (H, W, 3) with their transparent parts, by `alpha` (H, W), made black."""
    # A picture that is transparent all over was written by a program that forgot its alpha channel.
    if alpha is None or alpha.min(initial=255) == 255 or alpha.max(initial=0) == 0:
        return pixels
    blended: NDArray[np.uint8] = ((pixels.astype(np.uint16) * alpha[..., np.newaxis] + 127) // 255).astype(np.uint8)
    return blended


def _whole_numbers(file: ImageFile, picture: Image) -> NDArray[np.uint16]:
    values = np.asarray(picture)
    if values.min(initial=0) < 0 or values.max(initial=0) > 65535:
        low, high = values.min(), values.max()
        raise ImageError(f"{file.path}: holds values from {low} to {high}; save it with 8 or 16 bits per channel")
    return values.astype(np.uint16)


def _mask_of_picture(file: ImageFile, picture: Image) -> RawMask:
    mode = picture.mode
    if mode == "F":
        raise ImageError(f"{file.path}: holds fractions, not class ids; save the mask as PNG with 8 bits")
    if mode == "1":
        return RawMask(np.asarray(picture).astype(np.uint8) * 255, "grey")
    if mode == "I" or mode.startswith("I;16"):
        values: NDArray[Any] = np.asarray(picture)
        if values.min(initial=0) >= 0 and values.max(initial=0) <= 65535:
            values = values.astype(np.uint16)
        return RawMask(_unstretched(file, values, 65535), "grey")
    if mode in ("L", "P"):
        alpha = _alpha_of(picture)
        values = np.asarray(picture)
        if mode == "L":
            return RawMask(_without_transparent(_unstretched(file, values, 255), alpha), "grey")
        palette = np.array(picture.getpalette("RGB"), dtype=np.uint8).reshape(-1, 3)
        return _of_palette(file, _without_transparent(values, alpha), palette)
    if mode in _WITH_ALPHA:
        with_alpha = np.asarray(picture.convert("RGBA"))
        return _grey_if_equal(_without_transparent(with_alpha[..., :3], with_alpha[..., 3]))
    return _grey_if_equal(np.asarray(picture.convert("RGB")))


def _mask_of_array(pixels: NDArray[Any]) -> RawMask:
    if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
        pixels = _without_transparent(pixels[..., :-1], pixels[..., -1])
    if pixels.ndim == 2 or pixels.shape[2] == 1:
        return RawMask(pixels.reshape(pixels.shape[:2]), "grey")
    return _grey_if_equal(pixels[..., :3])


def _alpha_of(picture: Image) -> NDArray[np.uint8] | None:
    return np.asarray(picture.convert("RGBA"))[..., 3] if "transparency" in picture.info else None


def _without_transparent(values: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    if alpha is None or alpha.max(initial=0) == 0:
        return values
    return np.where((alpha == 0)[(...,) + (np.newaxis,) * (values.ndim - 2)], np.zeros((), values.dtype), values)


def _unstretched(file: ImageFile, values: NDArray[Any], white: int) -> NDArray[Any]:
    """Undo Pillow's stretching of grey levels to the full range: ids 0 to 3 in 2 bits are ids, not 0 to 255."""
    if file.format == "PNG" and file.bits in (2, 4):
        return values // (255 // ((1 << file.bits) - 1))
    if file.format == "PGM":
        maxval = maxval_of(file.content.head)
        if maxval != white:
            stored = (values.astype(np.int64) * maxval + white // 2) // white
            return stored.astype(np.uint8 if maxval < 256 else np.uint16)
    return values


def _of_palette(file: ImageFile, values: NDArray[np.uint8], palette: NDArray[np.uint8]) -> RawMask:
    # A GIF always has a palette, in the order that its encoder chose: there black and white say more than indices.
    if file.format == "GIF" and all(
        tuple(palette[index]) in ((0, 0, 0), (255, 255, 255)) for index in np.unique(values)
    ):
        return RawMask(palette[values, 0], "grey")
    return RawMask(values, "palette", palette)


def _grey_if_equal(colours: NDArray[Any]) -> RawMask:
    first = colours[..., 0]
    if np.array_equal(first, colours[..., 1]) and np.array_equal(first, colours[..., 2]):
        return RawMask(first, "grey")
    if colours.dtype == np.uint16:
        colours = (colours >> 8).astype(np.uint8)
    return RawMask(colours, "colour")
