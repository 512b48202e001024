"""Names for the results of images, no two alike."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from ocuseg.files import stem_of

__all__ = ["output_names"]


def output_names(paths: Sequence[Path], known: Sequence[str | None] = ()) -> list[str]:
    """Return a name for each of the different `paths`, no two equal even where case is ignored.

    A path keeps the name that `known` has for it, in the order of `paths`, unless an earlier one has the same. It is
    else the stem. Where stems meet, the folders above are put before it (`a/1.png`, `b/1.png`: `a_1`, `b_1`), or the
    kind of file after it (`1.png`, `1.jpg`: `1_png`, `1_jpg`), or both; at the last, a number.
    """
    alike: dict[str, list[int]] = {}
    for index, path in enumerate(paths):
        alike.setdefault(stem_of(path).casefold(), []).append(index)
    names = [stem_of(path) for path in paths]
    for group in alike.values():
        if len(group) > 1:
            for index, name in zip(group, _told_apart([paths[index].resolve() for index in group]), strict=True):
                names[index] = name
    taken: dict[str, int] = {}
    for index, one in enumerate(known):
        if one is not None and taken.setdefault(one.casefold(), index) == index:
            names[index] = one
    kept = set(taken.values())
    for index, name in enumerate(names):
        if index not in kept:
            numbered = (f"{name}_{number}" for number in itertools.count(2))
            names[index] = next(one for one in itertools.chain([name], numbered) if one.casefold() not in taken)
            taken[names[index].casefold()] = index
    return names


def _told_apart(paths: list[Path]) -> list[str]:
    folders = [path.parent.parts[1:] for path in paths]
    depths = range(1, max(map(len, folders)) + 1)
    for depth, with_suffix in [*((depth, False) for depth in depths), *((depth, True) for depth in (0, *depths))]:
        names = [
            "_".join([*above[len(above) - min(depth, len(above)) :], stem_of(path), *([path.suffix[1:]] * with_suffix)])
            for above, path in zip(folders, paths, strict=True)
        ]
        if len({name.casefold() for name in names}) == len(names):
            return names
    return [stem_of(path) for path in paths]
