"""The tables of predictions: read where `predict` wrote them, and written whole or not at all."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ocuseg.errors import OutputError
from ocuseg.files import written_whole

__all__ = ["foreign", "read_table", "write_table"]


def read_table(table: Path, is_ours: Callable[[tuple[str, ...]], bool]) -> Iterator[dict[str, str]]:
    """Return the rows of a table, none if it is missing. Raises OutputError where `predict` cannot have written it."""
    if not table.exists():
        return
    try:
        with table.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, strict=True)
            if not is_ours(tuple(reader.fieldnames or ())):
                raise foreign(table)
            for row in reader:
                if None in row or None in row.values():
                    raise foreign(table)
                yield row
    except (OSError, ValueError, csv.Error) as error:
        raise foreign(table) from error


def write_table(table: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table in the place of the one that is there."""
    with written_whole(table) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def foreign(path: Path) -> OutputError:
    """Return the error of a file that may not be replaced."""
    return OutputError(f"{path}: was not written by 'ocuseg predict' and would be lost; give another folder")
