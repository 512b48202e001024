"""The whole job on a small data set, in minutes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocuseg import commands
from ocuseg.errors import OutputError

if TYPE_CHECKING:
    from ocuseg.evaluation import Evaluation
    from ocuseg.training.run import Run

__all__ = ["Demonstration", "demo"]

_log = logging.getLogger("ocuseg")

_COUNTS = {"train": 40, "val": 8, "test": 12}
_SHORT = ("epochs=12", "steps_per_epoch=20")
"""Enough for drawn images: the whole demonstration shall take minutes."""


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What the demonstration made, and the paths to look at."""

    data: Path
    run: Run
    evaluation: Evaluation
    paths: tuple[Path, ...]


def demo(
    data: str | Path | None = None,
    *,
    out: str | Path = "demo",
    recipe: str = "retina-unet256",
    overrides: Sequence[str] = _SHORT,
    progress: bool = False,
) -> Demonstration:
    """Return what check, train and evaluate made of `data`, or of 60 drawn fundus images where none is given.

    Everything lies in `out`; a second call makes a second run beside the first. Raises OutputError where `out` has a
    folder `data` of other files, and what the three commands raise.
    """
    from ocuseg.training.run import new_run_folder

    folder = Path(out)
    if data is None:
        data = folder / "data"
        if not (data / "classes.yaml").exists():
            _draw(data)
    source = Path(data)
    checked = commands.check(source, recipe=recipe, overrides=overrides)
    _log.info("check: %s", checked.findings.summary)
    run = commands.train(source, recipe, out=new_run_folder("run", folder), overrides=overrides, progress=progress)
    evaluation = commands.evaluate(run, source)
    scored = run.folder / "evaluation" / evaluation.metrics["split"]
    paths = (run.folder / "curves.png", scored / "thresholds.png", scored / "overlays", scored / "report.html")
    return Demonstration(source, run, evaluation, paths)


def _draw(folder: Path) -> None:
    """Draw the images into a folder that is not there yet or empty; nobody's own images are touched."""
    from ocuseg.folders import folder_written_whole
    from ocuseg.phantom import write_fundus_set

    if folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None):
        raise OutputError(f"{folder}: holds other files, so nothing is drawn there; give another folder to write to")
    _log.info("drawing %d fundus images with exact vessel masks in %s", sum(_COUNTS.values()), folder)
    with folder_written_whole(folder) as temporary:
        write_fundus_set(temporary, _COUNTS, seed=0)
