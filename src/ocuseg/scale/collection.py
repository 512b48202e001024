"""Which images a collection holds, and how they are divided into chunks that stay the same over restarts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from ocuseg.errors import DataError, OutputError, UsageError
from ocuseg.index.listing import has_image_suffix
from ocuseg.scale.storage import Storage, open_file_system, reason_of, shown_path

__all__ = ["Chunk", "list_images", "plan_chunks"]

_LIST_SUFFIXES = (".txt", ".csv", ".parquet")
_MANIFEST = "manifest"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images that are predicted by one worker, and whose rows are written as one file."""

    number: int
    images: tuple[str, ...]

    @property
    def rows_file(self) -> str:
        """The name of the file with the rows of these images; it is there once all of them are done."""
        return f"rows/{self.number:08d}.parquet"


def list_images(sources: Iterable[str], out: str | None = None) -> list[str]:
    """Return the paths or URIs of all images that the sources mean, sorted, none twice.

    A source is an image, a folder or prefix (with all that lies below it), or a list: a text file with a path or URI in
    each line, or a CSV or Parquet file with a column `image`; what is relative in a list starts from the list's folder.
    What lies below `out`, such as the masks of an earlier run, is no image. None is opened. Raises UsageError where a
    source does not exist, DataError where one holds no image.
    """
    found: set[str] = set()
    for source in sources:
        files, path = open_file_system(source)
        suffix = PurePosixPath(path).suffix.lower()
        try:
            if suffix in _LIST_SUFFIXES and files.isfile(path):
                images = _listed(files, path, suffix)
            elif files.isdir(path):
                images = [shown_path(files, one) for one in files.find(path) if _is_image(one, path)]
            elif files.exists(path):
                images = [shown_path(files, path)]
            else:
                raise UsageError(f"{source}: does not exist; give images, folders or lists of images")
        except (UsageError, DataError):
            raise
        except Exception as error:
            raise DataError(f"{source}: cannot be listed ({reason_of(error)}); see that you may read it") from error
        if out is not None:
            images = [image for image in images if not image.startswith(f"{out.rstrip('/')}/")]
        if not images:
            raise DataError(f"{source}: holds no image; give PNG, JPEG, TIFF, BMP, PPM, GIF or WebP files")
        found.update(images)
    return sorted(found)


def plan_chunks(out: Storage, images: Sequence[str], chunk_images: int) -> list[Chunk]:
    """Return the chunks of a collection: those of earlier runs as they were, then new ones for images not in them.

    The division is written to `manifest/` of `out` before any work, so that a restart finds the same chunks and a
    collection that has grown gets further ones. Raises OutputError where the manifest cannot be read or written.
    """
    import pyarrow
    from pyarrow import parquet

    numbers: list[int] = []
    names: list[str] = []
    parts = sorted(out.names(_MANIFEST))
    for part in parts:
        table = _read_table(out.read(f"{_MANIFEST}/{part}"), out.shown(f"{_MANIFEST}/{part}"))
        numbers += table["chunk"].to_pylist()
        names += table["image"].to_pylist()
    known = set(names)
    new = [image for image in images if image not in known]
    if new:
        first = max(numbers, default=-1) + 1
        new_numbers = [first + index // chunk_images for index in range(len(new))]
        with out.written_whole(f"{_MANIFEST}/{len(parts):05d}.parquet") as path:
            parquet.write_table(
                pyarrow.table({"image": new, "chunk": pyarrow.array(new_numbers, pyarrow.int32())}), path
            )
        numbers += new_numbers
        names += new
    members: dict[int, list[str]] = {}
    for number, name in zip(numbers, names, strict=True):
        members.setdefault(number, []).append(name)
    return [Chunk(number, tuple(members[number])) for number in sorted(members)]


def _is_image(path: str, root: str) -> bool:
    parts = PurePosixPath(path[len(root) :]).parts
    return has_image_suffix(PurePosixPath(path)) and not any(part.startswith(".") for part in parts)


def _listed(files: Any, path: str, suffix: str) -> list[str]:
    where = shown_path(files, path)
    content = files.cat_file(path)
    try:
        if suffix == ".txt":
            lines = content.decode("utf-8-sig").splitlines()
            entries = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
        else:
            table = _read_csv(content) if suffix == ".csv" else _read_table(content, where)
            entries = [str(entry) for entry in table["image"].to_pylist() if entry]
    except (KeyError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where}: is no list of images; give text with a path in each line, or a column 'image'"
        ) from error
    folder = path.rpartition("/")[0]
    images = []
    for entry in entries:
        if "://" not in entry and not PurePosixPath(entry).is_absolute() and not _has_drive(entry):
            images.append(shown_path(files, f"{folder}/{entry}"))
        else:
            images.append(shown_path(*open_file_system(entry)))
    return images


def _has_drive(path: str) -> bool:
    return path[1:2] == ":" and path[:1].isalpha()


def _read_csv(content: bytes) -> Any:
    from io import BytesIO

    from pyarrow import csv

    return csv.read_csv(BytesIO(content))


def _read_table(content: bytes, where: str) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(pyarrow.BufferReader(content))
    except pyarrow.ArrowInvalid as error:
        raise OutputError(f"{where}: is no Parquet file; restore it, or give another --out") from error
