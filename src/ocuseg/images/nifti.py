"""A NIfTI file of one slice as a picture.

Its first axis runs along a row and its second down the rows, as ITK and nnU-Net write a flat picture: the value at
(row, column) is `data[column, row]`. The affine is not applied.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError
from ocuseg.images.content import Content
from ocuseg.images.medical import Facts, Medical, by_limits, missing_package, spacing_of
from ocuseg.images.plausibility import check_claim

__all__ = ["is_nifti", "open_nifti"]

_MM_OF_UNIT = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
_MOST_HEADER_BYTES = 1 << 24


def is_nifti(head: bytes) -> bool:
    """Return whether a file begins as NIfTI-1 or NIfTI-2 in one file, compressed by gzip or not."""
    if head.startswith(b"\x1f\x8b"):
        try:
            head = zlib.decompressobj(zlib.MAX_WBITS + 16).decompress(head, 352)
        except zlib.error:
            return False
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def open_nifti(content: Content, max_pixels: int) -> Medical:
    """Return a NIfTI file with its header read and its pixels not yet decoded.

    Raises ImageError where nibabel is missing, the file is damaged or cut off, holds several slices, or claims more
    than `max_pixels` or than its bytes can hold.
    """
    try:
        import nibabel
    except ImportError as error:
        raise missing_package(content.path, "NIfTI") from error
    compressed = content.head.startswith(b"\x1f\x8b")

    def opened() -> Any:
        raw = content.open()
        stream: Any = gzip.GzipFile(fileobj=raw) if compressed else raw
        first = stream.read(176)
        stream.seek(0)
        is_second = first[4:8] == b"n+2\0"
        # All before the pixels is read at once, whatever it claims to hold.
        if not 0 <= _offset_of(first, is_second) <= _MOST_HEADER_BYTES:
            raise ValueError("the pixels do not begin near the header")
        kind = nibabel.Nifti2Image if is_second else nibabel.Nifti1Image
        return kind.from_stream(stream)

    try:
        file = opened()
        header = file.header
        shape, dtype = tuple(int(side) for side in file.shape), header.get_data_dtype()
        unit = _MM_OF_UNIT.get(header.get_xyzt_units()[0])
        zooms = [float(zoom) for zoom in header.get_zooms()[:2]]
    except Exception:
        raise _damaged(content) from None
    flat = [side for side in shape if side != 1]
    if len(shape) < 2 or len(flat) > 2 or any(side != 1 for side in shape[2:]):
        sides = " x ".join(map(str, shape))
        raise ImageError(f"{content.path}: has {sides} values, not one slice; give the slices one by one")
    size = (shape[1], shape[0])
    if min(size) < 1:
        raise _damaged(content)
    needed = size[0] * size[1] * dtype.itemsize
    check_claim(content.path, content.num_bytes, size, needed, 1032 if compressed else 1, max_pixels)
    spacing = None if unit is None else spacing_of(zoom * unit for zoom in reversed(zooms))
    has_window = float(header["cal_max"]) > float(header["cal_min"])
    coloured = dtype.names is not None
    plain = dtype == np.uint8 or coloured or (np.issubdtype(dtype, np.unsignedinteger) and dtype.itemsize == 2)
    notes = tuple[str, ...]()
    if not plain:
        limits = "its cal_min and cal_max" if has_window else "its least and greatest value"
        notes = (f"grey levels by {limits}",)

    def values() -> NDArray[Any]:
        try:
            found = np.asanyarray(opened().dataobj).reshape(shape[:2])
        except MemoryError:
            raise
        except Exception:
            raise _damaged(content) from None
        if found.dtype.names is not None:
            found = np.stack([found[name] for name in ("R", "G", "B")], axis=-1)
        return np.ascontiguousarray(found.swapaxes(0, 1))

    def image() -> NDArray[Any]:
        found = values()
        if found.dtype in (np.uint8, np.uint16):
            return found
        if not np.issubdtype(found.dtype, np.number) or np.iscomplexobj(found) or not np.isfinite(found).all():
            raise ImageError(f"{content.path}: holds values that are no grey levels; save it with 8 or 16 bits")
        low, high = (float(header["cal_min"]), float(header["cal_max"])) if has_window else (found.min(), found.max())
        return by_limits(found, float(low), float(high))

    def labels() -> NDArray[Any]:
        found = values()
        whole = found.astype(np.uint16) if _fits(found) else found
        if whole.dtype not in (np.uint8, np.uint16) or not np.array_equal(whole, found):
            raise ImageError(f"{content.path}: holds values that are no class ids; save whole numbers from 0 to 65535")
        return whole

    mode = "RGB" if coloured else str(dtype)
    bits = 8 if coloured else 8 * cast("int", dtype.itemsize)
    return Medical("NIfTI", mode, bits, size, 1, Facts(spacing, None, notes), image, labels)


def _offset_of(header: bytes, is_second: bool) -> float:
    """The byte at which the pixels begin, by the first 176 bytes of a header of NIfTI-1 or NIfTI-2."""
    order = "<" if int.from_bytes(header[:4], "little") in (348, 540) else ">"
    kind, place = ("q", 168) if is_second else ("f", 108)
    return float(struct.unpack_from(order + kind, header, place)[0])


def _fits(values: NDArray[Any]) -> bool:
    """Whether values that are not bytes may be whole numbers of 16 bits."""
    if values.dtype in (np.uint8, np.uint16) or not np.issubdtype(values.dtype, np.number):
        return False
    return bool(np.isrealobj(values) and values.min(initial=0) >= 0 and values.max(initial=0) <= 65535)


def _damaged(content: Content) -> ImageError:
    return ImageError(f"{content.path}: is a truncated or damaged NIfTI file; copy or export it again")
