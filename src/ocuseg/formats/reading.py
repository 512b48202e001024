"""The files and words of a source, as the readers of all formats take them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ocuseg.errors import DataError
from ocuseg.formats.losses import LeftOutError, Losses, shown
from ocuseg.index.splitting import Split, parse_split

__all__ = [
    "colour_of", "contents", "files_in", "folder_split", "is_background", "is_ignored", "lines_of", "read_json",
    "split_in", "words_of",
]  # fmt: skip

_IGNORED = {"__ignore__", "ignore", "ignore*"}
_BACKGROUND = {"background", "_background_", "__background__"}


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises DataError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: cannot be read as JSON ({reason}); export it again") from error


def files_in(source: Path, *suffixes: str) -> Iterator[Path]:
    """Yield the file itself, or the files with one of these suffixes in a folder and all folders in it, sorted."""
    if source.is_file():
        yield source
        return
    for path in sorted(source.rglob("*"), key=lambda path: path.relative_to(source).parts):
        if path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file():
            yield path


def contents(
    source: Path, is_content: Callable[[Any], bool], losses: Losses, *suffixes: str
) -> Iterator[tuple[Path, Any]]:
    """Yield the files of a source that are of a format, with their content; a file that is no JSON is counted."""
    for path in files_in(source, *(suffixes or (".json",))):
        content = None
        with losses.leaving_out(path.name, "a file that is no annotation"):
            content = read_json(path)
        if is_content(content):
            yield path, content


def lines_of(path: Path) -> list[str]:
    """Return the lines of a text that are not empty, stripped. Raises DataError where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as a text in UTF-8 ({error}); save or export it again") from error
    return [line.strip() for line in lines if line.strip()]


def folder_split(source: Path, path: Path) -> Split | None:
    """Return the split that the folder of a file in a source means; the source itself means none."""
    return split_in(path.parent.name) if source.is_dir() and path.parent != source else None


def split_in(*words: str) -> Split | None:
    """Return the split that a word inside names of files and folders means, such as `instances_train2017`."""
    for word in words:
        for part in reversed(re.findall(r"[A-Za-z]+", word)):
            split = parse_split(part)
            if split is not None:
                return split
    return None


def colour_of(value: Any) -> str | None:
    """Return a colour as `#rrggbb` from such a text, or from three numbers of 0 to 255; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", value.strip()):
        return value.strip().lower()
    if isinstance(value, list | tuple) and len(value) >= 3:
        numbers = [number for number in value[:3] if isinstance(number, int) and 0 <= number <= 255]
        return "#{:02x}{:02x}{:02x}".format(*numbers) if len(numbers) == 3 else None
    return None


def words_of(label: Any) -> str:
    """Return a label as a plain text. Raises LeftOutError where there is none."""
    text = shown(" ".join(str(label).split())) if isinstance(label, str | int) else ""
    if not text:
        raise LeftOutError("label-missing", "a shape without a label")
    return text


def is_background(label: str) -> bool:
    """Whether a label means what is no class."""
    return label.casefold() in _BACKGROUND


def is_ignored(label: str) -> bool:
    """Whether a label means pixels that count nowhere, as LabelMe, QuPath and nnU-Net write it."""
    return label.casefold() in _IGNORED
