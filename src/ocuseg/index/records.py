"""A data set as records: which files belong together, to which split and to which group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ocuseg.files import stem_of
from ocuseg.findings import Finding
from ocuseg.index.splitting import Split

__all__ = ["Index", "Record", "relative_name", "with_unique_names"]


@dataclass(frozen=True, slots=True)
class Record:
    """One picture with what belongs to it.

    `name` is unique in the data set, also where a file system does not tell capitals apart; `columns` holds the
    further columns of a split file, `fold` among them. `mask` is None only where a finding of level error says so.
    """

    name: str
    image: Path
    mask: Path | None = None
    field_of_view: Path | None = None
    second_mask: Path | None = None
    split: Split | None = None
    group: str | None = None
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What a division keeps together: the group, or the image itself; a group and an image are never the same."""
        return f"group {self.group}" if self.group is not None else f"image {self.name}"


@dataclass(frozen=True, slots=True)
class Index:
    """The records of a data set, how they were found, and what is wrong with the names alone.

    `root` is the folder that the findings' paths are relative to; `layout` is one of `cataract`, `retina`, `drive`,
    `flat` and `split file`; `pairing` says in words how masks were found. `lost` are images that a split file lists
    and that are not there, each with its split.
    """

    root: Path
    layout: str
    pairing: str
    records: tuple[Record, ...]
    findings: tuple[Finding, ...]
    classes_file: Path | None = None
    lost: tuple[tuple[Path, Split | None], ...] = ()

    def of_split(self, split: str) -> tuple[Record, ...]:
        """Return the records of one split, in the order of the index."""
        return tuple(record for record in self.records if record.split == split)

    def has_split(self, split: str) -> bool:
        """Whether any record is of this split."""
        return any(record.split == split for record in self.records)


def relative_name(path: Path, root: Path) -> str:
    """Return `path` as findings show it: with forward slashes, relative to `root` where it lies inside.

    The root itself is shown by its name.
    """
    if path == root:
        return f"{root.resolve().name}/"
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def with_unique_names(records: Sequence[Record]) -> tuple[Record, ...]:
    """Return the records sorted and named by their stem; where stems clash, all get more of their path in front.

    Tried in turn: the stem; the split and the stem; those and the suffix; these and a number.
    """
    ordered = sorted(records, key=lambda record: (stem_of(record.image), record.image.as_posix()))
    for name in (_stem, _split_and_stem, _with_suffix):
        names = [name(record) for record in ordered]
        if _are_unique(names):
            break
    else:
        seen: Counter[str] = Counter()
        for position, base in enumerate(names):
            seen[base.casefold()] += 1
            names[position] = f"{base}_{seen[base.casefold()]}"
    return tuple(replace(record, name=name) for record, name in zip(ordered, names, strict=True))


def _stem(record: Record) -> str:
    return stem_of(record.image)


def _split_and_stem(record: Record) -> str:
    return f"{record.split}_{stem_of(record.image)}" if record.split else stem_of(record.image)


def _with_suffix(record: Record) -> str:
    return f"{_split_and_stem(record)}_{record.image.suffix.lstrip('.').lower()}"


def _are_unique(names: Iterable[str]) -> bool:
    folded = [name.casefold() for name in names]
    return len(set(folded)) == len(folded)
