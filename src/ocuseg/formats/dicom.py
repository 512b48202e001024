"""Masks as DICOM segmentations that refer to the picture they belong to, and carry nothing else of its file.

A segmentation has to name the study, the series and the instance of its picture (PS3.3 A.51), so these identifiers are
in it. Name, number, birth date and sex of the person and date, number and doctor of the study are empty.
"""

from __future__ import annotations

import io
import logging
import uuid
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.errors import ImageError, UsageError
from ocuseg.files import hash_bytes, written_whole
from ocuseg.formats.putting import Put, one_file_each
from ocuseg.images import read_facts, read_mask
from ocuseg.machine import package_version

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["CODES", "dicom_seg_files", "read_dicom_segmentation", "write_dicom_segmentation"]

LOCAL_SCHEME = "99OCUSEG"
"""The coding scheme of classes that `CODES` does not know; the 99 says that it is private (PS3.16, 8)."""

CODES = {
    "vessel": "BloodVessel", "vessels": "BloodVessel", "blood vessel": "BloodVessel",
    "iris": "Iris", "lens": "Lens", "clear lens": "Lens", "cornea": "Cornea", "sclera": "Sclera", "retina": "Retina",
    "conjunctiva": "Conjunctiva", "eyelid": "Eyelid", "eye": "Eye", "optic disc": "OpticNerveHead",
    "disc": "OpticNerveHead", "fovea": "FoveaCentralis", "cataract": "LensOpacity",
}  # fmt: skip
"""Class names that have a SNOMED CT concept, by its keyword in pydicom's table of DICOM's value sets."""

_ABNORMAL = {"cataract"}
_MANUFACTURER = "ocuseg"
# All that is read of the picture's file, of which the first four have to be there.
_REFERENCED = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns", "NumberOfFrames",
    "Modality",
)  # fmt: skip
_EMPTY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip


def write_dicom_segmentation(path: Path | str, image: Path | str, mask: NDArray[np.uint8], classes: Classes) -> Path:
    """Write a mask (H, W) of class ids as a DICOM segmentation of the DICOM file `image`; return the path.

    A class above 0 is a binary segment, its id is the segment number and its name the label; a class that the mask does
    not show is described and has no frame. Of a picture of several frames it refers to the first. The same mask of the
    same picture gets the same identifier again. Raises ImageError where `image` is no such DICOM file or has another
    size, UsageError without highdicom, OutputError where it cannot be written.
    """
    content = _encoded(Path(image), mask, classes)
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def read_dicom_segmentation(path: Path | str) -> NDArray[np.uint8]:
    """Return the segment numbers (H, W) of a segmentation of one picture, which `write_dicom_segmentation` makes ids.

    Raises ImageError where it is none, or has overlapping segments or several pictures.
    """
    raw = read_mask(path)
    if raw.values.dtype != np.uint8 or raw.values.ndim != 2:
        raise ImageError(f"{path}: is no segmentation of up to 255 segments; give a DICOM file of the modality SEG")
    return np.asarray(raw.values, dtype=np.uint8)


def dicom_seg_files(out: Path, classes: Classes) -> AbstractContextManager[Put]:
    """Return what opens a function that writes `dicom-seg/NAME.dcm` from a name, the picture's file and its mask."""
    return one_file_each(out, "dicom-seg", ".dcm", lambda image, mask: _encoded(image, mask, classes))


def _encoded(image: Path, mask: NDArray[np.uint8], classes: Classes) -> bytes:
    try:
        from highdicom.seg import Segmentation
    except ImportError as error:
        raise UsageError("DICOM segmentations need highdicom; install it: pip install 'ocuseg[medical]'") from error
    source = _reference(image)
    if (source.Rows, source.Columns) != mask.shape:
        height, width = mask.shape
        raise ImageError(
            f"{image}: has {source.Columns} x {source.Rows} pixels, its mask {width} x {height}; predict it again"
        )
    frames = int(source.get("NumberOfFrames") or 1)
    source.NumberOfFrames = 1  # the one that was predicted
    content = hash_bytes([source.SOPInstanceUID, mask.tobytes(), *classes.names, package_version("ocuseg") or ""])
    try:
        with _silence():
            found = Segmentation(
                source_images=[source],
                pixel_array=np.stack([mask == item.id for item in classes.items[1:]], axis=-1)[np.newaxis],
                segmentation_type="BINARY",
                segment_descriptions=[_segment(item.id, item.name) for item in classes.items[1:]],
                series_instance_uid=_uid(f"series {source.SeriesInstanceUID} {classes.names}"),
                series_number=100,
                sop_instance_uid=_uid(content),
                instance_number=1,
                manufacturer=_MANUFACTURER,
                manufacturer_model_name="ocuseg predict",
                software_versions=package_version("ocuseg"),
                device_serial_number="none",
                content_label="OCUSEG",
                content_description="Predicted; research use only",
                specific_character_set="ISO_IR 192",
                omit_empty_frames=bool(mask.any()),
            )
    except Exception:  # with no cause: it could quote the picture's header
        raise ImageError(f"{image}: is of a kind that highdicom makes no segmentation of; use --format nifti") from None
    shared = found.SharedFunctionalGroupsSequence[0]
    if "PixelSpacing" in source:
        shared.PixelMeasuresSequence[0].SliceThickness = None  # there, as highdicom asks for it when it reads
    else:
        shared.pop("PixelMeasuresSequence", None)
    if frames > 1:
        _refer_to_first_frame(found)
    file = io.BytesIO()
    found.save_as(file)
    return file.getvalue()


def _reference(image: Path) -> Dataset:
    """What a segmentation says of its picture; all that is known of a person is there and empty."""
    from highdicom import PixelMeasuresSequence
    from pydicom import Dataset, dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with _silence():
            header = dcmread(image, stop_before_pixels=True, specific_tags=list(_REFERENCED))
            needed = [word for word in _REFERENCED[:4] if not header.get(word)]
    except InvalidDicomError:
        raise ImageError(
            f"{image}: is no DICOM file, so no DICOM segmentation can refer to it; use --format nifti",
            kind="not an image",
        ) from None
    except Exception:
        raise ImageError(f"{image}: is a truncated or damaged DICOM file; copy or export it again") from None
    if needed:
        raise ImageError(f"{image}: lacks {', '.join(needed)}, to which a segmentation refers; export it again")
    source = Dataset()
    for keyword in _REFERENCED:
        if header.get(keyword) is not None:
            setattr(source, keyword, header[keyword].value)
    for keyword in _EMPTY:
        setattr(source, keyword, None)
    source.Modality = source.get("Modality") or "OT"
    source.SamplesPerPixel = 1
    spacing, shared = read_facts(image).spacing_mm, Dataset()
    if spacing is not None:
        source.PixelSpacing = list(spacing)
    # Without any, highdicom makes nothing of a photograph: what is not known is taken out again.
    shared.PixelMeasuresSequence = PixelMeasuresSequence(spacing or (1, 1), slice_thickness=None)
    source.SharedFunctionalGroupsSequence = [shared]
    source.file_meta = header.file_meta
    return source


def _segment(number: int, name: str) -> Any:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import Code, codes

    known = name.strip().lower().replace("_", " ")
    keyword = CODES.get(known)
    category = codes.SCT.MorphologicallyAbnormalStructure if known in _ABNORMAL else codes.SCT.AnatomicalStructure
    if keyword is None:
        kind = Code(hash_bytes([name])[:16].upper(), LOCAL_SCHEME, name[:64])
    else:
        kind = getattr(codes.SCT, keyword)
    return SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=category,
        segmented_property_type=kind,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name="ocuseg predict",
            version=package_version("ocuseg") or "unknown",
            family=codes.DCM.ArtificialIntelligence,
        ),
    )


def _refer_to_first_frame(found: Dataset) -> None:
    for group in found.PerFrameFunctionalGroupsSequence:
        for derivation in group.get("DerivationImageSequence") or ():
            for reference in derivation.SourceImageSequence:
                reference.ReferencedFrameNumber = 1


def _uid(text: str) -> str:
    """A UID from a UUID (PS3.5 B.2), the same for the same text."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, text).int}"


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what pydicom and highdicom say of a header to themselves: they quote it."""
    logger = logging.getLogger("highdicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
