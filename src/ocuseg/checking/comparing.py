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


def compare_copies(records: Sequence[Record], scans: Sequence[Scan], root: Path) -> Iterator[Finding]:
    """Yield pictures that are there twice: the same pixels anywhere, nearly the same in two splits."""
    keys = [
        (scan.file_hashes.get(str(record.image), "") if scan.pixel_hash else "", scan.pixel_hash)
        for record, scan in zip(records, scans, strict=True)
    ]
    identical: set[tuple[int, int]] = set()
    for group in group_identical(keys):
        identical |= {(a, b) for a in group for b in group}
        first, others = records[group[0]], [records[position] for position in group[1:]]
        found = "the same in " + _places(others, root)
        path = relative_name(first.image, root)
        splits = {records[position].split for position in group}
        if len(splits) > 1:
            expected = f"a picture of {first.split} alone"
            yield Finding("error", "picture-in-two-splits", path, expected, found, "keep it in one split")
        else:
            yield Finding("warning", "picture-twice", path, "a picture once", found, "keep one of them")
    seen = [position for position, scan in enumerate(scans) if scan.thumbnail is not None and not scan.is_blank]
    if not seen:
        return
    thumbnails = np.stack([scans[position].thumbnail for position in seen])  # type: ignore[misc]
    splits_seen = [records[position].split for position in seen]
    parts = [-1 if split is None else SPLITS.index(split) for split in splits_seen]
    pairs = [
        replace(pair, first=seen[pair.first], second=seen[pair.second]) for pair in find_near_copies(thumbnails, parts)
    ]
    for pair in _closest([pair for pair in pairs if (pair.first, pair.second) not in identical]):
        first, other = records[pair.first], records[pair.second]
        found = f"nearly the same in {_places([other], root)} (agreement {pair.agreement:.2f})"
        path, expected = relative_name(first.image, root), f"a picture of {first.split} alone"
        if pair.is_certain:
            remedy = "keep it in one split, with all pictures of the same eye"
            yield Finding("error", "near-copy-in-two-splits", path, expected, found, remedy)
        else:
            remedy = "look at both; if they show the same eye, keep them in one split"
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
    if len(kinds) > 1:
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


def _places(records: Sequence[Record], root: Path) -> str:
    shown = [f"{relative_name(record.image, root)} ({record.split or 'no split'})" for record in records[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(records) - _SHOWN} more" if len(records) > _SHOWN else "")
