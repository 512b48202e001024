"""Everything that is to be said of a data set before it is used, found in one pass that never stops at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ocuseg.checking.comparing import compare_classes, compare_copies, compare_formats, compare_splits
from ocuseg.checking.faults import judge_record
from ocuseg.checking.labels import Labels, settle_encoding
from ocuseg.checking.scanning import Job, Scan, scan_files
from ocuseg.classes import Classes, read_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError
from ocuseg.files import hash_bytes, hash_file
from ocuseg.findings import Finding, Findings
from ocuseg.index.records import Index, Record, relative_name
from ocuseg.index.splitting import SPLITS, Split

__all__ = ["CheckResult", "check_index", "divide_checked"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found and measured; iterating over it gives the findings, errors first.

    `usable` are the records that can be trained and scored on. `class_pixels` has per split, `image_class_pixels` per
    name of a usable record, the pixels of each class (C,) inside the field of view, ignored ones left out.
    `data_hash` identifies the content of all files with their names, splits and groups; `file_hashes` has the SHA-256
    of each file by its path. `classes` and `encoding` are None where the masks do not say what they mean.
    """

    index: Index
    findings: Findings
    classes: Classes | None
    encoding: MaskEncoding | None
    class_pixels: dict[str, NDArray[np.int64]]
    image_class_pixels: dict[str, NDArray[np.int64]]
    data_hash: str
    file_hashes: dict[str, str]
    usable: tuple[Record, ...]

    def __iter__(self) -> Iterator[Finding]:
        """Iterate over the findings, errors first."""
        return iter(self.findings)

    def __len__(self) -> int:
        """Return how many findings there are."""
        return len(self.findings)


def check_index(
    index: Index,
    *,
    classes: Classes | None = None,
    mask_values: Mapping[Any, Any] | None = None,
    mask_threshold: int | None = None,
    ignore_index: int | None = None,
    encoding: MaskEncoding | None = None,
    folds: Mapping[str, str] | None = None,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> CheckResult:
    """Return all findings on a data set, with its classes, class shares and hashes.

    `classes` win over the data set's classes.yaml; the other settings say what mask values mean, as in
    `encoding.infer_encoding`. `encoding` is the rule that the classes were learnt with: it holds unless the masks
    follow another one better. `folds`, the fold of each record by its name, takes the place of the splits where copies
    are looked for, in data that `divide_checked` is to divide. `workers` is the number of processes (all usable cores
    by default), `progress` is called with records done and records in all. Bad data never raise; settings that
    contradict each other raise UsageError.
    """
    findings = list(index.findings)
    if classes is None and index.classes_file is not None:
        try:
            classes = read_classes(index.classes_file)
        except DataError as error:
            found, _, remedy = str(error).removeprefix(f"{index.classes_file}: ").rpartition("; ")
            path = relative_name(index.classes_file, index.root)
            findings.append(Finding("error", "classes-unreadable", path, "a table of classes", found, remedy))
    jobs = [Job(record.image, record.mask, record.field_of_view, record.second_mask) for record in index.records]
    scans = scan_files(jobs, workers, progress)
    training = [scan.mask for record, scan in _pairs(index, scans) if scan.mask and record.split == "train"]
    labels = settle_encoding(
        training or [scan.mask for scan in scans if scan.mask],
        classes=classes,
        mask_values=mask_values,
        mask_threshold=mask_threshold,
        ignore_index=ignore_index,
        known=encoding,
    )
    findings += _describe_labels(index, labels, declared=classes is not None)
    usable: list[Record] = []
    image_class_pixels: dict[str, NDArray[np.int64]] = {}
    for record, scan in _pairs(index, scans):
        own = list(judge_record(record, scan, labels, index.root))
        findings += own
        if scan.mask is not None and labels.encoding is not None and all(item.level != "error" for item in own):
            usable.append(record)
            image_class_pixels[record.name] = labels.count_classes(scan.mask)
    class_pixels = _sum_splits(usable, image_class_pixels)
    if folds is None:
        findings += compare_splits(index.records, index.root)
    findings += compare_copies(index.records, scans, index.root, folds)
    findings += compare_formats(index.records, scans, index.root)
    if labels.classes is not None and labels.encoding is not None:
        findings += compare_classes(labels.classes, class_pixels, index.root)
    file_hashes = {path: digest for scan in scans for path, digest in scan.file_hashes.items()}
    return CheckResult(
        index=index,
        findings=Findings.sorted(dict.fromkeys(findings), len(index.records)),
        classes=labels.classes,
        encoding=labels.encoding,
        class_pixels=class_pixels,
        image_class_pixels=image_class_pixels,
        data_hash=_hash_data(index, file_hashes),
        file_hashes=file_hashes,
        usable=tuple(usable),
    )


def divide_checked(checked: CheckResult, splits: Mapping[str, Split]) -> CheckResult:
    """Return the check of the same images for another division, `splits` by the records' names; no file is read.

    Classes and encoding stay those of all images; class pixels, their findings and the data hash become those of the
    new splits. A class that is missing from a new `train` is a warning, since the images of all splits do hold it.
    """

    def placed(records: Sequence[Record]) -> tuple[Record, ...]:
        return tuple(replace(record, split=splits[record.name]) for record in records)

    index = replace(checked.index, records=placed(checked.index.records))
    usable = placed(checked.usable)
    class_pixels = _sum_splits(usable, checked.image_class_pixels)
    findings = list(checked.findings)
    if checked.classes is not None:
        found = compare_classes(checked.classes, class_pixels, index.root)
        findings += [replace(item, level="warning") if item.level == "error" else item for item in found]
    return replace(
        checked,
        index=index,
        findings=Findings.sorted(dict.fromkeys(findings), len(index.records)),
        class_pixels=class_pixels,
        data_hash=_hash_data(index, checked.file_hashes),
        usable=usable,
    )


def _pairs(index: Index, scans: Sequence[Scan]) -> Iterator[tuple[Record, Scan]]:
    return zip(index.records, scans, strict=True)


def _describe_labels(index: Index, labels: Labels, *, declared: bool) -> Iterator[Finding]:
    name = relative_name(index.root, index.root)
    if labels.encoding is None or labels.classes is None:
        if labels.complaint and index.records:
            found, _, remedy = labels.complaint.rpartition("; ")
            found, remedy = (found, remedy) if found else (remedy, "add masks")
            yield Finding("error", "masks-undecided", name, "masks that say what they mean", found, remedy)
        return
    names = ", ".join(f"{item.id} {item.name}" for item in labels.classes.items)
    remedy = "nothing to do if that is meant" if declared else "write classes.yaml, or give 'classes', to name them"
    yield Finding("note", "classes", name, "the classes", f"{names}; {labels.encoding.summary}", remedy)


def _sum_splits(
    records: Sequence[Record], image_class_pixels: Mapping[str, NDArray[np.int64]]
) -> dict[str, NDArray[np.int64]]:
    sums: dict[str, NDArray[np.int64]] = {}
    for split in SPLITS:
        counts = [image_class_pixels[record.name] for record in records if record.split == split]
        if counts:
            sums[split] = np.sum(counts, axis=0)
    return sums


def _hash_data(index: Index, file_hashes: Mapping[str, str]) -> str:
    """Return the SHA-256 over names, splits, groups, folds and file contents, in the order of the names."""

    def digest(path: Path | None) -> str:
        return "" if path is None else file_hashes.get(str(path), "")

    rows = sorted(
        [
            record.name,
            record.split or "",
            record.group or "",
            record.columns.get("fold", ""),
            *map(digest, (record.image, record.mask, record.field_of_view, record.second_mask)),
        ]
        for record in index.records
    )
    classes = ""
    if index.classes_file is not None:
        try:
            classes = hash_file(index.classes_file)
        except OSError:
            classes = ""
    return hash_bytes([part for row in rows for part in row] + [classes])
