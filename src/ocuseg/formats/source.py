"""What a reader of annotations gives back: images with their shapes, the labels, and all that had to be left out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.errors import DataError
from ocuseg.findings import Finding, Findings, Level
from ocuseg.formats.regions import Ellipse, Outline, Region, Ring, ring
from ocuseg.index.splitting import Split, parse_split

__all__ = [
    "CODES",
    "LeftOutError",
    "Losses",
    "Page",
    "Painted",
    "Shape",
    "collect",
    "colour_of",
    "ellipse",
    "is_background",
    "is_ignored",
    "json_files",
    "outline",
    "read_json",
    "split_in",
    "words_of",
]  # fmt: skip

CODES: dict[str, tuple[Level, str, str]] = {
    "annotation-second": ("error", "one annotation for each image", "keep one of them in the tool, and export again"),
    "channels-several": ("error", "one picture for each case", "save its channels as one RGB file ending in _0000"),
    "file-damaged": ("error", "an annotation file", "export it again"),
    "image-missing": ("error", "its image", "put the image into the folder, or say where it is with --images"),
    "image-outside": ("error", "an image inside the folder", "say where the images are with --images"),
    "image-size": ("error", "the size that it was annotated at", "give the images that were annotated"),
    "image-twice": ("error", "one entry for each image", "keep one of the entries"),
    "image-unreadable": ("error", "an image", "copy or export it again"),
    "label-missing": ("error", "a label for each shape", "label it in the tool, and export again"),
    "label-unknown": ("error", "labels of the class table", "add it to the table, or accept that with --allow-loss"),
    "mask-unreadable": ("error", "a mask", "copy or export it again"),
    "mask-values": ("error", "values that have a label", "add the value to the source's list of labels"),
    "shape-damaged": ("error", "a shape", "export it again"),
    "shape-degenerate": ("error", "an area", "redraw or delete it in the tool"),
    "shape-outside": ("error", "shapes inside the image", "delete it, or give the image that was annotated"),
    "shape-tiny": ("error", "shapes that hold the centre of a pixel", "redraw or delete it, or accept --allow-loss"),
    "shape-turned": ("error", "shapes drawn on the image as it is", "turn the image file, and draw it again"),
    "shape-without-area": ("error", "areas", "draw it as a polygon or mask, or accept that with --allow-loss"),
    "image-unannotated": ("warning", "annotations", "annotate it if it belongs to the data set"),
    "orientation-unsure": ("warning", "an image stored upright", "look at an overlay, as EXIF turns the image"),
    "shape-hidden": ("warning", "every shape to be seen", "another shape covers it; see --order"),
    "box-filled": ("note", "areas", "see that boxes are what you mean: each is filled"),
    "crowd-filled": ("note", "single objects", "see that groups of objects (iscrowd) shall be part of the class"),
    "label-ignored": ("note", "classes", "pixels with this label will count nowhere; give --classes to change that"),
    "label-unused": ("note", "shapes of every label", "it is no class here; give --classes to keep it as one"),
    "shape-clipped": ("note", "shapes inside the image", "nothing; what lies beyond the image is cut off"),
}  # fmt: skip
"""The level of each finding, what was expected, and the remedy."""

_IGNORED = {"__ignore__", "ignore", "ignore*"}
_BACKGROUND = {"background", "_background_", "__background__"}


@dataclass(frozen=True, slots=True)
class Shape:
    """One annotated region with its label; the one with the higher `z` lies on top, of equals the later."""

    label: str
    region: Region
    z: float = 0.0
    remark: str | None = None


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


class LeftOutError(Exception):
    """Something of the source that cannot become part of the data set: a code of `CODES`, and what it is."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code, self.what = code, what


class Losses:
    """What had to be left out or deserves a word, counted by kind and label."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], tuple[int, dict[str, None]]] = {}

    def say(self, code: str, name: str, what: str) -> None:
        """Count one more `what` of this code, seen in the image or file `name`."""
        assert code in CODES
        count, names = self._counts.get((code, what), (0, {}))
        names[name] = None
        self._counts[code, what] = count + 1, names

    def findings(self, images: int) -> Findings:
        """Return one finding for each code and label, with how often and where."""
        items = []
        for (code, what), (count, names) in self._counts.items():
            level, expected, remedy = CODES[code]
            times = f", {count} times in {len(names)} file{'' if len(names) == 1 else 's'}" if count > 1 else ""
            path = next(iter(names)) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            items.append(Finding(level, code, path, expected, what + times, remedy))
        return Findings.sorted(items, images)


def collect(items: Iterable[Any], read: Callable[[Any], Shape], name: str, losses: Losses) -> list[Shape]:
    """Return the shapes that `read` makes of `items`; what it cannot read is counted as lost."""
    shapes = []
    for item in items:
        try:
            shapes.append(read(item))
        except LeftOutError as skipped:
            losses.say(skipped.code, name, skipped.what)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, OSError) as error:
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


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises DataError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as JSON ({reason}); export it again") from error


def json_files(source: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the file itself, or the files with one of these suffixes in a folder and all folders in it, sorted."""
    if source.is_file():
        yield source
        return
    for path in sorted(source.rglob("*"), key=lambda path: path.relative_to(source).parts):
        if path.suffix.lower() in (suffixes or (".json",)) and not path.name.startswith(".") and path.is_file():
            yield path


def split_in(*words: str) -> Split | None:
    """Return the split that a word inside names of files and folders means, such as `instances_train2017`."""
    for word in words:
        for part in reversed(re.findall(r"[A-Za-z]+", word)):
            split = parse_split(part)
            if split is not None:
                return split
    return None


def colour_of(value: Any) -> str | None:
    """Return a colour as `#rrggbb` from such a text, or from three numbers of 0 to 255; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value.strip()):
        return value.strip().lower()
    if isinstance(value, list | tuple) and len(value) >= 3:
        numbers = [number for number in value[:3] if isinstance(number, int) and 0 <= number <= 255]
        return "#{:02x}{:02x}{:02x}".format(*numbers) if len(numbers) == 3 else None
    return None


def words_of(label: Any) -> str:
    """Return a label as a plain text. Raises LeftOutError where there is none."""
    text = " ".join(str(label).split()) if isinstance(label, str | int) else ""
    if not text:
        raise LeftOutError("label-missing", "a shape without a label")
    return text


def is_background(label: str) -> bool:
    """Whether a label means what is no class."""
    return label.casefold() in _BACKGROUND


def is_ignored(label: str) -> bool:
    """Whether a label means pixels that count nowhere, as LabelMe, QuPath and nnU-Net write it."""
    return label.casefold() in _IGNORED


def _area(points: Ring) -> float:
    x, y = (points - points[0]).T
    # Of a ring that crosses itself the halves may cancel out: it has an area unless all points lie on a line.
    if len(points) < 3:
        return 0.0
    return float(np.linalg.matrix_rank(np.stack([x, y])) == 2)
