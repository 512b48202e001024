"""A CSV that lists images, masks, splits and groups, read as records."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

from ocuseg.errors import DataError, UsageError
from ocuseg.files import stem_of
from ocuseg.index.layouts import Reading, pair_extra, pair_second_observer
from ocuseg.index.listing import list_folder
from ocuseg.index.records import Record
from ocuseg.index.splitting import parse_split

__all__ = ["find_split_file", "read_split_file"]

_REQUIRED = ("image", "mask")
_KNOWN = ("image", "mask", "field_of_view", "split", "group")
_VIEW_FOLDERS = ("field_of_view", "fov")


def find_split_file(folder: Path) -> Path | None:
    """Return the one split*.csv of a folder that lists images and masks, None where there is no split*.csv.

    Raises UsageError where several would do, DataError where there are some and none would.
    """
    tables = [
        path
        for path in list_folder(folder).others
        if path.suffix.lower() == ".csv" and path.name.lower().startswith("split")
    ]
    usable = [path for path in tables if not _missing(_read_table(path)[0])]
    if len(usable) > 1:
        names = ", ".join(path.name for path in usable)
        raise UsageError(f"{folder}: holds several split files ({names}); give one of them instead of the folder")
    if tables and not usable:
        _require_columns(tables[0], _read_table(tables[0])[0], "; rename it if it is no split file")
    return usable[0] if usable else None


def read_split_file(path: Path) -> Reading:
    """Return the records of a split file; its paths are relative to the folder that it lies in.

    Every row that cannot be used becomes a finding. Raises DataError where the file is no table with the columns
    `image` and `mask`, or lists nothing.
    """
    header, rows = _read_table(path)
    _require_columns(path, header)
    if not rows:
        raise DataError(f"{path}: lists no images; add a row per image")
    reading = Reading(path.parent, "split file")
    reading.rules[path.name] = f"as listed in {path.name}"
    lines: dict[Path, int] = {}
    masks: dict[Path, int] = {}
    has_splits = any(row.get("split") for _, row in rows)
    records: list[Record] = []
    for line, row in rows:
        where = f"{path.name}, line {line}"
        record = _read_row(reading, path, where, row, has_splits)
        if record is None:
            continue
        if record.image in lines:
            expected, found = f"a new image in line {line}", f"{row['image']}, which is in line {lines[record.image]}"
            reading.add("error", "row-duplicated", path, expected, found, "keep one of the rows")
            continue
        lines[record.image] = line
        if record.mask is not None:
            if record.mask in masks or record.mask == record.image:
                found = "the image itself" if record.mask == record.image else f"that of line {masks[record.mask]}"
                expected = f"a mask of its own in line {line}"
                reading.add("error", "mask-shared", record.mask, expected, found, f"correct {path.name}")
            masks.setdefault(record.mask, line)
        records.append(record)
    if "field_of_view" not in header:
        records = _with_views(reading, records)
    _report_unlisted(reading, path, records)
    reading.records = pair_second_observer(reading, records)
    return reading


def _read_table(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Return the column names in lower case and, per row that is not blank, its line number and its cells."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline()
            delimiter = max(",;\t", key=first.count)
            file.seek(0)
            reader = csv.reader(file, delimiter=delimiter)
            header = [name.strip().lower() for name in next(reader, [])]
            rows = []
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    values = [*map(str.strip, cells), *[""] * (len(header) - len(cells))]
                    rows.append((reader.line_num, dict(zip(header, values, strict=False))))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a CSV ({error}); write a UTF-8 text with a header line") from error
    return header, rows


def _missing(header: list[str]) -> list[str]:
    return [column for column in _REQUIRED if column not in header]


def _require_columns(path: Path, header: list[str], more: str = "") -> None:
    missing = _missing(header)
    twice = sorted({column for column in header if column in _KNOWN and header.count(column) > 1})
    if missing or twice:
        what = f"has no column {missing[0]!r}" if missing else f"has the column {twice[0]!r} twice"
        raise DataError(
            f"{path}: {what} (it has {', '.join(header) or 'no header'}); start it with 'image,mask,split,group'{more}"
        )


def _read_row(reading: Reading, table: Path, where: str, row: dict[str, str], has_splits: bool) -> Record | None:
    if not row["image"]:
        reading.add("error", "image-missing", table, f"an image in {where}", "none", "write its path or drop the row")
        return None
    paths: dict[str, Path | None] = {}
    for column in ("image", "mask", "field_of_view"):
        path = _locate(table.parent, row[column]) if row.get(column) else None
        paths[column] = path if path is not None and _is_file(path) else None
        code = f"{column.replace('_', '-')}-missing"
        if path is not None and paths[column] is None:
            reading.add("error", code, path, f"the {column} of {where}", "no such file", "add it or correct the row")
        elif path is None and column == "mask":
            reading.add("error", code, table, f"a mask in {where}", "none", "write its path or drop the row")
    image = paths["image"]
    word = row.get("split", "")
    split = parse_split(word)
    if image is None:
        reading.lost.append((_locate(table.parent, row["image"]), split))
        return None
    if has_splits and split is None:
        code = "split-unknown" if word else "split-missing"
        found = repr(word) if word else "none"
        reading.add("error", code, table, f"train, val or test in {where}", found, "write one of the three")
    columns = {name: value for name, value in row.items() if name and name not in _KNOWN}
    group = row.get("group") or None
    return Record(stem_of(image), image, paths["mask"], paths["field_of_view"], None, split, group, columns)


def _locate(folder: Path, cell: str) -> Path:
    # A table written on Windows separates folders by backslashes, which elsewhere are part of a name.
    path = folder / cell
    return path if "\\" not in cell or _is_file(path) else folder / cell.replace("\\", "/")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # longer than any name may be
        return False


def _with_views(reading: Reading, records: list[Record]) -> list[Record]:
    """Return the records with the field of view that lies in fov/ or field_of_view/ beside their images' folder."""
    views: dict[Path, Path] = {}
    for base in dict.fromkeys(record.image.parent.parent for record in records):
        images = [record.image for record in records if record.image.parent.parent == base]
        for folder in list_folder(base).folders:
            if folder.name.lower() in _VIEW_FOLDERS:
                views |= pair_extra(reading, images, folder, "field-of-view", complete=False)
    return [replace(record, field_of_view=views.get(record.image)) for record in records]


def _report_unlisted(reading: Reading, table: Path, records: list[Record]) -> None:
    listed = {record.image.resolve() for record in records}
    for folder in dict.fromkeys(record.image.parent for record in records):
        # Masks beside their images in one folder are no images that were forgotten.
        if any(record.mask is not None and record.mask.parent == folder for record in records):
            continue
        unlisted = [path for path in list_folder(folder).images if path.resolve() not in listed]
        if unlisted:
            found = f"{len(unlisted)} more, such as {unlisted[0].name}"
            expected = f"all images in {table.name}"
            reading.add("note", "images-unlisted", folder, expected, found, "add rows if they belong to the data set")
