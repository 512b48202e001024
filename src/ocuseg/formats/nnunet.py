"""nnU-Net: `dataset.json`, `imagesTr/NAME_0000.png` and `labelsTr/NAME.png` (github.com/MIC-DKFZ/nnUNet)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ocuseg.errors import DataError
from ocuseg.files import stem_of
from ocuseg.formats.losses import UNREADABLE, LeftOutError, Losses
from ocuseg.formats.reading import is_background, read_json, words_of
from ocuseg.formats.source import Page, Painted
from ocuseg.index.listing import IMAGE_SUFFIXES, list_folder
from ocuseg.index.splitting import Split

__all__ = ["is_source", "read"]

_FOLDERS: tuple[tuple[str, str, Split], ...] = (("imagesTr", "labelsTr", "train"), ("imagesTs", "labelsTs", "test"))


def is_source(source: Path) -> bool:
    """Whether a folder is a raw data set of nnU-Net."""
    return (source / "dataset.json").is_file() and (source / "labelsTr").is_dir()


def read(source: Path, losses: Losses) -> tuple[list[Page], dict[str, str | None]]:
    """Return the pages and the labels in the order of their values; `imagesTs` with `labelsTs` is the test split."""
    labels = _labels(source / "dataset.json")
    pages: list[Page] = []
    has_test = (source / "labelsTs").is_dir()
    for image_folder, label_folder, split in _FOLDERS:
        if not (source / image_folder).is_dir():
            continue
        cases = _cases(source / image_folder, losses)
        listing = list_folder(source / label_folder) if (source / label_folder).is_dir() else None
        masks = {stem_of(path): path for path in listing.images} if listing else {}
        for path in listing.others if listing else ():
            losses.say("mask-unreadable", f"{label_folder}/{path.name}", f"a file with the suffix {path.suffix!r}")
        for case, paths in cases.items():
            shown = f"{image_folder}/{paths[0].name}"
            if case not in masks:
                losses.say("image-unannotated", shown, f"an image without a file in {label_folder}/")
                continue
            painted = Painted(masks.pop(case), labels)
            if len(paths) > 1:
                losses.say("channels-several", shown, f"a case of {len(paths)} files, of which none is taken")
                continue
            pages.append(Page(shown, paths[0], painted=painted, split=split if has_test else None))
        for path in masks.values():
            losses.say("image-missing", f"{label_folder}/{path.name}", f"no such file in {image_folder}/")
    return pages, {label: None for _, label in sorted(labels.items()) if not is_background(label)}


def _cases(folder: Path, losses: Losses) -> dict[str, list[Path]]:
    """Return the files of each case, one for each channel."""
    cases: dict[str, list[Path]] = {}
    listing = list_folder(folder)
    for path in listing.images:
        cases.setdefault(re.sub(r"_\d{4}$", "", stem_of(path)), []).append(path)
    for path in listing.others:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES)[:4])
        losses.say("image-unreadable", f"{folder.name}/{path.name}", f"the suffix {path.suffix!r}, not {kinds} or so")
    return cases


def _labels(path: Path) -> dict[int, str]:
    """Return the name of each value. Version 1 says it from value to name; a region takes its place in the order."""
    content: Any = read_json(path)
    try:
        rows: dict[str, Any] = content["labels"]
        if all(str(key).isdigit() for key in rows):
            return {int(key): words_of(name) for key, name in rows.items()}
        if any(isinstance(value, list) for value in rows.values()):
            regions = [name for name in rows if not is_background(name) and name != "ignore"]
            labels = dict(zip((int(value) for value in content["regions_class_order"]), regions, strict=True))
            return {0: "background"} | labels | ({int(rows["ignore"]): "ignore"} if "ignore" in rows else {})
        return {int(value): words_of(name) for name, value in rows.items()}
    except (LeftOutError, *UNREADABLE) as error:
        raise DataError(f"{path}: has no sound 'labels' ({error!r}); write them as nnU-Net asks for") from error
