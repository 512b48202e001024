"""A public set, got: its files fetched or taken from here, laid out as a data set, whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ocuseg.catalogue.entries import PublicSet
from ocuseg.catalogue.fetching import fetch, has_checksum
from ocuseg.catalogue.laying import lay_out
from ocuseg.errors import DataError, OutputError, UsageError
from ocuseg.files import hash_file, make_folder, write_json
from ocuseg.folders import folder_written_whole

__all__ = ["Got", "get_set"]

RECORD_FILE = "origin.json"


@dataclass(frozen=True, slots=True)
class Got:
    """What became of a set: the folder, its images, whether it was there before, and what could not be verified."""

    folder: Path
    images: int
    was_there: bool
    unverified: tuple[str, ...] = ()


def get_set(
    name: str,
    wanted: PublicSet,
    out: Path,
    *,
    archives: Sequence[Path] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Got:
    """Return a set as a data set in the folder `out`; fetched, unless `archives` (or folders) have it already.

    What is fetched lies in `.NAME.fetched` beside `out` until the set is whole, so that a later call goes on. Where
    `out` holds the set already, nothing is done. Raises UsageError for a set that has to be got by hand, DataError
    where it is not what the catalogue says, OutputError where `out` holds anything else.
    """
    there = _recorded(out, name)
    if there is not None:
        return Got(out, there, was_there=True)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out}: is there and holds no {name}; give a new or empty folder")
    if not archives and not wanted.files:
        raise UsageError(f"{name}: has to be got by hand: {wanted.instructions}")
    if wanted.layout is None:
        raise UsageError(f"{name}: is not laid out by ocuseg: {wanted.instructions}")
    if archives:
        unverified = _require_known(wanted, archives)
        return Got(out, _lay(name, wanted, archives, out), was_there=False, unverified=unverified)
    fetched = make_folder(out.absolute().parent / f".{name}.fetched")
    before = 0
    sources = []
    for file in wanted.files:

        def tell(done: int, total: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, max(wanted.bytes or 0, before + total))

        sources.append(fetch(file, fetched, tell))
        before += sources[-1].stat().st_size
    images = _lay(name, wanted, sources, out)
    shutil.rmtree(fetched, ignore_errors=True)
    return Got(out, images, was_there=False)


def _lay(name: str, wanted: PublicSet, sources: Sequence[Path], out: Path) -> int:
    with folder_written_whole(out) as staging:
        images = lay_out(name, wanted, sources, staging)
        files = {path.name: hash_file(path) for path in sources if path.is_file()}
        write_json(staging / RECORD_FILE, {"set": name, "images": images, "sha256": files})
    return images


def _require_known(wanted: PublicSet, archives: Sequence[Path]) -> tuple[str, ...]:
    """Return what cannot be verified of archives that were got by hand. Raises DataError on a wrong checksum."""
    known = {file.name.casefold(): file for file in wanted.files}
    unverified = []
    for path in archives:
        if not path.exists():
            raise UsageError(f"{path}: does not exist; give the archive or the folder that you unpacked it into")
        file = known.get(path.name.casefold())
        if path.is_dir() or file is None:
            unverified.append(path.name)
        elif not has_checksum(path, file):
            raise DataError(f"{path}: has not the {file.checksum[0]} {file.checksum[1]}; fetch it again")
    return tuple(unverified)


def _recorded(out: Path, name: str) -> int | None:
    """The number of images that an earlier call put into `out`, if they are all there."""
    try:
        record = json.loads((out / RECORD_FILE).read_text(encoding="utf-8"))
        images = int(record["images"]) if record["set"] == name else None
        # Of hidden files, as a file manager leaves them, nothing follows.
        is_whole = sum(not path.name.startswith(".") for path in (out / "images").iterdir()) == images
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return images if is_whole else None
