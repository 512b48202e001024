"""What every command starts with: data that are indexed and checked, a model that is opened."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocuseg.errors import CheckError

if TYPE_CHECKING:
    from ocuseg.bundle import Bundle
    from ocuseg.checking import CheckResult
    from ocuseg.classes import Classes
    from ocuseg.encoding import MaskEncoding
    from ocuseg.index import Index
    from ocuseg.prediction import Predictor
    from ocuseg.training.recipe import Recipe

    Model = str | PathLike[str] | Bundle

__all__ = ["Progress", "check_data", "checking_bar", "index_data", "open_bundle", "require_sound", "tell_runtime"]

Progress = Callable[[int, int], None]
"""Called with how much is done and how much there is."""

_ERRORS_SHOWN = 20

_log = logging.getLogger("ocuseg")


def index_data(data: str | Path, settings: Recipe) -> Index:
    """Return the records of a data set, by the data keys of a recipe."""
    from ocuseg.index import build_index

    return build_index(
        data,
        image_pattern=settings.image_pattern,
        mask_pattern=settings.mask_pattern,
        group_pattern=settings.group_pattern,
        split_ratios=settings.split_ratios,
        seed=settings.split_seed,
    )


def check_data(
    index: Index,
    settings: Recipe,
    *,
    classes: Classes | None = None,
    encoding: MaskEncoding | None = None,
    folds: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> CheckResult:
    """Return what a check of an index finds, by the data keys of a recipe; `classes` win over the recipe's.

    `encoding`, the rule that they were learnt with, holds unless the masks follow another one better. With `folds`, the
    fold of each record by its name, copies are looked for between folds instead of splits.
    """
    from ocuseg.checking import check_index
    from ocuseg.classes import parse_classes

    if classes is None and settings.classes is not None:
        classes = parse_classes(settings.classes, where="the recipe's classes")
    return check_index(
        index,
        classes=classes,
        mask_values=settings.mask_values,
        mask_threshold=settings.mask_threshold,
        ignore_index=settings.ignore_index,
        encoding=encoding,
        folds=folds,
        progress=progress,
    )


def checking_bar(wanted: bool) -> AbstractContextManager[Progress | None]:
    """Return a context that gives `check_data` a bar to move, or None where no bar is wanted."""
    from ocuseg.terminal import progress_bar

    return progress_bar("checking") if wanted else nullcontext()


def require_sound(checked: CheckResult) -> None:
    """Raise CheckError with the first errors where there are any."""
    errors = checked.findings.of_level("error")
    if errors:
        lines = [f"{item.code}: {item}" for item in errors[:_ERRORS_SHOWN]]
        more = len(errors) - len(lines)
        tail = [f"... and {more} more; 'ocuseg check' lists all"] if more else []
        raise CheckError("\n".join([*lines, *tail]))


def open_bundle(model: Model) -> Bundle:
    """Return a model's bundle, verified: of a shipped model's name, a run, a bundle's folder, or a bundle."""
    from ocuseg.bundle import Bundle, find_bundle, load_bundle

    if isinstance(model, Bundle):
        return model
    return load_bundle(find_bundle(model if isinstance(model, str) else Path(model)))


def tell_runtime(predictor: Predictor) -> None:
    """Say what computes, on how many threads, and why."""
    network: Any = predictor.network
    if hasattr(network, "reason"):
        _log.info("runtime %s, threads %d: %s", network.name, network.threads, network.reason)
