"""DICOM files for the tests, made by pydicom, with a person in them whom no output may name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from ocuseg.errors import ImageError
from ocuseg.images import read_image

OPHTHALMIC_8 = "1.2.840.10008.5.1.4.1.1.77.1.5.1"
OPHTHALMIC_16 = "1.2.840.10008.5.1.4.1.1.77.1.5.2"
VL_PHOTOGRAPHY = "1.2.840.10008.5.1.4.1.1.77.1.4"

PERSON = {
    "PatientName": "Quillfeather^Zebedee",
    "PatientID": "HOSP-7731942",
    "PatientBirthDate": "19410213",
    "PatientComments": "Marmalade allergy",
    "OtherPatientIDs": "ALT-5518820",
    "StudyDate": "20190704",
    "StudyTime": "101112",
    "StudyID": "STUDY-90210",
    "AccessionNumber": "ACC-6612345",
    "ReferringPhysicianName": "Wobblesworth^Ada",
    "OperatorsName": "Pumpernickel^Otto",
    "InstitutionName": "Saint Elsewhere Eye Clinic",
    "StationName": "ROOM-SEVENTEEN",
    "DeviceSerialNumber": "SN-44556677",
    "ImageComments": "Seen with daughter Hortensia",
    "SeriesDescription": "Private series of Zebedee",
}
"""What the files say of a person; none of these words may be in anything that is written."""


def photograph(
    pixels: NDArray[Any], photometric: str = "", *, kind: str = OPHTHALMIC_8, bits: int | None = None, **more: Any
) -> FileDataset:
    """Return an uncompressed photograph of pixels (H, W), (H, W, 3) or (N, H, W, 3), with further attributes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = kind
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    found.SOPClassUID, found.SOPInstanceUID = kind, meta.MediaStorageSOPInstanceUID
    found.StudyInstanceUID, found.SeriesInstanceUID = generate_uid(), generate_uid()
    found.Modality, found.PatientSex = "OP", "M"
    for keyword, value in PERSON.items():
        setattr(found, keyword, value)
    found.add_new(0x00091001, "LO", "Private Zebedee")
    coloured = pixels.shape[-1] == 3
    found.Rows, found.Columns = pixels.shape[-3:-1] if coloured else pixels.shape[-2:]
    found.SamplesPerPixel = 3 if coloured else 1
    if coloured:
        found.PlanarConfiguration = 0
    if pixels.ndim == (4 if coloured else 3):
        found.NumberOfFrames = len(pixels)
    found.PhotometricInterpretation = photometric or ("RGB" if coloured else "MONOCHROME2")
    found.BitsAllocated = 8 * pixels.itemsize
    found.BitsStored = bits or found.BitsAllocated
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    found.PixelData = pixels.tobytes()
    found["PixelData"].VR = "OW" if pixels.itemsize > 1 else "OB"
    for keyword, value in more.items():
        setattr(found, keyword, value)
    return found


def save(data: Dataset, path: Path) -> Path:
    """Write a data set as a DICOM file and return its path."""
    data.save_as(path, enforce_file_format=True)
    return path


def refused(path: Path) -> str:
    """Return why a medical file is no image: one line that begins with its path and names nobody."""
    with pytest.raises(ImageError) as error:
        read_image(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert not any(word in str(error.value) for word in PERSON.values())
    return str(error.value)
