"""The values that a mask file holds, before anything is known of their meaning."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import UsageError

__all__ = ["Colour", "Kind", "RawMask", "Value", "count_values", "list_values", "pack", "parse_value", "show_value"]

Colour = tuple[int, int, int]
Value = int | Colour
Kind = Literal["grey", "palette", "colour"]

_LISTED = 6


@dataclass(frozen=True, slots=True)
class RawMask:
    """A mask as its file holds it.

    `values` is (H, W) uint8, uint16 or int32 for grey levels and palette indices, or (H, W, 3) uint8 for colours;
    `palette` is the (N, 3) uint8 colour table of a palette image.
    """

    values: NDArray[Any]
    kind: Kind
    palette: NDArray[np.uint8] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def packed_colours(self) -> NDArray[np.int32]:
        """The colour of each pixel as (H, W) int32 0xrrggbb; a grey level g is the colour (g, g, g)."""
        if self.kind == "colour":
            return _pack_array(self.values)
        if self.kind == "palette" and self.palette is not None:
            table = np.zeros(max(256, len(self.palette)), dtype=np.int32)
            table[: len(self.palette)] = _pack_array(self.palette)
            colours: NDArray[np.int32] = table[self.values]
            return colours
        return self.values.astype(np.int32) * 0x010101

    @property
    def levels(self) -> NDArray[Any]:
        """The brightness of each pixel (H, W): the value, or the largest of its colour's three channels."""
        if self.kind == "colour":
            brightest: NDArray[np.uint8] = self.values.max(axis=2)
            return brightest
        if self.kind == "palette" and self.palette is not None:
            table = np.zeros(max(256, len(self.palette)), dtype=np.uint8)
            table[: len(self.palette)] = self.palette.max(axis=1)
            levels: NDArray[np.uint8] = table[self.values]
            return levels
        return self.values


def count_values(raw: RawMask, *, as_colours: bool = False) -> dict[Value, int]:
    """Return how many pixels hold each raw value, in ascending order.

    Keys are ints, or (r, g, b) for a colour mask; `as_colours` gives colours for grey and palette masks too.
    """
    if as_colours or raw.kind == "colour":
        return {(key >> 16, key >> 8 & 255, key & 255): count for key, count in _count(raw.packed_colours)}
    return dict(_count(raw.values))


def pack(value: Value) -> int:
    """Return a raw value as one number: the value itself, or 0xrrggbb of a colour."""
    return value if isinstance(value, int) else value[0] << 16 | value[1] << 8 | value[2]


def show_value(value: Value) -> str:
    """Return a raw value as a user reads it: 255, or #ff0000."""
    return str(value) if isinstance(value, int) else f"#{pack(value):06x}"


def list_values(values: Sequence[Value]) -> str:
    """Return `0, 1 and 255`; of more than six values the first few and how many there are."""
    shown = [show_value(value) for value in values[:_LISTED]]
    if len(values) > _LISTED:
        return f"{', '.join(shown)}, ... ({len(values)} different ones)"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def parse_value(raw: Any) -> Value:
    """Return a raw value from what a recipe or JSON holds: 255, "255", "#ff0000" or [255, 0, 0].

    Raises UsageError on anything else.
    """
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if isinstance(raw, str):
        if re.fullmatch(r"#[0-9a-fA-F]{6}", raw):
            return int(raw[1:3], 16), int(raw[3:5], 16), int(raw[5:7], 16)
        if re.fullmatch(r"\d{1,9}", raw):
            return int(raw)
    if isinstance(raw, (list, tuple)) and len(raw) == 3 and all(type(part) is int and 0 <= part <= 255 for part in raw):
        return raw[0], raw[1], raw[2]
    raise UsageError(f'mask_values: {raw!r} is not a value of a mask; write a number, or a colour as "#rrggbb"')


def _pack_array(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    packed = colours[..., 0].astype(np.int32) << 16
    packed |= colours[..., 1].astype(np.int32) << 8
    packed |= colours[..., 2]
    return packed


def _count(values: NDArray[Any]) -> list[tuple[int, int]]:
    flat = values.ravel()
    if flat.size == 0:
        return []
    # A mask is long runs of one value, so that only the starts of runs need to be sorted.
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size)
    found, which = np.unique(flat[starts], return_inverse=True)
    counts = np.bincount(which, weights=lengths)
    return [(int(value), int(count)) for value, count in zip(found, counts, strict=True)]
