"""What was predicted into a folder, line by line, so that a later run knows what is done, and the table of areas."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from ocuseg.errors import OutputError
from ocuseg.files import written_whole
from ocuseg.metrics import AREA_COLUMNS

__all__ = ["AREAS_FILE", "JOURNAL_FILE", "Journal"]

AREAS_FILE = "areas.csv"
JOURNAL_FILE = "predicted.jsonl"

_HEADER = {"written_by": "ocuseg predict", "schema": 1}
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the last line of an image begins, and what stands for its key and outputs, and for its mask alone."""

    start: int
    mark: int
    mask_mark: int


class Journal:
    """The record of a folder of predictions: for each image the last line that is about it counts.

    A line has the `name` of the image among the results, the `key` of what it was predicted from, size and time of its
    `outputs`, and its `areas`; without these the image has none. It is appended when the outputs are in place, so that
    a run may be killed at any moment: a line that was cut off says nothing. Of the lines only the places are held.
    Raises OutputError where `predicted.jsonl` or `areas.csv` is there and `predict` cannot have written it.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.table = folder / JOURNAL_FILE, folder / AREAS_FILE
        self._places: dict[str, _Place] = {}
        self._lines = 0
        self._file: BinaryIO | None = None
        self._scan()
        # A table that is older than the record.
        self._unrecorded = {name for name, _ in _grouped(self.table) if name not in self._places}

    def __enter__(self) -> Self:
        """Open the record for more lines."""
        try:
            if not self.path.exists():
                with written_whole(self.path) as temporary:
                    temporary.write_bytes(_line(_HEADER))
            self._file = self.path.open("a+b")
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
        except OSError as error:
            raise _not_written(self.path, error) from error
        if self._unrecorded:
            for name, rows in _grouped(self.table):
                if name in self._unrecorded:
                    self._append({"name": name, "areas": rows})
            self._scan()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the table from the record, and close it."""
        assert self._file is not None
        try:
            self._scan()
            self._write_table()
            if self._lines > 2 * len(self._places) + 100:
                self._compact()
        finally:
            self._file.close()

    def is_done(self, name: str, key: str | None, outputs: Sequence[Path]) -> bool:
        """Return whether an image was predicted from the same `key` into the same files, untouched since."""
        place = self._places.get(name)
        return place is not None and key is not None and place.mark == hash((key, str(_stamps(outputs))))

    def has_written(self, name: str, mask: Path) -> bool:
        """Return whether the mask of an image is as a run left it, whatever from."""
        place = self._places.get(name)
        return place is not None and place.mask_mark == hash(str(_stamps([mask])))

    def areas(self, name: str) -> Rows:
        """Return the rows of `areas.csv` of an image that is recorded."""
        rows: Rows = self._entry(self._places[name].start)["areas"]
        return rows

    def hold(self, names: Iterable[str]) -> dict[str, int]:
        """Take the rows of these images out of record and table, before any of their masks is replaced.

        Return where they are, for `restore`.
        """
        held = {name: self._places[name].start for name in names if name in self._places}
        for name in held:
            self._append({"name": name})
        if held:
            self._scan()
            self._write_table()
        return held

    def restore(self, name: str, held: Mapping[str, int]) -> None:
        """Put back what was held of an image whose files stayed as they are."""
        if name in held:
            self._append(self._entry(held[name]))

    def add(self, name: str, key: str | None, outputs: Sequence[Path], areas: Rows) -> None:
        """Record an image whose outputs are in place."""
        self._append({"name": name, "key": key, "outputs": _stamps(outputs), "areas": list(areas)})

    def _append(self, entry: Mapping[str, Any]) -> None:
        assert self._file is not None
        try:
            self._file.seek(0, os.SEEK_END)
            self._file.write(_line(entry))
            self._file.flush()
        except OSError as error:
            raise _not_written(self.path, error) from error

    def _entry(self, start: int) -> dict[str, Any]:
        assert self._file is not None
        self._file.seek(start)
        return _content(self._file.readline())

    def _scan(self) -> None:
        """Find the last line of each image; one without areas takes it away."""
        self._places.clear()
        self._lines = 0
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            if _content(file.readline()).get("written_by") != _HEADER["written_by"]:
                raise _foreign(self.path)
            start = file.tell()
            for line in file:
                entry = _content(line)
                if "name" in entry:
                    self._lines += 1
                    self._places.pop(entry["name"], None)
                    if "areas" in entry:
                        stamps = entry.get("outputs", [])
                        marks = hash((entry.get("key"), str(stamps))), hash(str(stamps[:1]))
                        self._places[entry["name"]] = _Place(start, *marks)
                start += len(line)

    def _write_table(self) -> None:
        """Write the table of areas, images in the order of their names, whole or not at all; none without a row."""
        if not self._places and not self.table.exists():
            return
        with written_whole(self.table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, AREA_COLUMNS, lineterminator="\n")
            writer.writeheader()
            for name in sorted(self._places):
                writer.writerows(self.areas(name))

    def _compact(self) -> None:
        with written_whole(self.path) as temporary, temporary.open("wb") as file:
            file.write(_line(_HEADER))
            for place in self._places.values():
                file.write(_line(self._entry(place.start)))
            assert self._file is not None
            self._file.close()  # an open file cannot be replaced everywhere


def _grouped(table: Path) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The rows of an `areas.csv` for each image, which must be what `predict` writes."""
    if not table.exists():
        return
    name, rows = None, list[dict[str, str]]()
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            if tuple(reader.fieldnames or ()) != AREA_COLUMNS:
                raise _foreign(table)
            for row in reader:
                if None in row or None in row.values():
                    raise _foreign(table)
                if row["image"] != name:
                    if name is not None:
                        yield name, rows
                    name, rows = row["image"], []
                rows.append(row)
    except (OSError, ValueError, csv.Error) as error:
        raise _foreign(table) from error
    if name is not None:
        yield name, rows


def _stamps(paths: Sequence[Path]) -> list[list[int] | None]:
    """Size and time of each file, by which it is known again; None where it is missing."""
    found: list[list[int] | None] = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            found.append(None)
        else:
            found.append([status.st_size, status.st_mtime_ns])
    return found


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _content(line: bytes) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _foreign(path: Path) -> OutputError:
    return OutputError(f"{path}: was not written by 'ocuseg predict' and would be lost; give another folder")


def _not_written(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"{path}: cannot be written ({reason}); free space or give another output folder")
