"""What is wrong between the records of a data set: splits, groups, copies, classes, sizes and modes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocuseg.checking.copies import NearCopy, find_near_copies, group_identical
from ocuseg.checking.faults import show_size
from ocuseg.checking.scanning import Scan
from ocuseg.classes import Classes
from ocuseg.findings import Finding
from ocuseg.index.records import Record, relative_name
from ocuseg.index.splitting import SPLITS

__all__ = ["compare_classes", "compare_copies", "compare_formats", "compare_splits"]

_GREY = ("1", "L", "LA", "La", "I", "F")
_SHOWN = 4


def compare_splits(records: Sequence[Record], root: Path) -> Iterator[Finding]:
    """Yield what is wrong with the splits: one that is not there, a group that lies in two."""
    name = relative_name(root, root)
    present = {record.split for record in records}
    for split, use in (("train", "to learn from"), ("val", "to choose the threshold on"), ("test", "to report on")):
        if split not in present:
            level = "note" if split == "test" else "warning"
            remedy = "add it before it is needed"
            yield Finding(level, "split-absent", name, f"images of {split} {use}", "none", remedy)  # type: ignore[arg-type]
    groups: defaultdict[str, defaultdict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        if record.group is not None and record.split is not None:
            groups[record.group][record.split].append(record)
    for group, splits in sorted(groups.items()):
        if len(splits) > 1:
            found = "; ".join(f"{split}: {_names(splits[split])}" for split in SPLITS if split in splits)
            first = next(splits[split][0] for split in SPLITS if split in splits)
            yield Finding(
                "error",
                "group-in-two-splits",
                relative_name(first.image, root),
                f"group {group!r} in one split",
                found,
                "move all its images into one split",
            )


def compare_copies(
    records: Sequence[Record], scans: Sequence[Scan], root: Path, folds: Mapping[str, str] | None = None
) -> Iterator[Finding]:
    """Yield pictures that are there twice: the same pixels anywhere, nearly the same in two splits.

    `folds` has the fold of each record by its name, for data that are divided into folds instead of splits.
    """
    parts: list[str | None] = [record.split if folds is None else folds[record.name] for record in records]
    numbers = {part: number for number, part in enumerate(sorted({part for part in parts if part is not None}))}
    keep = "keep it in one split" if folds is None else "give both one group, or remove one"
    keys = [
        (scan.file_hashes.get(str(record.image), "") if scan.pixel_hash else "", scan.pixel_hash)
        for record, scan in zip(records, scans, strict=True)
    ]
    identical: set[tuple[int, int]] = set()
    for group in group_identical(keys):
        identical |= {(a, b) for a in group for b in group}
        first = group[0]
        found = "the same in " + _places([(records[position], parts[position]) for position in group[1:]], root)
        path = relative_name(records[first].image, root)
        if len({parts[position] for position in group}) > 1:
            expected = f"a picture of {parts[first]} alone"
            yield Finding("error", "picture-in-two-splits", path, expected, found, keep)
        else:
            yield Finding("warning", "picture-twice", path, "a picture once", found, "keep one of them")
    seen = [position for position, scan in enumerate(scans) if scan.thumbnail is not None and not scan.is_blank]
    if not seen:
        return
    thumbnails = np.stack([scans[position].thumbnail for position in seen])  # type: ignore[misc]
    parts_seen = [numbers.get(parts[position] or "", -1) for position in seen]
    pairs = [
        replace(pair, first=seen[pair.first], second=seen[pair.second])
        for pair in find_near_copies(thumbnails, parts_seen)
    ]
    for pair in _closest([pair for pair in pairs if (pair.first, pair.second) not in identical]):
        place = _places([(records[pair.second], parts[pair.second])], root)
        found = f"nearly the same in {place} (agreement {pair.agreement:.2f})"
        path, expected = relative_name(records[pair.first].image, root), f"a picture of {parts[pair.first]} alone"
        if pair.is_certain:
            remedy = f"{keep}, with all pictures of the same eye" if folds is None else keep
            yield Finding("error", "near-copy-in-two-splits", path, expected, found, remedy)
        else:
            together = "keep them in one split" if folds is None else "give them one group"
            remedy = f"look at both; if they show the same eye, {together}"
            yield Finding("warning", "look-alike-in-two-splits", path, expected, found, remedy)


def _closest(pairs: Sequence[NearCopy]) -> list[NearCopy]:
    """Return the closest pair of each picture, each once: of a video in two splits, all pairs would be too many."""
    best: dict[int, NearCopy] = {}
    for pair in pairs:
        for position in (pair.first, pair.second):
            if position not in best or pair.agreement > best[position].agreement:
                best[position] = pair
    return list(dict.fromkeys(best[position] for position in sorted(best)))


def compare_classes(classes: Classes, class_pixels: Mapping[str, NDArray[np.int64]], root: Path) -> Iterator[Finding]:
    """Yield the classes that a split lacks, and the share of each class per split."""
    name = relative_name(root, root)
    for split, pixels in class_pixels.items():
        total = int(pixels.sum())
        if total == 0:
            continue
        for item, count in zip(classes.items, pixels.tolist(), strict=True):
            if count == 0 and split == "train":
                expected, remedy = f"pixels of class {item.id} ({item.name}) in train", "add masks, or drop the class"
                yield Finding("error", "class-untrained", name, expected, "none", remedy)
            elif count == 0:
                expected, remedy = f"pixels of class {item.id} ({item.name}) in {split}", "move some there, by group"
                yield Finding("warning", "class-absent", name, expected, "none, so that it has no score", remedy)
        shares = ", ".join(
            f"{item.name} {count / total:.2%}" for item, count in zip(classes.items, pixels.tolist(), strict=True)
        )
        expected = f"the class shares of {split}"
        yield Finding("note", "class-shares", name, expected, shares, "compare them between the splits")


def compare_formats(records: Sequence[Record], scans: Sequence[Scan], root: Path) -> Iterator[Finding]:
    """Yield mixed sizes, mixed modes of images, mixed kinds of masks, and images of 16 bits."""
    name = relative_name(root, root)
    sizes = Counter(scan.size for scan in scans if scan.size is not None)
    if len(sizes) > 1:
        found = _tally({show_size(size): count for size, count in sizes.most_common()})
        remedy = "nothing to do unless a size is a mistake; recipes bring images to one scale"
        yield Finding("note", "sizes-mixed", name, "images of one size (height x width)", found, remedy)
    modes = Counter(_mode(scan.header.mode) for scan in scans if scan.header is not None)
    if len(modes) > 1:
        found = _tally(dict(modes.most_common()))
        remedy = "check that all come from one kind of camera; grey is read as equal red, green and blue"
        yield Finding("warning", "modes-mixed", name, "images of one mode", found, remedy)
    kinds = Counter(scan.mask.kind for scan in scans if scan.mask is not None and scan.mask.distinct > 1)
    if kinds["colour"] and len(kinds) > 1:  # grey and palette hold the same numbers
        found = _tally({str(kind): count for kind, count in kinds.most_common()})
        yield Finding("warning", "mask-modes-mixed", name, "masks of one mode", found, "save all masks in one mode")
    deep = [record for record, scan in zip(records, scans, strict=True) if scan.header and scan.header.bits > 8]
    if deep:
        found = f"{len(deep)} of more than 8, such as {relative_name(deep[0].image, root)}"
        remedy = "nothing to do; they are scaled to 8 bits"
        yield Finding("note", "image-16-bit", name, "images of 8 bits per channel", found, remedy)


def _mode(mode: str) -> str:
    if mode in _GREY or mode.startswith("I;"):
        return "grey"
    return {"P": "palette", "CMYK": "CMYK"}.get(mode, "colour")


def _tally(counts: Mapping[str, int]) -> str:
    shown = [f"{what} ({count})" for what, count in list(counts.items())[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(counts) - _SHOWN} more" if len(counts) > _SHOWN else "")


def _names(records: Sequence[Record]) -> str:
    shown = ", ".join(record.name for record in records[:_SHOWN])
    return shown + (f" and {len(records) - _SHOWN} more" if len(records) > _SHOWN else "")


def _places(placed: Sequence[tuple[Record, str | None]], root: Path) -> str:
    shown = [f"{relative_name(record.image, root)} ({part or 'no split'})" for record, part in placed[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(placed) - _SHOWN} more" if len(placed) > _SHOWN else "")
