"""Masks as NIfTI files of one slice, in the axes and with the header of the picture they belong to."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.errors import ImageError, OutputError, UsageError
from ocuseg.files import make_folder, written_whole
from ocuseg.images import read_facts, read_mask

__all__ = ["nifti_files", "read_nifti_mask", "write_nifti"]

_DESCRIPTION = b"ocuseg predict"


def write_nifti(path: Path | str, image: Path | str, mask: NDArray[np.uint8]) -> Path:
    """Write a mask (H, W) of class ids as a NIfTI file of bytes and return the path; `.gz` at its end compresses.

    The first axis runs along a row, the second down the rows: `data[column, row]` is `mask[row, column]`. Of a NIfTI
    `image` the affine, the units and the shape are kept; of another one the file has the spacing in mm, if it is known,
    and else unit steps without a unit. Raises UsageError without nibabel, OutputError where it cannot be written.
    """
    try:
        import nibabel
    except ImportError as error:
        raise UsageError("NIfTI files need nibabel; install it: pip install 'ocuseg[medical]'") from error
    data = np.ascontiguousarray(mask.swapaxes(0, 1))
    source = _source(Path(image))
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
        found = nibabel.Nifti1Image(data, np.diag([column_mm, row_mm, 1.0, 1.0]))
        if spacing is not None:
            found.header.set_xyzt_units("mm")
    found.header["descrip"] = _DESCRIPTION
    content = found.to_bytes()
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


@contextmanager
def nifti_files(out: Path, classes: Classes) -> Iterator[Callable[[str, Path, NDArray[np.uint8]], tuple[Path, ...]]]:  # noqa: ARG001 - ids need no classes
    """Yield a function that writes `nifti/NAME.nii.gz` from a name, the picture's file and its mask."""
    folder = make_folder(out / "nifti")

    def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:
        path = folder / f"{name}.nii.gz"
        _require_ours(path)
        return (write_nifti(path, image, mask),)

    yield put


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


def _require_ours(path: Path) -> None:
    """Raise OutputError where a file would be lost that was not predicted."""
    if not path.exists():
        return
    try:
        with gzip.open(path) as file:
            head = file.read(300)
        is_ours = any(head[start:].startswith(_DESCRIPTION) for start in (148, 240))  # of NIfTI-1 and NIfTI-2
    except (OSError, EOFError):
        is_ours = False
    if not is_ours:
        raise OutputError(f"{path}: was not written by 'ocuseg predict' and would be lost; give another folder")
