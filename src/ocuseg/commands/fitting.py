"""One run from its checked data to its bundle: what `train` does for a whole data set and for each fold alike."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocuseg.errors import DataError, OcusegError, UsageError

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from ocuseg.checking import CheckResult
    from ocuseg.training.cache import ArrayCache
    from ocuseg.training.preparation import Prepared
    from ocuseg.training.run import Run
    from ocuseg.training.team import Team

__all__ = ["FitOptions", "fit_run", "resumable", "tell_check"]

_log = logging.getLogger("ocuseg")

_TOLD_NOTES = ("classes", "split-by-ratio", "validation-from-training")
_WARNINGS_TOLD = 20


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What a call says of a training beside its recipe: who trains, the device, callbacks, the cache, a bar."""

    team: Team
    device: str = "auto"
    callbacks: tuple[Callback, ...] = ()
    cache: ArrayCache | None = None
    progress: bool = False


@contextmanager
def resumable(run: Run) -> Iterator[None]:
    """Say how to go on where Ctrl-C stops what is done inside."""
    try:
        yield
    except KeyboardInterrupt:
        _log.info("go on with: ocuseg train --resume %s", run)
        raise


def fit_run(
    run: Run, prepared: Prepared, checked: CheckResult, options: FitOptions, *, resume: bool, made: Path | None
) -> tuple[str, ...]:
    """Return one sentence for each class that a run did not learn, once it is trained and its bundle is written.

    `made` is the folder to take away where the data prove unfit before the first epoch; None leaves all as it is.
    Raises what `train` raises.
    """
    from ocuseg.training.completion import complete_run
    from ocuseg.training.fit import fit, load_fitted
    from ocuseg.training.run import share_of_batch
    from ocuseg.training.start import read_origin

    settings, team = run.recipe, options.team
    batch_size = share_of_batch(run, team.size)
    _log.info("run %s; %s; data hash %s", run, checked.findings.summary, checked.data_hash[:12])
    if run.processes != team.size:
        _log.info("begun by %d processes: %d images a step, as then", run.processes, batch_size * team.size)
    try:
        team.hand(
            checked=checked, recipe=settings, folder=run.folder, start=prepared.start, precision=prepared.precision,
            resume=resume, callbacks=options.callbacks, cache=options.cache and options.cache.folder,
            batch_size=batch_size,
        )  # fmt: skip
        with team.at_work():
            fit(
                prepared, checked, settings, run.folder,
                resume=resume, callbacks=options.callbacks, cache=options.cache, bar=options.progress,
                batch_size=batch_size, team=team,
            )  # fmt: skip
        fitted = load_fitted(run.folder)
    except BaseException as error:
        unfit = isinstance(error, DataError | UsageError) and not (run.folder / "history.csv").exists()
        if made is not None and unfit:
            shutil.rmtree(made, ignore_errors=True)  # all of it was made here, and none of it is a run
        with suppress(OcusegError):  # what stopped the run is to be said, not what befell its picture
            _draw_history(run)
        raise
    _draw_history(run)
    return complete_run(fitted, settings, checked, run.bundle, read_origin(run.folder), run.processes).dead


def tell_check(checked: CheckResult) -> None:
    """Log how the data were understood, and what the check warns of."""
    _log.info("layout: %s; image and mask: %s", checked.index.layout, checked.index.pairing)
    for item in checked.findings.of_level("note"):
        if item.code in _TOLD_NOTES:
            _log.info("note: %s: %s", item.code, item)
    warnings = checked.findings.of_level("warning")
    for item in warnings[:_WARNINGS_TOLD]:
        _log.warning("%s: %s", item.code, item)
    if len(warnings) > _WARNINGS_TOLD:
        _log.warning("... and %d more; 'ocuseg check' lists all", len(warnings) - _WARNINGS_TOLD)


def _draw_history(run: Run) -> None:
    from ocuseg.reporting import draw_curves

    if (run.folder / "history.csv").exists():
        draw_curves(run.folder / "history.csv", run.folder / "curves.png", run.recipe.monitor)
