"""The first frame of a DICOM file as a picture, and its scale and side; what it says of a person is not read."""

from __future__ import annotations

import contextlib
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import ImageError
from ocuseg.images.content import Content
from ocuseg.images.dicom_levels import KEYWORDS, levels_note, of_first_frame, seen
from ocuseg.images.medical import Facts, Medical, missing_package, spacing_of
from ocuseg.images.plausibility import check_claim

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["is_dicom", "open_dicom"]

# All that is ever read of a file beside its pixels: no name, number or date of anybody.
_KEYWORDS = (
    *KEYWORDS, "SOPClassUID", "Rows", "Columns", "PlanarConfiguration", "HighBit", "NumberOfFrames",
    "SamplesPerPixel", "PixelSpacing", "ImageLaterality", "Laterality", "SegmentationType",
)  # fmt: skip
_DEFLATED = "1.2.840.10008.1.2.1.99"
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
# The most bytes of pixels that a byte of the file can stand for, by transfer syntax; none is known for JPEG 2000.
_RATIOS = {"1.2.840.10008.1.2.5": 128, _DEFLATED: 1032, "1.2.840.10008.1.2.4.50": 4096}
_NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_MOST_INFLATED_BYTES = 1 << 29
_PIXEL_DATA = (0x7FE0, 0x0010)


def is_dicom(head: bytes) -> bool:
    """Return whether a file begins as DICOM PS3.10 says: 128 bytes of anything and `DICM`."""
    return head[128:132] == b"DICM"


def open_dicom(content: Content, max_pixels: int) -> Medical:
    """Return a DICOM file with its header read and its pixels not yet decoded; of several frames it is the first.

    Raises ImageError where pydicom is missing, the file holds no picture, is cut off or damaged, or claims more than
    `max_pixels` or than its bytes can hold.
    """
    try:
        import pydicom  # noqa: F401 - the extra is there or it is not
    except ImportError as error:
        raise missing_package(content.path, "DICOM") from error
    header = _read_header(content)
    kind = header.get("SOPClassUID")
    if "Rows" not in header or "Columns" not in header:
        raise ImageError(
            f"{content.path}: is a DICOM file without a picture ({_kind(kind)}); give one that holds an image",
            kind="not an image",
        )
    try:
        size = (int(header.Rows), int(header.Columns))
        samples, frames = int(header.get("SamplesPerPixel") or 1), int(header.get("NumberOfFrames") or 1)
        bits = int(header.get("BitsStored") or header.BitsAllocated)
        frames_note = [f"has {frames} frames, of which the first is taken"] * (frames > 1)
        facts = Facts(_spacing(header), _laterality(header), (*frames_note, *levels_note(header)))
        photometric = str(header.get("PhotometricInterpretation") or "MONOCHROME2")
        allocated = int(header.BitsAllocated)
    except Exception:  # with no cause: it would quote the header
        raise _damaged(content) from None
    if size[0] < 1 or size[1] < 1:
        raise _damaged(content)
    if allocated > 16 and samples > 1:
        raise ImageError(f"{content.path}: has {allocated} bits per channel; export it with 8 or 16")
    syntax = str(header.file_meta.TransferSyntaxUID)
    needed = size[0] * size[1] * samples * allocated // 8
    ratio = 2 if syntax in _NATIVE else _RATIOS.get(syntax)  # 2: YBR_FULL_422 leaves out a third
    check_claim(content.path, content.num_bytes, size, needed, ratio, max_pixels)
    is_segmentation = kind in _SEGMENTATIONS

    def image() -> NDArray[Any]:
        if is_segmentation:
            raise ImageError(f"{content.path}: is a DICOM segmentation, not an image; give it as a mask")
        values = _pixels(content, header, 0)
        try:
            return seen(header, values, bits)
        except Exception:
            raise _damaged(content) from None

    def labels() -> NDArray[Any]:
        if is_segmentation:
            check_claim(content.path, content.num_bytes, size, size[0] * size[1] * frames // 8, None, max_pixels)
            return _segments(content, header, size, _pixels(content, header, None).reshape(frames, *size))
        return _pixels(content, header, 0)

    return Medical("DICOM", photometric, bits, size, frames, facts, image, labels)


def _read_header(content: Content) -> Dataset:
    """What `_KEYWORDS` name of a file that has pixels."""
    import pydicom

    file = _File(content)
    try:
        header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=list(_KEYWORDS))
        syntax = header.file_meta.TransferSyntaxUID
        next_tag = file.read(4)
    except ImageError:
        raise
    except Exception:
        raise _damaged(content) from None
    if "Rows" in header and syntax != _DEFLATED:
        order = "big" if syntax == _NATIVE[2] else "little"
        tag = (int.from_bytes(next_tag[:2], order), int.from_bytes(next_tag[2:], order))  # type: ignore[arg-type]
        if tag in ((0x7FE0, 0x0008), (0x7FE0, 0x0009)):
            raise ImageError(f"{content.path}: holds fractions (float pixels); export it with 8 or 16 bits")
        if tag != _PIXEL_DATA:
            raise ImageError(
                f"{content.path}: is a DICOM file without pixel data; copy or export it again, with its pixels",
                kind="not an image",
            )
    return header


class _File:
    """The bytes as a file for pydicom, which inflates a deflated data set as a whole: not one that fills the memory.

    It asks for the rest of the file at once then. So where the data set begins, and whether it is deflated, is decided
    by pydicom alone and not a second time here. It is no `BufferedReader`, of which pydicom wants to know a name.
    """

    def __init__(self, content: Content) -> None:
        self._path, self._file = content.path, content.open()
        self.seek, self.tell = self._file.seek, self._file.tell

    def read(self, size: int | None = -1, /) -> bytes:
        found = self._file.read(-1 if size is None else size)
        if size is None or size < 0:
            with contextlib.suppress(zlib.error):  # for pydicom to say
                if _inflates_to_more(found, _MOST_INFLATED_BYTES):
                    raise ImageError(f"{self._path}: inflates to more than 0.5 GB; export it with another syntax")
        return found


def _inflates_to_more(deflated: bytes, limit: int) -> bool:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    for start in range(0, len(deflated), 1 << 18):
        part = deflated[start : start + (1 << 18)]
        while part and not inflate.eof:
            limit -= len(inflate.decompress(part, 1 << 20))
            if limit < 0:
                return True
            part = inflate.unconsumed_tail
    return False


def _pixels(content: Content, header: Dataset, index: int | None) -> NDArray[Any]:
    """The values of one frame (H, W) or (H, W, 3), in RGB where they are colours, or of all frames for None."""
    from pydicom import dcmread
    from pydicom.pixels import pixel_array

    reasons = []
    # From the file pydicom reads no more than the frame; the whole data set helps where that is deflated or odd.
    for whole in (True,) if header.file_meta.TransferSyntaxUID == _DEFLATED else (False, True):
        try:
            source: Any = dcmread(_File(content)) if whole else _File(content)
            found: NDArray[Any] = pixel_array(source, index=index)
            return found
        except (MemoryError, ImageError):
            raise
        except Exception as error:
            reasons.append(str(error))
    words = ("missing dependencies", "does not support", "is not supported")  # what pydicom says of its decoders
    raise _undecodable(content, header) if any(word in reasons[-1] for word in words) else _damaged(content)


def _segments(
    content: Content, header: Dataset, size: tuple[int, int], frames: NDArray[Any]
) -> NDArray[np.uint8 | np.uint16]:
    """Segment numbers (H, W) of a segmentation of one picture, 0 where there is none."""
    if str(header.get("SegmentationType")) == "LABELMAP":
        if len(frames) > 1:
            raise ImageError(f"{content.path}: segments {len(frames)} pictures; give the segmentation of one")
        return np.asarray(frames[0])
    if str(header.get("SegmentationType")) != "BINARY":
        raise ImageError(f"{content.path}: holds shares of segments, not classes; export it as BINARY or LABELMAP")
    found = np.zeros(size, np.uint8)
    groups = header.get("PerFrameFunctionalGroupsSequence") or ()
    if len(groups) != len(frames):
        raise _damaged(content)
    for frame, group in zip(frames.astype(bool), groups, strict=True):
        try:
            # A single segment may be named once, for all frames.
            named = group if "SegmentIdentificationSequence" in group else header.SharedFunctionalGroupsSequence[0]
            number = int(named.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        except Exception:
            raise _damaged(content) from None
        if number > 255 or (found[frame] != 0).any():
            raise ImageError(
                f"{content.path}: has overlapping segments, several pictures or more than 255 segments; "
                "export one picture with segments apart"
            )
        found[frame] = number
    return found


def _spacing(header: Dataset) -> tuple[float, float] | None:
    return spacing_of(of_first_frame(header, "PixelSpacing", "PixelMeasuresSequence"))


def _laterality(header: Dataset) -> str | None:
    found = header.get("ImageLaterality") or header.get("Laterality")
    found = found or of_first_frame(header, "FrameLaterality", "FrameAnatomySequence")
    return str(found) if found in ("R", "L", "B") else None


def _kind(uid: Any) -> str:
    """The name of a kind of DICOM object, of those that the standard knows."""
    name = getattr(uid, "name", "")
    return name if name and not name[0].isdigit() else "of an unknown kind"


def _undecodable(content: Content, header: Dataset) -> ImageError:
    name = header.file_meta.TransferSyntaxUID.name
    return ImageError(
        f"{content.path}: is compressed as {name}, which no decoder here can read; "
        "export it as JPEG baseline, JPEG 2000, RLE or uncompressed"
    )


def _damaged(content: Content) -> ImageError:
    """The error for a file that is not whole; a decoder's own words could quote what it says of a person."""
    return ImageError(f"{content.path}: is a truncated or damaged DICOM file; copy or export it again")
