"""What the masks of a data set hold, in classes: the one rule for all, the pixels of each class, what fits no class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.checking.scanning import MaskScan
from ocuseg.classes import Classes
from ocuseg.encoding import MaskEncoding, infer_encoding
from ocuseg.encoding.rawmask import Colour, Kind, RawMask, Value, list_values
from ocuseg.encoding.strays import describe_nearest, describe_strays, remedy_for_strays
from ocuseg.errors import DataError, ImageError

__all__ = ["Labels", "settle_encoding"]


@dataclass(slots=True)
class Labels:
    """The rule and the classes of a data set; `complaint` says why there are none."""

    encoding: MaskEncoding | None
    classes: Classes | None
    complaint: str = ""
    _ids: dict[tuple[str, Value, Colour | None], int | None] = field(default_factory=dict)

    def count_classes(self, mask: MaskScan, *, whole: bool = False) -> NDArray[np.int64]:
        """Return the pixels of each class (C,) inside the field of view, or in the whole mask; none of ignored ones."""
        assert self.classes is not None
        counts = np.zeros(len(self.classes), dtype=np.int64)
        if self.encoding is not None and self.encoding.threshold is not None:
            levels, pixels = (mask.levels if whole else mask.levels_inside).T
            foreground = levels >= self.encoding.threshold
            return np.array([pixels[~foreground].sum(), pixels[foreground].sum()], dtype=np.int64)
        for value, pixels in (mask.counts if whole else mask.inside).items():
            class_id = self._id(mask, value)
            if class_id is not None and class_id < len(counts):
                counts[class_id] += pixels
        return counts

    def strays(self, mask: MaskScan) -> tuple[str, str, str] | None:
        """Return (expected, found, remedy) for the values that fit no class, None where all fit."""
        assert self.encoding is not None
        assert self.classes is not None
        strays = {value: n for value, n in mask.counts.items() if self._id(mask, value) is None}
        if not strays:
            return None
        known = dict(self.encoding.table)
        expected = f"only {list_values(sorted(known, key=str))}" if len(known) <= 6 else "values of the classes"
        if self.encoding.kind != "colours" and mask.kind == "colour":
            found = f"colours ({list_values(sorted(mask.counts))})"
            return expected, found, "save it as class ids, or save all masks in colours"
        total = mask.size[0] * mask.size[1]
        if self.encoding.kind == "colours":
            in_colour = {_colour(mask, value): n for value, n in strays.items()}
            text = f"{describe_strays(in_colour, total)} ({describe_nearest(in_colour, known, self.classes.names)}"
            found, _, remedy = text.rpartition("; ")
            return expected, found, remedy
        numbers = sorted(value for value in strays if isinstance(value, int))
        rows = sorted((value, class_id) for value, class_id in known.items() if isinstance(value, int))
        return expected, describe_strays(strays, total), remedy_for_strays(numbers, rows)

    def _id(self, mask: MaskScan, value: Value) -> int | None:
        assert self.encoding is not None
        colour = mask.colours.get(value) if isinstance(value, int) else None
        key = (mask.kind, value, colour)
        if key not in self._ids:
            try:
                self._ids[key] = int(self.encoding.decode(_pixel(mask, value), "")[0, 0])
            except ImageError:
                self._ids[key] = None
        return self._ids[key]


def settle_encoding(
    masks: Sequence[MaskScan],
    *,
    classes: Classes | None,
    mask_values: Mapping[Any, Any] | None,
    mask_threshold: int | None,
    ignore_index: int | None,
    known: MaskEncoding | None = None,
) -> Labels:
    """Return the rule that the masks of the training split follow, also where some of them break it.

    Where the values of all masks together follow no rule, the values that most masks hold, and the small ids without a
    gap, are tried; a rule is taken if most masks follow it. `known`, a rule that `classes` were learnt with, is taken
    instead unless fewer masks follow it. Raises UsageError on settings that contradict each other.
    """
    labels = _inferred(masks, classes, mask_values, mask_threshold, ignore_index)
    if known is None or not masks:
        return labels
    learnt = Labels(known, classes)
    following = _following(learnt, masks)
    return learnt if following and following >= _following(labels, masks) else labels


def _inferred(
    masks: Sequence[MaskScan],
    classes: Classes | None,
    mask_values: Mapping[Any, Any] | None,
    mask_threshold: int | None,
    ignore_index: int | None,
) -> Labels:
    settings: dict[str, Any] = {
        "classes": classes,
        "mask_values": mask_values,
        "mask_threshold": mask_threshold,
        "ignore_index": ignore_index,
    }
    if not masks:
        return Labels(None, classes, "no mask could be read")
    in_colour = [mask for mask in masks if mask.kind == "colour"]
    # A mask of background alone is grey in any data set: it has no say in whether masks are in colours.
    speaking = [mask for mask in masks if mask.kind == "colour" or mask.distinct > 1]
    as_colours = 2 * len(in_colour) > len(speaking)
    pool = masks if as_colours else [mask for mask in masks if mask.kind != "colour"]
    per_mask = [{_key(mask, value, as_colours): n for value, n in mask.counts.items()} for mask in pool]
    kind: Kind | None = "colour" if as_colours else None
    try:
        encoding, found = infer_encoding(_total(per_mask), kind=kind, **settings)
        return Labels(encoding, found)
    except DataError as error:
        complaint = str(error).removeprefix("masks: ")
    best: tuple[int, Labels] | None = None
    for values in _guesses(per_mask, ignore_index):
        kept = [{value: n for value, n in counts.items() if value in values} for counts in per_mask]
        try:
            encoding, found = infer_encoding(_total(kept), kind=kind, **settings)
        except DataError:
            continue
        labels = Labels(encoding, found)
        following = _following(labels, masks)
        if 2 * following > len(masks) and (best is None or following > best[0]):
            best = following, labels
    return Labels(None, classes, complaint) if best is None else best[1]


def _following(labels: Labels, masks: Sequence[MaskScan]) -> int:
    """Return how many masks hold nothing but values of the rule."""
    return 0 if labels.encoding is None else sum(labels.strays(mask) is None for mask in masks)


def _guesses(per_mask: list[dict[Value, int]], ignore_index: int | None) -> list[set[Value]]:
    held: Counter[Value] = Counter(value for counts in per_mask for value in counts)
    common = {value for value, masks in held.items() if 2 * masks > len(per_mask)}
    ids: set[Value] = set()
    while len(ids) in held:
        ids.add(len(ids))
    extra: set[Value] = set() if ignore_index is None else {ignore_index}
    return [guess | extra for guess in (common, ids) if len(guess) > 1]


def _total(per_mask: Iterable[Mapping[Value, int]]) -> Counter[Value]:
    total: Counter[Value] = Counter()
    for counts in per_mask:
        total.update(counts)
    return total


def _key(mask: MaskScan, value: Value, as_colours: bool) -> Value:
    return _colour(mask, value) if as_colours else value


def _colour(mask: MaskScan, value: Value) -> Colour:
    if not isinstance(value, int):
        return value
    return mask.colours.get(value, (min(value, 255),) * 3)


def _pixel(mask: MaskScan, value: Value) -> RawMask:
    """Return a mask of one pixel with this value."""
    if not isinstance(value, int):
        return RawMask(np.array([[value]], dtype=np.uint8), mask.kind)
    palette = None
    if value in mask.colours:
        palette = np.zeros((value + 1, 3), dtype=np.uint8)
        palette[value] = mask.colours[value]
    return RawMask(np.array([[value]], dtype=np.int32), mask.kind, palette)
