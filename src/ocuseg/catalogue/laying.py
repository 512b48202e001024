"""Files of archives laid out as a data set: images, masks, fields of view, a split file, classes, and their origin."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from ocuseg.catalogue.entries import Layout, PublicSet
from ocuseg.catalogue.unpacking import members
from ocuseg.errors import DataError
from ocuseg.files import write_text
from ocuseg.folders import safe_name

__all__ = ["lay_out"]

_LIST_BYTES = 10_000_000


def lay_out(name: str, wanted: PublicSet, sources: Sequence[Path], folder: Path) -> int:
    """Fill an empty `folder` with a data set out of archives or folders; return the number of images.

    Raises DataError where an archive is refused, or what it holds is not what the catalogue says: another number of
    images, or an image without its mask.
    """
    layout = wanted.layout
    assert layout is not None
    found: dict[str, dict[str, str]] = {role: {} for role in layout.roles}
    lists: dict[str, set[str]] = {}
    left = layout.inflated_bytes
    for source in sources:
        for member in members(source):
            if _is_litter(member.name):
                continue
            for split, pattern in layout.lists.items():
                if _matches(pattern, member.name):
                    with tempfile.TemporaryDirectory(dir=folder) as scratch:
                        path = Path(scratch) / "list"
                        left -= member.copy(path, min(left, _LIST_BYTES))
                        lists[split] = set(re.findall(r"[\w-]+", path.read_text(encoding="utf-8", errors="replace")))
            for role, pattern in layout.roles.items():
                match = _matches(pattern, member.name)
                if match is None:
                    continue
                key = safe_name("_".join(group for group in match.groups() if group is not None))
                suffix = Path(member.name).suffix.lower()
                if key in found[role]:
                    raise DataError(f"{source}: holds the {role} of {key} twice; give the set as it is published")
                (folder / role).mkdir(exist_ok=True)
                left -= member.copy(folder / role / f"{key}{suffix}", left)
                found[role][key] = f"{role}/{key}{suffix}"
    _require_complete(name, wanted, found)
    _write_split(layout, found, lists, folder)
    if layout.classes:
        write_text(folder / "classes.yaml", yaml.safe_dump(layout.classes, sort_keys=False))
    write_text(folder / "README.md", _origin(name, wanted))
    return len(found["images"])


def _matches(pattern: str, name: str) -> re.Match[str] | None:
    return re.fullmatch(rf"(?:.*/)?(?:{pattern})", name)


def _is_litter(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in name.split("/") if part not in (".", ""))


def _require_complete(name: str, wanted: PublicSet, found: dict[str, dict[str, str]]) -> None:
    images = found["images"]
    if len(images) != wanted.images:
        raise DataError(
            f"{name}: holds {len(images)} images, the catalogue says {wanted.images}; give the whole set as published"
        )
    for role, files in found.items():
        missing = sorted(set(images) ^ set(files))
        if missing:
            raise DataError(f"{name}: images and {role} do not go together, such as {missing[0]}; give the whole set")


def _write_split(layout: Layout, found: dict[str, dict[str, str]], lists: dict[str, set[str]], folder: Path) -> None:
    if missing := sorted(set(layout.lists) - set(lists)):
        raise DataError(f"the list of {missing[0]} is not in the archive; give the whole set as published")
    columns = ["image", "mask"]
    columns += ["field_of_view"] * ("field_of_view" in found)
    columns += ["split"] * bool(layout.splits or layout.lists)
    columns += ["group"] * (layout.group is not None)
    with (folder / "split.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        for key in sorted(found["images"]):
            row = {"image": found["images"][key], "mask": found["masks"][key]}
            row["field_of_view"] = found.get("field_of_view", {}).get(key, "")
            row["split"] = next((split for split, names in lists.items() if key in names), "")
            for split, pattern in layout.splits.items():
                row["split"] = row["split"] or (split if re.search(pattern, key) else "")
            if layout.group is not None:
                group = re.search(layout.group, key)
                row["group"] = group[1 if group.re.groups else 0] if group else key
            table.writerow(row)


def _origin(name: str, wanted: PublicSet) -> str:
    lines = [f"# {wanted.title}", "", f"Got by `ocuseg data get {name}`.", "", f"- Licence: {wanted.licence}"]
    lines += [f"- Cite: {wanted.citation}" + (f" doi:{wanted.doi}" if wanted.doi else ""), f"- Home: {wanted.home}"]
    lines += [f"- Split: {wanted.split}"] * bool(wanted.split)
    lines += [f"- Note: {wanted.note}"] * bool(wanted.note)
    return "\n".join(lines) + "\n"
