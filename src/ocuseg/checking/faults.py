"""What is wrong with the files of one record, given what was seen in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocuseg.checking.labels import Labels
from ocuseg.checking.scanning import MaskScan, Scan
from ocuseg.findings import Finding, Level
from ocuseg.index.records import Record, relative_name

__all__ = ["judge_record", "show_size"]

_SMALLEST_PX = 8
_ROTATED = (5, 6, 7, 8)


def judge_record(record: Record, scan: Scan, labels: Labels, root: Path) -> Iterator[Finding]:
    """Yield the findings on the image, mask, field of view and second mask of one record.

    Those of level error mean that the record cannot be used.
    """

    def finding(level: Level, code: str, path: Path | None, expected: str, found: str, remedy: str) -> Finding:
        return Finding(level, code, relative_name(path or record.image, root), expected, found, remedy)

    for role, message in scan.problems.items():
        path = getattr(record, role)
        found, _, remedy = message.removeprefix(f"{path}: ").rpartition("; ")
        found = found.removeprefix("is ")  # "expected an image, found a truncated PNG"
        yield finding("error", f"{role.replace('_', '-')}-unreadable", path, _EXPECTED[role], found, remedy)
    if scan.header is not None and scan.size is not None:
        if min(scan.size) < _SMALLEST_PX:
            expected = f"at least {_SMALLEST_PX} x {_SMALLEST_PX} px"
            yield finding("error", "image-too-small", record.image, expected, show_size(scan.size), "remove it")
        elif scan.is_blank:
            remedy = "remove it, or export it again"
            yield finding("warning", "image-blank", record.image, "a picture", "one colour all over", remedy)
        if scan.header.frames > 1:
            found = f"{scan.header.frames} frames or pages, of which the first is read"
            remedy = "export the one that was marked as a file of its own"
            yield finding("warning", "image-frames", record.image, "one picture", found, remedy)
    for role, mask in (("mask", scan.mask), ("second-mask", scan.second_mask)):
        if mask is not None:
            path = record.mask if role == "mask" else record.second_mask
            for level, code, expected, found, remedy in _judge_mask(scan, mask, labels):
                yield finding(level, f"{role}-{code}", path, expected, found, remedy)
    if scan.field_of_view_size is not None:
        path = record.field_of_view
        if scan.size is not None and scan.field_of_view_size != scan.size:
            expected, found = f"the size of the image, {show_size(scan.size)}", show_size(scan.field_of_view_size)
            remedy = "export it again at the size of the image"
            yield finding("error", "field-of-view-size", path, expected, found, remedy)
        elif scan.field_of_view_pixels == 0:
            remedy = "mark the inside with 255, or remove the file"
            yield finding("error", "field-of-view-empty", path, "pixels inside", "none", remedy)


def show_size(size: tuple[int, int]) -> str:
    """Return `960 x 999 px`, height first."""
    return f"{size[0]} x {size[1]} px"


_EXPECTED = {
    "image": "an image",
    "mask": "a mask",
    "field_of_view": "a field of view",
    "second_mask": "a second observer's mask",
}


def _judge_mask(scan: Scan, mask: MaskScan, labels: Labels) -> Iterator[tuple[Level, str, str, str, str]]:
    """Yield level, code, expected, found and remedy."""
    if scan.header is not None and scan.size is not None:
        turned = scan.header.orientation
        if mask.size != scan.size:
            expected = f"the size of the image, {show_size(scan.size)} (height x width)"
            if mask.size == scan.size[::-1] and (turned in _ROTATED) != (mask.header.orientation in _ROTATED):
                found = f"{show_size(mask.size)}: EXIF turns the {'image' if turned in _ROTATED else 'mask'} alone"
                remedy = "turn the mask as the image is shown, or save the image upright without the tag"
                yield "error", "orientation", expected, found, remedy
            else:
                yield "error", "size", expected, show_size(mask.size), "export it again at the size of the image"
        elif turned != 1 == mask.header.orientation and (turned not in _ROTATED or mask.size[0] == mask.size[1]):
            found = f"the image turned or mirrored by its EXIF orientation {turned}, the mask not"
            remedy = "look at an overlay; if they disagree, save the image upright without the tag"
            yield "warning", "orientation-unsure", "image and mask stored alike", found, remedy
    if labels.encoding is None or labels.classes is None:
        return
    strays = labels.strays(mask)
    if strays is not None:
        yield "error", "values", *strays
        return
    counts = labels.count_classes(mask, whole=True)
    if counts.sum() == 0:
        yield "warning", "ignored", "pixels of a class", "ignored ones alone", "remove it if that is not meant"
    elif counts[1:].sum() == 0:
        yield "warning", "empty", "pixels of a class", "background alone", "remove it if something should be marked"
    if mask.header.format in ("JPEG", "MPO") and labels.encoding.kind != "threshold":
        found = "JPEG, which changes values near edges"
        yield "warning", "lossy", "a lossless format", found, "export it as PNG"
