"""What a reader of annotations gives back: images, each with its shapes or a painted mask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.formats.losses import UNREADABLE, LeftOutError, Losses
from ocuseg.formats.regions import Ellipse, Outline, Region, Ring, ring
from ocuseg.index.splitting import Split

__all__ = ["Page", "Painted", "Shape", "collect", "ellipse", "outline"]


@dataclass(frozen=True, slots=True)
class Shape:
    """One annotated region with its label; the one with the higher `z` lies on top, of equals the later.

    `further` are other labels that its tool gave it, of which a mask can hold none.
    """

    label: str
    region: Region
    z: float = 0.0
    remark: str | None = None
    further: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Painted:
    """A mask file in place of shapes: the label of each of its values, which are 0xrrggbb with `as_colours`."""

    path: Path
    labels: dict[int, str]
    as_colours: bool = False


@dataclass(slots=True)
class Page:
    """One annotated image: `name` as the source says it, its file or bytes, its size (H, W) if the source tells."""

    name: str
    image: Path | None
    size: tuple[int, int] | None = None
    shapes: list[Shape] = field(default_factory=list)
    painted: Painted | None = None
    split: Split | None = None
    group: str | None = None
    content: bytes | None = None


def collect(items: Iterable[Any], read: Callable[[Any], Shape], name: str, losses: Losses) -> list[Shape]:
    """Return the shapes that `read` makes of `items`; what it cannot read is counted as lost."""
    shapes = []
    for item in items:
        try:
            shape = read(item)
            shapes.append(shape)
            for label in shape.further:
                losses.say("label-second", name, f"{label!r} of a shape that is {shape.label!r}")
        except LeftOutError as skipped:
            losses.say(skipped.code, name, skipped.what)
        except (*UNREADABLE, OSError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())[:80]
            losses.say("shape-damaged", name, f"a shape with {reason}")
    return shapes


def outline(label: str, parts: Iterable[Iterable[Any]], *, through: bool = False, what: str = "a polygon") -> Outline:
    """Return polygons, each an outer ring of points followed by holes. Raises LeftOutError where none has an area."""
    kept = []
    for rings in parts:
        outer, *holes = map(ring, rings)
        if len(outer) and (through or _area(outer)):
            kept.append((outer, *(hole for hole in holes if len(hole) > 2)))
    if not kept:
        raise LeftOutError("shape-degenerate", f"{what} of {label!r} with no area")
    return Outline(tuple(kept), through)


def ellipse(label: str, centre: tuple[Any, Any], radii: tuple[Any, Any], angle_rad: Any = 0.0) -> Ellipse:
    """Return an ellipse of checked numbers. Raises LeftOutError where it has no area."""
    (x, y), (first, second) = ring([centre, radii]).tolist()
    angle = float(ring([(angle_rad, 0)])[0, 0])
    if first <= 0 or second <= 0:
        raise LeftOutError("shape-degenerate", f"an ellipse of {label!r} with no area")
    return Ellipse((x, y), (first, second), angle)


def _area(points: Ring) -> float:
    x, y = (points - points[0]).T
    # Of a ring that crosses itself the halves may cancel out: it has an area unless all points lie on a line.
    if len(points) < 3:
        return 0.0
    return float(np.linalg.matrix_rank(np.stack([x, y])) == 2)
