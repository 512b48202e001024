"""What a function of the library was asked for, as the command line that asks for the same."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocuseg.commands.opening import Model

__all__ = ["spelt", "spelt_evaluation"]


def spelt_evaluation(
    model: Model, data: str | Path, *, recipe: Any, overrides: Sequence[str], **options: str | Path | bool | None
) -> str | None:
    """Return the `ocuseg evaluate` of these words of `evaluate`; None where the recipe is no name and no file."""
    if recipe is not None and not isinstance(recipe, str | PathLike):
        return None
    folder = fspath(model) if isinstance(model, str | PathLike) else model.folder
    return spelt("evaluate", [folder, data], {**options, "recipe": recipe, "set": list(overrides)})


def spelt(command: str, arguments: Sequence[str | Path], options: Mapping[str, Any]) -> str:
    """Return `ocuseg COMMAND ARGUMENTS --option value ...`, quoted as a POSIX shell and PowerShell read it.

    An option that is None is left out, True and False become `--option` and `--no-option`, and one with several values
    is repeated.
    """
    words = ["ocuseg", command, *map(str, arguments)]
    for name, value in options.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list | tuple):
            words += [word for one in value for word in (f"--{name}", str(one))]
        elif value is not None:
            words += [f"--{name}", str(value)]
    return shlex.join(words)
