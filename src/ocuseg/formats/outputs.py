"""What predicted masks are also written as: a name for each format, and what opens its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.errors import DataError, UsageError
from ocuseg.formats.dicom import dicom_seg_files
from ocuseg.formats.exporting import coco_file, cvat_file, geojson_files, labelme_files
from ocuseg.formats.nifti import nifti_files
from ocuseg.formats.putting import Put
from ocuseg.wording import meant

__all__ = ["FORMATS", "Put", "masks_also_as", "require_formats"]

FORMATS: dict[str, Callable[[Path, Classes], AbstractContextManager[Put]]] = {
    "coco": coco_file,
    "cvat": cvat_file,
    "dicom-seg": dicom_seg_files,
    "geojson": geojson_files,
    "labelme": labelme_files,
    "nifti": nifti_files,
}
"""Each opens its files in a folder of results; those that hold all pictures are written when it is closed."""


def require_formats(names: Sequence[str]) -> None:
    """Raise UsageError where a format is not known."""
    for name in names:
        if name not in FORMATS:
            raise UsageError(f"{name!r} is no format to write; {meant(name, FORMATS)}give one of {', '.join(FORMATS)}")


@contextmanager
def masks_also_as(names: Sequence[str], out: Path, classes: Classes) -> Iterator[Put]:
    """Yield a function that writes a mask in each of the named formats into the folder `out` of predictions.

    One that cannot be written does not keep the others from it: the first error is raised after all.
    """
    require_formats(names)
    with ExitStack() as files:
        puts = [files.enter_context(FORMATS[name](out, classes)) for name in dict.fromkeys(names)]

        def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:
            written: list[Path] = []
            errors: list[DataError] = []
            for one in puts:
                try:
                    written += one(name, image, mask)
                except DataError as error:
                    errors.append(error)
            if errors:
                raise errors[0]
            return tuple(written)

        yield put
