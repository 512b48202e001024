"""What writes a predicted mask in another format, and never over a file that somebody corrected meanwhile."""

from __future__ import annotations

import json
import os.path
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import OutputError
from ocuseg.files import hash_bytes, make_folder, written_whole

__all__ = ["LEDGER", "Files", "Put", "one_file_each", "to_json"]

Put = Callable[[str, Path, NDArray[np.uint8]], tuple[Path, ...]]
"""Takes the name of a result, the file of its picture and the mask (H, W), and returns what it wrote of them."""

LEDGER = "annotations.jsonl"
"""Lies in a folder of predictions that has them as annotations too."""


class Files:
    """Writes files into a folder of predictions, and never over one that was changed since.

    `annotations.jsonl` has the hash of each file as it was written; a file with another one is somebody's work.
    """

    def __init__(self, out: Path) -> None:
        self._out = make_folder(out)
        self._ledger = out / LEDGER
        self._known = set[tuple[str, str]]()
        if self._ledger.is_file():
            for line in self._ledger.read_text(encoding="utf-8").splitlines():
                try:
                    entry = json.loads(line)
                    self._known.add((entry["file"], entry["sha256"]))
                except (ValueError, KeyError, TypeError):  # a line that was cut off
                    continue

    def require_ours(self, name: str) -> Path:
        """Return the path of a file in the folder. Raises OutputError where somebody's work would be lost."""
        path = self._out / name
        if path.exists() and (name, hash_bytes([path.read_bytes()])) not in self._known:
            raise OutputError(
                f"{path}: was changed since 'ocuseg predict' wrote it, or is not from it; give another folder"
            )
        return path

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file, whole or not at all, and note that it is ours."""
        path = self.require_ours(name)
        make_folder(path.parent)
        data = content.encode() if isinstance(content, str) else content
        digest = hash_bytes([data])
        if (name, digest) not in self._known:
            with self._ledger.open("a", encoding="utf-8", newline="\n") as ledger:
                ledger.write(json.dumps({"file": name, "sha256": digest}) + "\n")
            self._known.add((name, digest))
        with written_whole(path) as temporary:
            temporary.write_bytes(data)
        return path

    def shown(self, image: Path, folder: str = "") -> str:
        """Return the path of an image as seen from a file in `folder`, with forward slashes."""
        try:
            return Path(os.path.relpath(image.resolve(), (self._out / folder).resolve())).as_posix()
        except ValueError:  # on another drive
            return image.resolve().as_posix()


def to_json(content: Any) -> str:
    """Return JSON as it is written: letters as they are, no spaces, as there may be very many corners."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


@contextmanager
def one_file_each(
    out: Path, folder: str, suffix: str, encode: Callable[[Path, NDArray[np.uint8]], bytes]
) -> Iterator[Put]:
    """Yield a function that writes `folder`/NAME`suffix` into `out`; `encode` makes it of the picture and the mask."""
    files = Files(out)

    def put(name: str, image: Path, mask: NDArray[np.uint8]) -> tuple[Path, ...]:
        target = f"{folder}/{name}{suffix}"
        files.require_ours(target)  # before the work
        return (files.write(target, encode(image, mask)),)

    yield put
