"""The table of areas beside predicted masks: a row for each image and class, kept true over several runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ocuseg.errors import OutputError
from ocuseg.files import write_text
from ocuseg.metrics import AREA_COLUMNS

__all__ = ["AREAS_FILE", "AreaTable"]

AREAS_FILE = "areas.csv"


class AreaTable:
    """The rows of an `areas.csv` by image: those of earlier runs stay until their image is predicted again.

    Raises OutputError where the file is there and `predict` cannot have written it, so that nobody's table is lost.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = _read(path) if path.exists() else {}
        self._held: dict[str, Sequence[Mapping[str, Any]]] = {}

    def hold(self, images: Iterable[str]) -> None:
        """Write the table without these images, so that whatever happens no row speaks of a mask that was replaced."""
        self._held = {image: self._rows.pop(image) for image in images if image in self._rows}
        if self._held:
            self.write()

    def put(self, image: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take the rows of one image in the place of earlier ones; without any, those that were held come back."""
        rows = rows or self._held.get(image, ())
        if rows:
            self._rows[image] = rows

    def write(self) -> None:
        """Write the table, images in the order of their names, whole or not at all; none where there is no row."""
        if not self._rows and not self.path.exists():
            return
        text = io.StringIO()
        writer = csv.DictWriter(text, AREA_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for image in sorted(self._rows):
            writer.writerows(self._rows[image])
        write_text(self.path, text.getvalue())


def _read(path: Path) -> dict[str, Sequence[Mapping[str, Any]]]:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            known = tuple(reader.fieldnames or ()) == AREA_COLUMNS
            for row in reader:
                known = known and None not in row and None not in row.values()
                rows.setdefault(str(row.get("image")), []).append(row)
    except (OSError, ValueError, csv.Error):
        known = False
    if not known:
        raise OutputError(f"{path}: was not written by 'ocuseg predict' and would be lost; give another folder")
    return dict(rows)
