"""A cross-validation: a run for each fold, then scores of all images out of fold, then one ensemble."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ocuseg.commands.fitting import FitOptions, fit_run, resumable, tell_check
from ocuseg.commands.opening import check_data, checking_bar, index_data, require_sound
from ocuseg.errors import DeadNetworkError, UsageError

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from ocuseg.checking import CheckResult
    from ocuseg.training.folds import FoldPlan
    from ocuseg.training.recipe import Recipe
    from ocuseg.training.run import Run
    from ocuseg.training.start import StartWeights

__all__ = ["check_run", "resume_folds", "start_folds"]

_log = logging.getLogger("ocuseg")


def start_folds(
    data: str | Path,
    folds: int,
    settings: Recipe,
    folder: Path,
    start: StartWeights | None,
    options: FitOptions,
) -> Run:
    """Return a new cross-validation, finished, in `folder`; arguments and errors are those of `train`."""
    from ocuseg.machine import describe_machine
    from ocuseg.training.folds import divide_folds
    from ocuseg.training.preparation import prepare
    from ocuseg.training.run import start_run
    from ocuseg.training.start import warn_of_names, warn_of_seen

    plan, checked = _check_folds(data, settings, folds, options.progress)
    tell_check(checked)
    warn_of_names(start, checked)
    warn_of_seen(start, checked, plan.index.records, "the out-of-fold scores would be no test for them")
    divided = divide_folds(checked, plan, settings)
    # What is refused is so before a folder is made.
    start = prepare(divided[0], settings, start=start, device=options.device).start
    run = start_run(
        folder,
        settings,
        checked,
        data=data,
        environment=describe_machine(),
        start=start,
        plan=plan,
        processes=options.team.size,
    )
    with resumable(run):
        return _train_folds(run, plan, checked, divided, data, options, is_new=True)


def resume_folds(run: Run, data: str | Path, options: FitOptions) -> Run:
    """Return a cross-validation taken up again: finished folds are kept, the others go on, then comes the ensemble.

    Raises ResumeError where the data are others, and what `train` raises.
    """
    from ocuseg.training.folds import divide_folds
    from ocuseg.training.run import require_same_data

    settings = run.recipe
    plan, checked = _check_folds(data, settings, len(run.folds), options.progress)
    require_same_data(run, checked)
    run.clear_temporaries()
    divided = divide_folds(checked, plan, settings)
    with resumable(run):
        return _train_folds(run, plan, checked, divided, data, options, is_new=False)


def check_run(run: Run, data: str | Path, *, bar: bool = False) -> CheckResult:
    """Return the check of a run's data, divided as they were for the run: by splits, or for one fold of several."""
    from ocuseg.training.folds import divide_folds

    settings = run.recipe
    if run.fold is None:
        with checking_bar(bar) as progress:
            checked = check_data(index_data(data, settings), settings, progress=progress)
        require_sound(checked)
        return checked
    number, folds = run.fold
    plan, whole = _check_folds(data, settings, folds, bar)
    return divide_folds(whole, plan, settings)[number - 1]


def _check_folds(data: str | Path, settings: Recipe, folds: int, bar: bool) -> tuple[FoldPlan, CheckResult]:
    from ocuseg.training.folds import plan_folds

    plan = plan_folds(index_data(data, settings), folds, settings.split_seed)
    with checking_bar(bar) as progress:
        checked = check_data(plan.index, settings, folds=plan.labels, progress=progress)
    require_sound(checked)
    _log.info("%d folds %s; the %d images of all splits take part", folds, plan.rule, len(plan.fold_of))
    if all(record.group is None for record in plan.index.records):
        _log.warning("no groups are known: images of one person, eye or video may lie in several folds")
    return plan, checked


def _train_folds(
    run: Run,
    plan: FoldPlan,
    checked: CheckResult,
    divided: Sequence[CheckResult],
    data: str | Path,
    options: FitOptions,
    *,
    is_new: bool,
) -> Run:
    from ocuseg.evaluation.judgement import DEAD_REMEDY
    from ocuseg.reporting import write_evaluation
    from ocuseg.training.combining import combine_folds, score_folds
    from ocuseg.training.run import OUT_OF_FOLD

    lines = []
    for number, (fold, of_fold) in enumerate(zip(run.folds, divided, strict=True), start=1):
        made = run.folder if is_new and number == 1 else None
        own = replace(options, callbacks=_copied(options.callbacks))
        dead = _train_fold(run, fold, number, plan, of_fold, data, own, made)
        if dead:
            lines.append(f"fold {number}: {'; '.join(dead)}")
            _log.warning("the network of fold %d is dead: %s", number, "; ".join(dead))
    scores = score_folds(run, plan, checked, _again(run, plan, data))
    histories = [fold.folder / "history.csv" for fold in run.folds]
    folder = write_evaluation(scores, run.folder / "evaluation" / OUT_OF_FOLD, histories=histories)
    combine_folds(run, plan, checked, run.recipe, scores)
    if scores.dead:
        lines.append(f"all folds together: {'; '.join(scores.dead)}")
    if lines:
        raise DeadNetworkError(
            f"{run}: networks are dead: {'; '.join(lines)}; the scores, theirs included, are in {folder}; {DEAD_REMEDY}"
        )
    return run


def _again(run: Run, plan: FoldPlan, data: str | Path) -> str | None:
    """Return the command that makes the run anew; None where it started from a model that does not ship."""
    from ocuseg.bundle import find_bundle, load_bundle, model_names
    from ocuseg.commands.spelling import spelt
    from ocuseg.training.start import read_origin

    options = {"recipe": run.folder / "recipe.yaml", "folds": plan.folds}
    origin = read_origin(run.folder)
    if origin is not None:
        if origin.model not in model_names() or origin.digest != load_bundle(find_bundle(origin.model)).digest:
            return None
        options["from"] = origin.model
    return spelt("train", [data], options)


def _copied(callbacks: Sequence[Callback]) -> tuple[Callback, ...]:
    """Return a copy of each: a callback that counts, or stops a training early, starts afresh in each fold."""
    copies = []
    for callback in callbacks:
        try:
            copies.append(copy.deepcopy(callback))
        except Exception as error:  # whatever the callback holds says no in its own words
            raise UsageError(
                f"{type(callback).__name__}: cannot be copied for each fold ({error}); open files and connections in "
                "its 'setup', or train without folds"
            ) from error
    return tuple(copies)


def _train_fold(
    run: Run,
    fold: Run,
    number: int,
    plan: FoldPlan,
    checked: CheckResult,
    data: str | Path,
    options: FitOptions,
    made: Path | None,
) -> tuple[str, ...]:
    """Return what a fold did not learn, once it has its bundle; one that has it already is kept as it is."""
    from ocuseg.bundle import load_bundle
    from ocuseg.machine import describe_machine
    from ocuseg.training.preparation import prepare
    from ocuseg.training.run import find_run, require_same_data, require_same_recipe, start_run
    from ocuseg.training.start import read_start

    sizes = ", ".join(f"{len(checked.index.of_split(split))} {split}" for split in ("train", "val", "test"))
    begun = (fold.folder / "recipe.yaml").is_file()
    if begun:
        require_same_data(find_run(fold), checked)
        require_same_recipe(run.folder, fold.recipe.to_plain(), run.recipe)
        if (fold.bundle / "bundle.json").is_file():
            _log.info("fold %d of %d (%s) is done", number, plan.folds, sizes)
            return tuple(load_bundle(fold.bundle).info.scores["val"]["dead"])
        fold.clear_temporaries()
    _log.info("fold %d of %d: %s", number, plan.folds, sizes)
    start = read_start(fold.folder if begun else run.folder)
    settings = run.recipe
    prepared = prepare(checked, settings, start=start, resume=True, device=options.device)
    if not begun:
        start_run(
            fold.folder, settings, checked,
            data=data, environment=describe_machine(), start=start, plan=plan, fold=number, processes=run.processes,
        )  # fmt: skip
    return fit_run(fold, prepared, checked, options, resume=begun, made=made)
