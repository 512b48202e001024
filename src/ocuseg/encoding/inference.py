"""What the raw values of mask files mean: inferred once for a data set, then applied to every file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes, default_classes
from ocuseg.encoding.rawmask import Kind, RawMask, Value, count_values, list_values, pack, parse_value, show_value
from ocuseg.encoding.strays import describe_nearest, describe_riddle, describe_strays, remedy_for_strays
from ocuseg.errors import DataError, ImageError, UsageError

__all__ = ["Kind", "MaskEncoding", "RawMask", "Value", "count_values", "infer_encoding"]

_MOST_IDS = 64  # without a class table, 0..63 without a gap may be ids; more values than that are grey levels
_STRAY_SHARE = 0.001  # values that hold less of all pixels are the fault of single files, not the rule of the set
_FEW = 8  # so many values can still be listed one by one in 'mask_values'


@dataclass(frozen=True, slots=True)
class MaskEncoding:
    """The rule from the raw values of mask files to class ids.

    `ids`: the value is the id. `values`, `colours`: `table` lists (raw value, id). `threshold`: from `threshold` on is
    class 1, below is class 0. For `ids` too, `table` lists every value that is accepted.
    """

    kind: Literal["ids", "values", "colours", "threshold"]
    table: tuple[tuple[Value, int], ...] = ()
    threshold: int | None = None

    @property
    def summary(self) -> str:
        """One phrase that says how masks are read, for the note that a check prints."""
        if self.kind == "threshold":
            return f"values from {self.threshold} on are class 1, values below are class 0"
        if self.kind == "ids":
            return f"the values are the class ids {list_values([raw for raw, _ in self.table])}"
        return ", ".join(f"{show_value(raw)} is class {class_id}" for raw, class_id in self.table)

    def decode(self, raw: RawMask, where: str) -> NDArray[np.uint8]:
        """Return the (H, W) uint8 class ids of one mask; pixels of the ignored id keep that id.

        `where` names the file in errors. Raises ImageError where the mask holds a value that the rule does not know,
        with the value, its share of the pixels and, for colours, the nearest class.
        """
        if self.kind == "threshold":
            return (raw.levels >= self.threshold).astype(np.uint8)
        if self.kind != "colours" and raw.kind == "colour":
            raise ImageError(
                f"{where}: is a colour image ({list_values(list(count_values(raw)))}) where the other masks hold one "
                "number per pixel; save it as class ids, or all masks in colours"
            )
        keys = raw.packed_colours if self.kind == "colours" else raw.values
        table = {pack(value): class_id for value, class_id in self.table}
        # The smallest number that is no id marks the unknown; there is one, since ids end before 255 of 256 are used.
        unknown = next(number for number in range(256) if number not in table.values())
        if keys.dtype in (np.uint8, np.uint16):
            ids = np.full(int(np.iinfo(keys.dtype).max) + 1, unknown, dtype=np.uint8)
            for key, class_id in table.items():
                if 0 <= key < len(ids):
                    ids[key] = class_id
            mask: NDArray[np.uint8] = ids[keys]
        else:
            mask = np.full(keys.shape, unknown, dtype=np.uint8)
            for key, class_id in table.items():
                mask[keys == key] = class_id
        if (mask == unknown).any():
            raise ImageError(f"{where}: {self._complaint(raw)}")
        return mask

    def to_json(self) -> dict[str, Any]:
        """Return plain types; colours as `#rrggbb`."""
        table = [[raw if isinstance(raw, int) else show_value(raw), class_id] for raw, class_id in self.table]
        return {"kind": self.kind, "table": table, "threshold": self.threshold}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> MaskEncoding:
        """Return the encoding that `to_json` described."""
        table = tuple((parse_value(raw), int(class_id)) for raw, class_id in content["table"])
        return cls(content["kind"], table, content["threshold"])

    def _complaint(self, raw: RawMask) -> str:
        counts = count_values(raw, as_colours=self.kind == "colours")
        known = dict(self.table)
        strays = {value: count for value, count in counts.items() if value not in known}
        what = describe_strays(strays, sum(counts.values()))
        if self.kind == "colours":
            return f"holds {what}, the colour of no class ({describe_nearest(strays, known)}"
        expected = sorted((pack(value), class_id) for value, class_id in known.items())
        remedy = remedy_for_strays(sorted(map(pack, strays)), expected)
        return f"holds {what}; expected only {list_values([value for value, _ in expected])}; {remedy}"


def infer_encoding(
    value_counts: Mapping[Any, int],
    *,
    kind: Kind | None = None,
    classes: Classes | None = None,
    mask_values: Mapping[Any, int | str] | None = None,
    mask_threshold: int | None = None,
    ignore_index: int | None = None,
    where: str = "masks",
) -> tuple[MaskEncoding, Classes]:
    """Return what the values of a data set's masks mean, and its classes.

    `value_counts` is the sum of `count_values` over the training masks. `classes` are those of `classes.yaml` or the
    recipe; without them the ids that were found become the classes. `mask_values` says outright which raw value is
    which id (or class name); 0 stays 0 unless it says otherwise. `mask_threshold` is for soft greys. Values that hold
    less than a thousandth of all pixels do not change the rule: `decode` names the files that hold them.

    Raises DataError where the values do not say what they mean, UsageError where the settings contradict each other.
    """
    counts: dict[Value, int] = {value: int(count) for value, count in value_counts.items() if count}
    if kind == "colour" or any(not isinstance(value, int) for value in counts):
        counts = {(value, value, value) if isinstance(value, int) else value: n for value, n in counts.items()}
    ignored = _ignored(classes, ignore_index)
    if mask_threshold is not None:
        return _by_threshold(mask_threshold, classes, mask_values, ignore_index)
    if mask_values is not None:
        return _by_table(mask_values, classes, ignored)
    if not counts:
        raise DataError(f"{where}: hold no pixels; give masks with at least two classes")
    if any(not isinstance(value, int) for value in counts):
        return _by_colour(counts, classes, ignored, where)
    return _by_value({value: n for value, n in counts.items() if isinstance(value, int)}, classes, ignored, where)


def _by_threshold(
    threshold: int, classes: Classes | None, mask_values: Mapping[Any, Any] | None, ignore_index: int | None
) -> tuple[MaskEncoding, Classes]:
    if mask_values is not None or ignore_index is not None:
        other = "mask_values" if mask_values is not None else "ignore_index"
        raise UsageError(f"mask_threshold: cannot be given together with {other}; keep one of the two")
    if not 1 <= threshold <= 65535:
        raise UsageError(f"mask_threshold: {threshold} is not from 1 to 65535; 128 halves 8-bit masks")
    classes = classes or default_classes(2)
    if len(classes) != 2:
        raise UsageError(f"mask_threshold: gives two classes, not {len(classes)}; give 'mask_values' instead")
    return MaskEncoding("threshold", threshold=threshold), classes


def _by_table(
    mask_values: Mapping[Any, int | str], classes: Classes | None, ignored: int | None
) -> tuple[MaskEncoding, Classes]:
    given = {parse_value(raw): _class_id(target, classes, ignored) for raw, target in mask_values.items()}
    in_colour = any(not isinstance(raw, int) for raw in given)
    table: dict[Value, int] = {}
    if in_colour:
        table[0, 0, 0] = 0
        if classes is not None:
            table.update(_colour_table(classes))
        table.update({(raw, raw, raw) if isinstance(raw, int) else raw: class_id for raw, class_id in given.items()})
    else:
        table = {0: 0, **({} if ignored is None else {ignored: ignored}), **given}
    most = max((class_id for class_id in table.values() if class_id != ignored), default=0)
    rows = tuple(sorted(table.items()))
    return MaskEncoding("colours" if in_colour else "values", rows), _or_default(classes, most + 1, ignored)


def _by_colour(
    counts: dict[Value, int], classes: Classes | None, ignored: int | None, where: str
) -> tuple[MaskEncoding, Classes]:
    total = sum(counts.values())
    if classes is not None:
        table = _colour_table(classes)
        strays = {value: count for value, count in counts.items() if value not in table}
        if sum(strays.values()) > total / 2:
            nearest = describe_nearest(strays, table, classes.names)
            raise DataError(f"{where}: hold {describe_strays(strays, total)}, the colours of no class ({nearest}")
        return MaskEncoding("colours", tuple(table.items())), _or_default(classes, len(classes), ignored)
    main = [value for value, count in counts.items() if count >= _STRAY_SHARE * total]
    if len(main) == 2:
        dark, light = sorted(main, key=lambda value: (sum(value) if isinstance(value, tuple) else value, value))
        classes = default_classes(2, ignored)
        # The classes keep the colours of the masks, so that they read the same masks again.
        items = tuple(replace(i, colour=show_value(c)) for i, c in zip(classes.items, (dark, light), strict=True))
        return MaskEncoding("colours", ((dark, 0), (light, 1))), replace(classes, items=items)
    found = list_values(sorted(counts, key=lambda value: -counts[value]))
    remedy = "save them as PNG without smoothing and list" if len(counts) > 2 * _FEW else "list"
    raise DataError(
        f"{where}: hold the colours {found} and nothing says what they mean; {remedy} them in classes.yaml "
        "as '- {id: 1, name: NAME, colour: \"#rrggbb\"}'"
    )


def _by_value(
    counts: dict[int, int], classes: Classes | None, ignored: int | None, where: str
) -> tuple[MaskEncoding, Classes]:
    values = sorted(value for value in counts if value != ignored)
    total = sum(counts.values())
    if classes is not None and (not values or (values[0] >= 0 and values[-1] < len(classes))):
        return _ids(len(classes), classes, ignored)
    first = next(
        (rank for rank, value in enumerate(values) if value != rank), len(values)
    )  # values 0..first-1 are there
    if classes is None and first == len(values) <= _MOST_IDS:
        return _ids(max(2, first), None, ignored)
    if classes is None or len(classes) == 2:
        main = [value for value in values if counts[value] >= _STRAY_SHARE * total]
        pair = [0, *values] if len(values) == 1 else main
        if len(pair) == 2 and pair != [0, 1]:
            rows: list[tuple[Value, int]] = [(pair[0], 0), (pair[1], 1)]
            rows += [] if ignored is None else [(ignored, ignored)]
            return MaskEncoding("values", tuple(rows)), _or_default(classes, 2, ignored)
    # What a few files hold beyond the ids is for `decode` to name, file by file.
    num_ids = min(first, _MOST_IDS) if classes is None else len(classes)
    beyond = [value for value in values if not 0 <= value < num_ids]
    share = sum(counts[value] for value in beyond) / total
    inside = sum(count for value, count in counts.items() if 0 < value < num_ids) / total
    if inside and len(beyond) <= _FEW and share <= (_STRAY_SHARE if classes is None else inside):
        return _ids(num_ids, classes, ignored)
    raise DataError(f"{where}: {describe_riddle(values, counts, classes)}")


def _ids(num_classes: int, classes: Classes | None, ignored: int | None) -> tuple[MaskEncoding, Classes]:
    accepted = [*range(num_classes), *([] if ignored is None else [ignored])]
    return MaskEncoding("ids", tuple((value, value) for value in accepted)), _or_default(classes, num_classes, ignored)


def _or_default(classes: Classes | None, num_classes: int, ignored: int | None) -> Classes:
    if classes is None:
        return default_classes(max(2, num_classes), ignored)
    return classes if classes.ignore_index == ignored else replace(classes, ignore_index=ignored)


def _ignored(classes: Classes | None, ignore_index: int | None) -> int | None:
    declared = classes.ignore_index if classes is not None else None
    if ignore_index is None:
        return declared
    if declared not in (None, ignore_index):
        raise UsageError(f"ignore_index: is {ignore_index}, but the classes say {declared}; give the same in both")
    if not 0 <= ignore_index <= 255 or (classes is not None and ignore_index < len(classes)):
        raise UsageError(f"ignore_index: {ignore_index} is a class or not from 0 to 255; give a value that is no class")
    return ignore_index


def _class_id(target: int | str, classes: Classes | None, ignored: int | None) -> int:
    accepted = range(254) if classes is None else range(len(classes))
    if isinstance(target, str) and classes is not None and target in classes.names:
        return classes.names.index(target)
    if type(target) is int and (target in accepted or target == ignored):
        return target
    names = "an id from 0" if classes is None else ", ".join(f"{item.id} ({item.name})" for item in classes.items)
    raise UsageError(f"mask_values: {target!r} is not a class; give {names}, or the ignored id")


def _colour_table(classes: Classes) -> dict[Value, int]:
    table: dict[Value, int] = {}
    for item, (red, green, blue) in zip(classes.items, classes.colours.tolist(), strict=True):
        if table.setdefault((red, green, blue), item.id) != item.id:
            raise DataError(f"classes: two have the colour {item.colour}; give each class its own")
    return table
