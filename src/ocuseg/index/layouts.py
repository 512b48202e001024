"""Folders of images and masks, in the layouts that are understood as they are, read as records."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from ocuseg.errors import DataError
from ocuseg.files import stem_of
from ocuseg.findings import Finding
from ocuseg.index.listing import Listing, list_folder
from ocuseg.index.pairing import Pairing, pair_by_name, pair_by_pattern, parse_pattern
from ocuseg.index.records import Record, relative_name
from ocuseg.index.splitting import Split, parse_split

__all__ = ["Reading", "pair_extra", "pair_second_observer", "read_layout"]

_UNDERSTOOD = "train/ and val/ with images/ and masks/ in each, or images/ and masks/, or a split CSV"
_SECOND = ("masks_2nd", "2nd_manual")
_STATE_PATTERN = "rename the files, or state 'image_pattern' and 'mask_pattern', as in '{id}.jpg' and '{id}_mask.png'"


@dataclass(frozen=True, slots=True)
class _Roles:
    """The folder names, in lower case, that hold each part of a data set."""

    masks: tuple[str, ...] = ("masks",)
    field_of_view: tuple[str, ...] = ("field_of_view", "fov")
    second: tuple[str, ...] = ("masks_2nd",)


_DRIVE = _Roles(masks=("1st_manual",), field_of_view=("mask",), second=("2nd_manual",))


@dataclass(slots=True)
class Reading:
    """What was read so far: the layout, the records, what is wrong, the rule of each folder, lost images by split."""

    root: Path
    layout: str
    records: list[Record] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    rules: dict[str, str] = field(default_factory=dict)
    lost: list[tuple[Path, Split | None]] = field(default_factory=list)

    @property
    def pairing(self) -> str:
        """One sentence on how masks were found, per folder where the folders differ."""
        rules = {folder: rule for folder, rule in self.rules.items() if rule}
        if len(set(rules.values())) <= 1:
            return next(iter(rules.values()), "no rule found")
        return "; ".join(f"{folder}/: {rule}" for folder, rule in rules.items())

    def add(self, level: str, code: str, path: Path, expected: str, found: str, remedy: str) -> None:
        """Add a finding about `path`."""
        name = relative_name(path, self.root)
        self.findings.append(Finding(level, code, name, expected, found, remedy))  # type: ignore[arg-type]


def read_layout(root: Path, image_pattern: str | None = None, mask_pattern: str | None = None) -> Reading:
    """Return the records of a folder in the cataract, retina, DRIVE or flat layout, without groups; flat has no splits.

    Patterns are file names with `{id}`; with a folder in front (`masks_av/{id}_AV.png`) they also say where to look.
    Raises DataError where the folder is empty or has none of these layouts, UsageError on a bad pattern.
    """
    top = list_folder(root)
    bases = [(folder, parse_split(folder.name)) for folder in top.folders]
    splits = [(folder, split) for folder, split in bases if split is not None]
    patterns = _Patterns(image_pattern, mask_pattern)
    if splits:
        drive = any(_subfolder(list_folder(folder), _DRIVE.masks) for folder, _ in splits)
        long_names = any(folder.name.lower() in ("training", "validation") for folder, _ in splits)
        reading = Reading(root, "drive" if drive else "retina" if long_names else "cataract")
        _report_split_folders(reading, top, splits)
        for folder, split in splits:
            _read_base(reading, folder, split, _DRIVE if drive else _Roles(), patterns)
        if not reading.records and not any(item.level == "error" for item in reading.findings):
            raise DataError(f"{root}: holds no images; it needs {_UNDERSTOOD}")
        return reading
    if not _subfolder(top, ("images",)) and not patterns.image_folder:
        inner = [folder.name for folder in top.folders if _looks_like_data(folder)]
        hint = f"; give {inner[0]}/ inside it" if len(inner) == 1 else f"; it needs {_UNDERSTOOD}"
        state = "is an empty folder" if not (top.images or top.others or top.folders) else "has no known layout"
        raise DataError(f"{root}: {state}{hint}")
    reading = Reading(root, "flat")
    _read_base(reading, root, None, _Roles(), patterns)
    return reading


def pair_second_observer(reading: Reading, records: list[Record]) -> list[Record]:
    """Return the records of a split file with the second observer's masks that lie in masks_2nd/ beside their masks."""
    folders = {record.mask.parent.parent: None for record in records if record.mask is not None}
    found: dict[Path, Path] = {}
    for base in folders:
        folder = _subfolder(list_folder(base), _SECOND) if base.is_dir() else None
        images = [record.image for record in records if record.mask and record.mask.parent.parent == base]
        if folder is not None:
            found |= pair_extra(reading, images, folder, "second-mask", complete=False)
    return [replace(record, second_mask=found.get(record.image)) for record in records]


class _Patterns:
    """The stated patterns, each split into its folder and the expression for the file name."""

    def __init__(self, image: str | None, mask: str | None) -> None:
        self.given = image is not None or mask is not None
        image_path, mask_path = PurePosixPath(image or "{id}.*"), PurePosixPath(mask or "{id}.*")
        self.image_folder = image_path.parent if image and "/" in image else None
        self.mask_folder = mask_path.parent if mask and "/" in mask else None
        self.image = parse_pattern(image_path.name, "image_pattern")
        self.mask = parse_pattern(mask_path.name, "mask_pattern")

    def pair(self, images: tuple[Path, ...], masks: tuple[Path, ...]) -> Pairing:
        if not self.given:
            return pair_by_name(images, masks)
        return pair_by_pattern(images, masks, self.image, self.mask)


def _read_base(reading: Reading, base: Path, split: Split | None, roles: _Roles, patterns: _Patterns) -> None:
    """Add the records of one folder that holds images/ and masks/ (or what stands for them)."""
    top = list_folder(base)
    image_folder = base / patterns.image_folder if patterns.image_folder else _subfolder(top, ("images",))
    mask_folder = base / patterns.mask_folder if patterns.mask_folder else _subfolder(top, roles.masks)
    wanted = f"images/ and {roles.masks[0]}/"
    held = ", ".join(f"{folder.name}/" for folder in top.folders) or "no folder"
    if image_folder is None or not image_folder.is_dir():
        reading.add("error", "folder-missing", base, wanted, held, "put the images into images/")
        return
    if mask_folder is None or not mask_folder.is_dir():
        if split == "test":
            reading.add("warning", "test-without-masks", base, wanted, held, "add the masks to score this split")
        else:
            reading.add("error", "folder-missing", base, wanted, held, f"put the masks into {roles.masks[0]}/")
        return
    images, masks = _listed(reading, image_folder), _listed(reading, mask_folder)
    if not images:
        reading.add("error", "folder-empty", image_folder, "images", "none", "put the images there")
    pairing = patterns.pair(images, masks)
    reading.rules[relative_name(base, reading.root)] = pairing.rule
    _report_pairing(reading, pairing, image_folder, mask_folder)
    chosen = [*pairing.pairs, *pairing.unpaired, *(image for sides in pairing.ambiguous for image in sides[0])]
    chosen = [image for image in images if image in set(chosen)]
    extra: dict[str, dict[Path, Path]] = {}
    for name, names in (("field-of-view", roles.field_of_view), ("second-mask", roles.second)):
        folders = [folder for folder in top.folders if folder.name.lower() in names]
        if len(folders) > 1:
            found = " and ".join(f"{folder.name}/" for folder in folders)
            reading.add("error", f"{name}-ambiguous", base, "one folder", found, "keep one of them")
        extra[name] = pair_extra(reading, chosen, folders[0], name) if folders else {}
    reading.records += [
        Record(
            stem_of(image),
            image,
            pairing.pairs.get(image),
            extra["field-of-view"].get(image),
            extra["second-mask"].get(image),
            split,
        )
        for image in chosen
    ]


def pair_extra(
    reading: Reading, images: list[Path], folder: Path, code: str, *, complete: bool = True
) -> dict[Path, Path]:
    """Return what `folder` adds to the pictures; `complete`: it is meant for these pictures and no others."""
    pairing = pair_by_name(images, list_folder(folder).images)
    shown = f"{relative_name(folder, reading.root)}/"
    remedy = f"name the files of {shown} like the images, or list them in a split file"
    if pairing.rivals:
        reading.add("error", f"{code}-ambiguous", folder, "one rule", " or ".join(pairing.rivals), remedy)
        return {}
    for ours, theirs in pairing.ambiguous:
        found = _names(theirs or ours)
        reading.add("error", f"{code}-ambiguous", (ours or theirs)[0], f"one file in {shown}", found, remedy)
    for image in pairing.unpaired:
        reading.add("warning", f"{code}-missing", image, f"a file in {shown}", "none", remedy)
    for other in pairing.left_over if complete else ():
        reading.add("warning", f"{code}-unpaired", other, "an image of that name", "none", remedy)
    return pairing.pairs


def _report_pairing(reading: Reading, pairing: Pairing, image_folder: Path, mask_folder: Path) -> None:
    masks = f"{relative_name(mask_folder, reading.root)}/"
    if pairing.rivals:
        found = " or ".join(pairing.rivals)
        reading.add("error", "pairing-ambiguous", mask_folder, "one rule from image to mask", found, _STATE_PATTERN)
        return
    if not pairing.rule and pairing.unpaired and pairing.left_over:
        found = f"images such as {_names(pairing.unpaired)} and masks such as {_names(pairing.left_over)}"
        reading.add("error", "pairing-unknown", mask_folder, "names that show the pairs", found, _STATE_PATTERN)
        return
    rule = f" ({pairing.rule})" if pairing.rule else ""
    for images, others in pairing.ambiguous:
        if len(images) == 1:
            reading.add(
                "error", "pairing-ambiguous", images[0], f"one mask in {masks}{rule}", _names(others), _STATE_PATTERN
            )
        else:
            found = _names((*images, *others))
            reading.add("error", "pairing-ambiguous", images[0], "one image of that name", found, _STATE_PATTERN)
    for image in pairing.unpaired:
        reading.add("error", "mask-missing", image, f"a mask in {masks}{rule}", "none", "add its mask or remove it")
    for mask in pairing.left_over:
        where = f"{relative_name(image_folder, reading.root)}/"
        reading.add("error", "mask-unpaired", mask, f"an image in {where}{rule}", "none", "add its image or remove it")


def _report_split_folders(reading: Reading, top: Listing, splits: list[tuple[Path, Split]]) -> None:
    for split in sorted({split for _, split in splits}):
        same = [folder for folder, word in splits if word == split]
        if len(same) > 1:
            found = " and ".join(f"{folder.name}/" for folder in same)
            reading.add("error", "split-ambiguous", same[0], f"one folder for {split}", found, "keep one of them")
    known = {folder for folder, _ in splits}
    for folder in top.folders:
        if folder not in known and _looks_like_data(folder):
            found = f"{folder.name}/ with images/ in it"
            reading.add("error", "split-unknown", folder, "train, val or test", found, "rename the folder or move it")


def _listed(reading: Reading, folder: Path) -> tuple[Path, ...]:
    listing = list_folder(folder)
    for path in listing.others:
        reading.add("note", "file-ignored", path, "an image", f"the suffix {path.suffix!r}", "remove it or convert it")
    for path in listing.folders:
        if any(inner.is_file() for inner in path.iterdir()):
            found = "a folder, which is not read"
            reading.add("warning", "folder-ignored", path, "images", found, "move its files up, or list them in a CSV")
    return listing.images


def _subfolder(listing: Listing, names: tuple[str, ...]) -> Path | None:
    return next((folder for folder in listing.folders if folder.name.lower() in names), None)


def _looks_like_data(folder: Path) -> bool:
    inner = list_folder(folder)
    return any(sub.name.lower() == "images" or parse_split(sub.name) for sub in inner.folders)


def _names(paths: tuple[Path, ...]) -> str:
    shown = ", ".join(path.name for path in paths[:4])
    return shown + (f" and {len(paths) - 4} more" if len(paths) > 4 else "")
