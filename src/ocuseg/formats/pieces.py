"""The pieces of a predicted mask as annotations, and the files of them, which a person may correct meanwhile."""

from __future__ import annotations

import json
import os
import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes, ClassInfo
from ocuseg.errors import OutputError
from ocuseg.files import hash_bytes, make_folder, write_text
from ocuseg.formats.regions import Outline, cover
from ocuseg.formats.tracing import Rings, trace

__all__ = ["Files", "Piece", "pieces", "to_json"]

_LEDGER = "annotations.jsonl"


@dataclass(frozen=True, slots=True)
class Piece:
    """One connected piece of a class: its outer ring and holes along the edges of pixels."""

    class_info: ClassInfo
    rings: Rings

    @property
    def outer(self) -> list[list[int]]:
        """The corners of the outer ring as [x, y]."""
        corners: list[list[int]] = self.rings[0].tolist()
        return corners

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, NDArray[np.bool_]]:
        """Return left, top and the pixels (h, w) of the piece in an image of this size."""
        patch = cover(Outline((tuple(ring.astype(float) for ring in self.rings),)), size)
        assert patch is not None
        return patch.columns.start, patch.rows.start, patch.pixels


def pieces(mask: NDArray[np.uint8], classes: Classes) -> Iterator[Piece]:
    """Yield the pieces of all classes but the background, class by class, from the top down."""
    for info in classes.items[1:]:
        for rings in trace(mask == info.id):
            yield Piece(info, rings)


class Files:
    """Writes annotation files into a folder of predictions, and never over one that was changed since.

    `annotations.jsonl` has the hash of each file as it was written; a file with another one is somebody's work.
    """

    def __init__(self, out: Path) -> None:
        self._out = make_folder(out)
        self._ledger = out / _LEDGER
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

    def write(self, name: str, text: str) -> Path:
        """Write a file, whole or not at all, and note that it is ours."""
        path = self.require_ours(name)
        make_folder(path.parent)
        digest = hash_bytes([text])
        if (name, digest) not in self._known:
            with self._ledger.open("a", encoding="utf-8", newline="\n") as ledger:
                ledger.write(json.dumps({"file": name, "sha256": digest}) + "\n")
            self._known.add((name, digest))
        return write_text(path, text)

    def shown(self, image: Path, folder: str = "") -> str:
        """Return the path of an image as seen from a file in `folder`, with forward slashes."""
        try:
            return Path(os.path.relpath(image.resolve(), (self._out / folder).resolve())).as_posix()
        except ValueError:  # on another drive
            return image.resolve().as_posix()


def to_json(content: Any) -> str:
    """Return JSON as it is written: letters as they are, no spaces, as there may be very many corners."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"
