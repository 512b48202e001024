"""What was predicted into a folder, line by line, so that a later run knows what is done, and its tables."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from ocuseg.errors import OutputError
from ocuseg.files import hash_bytes, written_whole
from ocuseg.metrics import AREA_COLUMNS, MEDICAL_COLUMNS, VESSEL_COLUMNS
from ocuseg.prediction.locking import alone_in, is_used_by_others, mark_as_used
from ocuseg.prediction.plans import Plan
from ocuseg.prediction.single import Description
from ocuseg.prediction.tables import foreign, read_table, write_table
from ocuseg.prediction.writing import Written

__all__ = ["AREAS_FILE", "JOURNAL_FILE", "MEASURES_FILE", "Journal"]

AREAS_FILE = "areas.csv"
MEASURES_FILE = "measures.csv"
JOURNAL_FILE = "predicted.jsonl"

_HEADER = {"written_by": "ocuseg predict", "schema": 1}
_IMAGE_COLUMNS = ("image", "flags")
_BETWEEN_FLAGS = "; "
_DIGITS = 20  # of 16 values each


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the last line of an image begins, and what stands for its key and outputs, and for its mask alone.

    `measures` are the names of what was measured, None for an image without a row in `measures.csv`; `medical` are the
    columns of `areas.csv` that only medical files have.
    """

    start: int
    mark: int
    mask_mark: int
    measures: tuple[str, ...] | None
    medical: tuple[str, ...]


class Journal:
    """The record of a folder of predictions: for each image the last line that is about it counts.

    A line has the `name` of the image among the results, what its path is known by (`image`), the `key` of what it was
    predicted from, size and time of its `outputs`, and its `areas`; without these the image has none. A model that has
    such adds `measures` and `flags`. The line is appended when the outputs are in place, so that a run may be killed at
    any moment: one that was cut off says nothing. Of the lines only the places are held. Raises OutputError where
    `predicted.jsonl`, `areas.csv` or `measures.csv` is there and `predict` cannot have written it.
    """

    def __init__(self, folder: Path) -> None:
        self.path, self.table, self.measures = folder / JOURNAL_FILE, folder / AREAS_FILE, folder / MEASURES_FILE
        self._places: dict[str, _Place] = {}
        self._names: dict[int, str] = {}
        self._lines = 0
        self._file: BinaryIO | None = None
        self._scanned: int | None = None  # the file that the places are of
        self._scan()
        # Tables that are older than the record.
        self._unrecorded = {row["image"] for row in self._area_rows() if row["image"] not in self._places}
        for _ in self._measure_rows():  # each of which is looked at
            pass

    def __enter__(self) -> Self:
        """Open the record for more lines."""
        try:
            with alone_in(self.path.parent):
                if not self.path.exists():
                    with written_whole(self.path) as temporary:
                        temporary.write_bytes(_line(_HEADER))
                self._file = self.path.open("a+b")
                mark_as_used(self._file)  # from here on nobody replaces it, and all places stay
                self._file.seek(-1, os.SEEK_END)
                if self._file.read(1) != b"\n":
                    self._file.write(b"\n")
        except OSError as error:
            raise _not_written(self.path, error) from error
        if self._scanned != os.fstat(self._file.fileno()).st_ino:
            self._scan()
        if self._unrecorded:
            described = {row["image"]: row for row in self._measure_rows() if row["image"] in self._unrecorded}
            for name, rows in itertools.groupby(self._area_rows(), key=itemgetter("image")):
                if name in self._unrecorded:
                    self._append({"name": name, "areas": list(rows), **_from_row(described.get(name))})
            self._scan()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write the tables from the record, and close it."""
        assert self._file is not None
        try:
            with alone_in(self.path.parent):
                self._scan()
                self._write_tables()
                if self._lines > 2 * len(self._places) + 100 and not is_used_by_others(self._file):
                    self._compact()
        finally:
            self._file.close()

    def known_as(self, image: Path) -> str | None:
        """Return the name that an image had among the results when it was last predicted, None where it never was."""
        return self._names.get(hash(_known_by(image)))

    def is_done(self, name: str, key: str | None, outputs: Sequence[Path]) -> bool:
        """Return whether an image was predicted from the same `key` into the same files, untouched since."""
        place = self._places.get(name)
        return place is not None and key is not None and place.mark == hash((key, str(_stamps(outputs))))

    def has_written(self, name: str, mask: Path) -> bool:
        """Return whether the mask of an image is as a run left it, whatever from."""
        place = self._places.get(name)
        return place is not None and place.mask_mark == hash(str(_stamps([mask])))

    def written(self, name: str) -> Written:
        """Return the rows of the tables of an image that is recorded."""
        entry = self._entry(self._places[name].start)
        description = Description(entry.get("measures", {}), tuple(entry["flags"])) if "flags" in entry else None
        return Written(tuple(entry["areas"]), description)

    def hold(self, names: Iterable[str]) -> dict[str, int]:
        """Take the rows of these images out of record and tables, before any of their masks is replaced.

        Return where they are, for `restore`.
        """
        held = {name: self._places[name].start for name in names if name in self._places}
        for start in held.values():
            self._append({key: value for key, value in self._entry(start).items() if key in ("name", "image")})
        if held:
            with alone_in(self.path.parent):
                self._scan()
                self._write_tables()
        return held

    def held_stamps(self, name: str, held: Mapping[str, int]) -> list[list[int] | None]:
        """Return what the files that were held of an image were known by; nothing where none was."""
        return list(self._entry(held[name]).get("outputs", ())) if name in held else []

    def restore(self, name: str, held: Mapping[str, int]) -> None:
        """Put back what was held of an image whose files stayed as they are."""
        if name in held:
            self._append(self._entry(held[name]))

    def add(self, plan: Plan, key: str | None, written: Written) -> None:
        """Record an image whose outputs are in place."""
        described = {} if written.description is None else written.description._asdict()
        what = {"name": plan.name, "image": _known_by(plan.image), "key": key, "outputs": _stamps(plan.outputs)}
        self._append({**what, "areas": list(written.areas), **described})

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
        self._names.clear()
        self._lines = 0
        alike: dict[tuple[str, ...] | None, tuple[str, ...] | None] = {}  # one object for all that are equal
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            self._scanned = os.fstat(file.fileno()).st_ino
            if _content(file.readline()).get("written_by") != _HEADER["written_by"]:
                raise foreign(self.path)
            start = file.tell()
            for line in file:
                entry = _content(line)
                if "name" in entry:
                    self._lines += 1
                    self._places.pop(entry["name"], None)
                    if "image" in entry:
                        self._names[hash(entry["image"])] = entry["name"]
                    if "areas" in entry:
                        stamps = entry.get("outputs", [])
                        marks = hash((entry.get("key"), str(stamps))), hash(str(stamps[:1]))
                        measures = tuple(entry.get("measures", ())) if "flags" in entry else None
                        medical = tuple(column for column in MEDICAL_COLUMNS if column in (entry["areas"] or [{}])[0])
                        place = _Place(start, *marks, alike.setdefault(measures, measures), medical)
                        self._places[entry["name"]] = place
                start += len(line)

    def _write_tables(self) -> None:
        """Write the tables, images in the order of their names, each whole or not at all; none without a row."""
        if self._places or self.table.exists():
            rows = (row for name in sorted(self._places) for row in self.written(name).areas)
            held = {column for place in self._places.values() for column in place.medical}
            columns = (*AREA_COLUMNS, *(column for column in MEDICAL_COLUMNS if column in held))
            write_table(self.table, columns, rows)
        described = sorted(name for name, place in self._places.items() if place.measures is not None)
        if described or self.measures.exists():
            measured = {measure for name in described for measure in self._places[name].measures or ()}
            columns = (*_IMAGE_COLUMNS, *(measure for measure in VESSEL_COLUMNS if measure in measured))
            write_table(self.measures, columns, (_to_row(name, self.written(name)) for name in described))

    def _area_rows(self) -> Iterator[dict[str, str]]:
        def is_ours(columns: tuple[str, ...]) -> bool:
            own = columns[: len(AREA_COLUMNS)]
            return own == AREA_COLUMNS and set(columns[len(own) :]) <= set(MEDICAL_COLUMNS)

        return read_table(self.table, is_ours)

    def _measure_rows(self) -> Iterator[dict[str, str]]:
        def is_ours(columns: tuple[str, ...]) -> bool:
            return columns[:2] == _IMAGE_COLUMNS and set(columns[2:]) <= set(VESSEL_COLUMNS)

        return read_table(self.measures, is_ours)

    def _compact(self) -> None:
        with written_whole(self.path) as temporary, temporary.open("wb") as file:
            file.write(_line(_HEADER))
            for place in self._places.values():
                file.write(_line(self._entry(place.start)))
            assert self._file is not None
            self._file.close()  # an open file cannot be replaced everywhere


def _to_row(name: str, written: Written) -> dict[str, Any]:
    """The row of `measures.csv` of an image that has one."""
    assert written.description is not None
    measures, flags = written.description
    return {"image": name, "flags": _BETWEEN_FLAGS.join(flags), **measures}


def _from_row(row: Mapping[str, str] | None) -> dict[str, Any]:
    """What a line of the record has of a row of `measures.csv`, values as they stand there; nothing without one."""
    if row is None:
        return {}
    measures = {name: value for name, value in row.items() if name not in _IMAGE_COLUMNS}
    return {"measures": measures, "flags": row["flags"].split(_BETWEEN_FLAGS) if row["flags"] else []}


def _known_by(image: Path) -> str:
    """What stands for the path of an image, which may name a person."""
    return hash_bytes([str(image.resolve())])[:_DIGITS]


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


def _not_written(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(f"{path}: cannot be written ({reason}); free space or give another output folder")
