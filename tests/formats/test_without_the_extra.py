"""What is said of medical files where the packages of the extra are not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from formats.dicom_files import photograph, save
from formats.test_dicom import CLASSES
from ocuseg.errors import ImageError, UsageError
from ocuseg.formats.outputs import masks_also_as
from ocuseg.images import read_image

WHAT_TO_DO = r"pip install 'ocuseg\[medical\]'"
PIXELS = np.zeros((24, 40), np.uint8)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture of each kind, and then none of the packages."""
    save(photograph(PIXELS), tmp_path / "eye.dcm")
    nibabel.save(nibabel.Nifti1Image(PIXELS.T, np.eye(4)), tmp_path / "eye.nii.gz")
    Image.fromarray(PIXELS).save(tmp_path / "eye.png")
    for name in ("pydicom", "highdicom", "highdicom.seg", "nibabel"):
        monkeypatch.setitem(sys.modules, name, None)
    return tmp_path


@pytest.mark.parametrize("name", ["eye.dcm", "eye.nii.gz"])
def test_a_picture_is_a_line(files: Path, name: str) -> None:
    with pytest.raises(ImageError, match=WHAT_TO_DO):
        read_image(files / name)


@pytest.mark.parametrize("kind", ["dicom-seg", "nifti"])
def test_a_mask_is_a_line(files: Path, kind: str) -> None:
    with masks_also_as([kind], files / "out", CLASSES) as put, pytest.raises(UsageError, match=WHAT_TO_DO):
        put("eye", files / "eye.png", PIXELS)
