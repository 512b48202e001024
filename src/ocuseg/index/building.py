"""A folder or split file as records: layout, pairs, splits and groups from names alone; opens no pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ocuseg.errors import UsageError
from ocuseg.index.layouts import Reading, read_layout
from ocuseg.index.listing import find_images
from ocuseg.index.records import Index, Record, with_unique_names
from ocuseg.index.split_file import find_split_file, read_split_file
from ocuseg.index.splitting import SPLITS, Split, require_ratios, split_by_ratio

__all__ = ["Index", "Record", "build_index", "find_images"]

_CLASSES_FILES = ("classes.yaml", "classes.yml")


def build_index(
    data: Path | str,
    *,
    image_pattern: str | None = None,
    mask_pattern: str | None = None,
    group_pattern: str | None = None,
    split_ratios: Sequence[float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> Index:
    """Return the records of a data set with all that is wrong with its names and tables as findings.

    `data` is a folder in one of the known layouts, a folder with one split*.csv, or a split CSV. The patterns are file
    names with `{id}`; `group_pattern` is a regular expression with one group, searched in each image's file name.
    Records without any split are divided by `split_ratios` (train, val, test), whole groups at a time, by `seed`;
    where there is training but no validation, part of the training becomes validation, in the ratio of the two.

    Raises UsageError for a path that does not exist or a bad setting, DataError where nothing can be listed at all.
    """
    path = Path(data)
    ratios = require_ratios(split_ratios)
    group = None if group_pattern is None else _parse_group_pattern(group_pattern)
    if not path.exists():
        raise UsageError(f"{path}: does not exist; give a folder of images and masks, or a split CSV")
    if path.is_file() and path.suffix.lower() != ".csv":
        raise UsageError(f"{path}: is no folder and no CSV; give a folder of images and masks, or a split CSV")
    table = path if path.is_file() else find_split_file(path)
    if table is None:
        reading = read_layout(path, image_pattern, mask_pattern)
    else:
        reading = read_split_file(table)
        if image_pattern is not None or mask_pattern is not None:
            found = "image_pattern or mask_pattern as well"
            reading.add("warning", "pattern-unused", table, "pairs by rows alone", found, "remove the pattern")
    _set_groups(reading, group)
    reading.records = list(with_unique_names(reading.records))
    _set_splits(reading, ratios, seed)
    classes = next((reading.root / name for name in _CLASSES_FILES if (reading.root / name).is_file()), None)
    return Index(
        root=reading.root,
        layout=reading.layout,
        pairing=reading.pairing,
        records=tuple(reading.records),
        findings=tuple(reading.findings),
        classes_file=classes,
        lost=tuple(reading.lost),
    )


def _parse_group_pattern(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"group_pattern: {pattern!r} is no regular expression ({error}); correct it") from error
    if expression.groups != 1:
        raise UsageError(f"group_pattern: {pattern!r} must have one group in round brackets, as in '^(\\d+)_'")
    return expression


def _set_groups(reading: Reading, pattern: re.Pattern[str] | None) -> None:
    """Fill in the groups that the file names give, and report the images that stay without one."""
    for position, record in enumerate(reading.records):
        if record.group is None and pattern is not None:
            match = pattern.search(record.image.name)
            if match and match[1]:
                reading.records[position] = replace(record, group=match[1])
    without = [record for record in reading.records if record.group is None]
    if pattern is not None:
        for record in without:
            remedy = "correct the pattern, or list the groups in a split file"
            reading.add("error", "group-missing", record.image, f"a group by {pattern.pattern!r}", "no match", remedy)
    elif without:
        level = "warning" if not any(record.split for record in reading.records) else "note"
        found = "none" if len(without) == len(reading.records) else f"none for {len(without)} images"
        remedy = "give 'group_pattern' or a split file with a column 'group', unless every image is of another person"
        reading.add(level, "groups-unknown", reading.root, "a group (person, eye, video) per image", found, remedy)


def _set_splits(reading: Reading, ratios: tuple[float, float, float], seed: int) -> None:
    """Divide the records that no folder and no table divides."""
    shares: dict[Split, float] = dict(zip(SPLITS, ratios, strict=True))
    present = {record.split for record in reading.records}
    if not reading.records or "val" in present:
        return
    if present == {None}:
        _divide(reading, list(reading.records), shares, seed)
        found = ", ".join(f"{shares[split]:.4g} {split}" for split in SPLITS)
        remedy = "give a split file to say it outright"
        reading.add("note", "split-by-ratio", reading.root, "a split per image", f"none: {found}, seed {seed}", remedy)
    elif "train" in present and not any(item.code == "split-unknown" for item in reading.findings) and shares["val"]:
        training = [record for record in reading.records if record.split == "train"]
        both = shares["train"] + shares["val"]
        _divide(reading, training, {split: shares[split] / both for split in ("train", "val")}, seed)
        taken = sum(record.split == "val" for record in reading.records)
        if taken:
            level = "note" if reading.layout == "drive" else "warning"
            found = f"none; {taken} of {len(training)} training images now serve for it (seed {seed})"
            remedy = "give a validation split to say it outright"
            reading.add(level, "validation-from-training", reading.root, "images for validation", found, remedy)


def _divide(reading: Reading, records: list[Record], shares: dict[Split, float], seed: int) -> None:
    splits = split_by_ratio({record.name: record.unit for record in records}, shares, seed)
    reading.records = [replace(record, split=splits.get(record.name, record.split)) for record in reading.records]
