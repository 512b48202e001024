"""What of a source had to be left out or deserves a word: the codes, and how often and where each was met."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocuseg.errors import DataError
from ocuseg.findings import Finding, Findings, Level

__all__ = ["CODES", "UNREADABLE", "LeftOutError", "Losses", "said_of", "shown"]

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
    "label-second": ("error", "one label for each shape", "draw a shape for each, or accept that with --allow-loss"),
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

UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)
"""What a reader meets where a source holds something else than its format says."""

# What would move the cursor of a terminal, or cannot be written as UTF-8.
_UNSHOWN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


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
        what = shown(what)
        count, names = self._counts.get((code, what), (0, {}))
        names[shown(name)] = None
        self._counts[code, what] = count + 1, names

    @contextmanager
    def leaving_out(self, name: str, damaged: str) -> Iterator[None]:
        """Go on behind the block where something in it cannot be taken: counted for `name`, as `damaged` at worst."""
        try:
            yield
        except LeftOutError as skipped:
            self.say(skipped.code, name, skipped.what)
        except DataError as error:
            self.say("file-damaged", name, str(error).partition(": ")[2].rpartition(";")[0])
        except UNREADABLE:
            self.say("file-damaged", name, damaged)

    def findings(self, images: int) -> Findings:
        """Return one finding for each code and label, with how often and where."""
        items = []
        for (code, what), (count, names) in self._counts.items():
            level, expected, remedy = CODES[code]
            times = f", {count} times in {len(names)} file{'' if len(names) == 1 else 's'}" if count > 1 else ""
            path = next(iter(names)) + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            items.append(Finding(level, code, path, expected, what + times, remedy))
        return Findings.sorted(items, images)


def said_of(path: Path, error: Exception) -> str:
    """Return what an error says of a file, without its path and the remedy."""
    return str(error).removeprefix(f"{path}: ").removeprefix("is ").rpartition("; ")[0]


def shown(text: str) -> str:
    """Return a text of a source as it may be printed and written: without control characters and halves of letters."""
    return _UNSHOWN.sub("\N{REPLACEMENT CHARACTER}", text)
