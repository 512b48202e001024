"""Where the images of a source lie: by the names that the source gives them, and never outside the folders given."""

from __future__ import annotations

import os.path
import unicodedata
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from ocuseg.formats.losses import LeftOutError
from ocuseg.formats.putting import LEDGER
from ocuseg.index.listing import has_image_suffix

__all__ = ["Images"]


class Images:
    """The images under some folders.

    With a folder as the source, these are all that lie in it; with a file, those beside it and in `images/` beside it.
    A folder given with `--images` is searched first. What lies with the annotations that `ocuseg predict` wrote is no
    image of theirs: masks bear the names of the images.
    """

    def __init__(self, source: Path, given: Path | None) -> None:
        # Absolute and without `..`, so that it can be told by the path alone what lies inside.
        source, is_file = _absolute(source), source.is_file()
        given = None if given is None else _absolute(given)
        root = source.parent if is_file else source
        self._given = given
        self.roots = ([given] if given is not None else []) + [root] + ([root / "images"] if is_file else [])
        self._ledgers: dict[Path, bool] = {}
        self._deep = ([given] if given is not None else []) + ([] if is_file else [root])

    def find(self, name: str, beside: Path | None = None) -> Path:
        """Return the file of an image that the source calls `name`.

        It is looked for at that path from the folder given, from the folder `beside`, and from the other folders of
        images; if it is not there, by its name alone. A path that leads out of these folders is not followed. Raises
        LeftOutError.
        """
        plain = name.replace("\\", "/")
        if not plain.strip("/") or "\0" in plain:
            raise LeftOutError("image-missing", f"the name {name!r}")
        leads_out = False
        first = [root for root in (self._given, beside) if root is not None]
        for root in dict.fromkeys(first + self.roots):
            path = _absolute(root / plain)
            if not self._holds(path) or PureWindowsPath(plain).drive:
                leads_out = True
            elif _is_file(path) and not self._is_predicted(path):
                return path
        alike = self._by_name.get(_key(PurePosixPath(plain).name), [])
        alike = _best(alike, PurePosixPath(plain).parts)
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise LeftOutError("image-missing", f"{len(alike)} images of that name, in several folders")
        if leads_out and all(not self._holds(_absolute(root / plain)) for root in self.roots):
            raise LeftOutError("image-outside", f"the path {name!r}")
        raise LeftOutError("image-missing", "no such file")

    def all_with_stem(self, stem: str) -> list[Path]:
        """Return the images whose name is `stem`, with or, if there are none, without its suffix."""
        return self._by_name.get(_key(stem), []) or self._by_stem.get(_key(stem), [])

    def with_stem(self, stem: str) -> Path:
        """Return the one image that `all_with_stem` finds. Raises LeftOutError."""
        alike = self.all_with_stem(stem)
        if len(alike) != 1:
            raise LeftOutError("image-missing", f"{len(alike)} images of that name" if alike else "no such file")
        return alike[0]

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        found = [path for root in self._deep for path in sorted(root.rglob("*"))]
        found += [path for root in self.roots if root.is_dir() for path in sorted(root.iterdir())]
        names: dict[str, list[Path]] = {}
        for path in dict.fromkeys(found):
            if (
                has_image_suffix(path)
                and not path.name.startswith(".")
                and path.is_file()
                and not self._is_predicted(path)
            ):
                names.setdefault(_key(path.name), []).append(path)
        return names

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        stems: dict[str, list[Path]] = {}
        for paths in self._by_name.values():
            for path in paths:
                stems.setdefault(_key(path.stem), []).append(path)
        return stems

    def _is_predicted(self, path: Path) -> bool:
        """Whether a file lies in a folder of predictions, and not in the folder of images that was given."""
        if self._given is not None and path.is_relative_to(self._given):
            return False
        return any(self._has_ledger(folder) for folder in path.parents if self._holds(folder))

    def _has_ledger(self, folder: Path) -> bool:
        if folder not in self._ledgers:
            self._ledgers[folder] = _is_file(folder / LEDGER)
        return self._ledgers[folder]

    def _holds(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self.roots)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # such as a name that is longer than any file's
        return False


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 - `resolve` would follow links


def _best(paths: list[Path], parts: tuple[str, ...]) -> list[Path]:
    """Return those of `paths` that end in as many parts of the wanted path as any of them does."""
    ends = [
        next((n for n, (a, b) in enumerate(zip(reversed(path.parts), reversed(parts), strict=False)) if a != b), 99)
        for path in paths
    ]
    return [path for path, end in zip(paths, ends, strict=True) if end == max(ends)]


def _key(name: str) -> str:
    # macOS takes letters with accents apart; a tool elsewhere writes them as one.
    return unicodedata.normalize("NFC", name)
