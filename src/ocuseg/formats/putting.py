"""What writes a predicted mask as a file of its own, and never over one that was not predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import OutputError
from ocuseg.files import make_folder

__all__ = ["Put", "one_file_each"]

Put = Callable[[str, Path, NDArray[np.uint8]], tuple[Path, ...]]
"""Takes the name of a result, the file of its picture and the mask (H, W), and returns what it wrote of them."""


@contextmanager
def one_file_each(
    folder: Path,
    suffix: str,
    write: Callable[[Path, Path, NDArray[np.uint8]], Path],
    is_ours: Callable[[Path], bool],
) -> Iterator[Put]:
    """Yield a function that lets `write` make NAME with `suffix` in `folder` from (path, picture's file, mask).

    It raises OutputError where a file is there that `is_ours` does not know.
    """
    make_folder(folder)

    def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:
        path = folder / f"{name}{suffix}"
        if path.exists() and not is_ours(path):
            raise OutputError(f"{path}: was not written by 'ocuseg predict' and would be lost; give another folder")
        return (write(path, image, mask),)

    yield put
