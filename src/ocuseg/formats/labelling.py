"""The classes of a data set, out of the labels of its source and, if one is given, a class table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes, default_colour, parse_classes
from ocuseg.errors import DataError, ImageError
from ocuseg.formats.losses import Losses
from ocuseg.formats.reading import is_background, is_ignored
from ocuseg.formats.source import Page, Painted
from ocuseg.images import read_mask

__all__ = ["painted_values", "settle_classes"]

_IGNORED_ID = 255


def settle_classes(
    labels: Mapping[str, str | None],
    pages: Sequence[Page],
    given: Classes | None,
    losses: Losses,
    source: str,
    known: Classes | None = None,
) -> tuple[Classes, dict[str, int]]:
    """Return the classes, and the id of each label that has one.

    Without a table the labels that any image shows become classes, in the order of the source and, where it lists none,
    of the alphabet, with the source's colours. With one, labels are found in it by name, if need be in another case.
    `known` is the table that lies beside the annotations, as `ocuseg predict` writes it: its classes keep their ids,
    whether any image shows them or not, and further labels come after them.
    A label that means the background is id 0; one that means to ignore is the ignored id.
    Raises DataError where no class is left.
    """
    used = _used(pages)
    if given is not None:
        return given, _ids_in(given, used)
    first = [] if known is None else known.items[1:]
    ordered = [label for label in dict.fromkeys([*labels, *sorted(used)]) if label not in {item.name for item in first}]
    kept = [label for label in ordered if label in used and not is_background(label) and not is_ignored(label)]
    for label in ordered:
        if label not in used and not is_background(label):
            losses.say("label-unused", source, f"none of {label!r}")
    if not kept and not used.intersection(item.name for item in first):
        lost = next((f": {finding}" for finding in losses.findings(0).of_level("error")), "")
        raise DataError(f"{source}: holds no shape that can become a class{lost or '; see that it has annotations'}")
    if len(first) + len(kept) >= _IGNORED_ID:
        raise DataError(
            f"{source}: has {len(first) + len(kept)} labels, of which a mask holds 254; give a table with --classes"
        )
    ids = {label: number for number, label in enumerate(kept, start=len(first) + 1)}
    rows: list[dict[str, object]] = [{"id": 0, "name": "background"}]
    if known is not None:
        rows = known.to_list()[: len(known)]
    rows += [{"id": n, "name": label, "colour": labels.get(label) or default_colour(n)} for label, n in ids.items()]
    ids |= {item.name: item.id for item in first} | dict.fromkeys(filter(is_background, used), 0)
    ignored = [label for label in used if is_ignored(label)]
    if ignored:
        rows.append({"id": _IGNORED_ID, "name": "ignore", "ignore": True})
        ids |= dict.fromkeys(ignored, _IGNORED_ID)
        for label in ignored:
            losses.say("label-ignored", source, f"the label {label!r}, taken as the ignored id {_IGNORED_ID}")
    return parse_classes(rows, source), ids


def painted_values(painted: Painted) -> NDArray[np.int64]:
    """Return the values (H, W) of a mask file. Raises ImageError where it cannot be read."""
    raw = read_mask(painted.path)
    if painted.as_colours:
        return raw.packed_colours.astype(np.int64)
    if raw.kind == "colour":
        raise ImageError(f"{painted.path}: is in colours; save it as class ids")
    return raw.values.astype(np.int64)


def _used(pages: Sequence[Page]) -> set[str]:
    used = {shape.label for page in pages for shape in page.shapes}
    for painted in (page.painted for page in pages if page.painted is not None):
        if set(painted.labels.values()) <= used:
            continue
        try:
            values = np.unique(painted_values(painted))
        except ImageError:  # said when the page is painted
            continue
        used |= {painted.labels[value] for value in values.tolist() if value in painted.labels}
    return used


def _ids_in(given: Classes, used: set[str]) -> dict[str, int]:
    exact = {item.name: item.id for item in given.items}
    folded = {item.name.casefold(): item.id for item in given.items}
    ids = {}
    for label in used:
        class_id = exact.get(label, folded.get(label.casefold()))
        if class_id is None and is_background(label):
            class_id = 0
        if class_id is None and is_ignored(label):
            class_id = given.ignore_index
        if class_id is not None:
            ids[label] = class_id
    return ids
