"""Masks as NIfTI files of one slice, in the axes and with the header of the picture they belong to."""

from __future__ import annotations

import gzip
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.errors import ImageError, UsageError
from ocuseg.files import written_whole
from ocuseg.formats.putting import Put, one_file_each
from ocuseg.images import read_facts, read_mask

__all__ = ["nifti_files", "read_nifti_mask", "write_nifti"]

_DESCRIPTION = b"ocuseg predict"


def write_nifti(path: Path | str, image: Path | str, mask: NDArray[np.uint8]) -> Path:
    """Write a mask (H, W) of class ids as a NIfTI file of bytes and return the path; `.gz` at its end compresses.

    The first axis runs along a row, the second down the rows: `data[column, row]` is `mask[row, column]`. Of a NIfTI
    `image` the affine, the units and the shape are kept; of another one the file has the spacing in mm, if it is known,
    and else unit steps without a unit. Its axes point to the left and to the back, as ITK lays a flat picture, so that
    in its viewers the mask lies on the PNG or DICOM file that it is of. Raises UsageError without nibabel, OutputError
    where it cannot be written.
    """
    content = _encoded(Path(image), mask)
    if Path(path).name.lower().endswith(".gz"):
        content = gzip.compress(content, mtime=0)
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
    return Path(path)


def read_nifti_mask(path: Path | str) -> NDArray[np.uint8]:
    """Return the class ids (H, W) of a NIfTI file of one slice. Raises ImageError where it holds no ids up to 255."""
    values = read_mask(path).values
    if values.ndim != 2 or values.max(initial=0) > 255:
        raise ImageError(f"{path}: holds no class ids from 0 to 255; save the mask as whole numbers")
    return values.astype(np.uint8)


def nifti_files(out: Path, classes: Classes) -> AbstractContextManager[Put]:  # noqa: ARG001 - ids need no classes
    """Return what opens a function that writes `nifti/NAME.nii.gz` from a name, the picture's file and its mask."""
    return one_file_each(out, "nifti", ".nii.gz", lambda image, mask: gzip.compress(_encoded(image, mask), mtime=0))


def _encoded(image: Path, mask: NDArray[np.uint8]) -> bytes:
    try:
        import nibabel
    except ImportError as error:
        raise UsageError("NIfTI files need nibabel; install it: pip install 'ocuseg[medical]'") from error
    data = np.ascontiguousarray(mask.swapaxes(0, 1))
    source = _source(image)
    if source is not None:
        header = source.header.copy()
        if header.get_data_shape()[:2] != data.shape:
            raise ImageError(f"{image}: has another size than its mask; predict it again")
        header.set_data_dtype(np.uint8)
        header["scl_slope"], header["scl_inter"], header["cal_min"], header["cal_max"] = 1, 0, 0, 0
        # What is free text in a header may name a person.
        for field in {"db_name", "aux_file", "intent_name"} & set(header.keys()):
            header[field] = b""
        header.extensions.clear()
        found = type(source)(data.reshape(source.shape), source.affine, header)
    else:
        spacing = read_facts(image).spacing_mm
        row_mm, column_mm = spacing or (1.0, 1.0)
        found = nibabel.Nifti1Image(data, np.diag([-column_mm, -row_mm, 1.0, 1.0]))
        if spacing is not None:
            found.header.set_xyzt_units("mm")
    found.header["descrip"] = _DESCRIPTION
    return bytes(found.to_bytes())


def _source(image: Path) -> Any:
    """The NIfTI file that a picture is, None where it is another one."""
    import nibabel

    from ocuseg.images import read_header

    if read_header(image).format != "NIfTI":
        return None
    raw = image.read_bytes()
    raw = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
    kind = nibabel.Nifti2Image if raw[4:8] == b"n+2\0" else nibabel.Nifti1Image
    return kind.from_bytes(raw)
