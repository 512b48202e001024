"""Draw masks over images so that both stay visible, in colours that everybody can tell apart."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ocuseg.classes import Classes
from ocuseg.resampling import ReadRows

__all__ = ["COMPARISON_COLOURS", "comparison_legend", "contours", "draw_overlay", "overlay_bands"]

COMPARISON_COLOURS = {"agreed": (255, 255, 255), "missed": (0, 130, 255), "extra": (255, 200, 0)}
"""RGB of what both masks mark, only the reference, and only the prediction."""

Entry = tuple[str, tuple[int, int, int]]
_Part = tuple[slice, slice]

_EDGE: Entry = ("reference edge", (255, 255, 255))
_FILL = 0.3
_WRONG_FILL = 0.75
_OUTSIDE = 0.35
_PX_PER_CONTOUR_PX = 900
_SMALLEST_LEGEND_SIDE = 160
_BAND_PX = 1 << 21


def draw_overlay(
    image: NDArray[np.uint8],
    mask: NDArray[np.uint8],
    classes: Classes,
    *,
    reference: NDArray[np.uint8] | None = None,
    region: NDArray[np.bool_] | None = None,
    alpha: float = _FILL,
    legend: bool = True,
    contour_px: int | None = None,
) -> NDArray[np.uint8]:
    """Return `image` (H, W, 3) with `mask` (H, W) drawn on it: a light fill of weight `alpha` and a firm contour.

    Colours are those of `classes`. With a `reference` of two classes they say instead what is agreed, missed and extra.
    With a reference of more classes the fill is that of the predicted class, firm where it is wrong, and the contours,
    in white, are those of the reference. Nothing is drawn on the background, on ids that are not classes, or outside
    the `region`, which is darkened. Contours lie inside the structure, 1 px wide and wider on large images, or
    `contour_px` wide, so that a thin vessel or a small spot is drawn in the colour of its class. A legend of what is
    drawn is put into the corner with the least marks unless the image is smaller than 160 px, or than the legend.
    Raises ValueError for arrays of different sizes.
    """
    _require_same_size(image, mask, reference, region)
    labels, edges, entries = _layers(mask, classes, reference)
    is_wrong = edges != labels
    if region is not None:
        labels, edges = (np.where(region, ids, 0).astype(np.uint8) for ids in (labels, edges))
    colours = np.array([(0, 0, 0), *(colour for _, colour in entries)], np.uint8)
    drawn = image.copy()
    if region is not None:
        drawn[~region] = (drawn[~region] * _OUTSIDE).astype(np.uint8)
    marked = labels > 0
    ink = colours[labels[marked]].astype(np.float32)
    weight = np.where(is_wrong[marked], np.float32(max(alpha, _WRONG_FILL)), np.float32(alpha))[:, None]
    drawn[marked] = np.rint(drawn[marked] * (1 - weight) + ink * weight).astype(np.uint8)
    border = contours(edges, contour_px or _contour_px(labels.shape))
    drawn[border] = _EDGE[1] if _EDGE in entries else colours[labels[border]]
    if legend and min(labels.shape) >= _SMALLEST_LEGEND_SIDE:
        if reference is None or _EDGE in entries:  # of many classes, those in the picture
            ids = enumerate(entries, start=1)
            entries = [one for number, one in ids if one == _EDGE or ((labels == number) | (edges == number)).any()]
        strip = _legend(entries, labels.shape)
        if strip is not None:
            corners = _corners(strip, labels.shape)
            marks = marked | border
            corner = min(corners, key=lambda part: int(marks[part].sum()))
            drawn[corner] = strip
    return drawn


def overlay_bands(
    read_image: ReadRows, read_mask: ReadRows, size: tuple[int, int], classes: Classes
) -> Iterator[NDArray[np.uint8]]:
    """Return an iterator over `draw_overlay` of an image and a mask of `size` by bands of rows from the top.

    `read_image` and `read_mask` give the rows from one number up to, not including, another: (n, W, 3) and (n, W).
    """
    width_px = _contour_px(size)
    bands = list(_bands(size))
    strip: NDArray[np.uint8] | None = None
    corner: _Part = (slice(0, 0), slice(0, 0))
    if min(size) >= _SMALLEST_LEGEND_SIDE:
        seen = np.zeros(256, np.bool_)
        for top, bottom in bands:
            seen |= np.bincount(read_mask(top, bottom).ravel(), minlength=256) > 0
        strip = _legend([entry for number, entry in enumerate(_entries(classes), start=1) if seen[number]], size)
        if strip is not None:

            def marks(part: _Part) -> int:
                mask = read_mask(part[0].start, part[0].stop)[:, part[1]]
                return int(((mask > 0) & (mask < len(classes))).sum())

            corner = min(_corners(strip, size), key=marks)
    for top, bottom in bands:
        # A contour is drawn by what lies within its width.
        above, below = max(0, top - width_px), min(size[0], bottom + width_px)
        image, mask = read_image(above, below), read_mask(above, below)
        drawn = draw_overlay(image, mask, classes, legend=False, contour_px=width_px)[top - above : bottom - above]
        first, last = max(top, corner[0].start), min(bottom, corner[0].stop)
        if strip is not None and first < last:
            start = corner[0].start
            drawn[first - top : last - top, corner[1]] = strip[first - start : last - start]
        yield drawn


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int]]:
    step = max(1, _BAND_PX // size[1])
    return ((top, min(top + step, size[0])) for top in range(0, size[0], step))


def _contour_px(size: tuple[int, ...]) -> int:
    return max(1, round(min(size) / _PX_PER_CONTOUR_PX))


def comparison_legend(classes: Classes) -> dict[str, tuple[int, int, int]]:
    """Return what the colours (RGB) of an overlay with a reference mean."""
    if len(classes) == 2:
        return dict(COMPARISON_COLOURS)
    return dict([*_entries(classes), _EDGE])


def contours(mask: NDArray[np.uint8], width_px: int = 1) -> NDArray[np.bool_]:
    """Return which pixels (H, W) of the foreground lie within `width_px` of a pixel of another id, 4-connected.

    The edge of the picture is no border.
    """
    border = np.zeros(mask.shape, np.bool_)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    border[:, 1:] |= across
    border[:, :-1] |= across
    border[1:] |= down
    border[:-1] |= down
    for _ in range(width_px - 1):
        # A pixel joins when a neighbour of its own id is border already.
        thin = border.copy()
        border[:, 1:] |= thin[:, :-1] & ~across
        border[:, :-1] |= thin[:, 1:] & ~across
        border[1:] |= thin[:-1] & ~down
        border[:-1] |= thin[1:] & ~down
    return border & (mask > 0)


def _layers(
    mask: NDArray[np.uint8], classes: Classes, reference: NDArray[np.uint8] | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[Entry]]:
    """What is filled, what has contours (H, W), and what each number from 1 on means."""
    if reference is None:
        labels = np.where(mask < len(classes), mask, 0).astype(np.uint8)
        return labels, labels, _entries(classes)
    if len(classes) == 2:
        labels, entries = _by_agreement(mask, reference, classes)
        return labels, labels, entries
    judged = reference < len(classes)
    labels, edges = (np.where(judged, ids, 0).astype(np.uint8) for ids in (mask, reference))
    return labels, edges, [*_entries(classes), _EDGE]


def _entries(classes: Classes) -> list[Entry]:
    return [(name, _rgb(colour)) for name, colour in zip(classes.names, classes.colours, strict=True)][1:]


def _by_agreement(
    mask: NDArray[np.uint8], reference: NDArray[np.uint8], classes: Classes
) -> tuple[NDArray[np.uint8], list[Entry]]:
    found, true = (np.where(ids < len(classes), ids, 0) for ids in (mask, reference))
    judged = reference < len(classes)  # where the reference is ignored there is nothing to agree with
    labels = np.zeros(mask.shape, np.uint8)
    labels[judged & (true > 0) & (found == true)] = 1
    labels[judged & (true > 0) & (found == 0)] = 2
    labels[judged & (found > 0) & (found != true)] = 3
    return labels, list(COMPARISON_COLOURS.items())


def _legend(entries: list[Entry], size: tuple[int, ...]) -> NDArray[np.uint8] | None:
    """The legend (h, w, 3) of a picture of `size`; None where there is nothing to say or no room."""
    from PIL import Image, ImageDraw, ImageFont

    if not entries:
        return None
    letter = max(10, round(min(size) / 40))
    font = ImageFont.load_default(letter)
    row, margin = round(1.4 * letter), letter // 2
    length = max(int(font.getlength(name)) for name, _ in entries)
    strip = Image.new("RGB", (length + row + 2 * margin, row * len(entries) + 2 * margin), (24, 24, 24))
    if strip.height > size[0] or strip.width > size[1]:
        return None
    pen = ImageDraw.Draw(strip)
    for index, (name, colour) in enumerate(entries):
        top = margin + index * row
        pen.rectangle((margin, top + letter // 5, margin + letter, top + letter // 5 + letter), fill=colour)
        pen.text((margin + row, top), name, font=font, fill=(255, 255, 255))
    return np.asarray(strip)


def _corners(strip: NDArray[np.uint8], size: tuple[int, ...]) -> list[_Part]:
    """Where a legend may lie: below left first, then above left, below right, above right."""
    height, width = strip.shape[:2]
    rows = (slice(0, height), slice(size[0] - height, size[0]))
    columns = (slice(0, width), slice(size[1] - width, size[1]))
    return [(rows[1], columns[0]), (rows[0], columns[0]), (rows[1], columns[1]), (rows[0], columns[1])]


def _rgb(colour: NDArray[np.uint8]) -> tuple[int, int, int]:
    return int(colour[0]), int(colour[1]), int(colour[2])


def _require_same_size(image: NDArray[np.uint8], *others: NDArray[np.uint8] | NDArray[np.bool_] | None) -> None:
    for other in others:
        if other is not None and other.shape != image.shape[:2]:
            raise ValueError(f"the image is {image.shape[:2]} pixels, but what is drawn on it {other.shape}")
