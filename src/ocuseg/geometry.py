"""Crop to the field of view, resize, pad, tile and flip, each with its exact undo."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from ocuseg.errors import UsageError
from ocuseg.field_of_view import FieldOfView, estimate_field_of_view, find_field_of_view
from ocuseg.lighting import Lighting, measure_lighting
from ocuseg.resampling import ReadRows, resize, resize_rows

__all__ = [
    "Box",
    "Placement",
    "Preprocessing",
    "Size",
    "estimate_field_of_view",
    "flips",
    "normalise",
    "pad_to_multiple",
    "place",
    "place_rows",
]

Size = tuple[int, int]
"""(height, width) in pixels."""
Box = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels; bottom and right are the first row and column outside."""

Crop = Literal["none", "field_of_view"]
Channel = Literal["all", "green"]
_T = TypeVar("_T", bound=np.generic)

_CROP_MARGIN = 0.01


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How an image becomes the input of a network; travels with the model.

    `crop` cuts the image to the estimated field of view (with a margin of 1 %). Then `size` resizes it to exactly
    (height, width), or `field_of_view_diameter_px` rescales it so that the field of view is this wide; with neither,
    the pixels stay as they are. `even_light` evens the light out: the share of the box over which the mean and spread
    of each colour are taken (see `ocuseg.lighting`). `channel` `green` puts green in the place of red and blue. `mean`
    and `std` are per colour on the 0 to 1 scale. The network's input is padded to a multiple of `multiple` pixels.
    With `find_scale` an image is seen at several scales near to `field_of_view_diameter_px`, the surest of which count
    most (see `ocuseg.prediction.adapting`). Raises UsageError for values that cannot be meant.
    """

    crop: Crop = "none"
    size: Size | None = None
    field_of_view_diameter_px: int | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.25, 0.25, 0.25)
    multiple: int = 32
    even_light: float | None = None
    channel: Channel = "all"
    find_scale: bool = False

    def __post_init__(self) -> None:
        if self.crop not in ("none", "field_of_view"):
            raise UsageError(f"preprocessing: crop is {self.crop!r}; write 'none' or 'field_of_view'")
        if self.size is not None and self.field_of_view_diameter_px is not None:
            raise UsageError("preprocessing: size and field_of_view_diameter_px are both given; keep one")
        if self.size is not None and (len(self.size) != 2 or not all(_is_count(side) for side in self.size)):
            raise UsageError(f"preprocessing: size is {self.size!r}; write two pixel counts, height and width")
        if self.field_of_view_diameter_px is not None and not _is_count(self.field_of_view_diameter_px):
            raise UsageError(
                f"preprocessing: field_of_view_diameter_px is {self.field_of_view_diameter_px!r}; write a pixel count"
            )
        if self.even_light is not None and not _is_share(self.even_light):
            raise UsageError(f"preprocessing: even_light is {self.even_light!r}; write a share above 0, up to 1")
        if not isinstance(self.find_scale, bool):
            raise UsageError(f"preprocessing: find_scale is {self.find_scale!r}; write true or false")
        if self.find_scale and self.field_of_view_diameter_px is None:
            raise UsageError("preprocessing: find_scale needs a scale to start from; give field_of_view_diameter_px")
        if self.channel not in ("all", "green"):
            raise UsageError(f"preprocessing: channel is {self.channel!r}; write 'all' or 'green'")
        if not _is_count(self.multiple):
            raise UsageError(f"preprocessing: multiple is {self.multiple!r}; write a pixel count such as 32")
        if len(self.mean) != 3 or not all(math.isfinite(value) for value in self.mean):
            raise UsageError(f"preprocessing: mean is {self.mean!r}; write three numbers on the 0 to 1 scale")
        if len(self.std) != 3 or not all(math.isfinite(value) and value > 0 for value in self.std):
            raise UsageError(f"preprocessing: std is {self.std!r}; write three positive numbers on the 0 to 1 scale")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types that `from_json` turns back into an equal object."""
        content = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in content.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Preprocessing:
        """Return the preprocessing that `to_json` wrote; left-out keys take their defaults.

        Raises UsageError on an unknown key or a value of the wrong kind.
        """
        accepted = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(str(key) for key in content if key not in accepted)
        if unknown:
            raise UsageError(f"preprocessing: unknown key {unknown[0]!r}; accepted are {', '.join(accepted)}")
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        try:
            return cls(**values)
        except TypeError as error:
            raise UsageError(f"preprocessing: {error}; write sizes and colours as lists of numbers") from error


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one image lies in the network's input: `box` of the original, resized to `working_size`.

    `seen` (H, W) is where the image shows anything: a network that was trained inside fields of view alone has never
    learnt what the dark around them is, so `undo` calls it background. None: everywhere. `area` is the field of view,
    where it had to be found, `light` what is evened out, and `green` whether green stands for all colours.
    """

    original_size: Size
    box: Box
    working_size: Size
    seen: NDArray[np.bool_] | None = dataclasses.field(default=None, compare=False)
    area: FieldOfView | None = dataclasses.field(default=None, compare=False)
    light: Lighting | None = dataclasses.field(default=None, compare=False)
    green: bool = dataclasses.field(default=False, compare=False)

    def apply_image(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the box of `image` (H, W, 3) at the working size: bilinear, antialiased where it is reduced.

        The light is evened out and green put in the place of all colours where that is wanted.
        """
        self._require(image.shape[:2], self.original_size)
        part = self._used(image[self.box[0] : self.box[2]])
        return self._finished(part if part.shape[:2] == self.working_size else resize(part, self.working_size), 0)

    def apply_rows(self, read: ReadRows, top: int, bottom: int) -> NDArray[np.uint8]:
        """Return rows `top` to `bottom` (n, w, 3) of what `apply_image` gives of the image of which `read` gives rows.

        No more of the image is held at once than `resize_rows` asks for.
        """
        first, left, last, right = self.box
        rows = resize_rows(
            lambda start, stop: self._used(read(first + start, first + stop)),
            (last - first, right - left),
            self.working_size,
            top,
            bottom,
        )
        return self._finished(rows, top)

    def _used(self, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The columns of the box, of green alone (n, w) where it stands for all colours: the rest is never resized."""
        rows = rows[:, self.box[1] : self.box[3]]
        return rows[..., 1] if self.green else rows

    def _finished(self, rows: NDArray[np.uint8], top: int) -> NDArray[np.uint8]:
        """Rows (n, w, 3) in even light, `top` first, from resized ones."""
        if self.light is not None:
            rows = self.light.even(rows, top, self.working_size)
        return np.repeat(rows[..., None], 3, axis=2) if self.green else np.ascontiguousarray(rows)

    def apply_mask(self, mask: NDArray[_T]) -> NDArray[_T]:
        """Return the box of `mask` (H, W), of any type, at the working size; each pixel takes its nearest one."""
        self._require(mask.shape, self.original_size)
        top, left, bottom, right = self.box
        rows = top + _nearest(bottom - top, self.working_size[0])
        columns = left + _nearest(right - left, self.working_size[1])
        return np.ascontiguousarray(mask[rows[:, None], columns[None, :]])

    def undo(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return `probabilities` (C, h, w) of the working image at the original size (C, H, W).

        Bilinear between pixel centres, antialiased where it is reduced. Outside the box and what was `seen` it is
        background: 0 for one channel (the probability of class 1), else 1 for class 0 and 0 for the others.
        """
        self._require(probabilities.shape[1:], self.working_size)
        channels = probabilities.shape[0]
        top, left, bottom, right = self.box
        size = (bottom - top, right - left)
        if size == self.original_size:
            native = np.empty((channels, *self.original_size), np.float32)
        else:
            native = np.zeros((channels, *self.original_size), np.float32)
            if channels > 1:
                native[0] = 1.0
        for channel in range(channels):
            values = probabilities[channel]
            native[channel, top:bottom, left:right] = values if values.shape == size else resize(values, size)
            if self.seen is not None:
                native[channel][~self.seen] = 1.0 if channels > 1 and channel == 0 else 0.0
        return native

    def _require(self, found: tuple[int, ...], expected: Size) -> None:
        if tuple(found) != expected:
            raise ValueError(f"the array is {tuple(found)} pixels, but this placement is for {expected}")


def place(image: NDArray[np.uint8], preprocessing: Preprocessing) -> Placement:
    """Return where `image` (H, W, 3) lies in the network's input.

    A field of view that is needed is estimated from the image itself, at training as at prediction.
    """
    height, width = image.shape[:2]
    placement, area = place_rows(lambda top, bottom: image[top:bottom], (height, width), preprocessing)
    return placement if area is None else dataclasses.replace(placement, seen=area.rows(0, height))


def place_rows(read: ReadRows, size: Size, preprocessing: Preprocessing) -> tuple[Placement, FieldOfView | None]:
    """Return where an image of `size`, of which `read` gives the rows, lies in the network's input, and what is seen.

    The placement is that of `place`, except that what it would call `seen` is given beside it, by its rows.
    """
    height, width = size
    box: Box = (0, 0, height, width)
    scaled = preprocessing.field_of_view_diameter_px is not None
    if preprocessing.crop == "none" and not scaled and preprocessing.even_light is None:
        return Placement(size, box, preprocessing.size or size, green=preprocessing.channel == "green"), None
    found = area = find_field_of_view(read, size)
    seen = area.box
    diameter = max(seen[2] - seen[0], seen[3] - seen[1])
    if preprocessing.crop == "field_of_view":
        margin = math.ceil(_CROP_MARGIN * diameter)
        # The estimate is sure to a pixel of its reduced picture; further out, networks draw what they never learnt.
        area = dataclasses.replace(area, margin_px=found.factor)
        box = (
            max(seen[0] - margin, 0),
            max(seen[1] - margin, 0),
            min(seen[2] + margin, height),
            min(seen[3] + margin, width),
        )
    working: Size = (box[2] - box[0], box[3] - box[1])
    if preprocessing.size is not None:
        working = preprocessing.size
    elif preprocessing.field_of_view_diameter_px is not None:
        scale = preprocessing.field_of_view_diameter_px / diameter
        working = (max(1, round(working[0] * scale)), max(1, round(working[1] * scale)))
    light = None
    if preprocessing.even_light is not None:
        light = measure_lighting(read, box, found, preprocessing.even_light)
    placement = Placement(size, box, working, area=found, light=light, green=preprocessing.channel == "green")
    return placement, area if preprocessing.crop == "field_of_view" else None


def normalise(image: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Return `image` (h, w, 3) as the (3, h, w) input of a network: (value / 255 - mean) / std."""
    std = np.asarray(preprocessing.std, np.float64)[:, None, None]
    mean = np.asarray(preprocessing.mean, np.float64)[:, None, None]
    normalised = np.multiply(
        image.transpose(2, 0, 1), (1 / (255 * std)).astype(np.float32), dtype=np.float32, order="C"
    )
    normalised -= (mean / std).astype(np.float32)
    return normalised


def pad_to_multiple(array: NDArray[_T], multiple: int) -> tuple[NDArray[_T], Callable[[NDArray[Any]], NDArray[Any]]]:
    """Return `array` (..., h, w) with both sides padded to a multiple, and the function that cuts it back.

    What is added, at the bottom and the right, mirrors the picture, again and again where it is narrower than the
    padding. The undo takes any (..., h', w') of the padded size.
    """
    height, width = array.shape[-2:]
    padding = [(0, 0)] * (array.ndim - 2) + [(0, -height % multiple), (0, -width % multiple)]
    padded = np.pad(array, padding, mode="reflect") if any(after for _, after in padding) else array

    def undo(result: NDArray[Any]) -> NDArray[Any]:
        return result[..., :height, :width]

    return padded, undo


def _flip(*axes: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def apply(array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(np.flip(array, axes)) if axes else array

    return apply


flips: list[tuple[Callable[[NDArray[Any]], NDArray[Any]], Callable[[NDArray[Any]], NDArray[Any]]]] = [
    (_flip(*axes), _flip(*axes)) for axes in ((), (-1,), (-2,), (-2, -1))
]
"""(apply, undo) for an array (..., h, w): as it is, left-right, upside down, both."""


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 1


def _nearest(source: int, target: int) -> NDArray[np.intp]:
    return ((2 * np.arange(target) + 1) * source // (2 * target)).astype(np.intp)
