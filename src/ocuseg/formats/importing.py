"""Annotations to a data set: images, masks, classes and splits in the layout that the other commands take."""

from __future__ import annotations

import csv
import io
import os.path
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ocuseg.classes import CLASSES_FILE, Classes, read_classes
from ocuseg.errors import DataError, ImageError, UsageError
from ocuseg.files import stem_of, write_json, write_text
from ocuseg.findings import Findings
from ocuseg.folders import folder_written_whole, require_replaceable, safe_name
from ocuseg.formats.labelling import settle_classes
from ocuseg.formats.losses import LeftOutError, Losses, said_of
from ocuseg.formats.opening import read_source
from ocuseg.formats.painting import ORDERS, Order, paint
from ocuseg.formats.source import Page
from ocuseg.images import ImageHeader, read_header, write_mask
from ocuseg.prediction.naming import output_names

__all__ = ["Imported", "import_source"]

_MAGIC = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"BM": ".bmp", b"II*\0": ".tif", b"MM\0*": ".tif"}


@dataclass(frozen=True, slots=True)
class Imported:
    """A data set that was made of annotations, and all that did not get into it or deserves a word.

    `shapes` counts those that were read, of which some may be among the findings; masks that were painted have none.
    """

    folder: Path
    format: str
    images: int
    shapes: int
    classes: Classes
    findings: Findings

    @property
    def has_losses(self) -> bool:
        """Whether anything of the source had to be left out."""
        return self.findings.has_errors


def import_source(
    source: Path,
    out: Path,
    *,
    format: str | None = None,
    classes: Path | None = None,
    order: Order = "source",
    images: Path | None = None,
    attribute: str | None = None,
    link: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Write the data set `out` from what an annotation tool exported; the arguments: `ocuseg.import_annotations`.

    `out` is written whole or not at all. Raises UsageError on wrong arguments, DataError where no image can be taken,
    OutputError where `out` holds anything.
    """
    if order not in ORDERS:
        raise UsageError(f"{order!r} is no order; give one of {', '.join(ORDERS)}")
    given = None if classes is None else read_classes(classes)
    require_replaceable(
        out, (), lambda _: False, result="the data set", foreign="and what lies there is never replaced"
    )
    losses = Losses()
    name, pages, labels = read_source(source, format, images, attribute, losses)
    pages = _once(pages, losses)
    if not pages:
        raise _nothing(source, losses)
    folder = source if source.is_dir() else source.parent
    beside = [path for path in (folder / CLASSES_FILE, folder / name / CLASSES_FILE) if path.is_file()]
    known = read_classes(beside[0]) if given is None and beside else None
    table, ids = settle_classes(labels, pages, given, losses, source.name or str(source), known)
    with folder_written_whole(out) as staging:
        target = _Target(staging, out, link)
        for number, (page, stem) in enumerate(zip(pages, _names(pages), strict=True), start=1):
            try:
                header = target.put_image(page, stem)
                target.put_mask(page, stem, paint(page, header, ids, order, losses), table)
            except LeftOutError as skipped:
                losses.say(skipped.code, page.name, skipped.what)
                target.drop_image(page, stem)
            if progress is not None:
                progress(number, len(pages))
        findings = losses.findings(len(target.rows))
        if not target.rows:
            raise _nothing(source, losses)
        target.finish(table)
        shapes = sum(len(page.shapes) for page in pages)
        made_of = {"format": name, "source": source.name, "order": order, "shapes": shapes}
        write_json(staging / "import.json", made_of | findings.to_json())
    return Imported(out, name, len(target.rows), shapes, table, findings)


def _nothing(source: Path, losses: Losses) -> DataError:
    """Return the error that no image can be taken, with the first reason."""
    reason = next(map(str, losses.findings(0)), "it lists no image; see that the export has some")
    return DataError(f"{source}: no image can be taken: {reason}")


class _Target:
    """The folder that is being written, and the rows of its split file."""

    def __init__(self, staging: Path, out: Path, link: bool) -> None:
        self._staging, self._out, self._link = staging, out, link
        self.rows: list[tuple[Page, str, str]] = []
        self._places: dict[str, str] = {}
        (staging / "masks").mkdir()
        if not link:
            (staging / "images").mkdir()

    def put_image(self, page: Page, stem: str) -> ImageHeader:
        """Copy an image, or note where it lies; return its header. Raises LeftOutError where it is no image."""
        if page.image is not None and self._link:
            place, path = _relative(page.image, self._out), page.image
        else:
            name = page.image.name if page.image is not None else _suffix_of(page.content or b"")
            suffix = name.removeprefix(stem_of(Path(name))).lower() if page.image is not None else name
            place = f"images/{stem}{suffix}"
            path = self._staging / place
            path.parent.mkdir(exist_ok=True)
            try:
                if page.image is not None:
                    shutil.copyfile(page.image, path)
                else:
                    path.write_bytes(page.content or b"")
            except OSError as error:
                if page.image is not None and error.filename == str(page.image):
                    raise LeftOutError("image-unreadable", f"a file that cannot be read ({error.strerror})") from error
                raise
        self._places[stem] = place
        try:
            return read_header(path)
        except ImageError as error:
            raise LeftOutError("image-unreadable", said_of(path, error)) from error

    def put_mask(self, page: Page, stem: str, mask: object, classes: Classes) -> None:
        """Write the mask of an image and note its row."""
        write_mask(self._staging / "masks" / f"{stem}.png", mask, classes)  # type: ignore[arg-type]
        self.rows.append((page, self._places[stem], f"masks/{stem}.png"))

    def drop_image(self, page: Page, stem: str) -> None:
        """Take back the copy of an image that got no mask."""
        place = self._places.pop(stem, None)
        if place is not None and (not self._link or page.image is None):
            (self._staging / place).unlink(missing_ok=True)

    def finish(self, classes: Classes) -> None:
        """Write the classes, and a split file where there are splits or groups, or images stay where they are."""
        write_text(self._staging / CLASSES_FILE, classes.to_yaml())
        has_splits = any(page.split for page, _, _ in self.rows)
        has_groups = any(page.group for page, _, _ in self.rows)
        if not (has_splits or has_groups or self._link):
            return
        header = ["image", "mask", *["split"] * has_splits, *["group"] * has_groups]
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(header)
        for page, image, mask in self.rows:
            split = page.split or "train"
            writer.writerow([image, mask, *[split] * has_splits, *[page.group or ""] * has_groups])
        write_text(self._staging / "split.csv", lines.getvalue())


def _once(pages: Sequence[Page], losses: Losses) -> list[Page]:
    """Return the pages without those whose image an earlier one has."""
    seen: dict[Path, None] = {}
    kept = []
    for page in pages:
        if page.image is not None and page.image in seen:
            losses.say("image-twice", page.name, f"a second entry, with {len(page.shapes)} shapes")
            continue
        if page.image is not None:
            seen[page.image] = None
        kept.append(page)
    return kept


def _names(pages: Sequence[Page]) -> list[str]:
    """Return the stem of each image in the data set, that of its mask file if it has one; words are never a path."""
    paths = []
    for number, page in enumerate(pages):
        stem = safe_name(PurePosixPath(page.name.replace("\\", "/")).stem)
        held = Path(f"held-{number}") / f"{stem}.png"
        paths.append(page.painted.path if page.painted is not None else page.image or held)
    return output_names(paths)


def _suffix_of(content: bytes) -> str:
    for magic, suffix in _MAGIC.items():
        if content.startswith(magic):
            return suffix
    raise LeftOutError("image-unreadable", "image data of no known kind")


def _relative(image: Path, out: Path) -> str:
    """Return the path of an image as the split file of `out` says it."""
    path = image.resolve()
    try:
        return Path(os.path.relpath(path, out.resolve())).as_posix()
    except ValueError:  # on another drive
        return path.as_posix()
