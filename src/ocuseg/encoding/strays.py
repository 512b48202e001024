"""What is said of mask values that mean nothing: how much of the mask they fill, and what to do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ocuseg.classes import Classes
from ocuseg.encoding.rawmask import Value, list_values, show_value

__all__ = ["describe_nearest", "describe_riddle", "describe_strays", "remedy_for_strays"]

_FEW = 8  # so many values can still be listed one by one in 'mask_values'


def describe_strays(strays: Mapping[Any, int], total: int) -> str:
    """Return `the value 7 in 1.30% of the pixels`, the commonest value first."""
    values = sorted(strays, key=lambda value: -strays[value])
    noun = "the value" if len(values) == 1 else "the values"
    return f"{noun} {list_values(values)} in {_percent(sum(strays.values()) / total)} of the pixels"


def describe_nearest(strays: Mapping[Any, int], known: Mapping[Value, int], names: Sequence[str] = ()) -> str:
    """Return which class's colour is nearest to the commonest stray colour, a closing bracket and the remedy.

    `names` are those of the classes by id, where they are known.
    """
    worst = max(strays, key=lambda value: strays[value])
    near = min(known, key=lambda value: _distance(value, worst))
    name = f" {names[known[near]]}" if known[near] < len(names) else ""
    return (
        f"nearest to {show_value(worst)} is {show_value(near)}, class {known[near]}{name}); correct the mask or give "
        f"'mask_values: {{\"{show_value(worst)}\": {known[near]}}}'"
    )


def remedy_for_strays(strays: list[int], known: list[tuple[int, int]]) -> str:
    """Return what to do about one mask that holds `strays` beside the `known` (value, id); all ascending."""
    listed = ", ".join(f"{raw}: {class_id}" for raw, class_id in known)
    if len(known) == 2 and known != [(0, 0), (1, 1)]:
        middle = max(1, (known[0][0] + known[1][0] + 1) // 2)
        return f"correct the mask, or give 'mask_threshold: {middle}' if these are soft edges"
    if strays == [255]:
        return (
            f"give 'ignore_index: 255' if it counts nowhere, or 'mask_values: {{{listed}, 255: ID}}' if it is a class"
        )
    if len(strays) <= 3 and len(known) <= _FEW:
        more = ", ".join(f"{value}: ID" for value in strays)
        return f"correct the mask, or say what it means with 'mask_values: {{{listed}, {more}}}'"
    return "save the mask as PNG that holds these values only"


def describe_riddle(values: list[int], counts: dict[int, int], classes: Classes | None) -> str:
    """Return what all masks hold (ascending `values`) that gives no rule, and the settings that would give one."""
    total = sum(counts.values())
    ids = values[:-1]
    middle = max(1, (values[0] + values[-1] + 1) // 2)
    if classes is None and values[-1] == 255 and ids == list(range(len(ids))) and len(ids) <= _FEW:
        listed = ", ".join(f"{value}: {value}" for value in ids)
        return (
            f"hold 255 in {counts[255] / total:.2%} of the pixels beside the ids {list_values(ids)}; give "
            f"'ignore_index: 255' if they count nowhere, or 'mask_values: {{{listed}, 255: ID}}' if they are a class"
        )
    two = classes is None or len(classes) == 2
    if len(values) > _FEW:
        remedy = f"give 'mask_threshold: {middle}' if they are one soft foreground, or " if two else ""
        return (
            f"hold {len(values)} different values from {values[0]} to {values[-1]}, as grey levels or JPEG do, and not "
            f"class ids; {remedy}save them as PNG that hold class ids only"
        )
    num_classes = len(values) if classes is None else len(classes)
    listed = ", ".join(f"{v}: {rank if len(values) <= num_classes else 'ID'}" for rank, v in enumerate(values))
    remedy = f", or give 'mask_threshold: {middle}' if the others are soft edges" if two else ""
    return (
        f"hold the values {list_values(values)}, expected the ids 0 to {num_classes - 1}; say what each means with "
        f"'mask_values: {{{listed}}}'{remedy}"
    )


def _distance(one: Any, other: Any) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _percent(share: float) -> str:
    return f"{share:.2%}" if share >= 0.0001 else f"{share:.2g}"
