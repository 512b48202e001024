"""Whether the bytes of an image file are whole, and can hold the picture that its header claims."""

from __future__ import annotations

import contextlib
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ocuseg.errors import ImageError
from ocuseg.images.content import Content

__all__ = [
    "MAX_PIXELS",
    "MAX_PIXELS_BY_ROWS",
    "check_claim",
    "check_png",
    "check_png_pixels",
    "check_ratio",
    "damaged",
    "maxval_of",
    "told_as_damage",
    "too_large",
]

MAX_PIXELS = 150_000_000
"""The largest image that is read as a whole; the largest of ophthalmic cameras give a third of it."""

MAX_PIXELS_BY_ROWS = 1_000_000_000
"""The largest image that is predicted, by bands of rows; it takes four bytes of disk a pixel."""

# The most decoded bytes that one byte of a file can stand for, by the definition of each compression; where there is
# no such bound, a large picture of next to no bytes is refused all the same.
_DEFLATE, _LZW, _HUFFMAN = 1032, 4096, 4096
_TIFF_RATIOS = {
    "raw": 1,
    "tiff_raw_16": 1,
    "packbits": 128,
    "tiff_lzw": _LZW,
    "tiff_deflate": _DEFLATE,
    "tiff_adobe_deflate": _DEFLATE,
    "jpeg": _HUFFMAN,
    "tiff_jpeg": _HUFFMAN,
}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# The seven passes of an interlaced PNG: first column and row, steps (PNG specification, 8.2).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE = 1 << 18
_LARGE_PIXELS, _THINNEST = 1 << 26, 4096
_BANDS = {"LA": 2, "PA": 2, "RGB": 3, "LAB": 3, "RGBA": 4, "RGBX": 4, "CMYK": 4, "RGBa": 4}  # others: 1 at least


def check_png(content: Content, max_pixels: int) -> bytes | None:
    """Return the eXIf chunk, if any, of a PNG whose chunks are all there and whole; else raise ImageError.

    Pillow does not compare the checksums of the pixel data, and so would load a damaged mask as other classes.
    """
    path, file = content.path, content.open()
    position, exif, seen = 8, None, set[bytes]()
    name = b""
    while name != b"IEND":
        file.seek(position)
        start = file.read(8)
        length, name = int.from_bytes(start[:4], "big"), start[4:8]
        position += 12 + length
        if position > content.num_bytes:
            raise damaged(path, "PNG", "it ends too early")
        if not seen and name != b"IHDR":
            raise damaged(path, "PNG", "it holds no pixels")
        if name == b"eXIf":
            exif = file.read(length)
        elif name[:1].isupper():
            checksum = zlib.crc32(name)
            for part in _parts(file, length):
                checksum = zlib.crc32(part, checksum)
            if int.from_bytes(file.read(4), "big") != checksum:
                raise damaged(path, "PNG", f"the checksum of its {name.decode('latin-1')} chunk is wrong")
        if not seen:
            width, height, bits, channels, _ = _png_header(content)
            size, needed = (height, width), height * (width * channels * bits // 8)
            check_claim(path, content.num_bytes, size, needed, _DEFLATE, max_pixels)
        seen.add(name)
    if b"IDAT" not in seen:
        raise damaged(path, "PNG", "it holds no pixels")
    return exif


def check_png_pixels(content: Content) -> None:
    """Raise ImageError where a PNG that `check_png` accepted holds fewer pixels than its header says.

    Pillow would leave the missing rows black when the compressed stream itself ends in good order.
    """
    path, file = content.path, content.open()
    width, height, bits, channels, interlaced = _png_header(content)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    missing = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            missing += rows * (1 + -(-columns * bits * channels // 8))
    inflate = zlib.decompressobj()
    position = 8
    try:
        while missing > 0 and not inflate.eof and position < content.num_bytes:
            file.seek(position)
            start = file.read(8)
            length = int.from_bytes(start[:4], "big")
            for part in _parts(file, length) if start[4:] == b"IDAT" else ():
                waiting: bytes = part
                while missing > 0 and (waiting or not inflate.eof):
                    inflated = inflate.decompress(waiting, _INFLATED_AT_ONCE)
                    waiting = inflate.unconsumed_tail
                    missing -= len(inflated)
                    if not inflated and not waiting:
                        break
            position += 12 + length
    except zlib.error as error:
        raise damaged(path, "PNG", error) from error
    if missing > 0:
        raise damaged(path, "PNG", "its pixels end too early")


def _png_header(content: Content) -> tuple[int, int, int, int, bool]:
    """Width, height, bits of a channel, channels, and whether the rows are interlaced."""
    head = content.head
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    return width, height, head[24], _PNG_CHANNELS.get(head[25], 1), bool(head[28])


def _parts(file: BinaryIO, length: int) -> Iterator[bytes]:
    while length > 0 and (part := file.read(min(length, _INFLATED_AT_ONCE))):
        yield part
        length -= len(part)


def check_ratio(
    path: Path,
    num_bytes: int,
    size: tuple[int, int],
    *,
    family: str,
    mode: str,
    bits: int,
    compression: object,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Raise ImageError where a file of `num_bytes` cannot hold `size` (height, width) pixels of `mode` and `bits`.

    `compression` is what Pillow's `info` says of TIFF and BMP.
    """
    height, width = size
    bits_per_pixel = _BANDS.get(mode, 1) * bits
    ratio: int | None = {"JPEG": _HUFFMAN, "GIF": _LZW, "PBM": 1, "PGM": 1, "PPM": 1}.get(family)
    if family == "TIFF":
        ratio = _TIFF_RATIOS.get(str(compression))
    elif family == "BMP":
        bits_per_pixel, ratio = 1, 1 if compression == 0 else None
    elif family == "JPEG":
        bits_per_pixel = 8
    check_claim(path, num_bytes, size, height * (width * bits_per_pixel // 8), ratio, max_pixels)


def check_claim(
    path: Path, num_bytes: int, size: tuple[int, int], needed: int, ratio: int | None, max_pixels: int = MAX_PIXELS
) -> None:
    """Raise ImageError where `size` is too large, or `needed` bytes exceed `num_bytes` times the `ratio`."""
    pixels = size[0] * size[1]
    if pixels > max_pixels:
        raise ImageError(too_large(path, num_bytes, f"{size[1]} x {size[0]} pixels, ", max_pixels), kind="too large")
    thin = pixels > _LARGE_PIXELS and pixels > num_bytes * _THINNEST
    if thin or (ratio is not None and needed > num_bytes * ratio):
        raise ImageError(
            f"{path}: claims {size[1]} x {size[0]} pixels, which its {num_bytes} bytes cannot hold; "
            "it is cut off or made to exhaust memory: copy or export it again"
        )


def maxval_of(data: bytes) -> int:
    """Return the value that stands for white in a PGM or PPM file; 1 for PBM, which does not say."""
    if data[:2] in (b"P1", b"P4"):
        return 1
    fields = re.match(rb"P\d" + rb"(?:\s|#[^\n]*\n)+(\d+)" * 3, data)
    return int(fields[3]) if fields else 255


def too_large(path: Path, num_bytes: int, size: str, max_pixels: int = MAX_PIXELS) -> str:
    """Return the message for a picture of more than `max_pixels`."""
    limit = f"more than {max_pixels / 1_000_000:g} million"
    return f"{path}: claims {size}{limit} in {num_bytes} bytes; scale it down or cut it into parts"


def damaged(path: Path, family: str, reason: object) -> ImageError:
    """Return the error for a file that is not whole, with a decoder's reason in one line."""
    text = " ".join(str(reason).split()) or type(reason).__name__
    if "BytesIO" in text:  # Pillow's 'cannot identify image file <_io.BytesIO ...>'
        text = "its header cannot be read"
    return ImageError(f"{path}: is a truncated or damaged {family} ({text}); copy or export it again")


@contextlib.contextmanager
def told_as_damage(path: Path, family: str) -> Iterator[None]:
    """Turn whatever a library raises for what it has decoded into an error that names the file."""
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise damaged(path, family, error) from error
