"""A label space: class ids, names, colours, the ignored id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ocuseg.errors import DataError

__all__ = ["CLASSES_FILE", "ClassInfo", "Classes", "default_classes", "parse_classes", "read_classes"]

CLASSES_FILE = "classes.yaml"

# Okabe & Ito's palette (black left out): distinct for people with any of the common colour deficiencies. Sky blue comes
# first, as orange is hard to see on a red fundus. The last four stay apart from these and from each other.
_COLOURS = (
    "#56b4e9", "#e69f00", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#999999",
    "#aaff99", "#0000ff", "#663311", "#880088",
)  # fmt: skip
_KEYS = ("id", "name", "colour", "parent")


@dataclass(frozen=True, slots=True)
class ClassInfo:
    """One class: its id, its name, its colour as `#rrggbb`, and the name of the class that it is a part of, if any.

    A part has an id of its own, and the pixels of its parent are the rest: with `clear lens` and, as its part,
    `cataract`, the visible lens is both together.
    """

    id: int
    name: str
    colour: str
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of a data set or model, ids 0 to C-1 in order; id 0 is the background.

    Pixels with `ignore_index` in a mask count nowhere; it is never guessed.
    """

    items: tuple[ClassInfo, ...]
    ignore_index: int | None = None

    def __len__(self) -> int:
        """Return the number of classes C, background included."""
        return len(self.items)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the ids."""
        return tuple(item.name for item in self.items)

    @property
    def out_channels(self) -> int:
        """How many logits a network gives per pixel: one for two classes, else one per class."""
        return 1 if len(self.items) == 2 else len(self.items)

    @property
    def colours(self) -> NDArray[np.uint8]:
        """The colours as (C, 3) uint8 RGB."""
        return np.array([_rgb(item.colour) for item in self.items], dtype=np.uint8)

    def to_list(self) -> list[dict[str, Any]]:
        """Return plain types, the form of `classes.yaml`."""
        rows: list[dict[str, Any]] = []
        for item in self.items:
            row: dict[str, Any] = {"id": item.id, "name": item.name, "colour": item.colour}
            if item.parent is not None:
                row["parent"] = item.parent
            rows.append(row)
        if self.ignore_index is not None:
            rows.append({"id": self.ignore_index, "name": "ignore", "ignore": True})
        return rows

    def to_yaml(self) -> str:
        """Return the text of a `classes.yaml`."""
        return yaml.safe_dump(self.to_list(), allow_unicode=True, sort_keys=False, default_flow_style=None)


def default_classes(num_classes: int, ignore_index: int | None = None) -> Classes:
    """Return `background`, then `foreground` (two classes) or `class_1`, `class_2`, ... (more)."""
    names = ["background", "foreground"] if num_classes == 2 else ["background"]
    names += [f"class_{index}" for index in range(len(names), num_classes)]
    return Classes(tuple(ClassInfo(i, name, default_colour(i)) for i, name in enumerate(names)), ignore_index)


def default_colour(class_id: int) -> str:
    """Return black for the background and a colour that can be told from its neighbours for the others."""
    return "#000000" if class_id == 0 else _COLOURS[(class_id - 1) % len(_COLOURS)]


def read_classes(path: Path | str) -> Classes:
    """Return the classes of a `classes.yaml`: a list of `{id, name, colour, parent}`, colour and parent optional.

    An entry with `ignore: true` gives the ignored id. Raises DataError on anything else.
    """
    try:
        rows = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: does not exist; give a file with a list of {{id, name, colour}}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as YAML ({reason}); write a list of {{id, name, colour}}") from error
    return parse_classes(rows, where=str(path))


def parse_classes(rows: Any, where: str = "classes") -> Classes:
    """Return checked classes from a list of mappings (the form of `classes.yaml`).

    Raises DataError on a duplicate or missing id, a duplicate name, a bad colour, an unknown key, a parent that is
    unknown or that is itself a part of the class.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str) or not rows:
        raise DataError(f"{where}: must be a list; write '- {{id: 0, name: background}}' and so on, one line per class")
    ignored = [row for row in rows if isinstance(row, Mapping) and row.get("ignore")]
    if len(ignored) > 1:
        raise DataError(f"{where}: more than one entry has 'ignore: true'; keep one")
    items = [_parse_row(row, where) for row in rows if not any(row is other for other in ignored)]
    _require_unique((item.id for item in items), "id", where)
    _require_unique((item.name for item in items), "name", where)
    items.sort(key=lambda item: item.id)
    if [item.id for item in items] != list(range(len(items))) or len(items) < 2:
        found = ", ".join(str(item.id) for item in items)
        raise DataError(f"{where}: ids must be 0, 1, 2, ... without a gap, at least two, found {found}; renumber them")
    _require_known_parents(items, where)
    ignore_index = _parse_id(ignored[0], where) if ignored else None
    if ignore_index is not None and ignore_index < len(items):
        raise DataError(f"{where}: the ignored id {ignore_index} is also a class; give it an id of its own")
    return Classes(tuple(items), ignore_index)


def _parse_row(row: Any, where: str) -> ClassInfo:
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: {row!r} is not a class; write {{id: 1, name: vessel}}")
    unknown = sorted(str(key) for key in row if key not in _KEYS)
    if unknown:
        raise DataError(f"{where}: unknown key {unknown[0]!r}; a class has {', '.join(_KEYS)} (or ignore: true)")
    class_id = _parse_id(row, where)
    name = row.get("name")
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{where}: class {class_id} has no name; add 'name: ...'")
    colour = row.get("colour", default_colour(class_id))
    if not isinstance(colour, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
        raise DataError(f'{where}: class {name} has the colour {colour!r}; write it in quotes as "#rrggbb"')
    parent = row.get("parent")
    return ClassInfo(class_id, name.strip(), colour.lower(), None if parent is None else str(parent))


def _parse_id(row: Mapping[str, Any], where: str) -> int:
    class_id = row.get("id")
    if isinstance(class_id, bool) or not isinstance(class_id, int) or not 0 <= class_id <= 255:
        raise DataError(f"{where}: the id {class_id!r} is not a whole number from 0 to 255; give each class one")
    return class_id


def _require_known_parents(items: Sequence[ClassInfo], where: str) -> None:
    parents = {item.name: item.parent for item in items}
    for name, parent in parents.items():
        if parent is not None and parent not in parents:
            raise DataError(f"{where}: class {name} has the unknown parent {parent!r}; name another class")
        for _ in items:
            if parent == name:
                raise DataError(f"{where}: class {name} is a part of itself; leave out its 'parent'")
            parent = None if parent is None else parents.get(parent)


def _require_unique(values: Iterable[object], what: str, where: str) -> None:
    seen: set[object] = set()
    for value in values:
        if value in seen:
            raise DataError(f"{where}: the {what} {value!r} is given twice; give each class its own")
        seen.add(value)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
