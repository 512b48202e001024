"""Curves and intervals to drawings (SVG) inside the page, which follow its colours in light, in dark and on paper."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

__all__ = ["Line", "Mark", "Point", "chart", "difference_chart"]

_WIDTH, _HEIGHT = 460, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 10, 40
_COLOURS = 7
_DASHES = ("", " other", " third")
_ROW_PX = 26
_BAR_PART = 0.25

Range = tuple[float, float]


class Line(NamedTuple):
    """A line through points; NaN interrupts it. `dotted` marks each point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    dotted: bool = False


class Mark(NamedTuple):
    """A vertical line at x; `other` ones are dashed."""

    name: str
    x: float
    other: bool = False


class Point(NamedTuple):
    """A lone point; `other` ones are hollow."""

    name: str
    x: float
    y: float
    other: bool = False


def chart(
    title: str,
    lines: Sequence[Line],
    *,
    x: str,
    y: str,
    x_range: Range | None = None,
    y_range: Range | None = None,
    marks: Sequence[Mark] = (),
    points: Sequence[Point] = (),
    bars: Sequence[float] = (),
    diagonal: bool = False,
    caption: str = "",
) -> str:
    """Return lines with their axes and names as a figure.

    A range that is not given is that of the values. `bars` are equally wide over the x axis, the tallest one a quarter
    of the height.
    """
    x_low, x_high = x_range or _range([value for line in lines for value in line.x])
    y_low, y_high = y_range or _range([value for line in lines for value in line.y], margin=0.04)

    def at(x_value: float, y_value: float) -> tuple[float, float]:
        right = (x_value - x_low) / (x_high - x_low)
        up = (y_value - y_low) / (y_high - y_low)
        return _LEFT + right * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM)

    parts = []
    for value, text in _ticks(x_low, x_high):
        (px, bottom), (_, top) = at(value, y_low), at(value, y_high)
        parts.append(f'<line class="grid" x1="{px:.1f}" y1="{bottom:.1f}" x2="{px:.1f}" y2="{top:.1f}"/>')
        parts.append(f'<text x="{px:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{text}</text>')
    for value, text in _ticks(y_low, y_high):
        (left, py), (right, _) = at(x_low, value), at(x_high, value)
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{py:.1f}" x2="{right:.1f}" y2="{py:.1f}"/>')
        parts.append(f'<text x="{left - 6:.1f}" y="{py + 4:.1f}" text-anchor="end">{text}</text>')
    for index, share in enumerate(bars):
        (left, bottom), (right, top) = at(0, 0), at(1, _BAR_PART * share / max(bars))
        width = (right - left) / len(bars)
        parts.append(
            f'<rect class="bar" x="{left + index * width + 1:.1f}" y="{top:.1f}" width="{width - 2:.1f}" '
            f'height="{bottom - top:.1f}"/>'
        )
    (left, bottom), (right, top) = at(x_low, y_low), at(x_high, y_high)
    parts.append(f'<path class="frame" d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"/>')
    if diagonal:
        parts.append(f'<path class="mark other" fill="none" d="M{left:.1f} {bottom:.1f}L{right:.1f} {top:.1f}"/>')
    parts += [
        _line(index, [at(*pair) for pair in zip(one.x, one.y, strict=True)], one.dotted)
        for index, one in enumerate(lines)
    ]
    for mark in marks:
        px, _ = at(mark.x, y_low)
        parts.append(f'<path class="mark{" other" if mark.other else ""}" d="M{px:.1f} {bottom:.1f}V{top:.1f}"/>')
    parts += [_point(*at(point.x, point.y), point.other) for point in points]
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle:.0f}" y="{_HEIGHT - 4}" text-anchor="middle">{escape(x)}</text>')
    upright = (_TOP + _HEIGHT - _BOTTOM) / 2
    parts.append(f'<text transform="translate(11 {upright:.0f}) rotate(-90)" text-anchor="middle">{escape(y)}</text>')
    keys = [_key(f'<path class="line{_dash(index)}" stroke="var(--c{_colour(index)})" d="M0 6H27"/>', one.name)
            for index, one in enumerate(lines) if len(lines) > 1 or marks or points or diagonal]  # fmt: skip
    keys += [_key(f'<path class="mark{" other" if one.other else ""}" d="M0 6H27"/>', one.name) for one in marks]
    keys += [_key(_point(13, 6, one.other), one.name) for one in points]
    keys += [_key('<path class="mark other" d="M0 6H27"/>', "perfect")] if diagonal else []
    return _figure(title, f"{y} by {x}", (_WIDTH, _HEIGHT), parts, keys, caption)


def difference_chart(title: str, rows: Sequence[tuple[str, float, Range]], caption: str) -> str:
    """Return differences with their intervals, one below the other, about a line at 0."""
    most = 1.15 * max(max(abs(end) for end in interval) for _, _, interval in rows) or 1.0
    left, right, height = 190, 16, _ROW_PX * len(rows) + 46

    def at(value: float) -> float:
        return left + (value + most) / (2 * most) * (_WIDTH + 140 - left - right)

    bottom = _ROW_PX * len(rows) + 8
    parts = []
    for value, text in _ticks(-most, most):
        parts.append(f'<path class="grid" d="M{at(value):.1f} 6V{bottom}"/>')
        parts.append(f'<text x="{at(value):.1f}" y="{bottom + 16}" text-anchor="middle">{text}</text>')
    parts.append(f'<path class="mark" d="M{at(0):.1f} 6V{bottom}"/>')
    for index, (name, value, (low, high)) in enumerate(rows):
        y = 20 + _ROW_PX * index
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(name)}</text>')
        parts.append(f'<path class="whisker" stroke="var(--c1)" d="M{at(low):.1f} {y}H{at(high):.1f}"/>')
        parts.append(f'<circle cx="{at(value):.1f}" cy="{y}" r="4.5" fill="var(--c1)"/>')
    parts.append(f'<text x="{at(-most):.1f}" y="{height - 2}">← b is higher</text>')
    parts.append(f'<text x="{at(most):.1f}" y="{height - 2}" text-anchor="end">a is higher →</text>')
    return _figure(
        title, "differences with 95 % intervals", (_WIDTH + 140, height), parts, [], caption, "chart difference"
    )


def _figure(
    title: str,
    what: str,
    size: tuple[int, int],
    parts: Sequence[str],
    keys: Sequence[str],
    caption: str,
    kind: str = "chart",
) -> str:
    listed = f'<ul class="keys">{"".join(keys)}</ul>' if keys else ""
    below = f'<p class="caption">{escape(caption)}</p>' if caption else ""
    return (
        f'<figure class="{kind}"><figcaption class="title">{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {size[0]} {size[1]}" role="img" aria-label="{escape(f"{title}: {what}")}">'
        f"{''.join(parts)}</svg>{listed}{below}</figure>"
    )


def _line(index: int, points: Sequence[tuple[float, float]], dotted: bool) -> str:
    colour = f"var(--c{_colour(index)})"
    steps, dots, is_new = [], [], True
    for position, (x, y) in enumerate(points):
        if not (math.isfinite(x) and math.isfinite(y)):
            is_new = True
            continue
        steps.append(f"{'M' if is_new else 'L'}{x:.1f} {y:.1f}")
        is_lone = is_new and (position + 1 == len(points) or not math.isfinite(points[position + 1][1]))
        if dotted or is_lone:
            dots.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        is_new = False
    return f'<path class="line{_dash(index)}" stroke="{colour}" d="{"".join(steps)}"/>{"".join(dots)}'


def _point(x: float, y: float, hollow: bool) -> str:
    fill = "var(--page)" if hollow else "var(--ink)"
    return f'<circle class="mark" cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}"/>'


def _key(drawing: str, name: str) -> str:
    return f'<li><svg viewBox="0 0 27 12" aria-hidden="true">{drawing}</svg>{escape(name)}</li>'


def _colour(index: int) -> int:
    return index % _COLOURS + 1


def _dash(index: int) -> str:
    return _DASHES[index // _COLOURS % len(_DASHES)]


def _range(values: Sequence[float], margin: float = 0.0) -> Range:
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    beyond = margin * (high - low) if high > low else 0.5
    return low - beyond, high + beyond


def _ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Some four to eight round numbers from low to high, and how they are written."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * rough)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [
        (number * step, f"{number * step:.{decimals}f}".replace("-", "\N{MINUS SIGN}"))
        for number in range(first, last + 1)
    ]
