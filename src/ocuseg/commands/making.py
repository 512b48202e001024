"""The commands of the making half: check, train, export, cache."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocuseg.commands.fitting import FitOptions, fit_run, resumable, tell_check
from ocuseg.commands.folding import check_run, resume_folds, start_folds
from ocuseg.commands.opening import Progress, check_data, checking_bar, index_data, open_bundle, require_sound
from ocuseg.errors import DeadNetworkError, ModelError, UsageError

if TYPE_CHECKING:
    from pytorch_lightning.callbacks import Callback

    from ocuseg.bundle import Bundle
    from ocuseg.checking import CheckResult
    from ocuseg.training.cache import CacheContents
    from ocuseg.training.completion import Completed
    from ocuseg.training.recipe import Recipe
    from ocuseg.training.run import Run
    from ocuseg.training.start import StartWeights

__all__ = ["cache", "check", "export", "train"]

_log = logging.getLogger("ocuseg")


def check(
    data: str | Path,
    *,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> CheckResult:
    """Return everything that is to be said of a data set before it is used: findings, classes, shares, hash.

    `data` is a folder or a split file; `recipe` matters for its data keys only (patterns, `mask_values`, ...).
    Iterating over the result gives the findings. Raises UsageError where `data` does not exist and DataError where it
    holds no images; all else is a finding.
    """
    from ocuseg.training.recipe import load_recipe

    settings = load_recipe({} if recipe is None else recipe, overrides)
    return check_data(index_data(data, settings), settings, progress=progress)


def train(
    data: str | Path | None = None,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    *,
    out: str | Path | None = None,
    overrides: Sequence[str] = (),
    resume: str | Path | None = None,
    start_from: str | Path | None = None,
    folds: int | None = None,
    device: str = "auto",
    callbacks: Sequence[Callback] = (),
    cache: str | Path = "on",
    devices: int = 1,
    num_nodes: int = 1,
    node_rank: int = 0,
    main_address: str | None = None,
    progress: bool = False,
) -> Run:
    """Return a finished run: checked data, a trained network, its threshold chosen on validation, a bundle.

    `recipe` is the name of a shipped recipe (default `retina-unet256`; with `start_from` the model's own, a fifth as
    long and at a quarter of its learning rate), a YAML file, or a mapping; `overrides` are `key=value`. `out` is the
    run folder (default `runs/<recipe>`, numbered where that exists). `resume` is a run folder to go on with; `data`
    is then known. `start_from` is a shipped model, run or bundle whose weights come first, in place of the one that
    the recipe names. `callbacks` are Lightning callbacks of your own, copied for each fold. Decoded images are kept
    for the next run in the user's cache folder (`cache="on"`), in another folder, or nowhere (`"off"`). `progress`
    shows bars.

    With `folds`, a cross-validation by group over the images of all splits: the run has a run in each of its `folds`,
    out-of-fold `scores`, and for a bundle the ensemble of the folds' networks.

    `devices` processes train together, each on a GPU or on its share of the cores and with a batch of its own; on each
    of `num_nodes` machines, which are told their `node_rank` from 0 and the `main_address` HOST:PORT of the first.
    Under torchrun, its processes do. The first does all but the training alone; in the others, the run's `leads` is
    False.

    Raises CheckError where the check finds errors, RecipeError, ResumeError, LossError, OutputError, and
    DeadNetworkError, with the run complete, where a network learnt nothing.
    """
    _require_torch()
    from ocuseg.training.assembly import assembled

    with assembled(device, devices, num_nodes=num_nodes, node_rank=node_rank, main_address=main_address) as team:
        if not team.leads:
            from ocuseg.training.helper import follow
            from ocuseg.training.run import Run

            return Run(Path(follow(team)), leads=False)
        team.require_portable(callbacks)
        options = FitOptions(team, device, tuple(callbacks), progress=progress)
        run = _train(data, recipe, out, overrides, resume, start_from, folds, cache, options)
        team.dismiss(str(run))
        return run


def _train(
    data: str | Path | None,
    recipe: str | Path | Mapping[str, Any] | Recipe | None,
    out: str | Path | None,
    overrides: Sequence[str],
    resume: str | Path | None,
    start_from: str | Path | None,
    folds: int | None,
    cache: str | Path,
    options: FitOptions,
) -> Run:
    """Return a finished run, as the one process, or the leader of several; arguments are those of `train`."""
    from ocuseg.evaluation.judgement import DEAD_REMEDY
    from ocuseg.machine import describe_machine
    from ocuseg.networks import resolve_network
    from ocuseg.training.cache import open_cache
    from ocuseg.training.preparation import prepare
    from ocuseg.training.recipe import load_recipe
    from ocuseg.training.run import find_run, new_run_folder, require_same_data, start_run
    from ocuseg.training.start import bundle_start, read_start, warn_of_names, warn_of_seen
    from ocuseg.training.tuning import tuning_recipe

    if resume is not None:
        if recipe is not None or overrides or start_from is not None or out is not None:
            raise UsageError("a resumed run keeps its recipe and folder; leave out --recipe, --set, --from and --out")
        if folds is not None:
            raise UsageError("a resumed run keeps its folds; leave out --folds")
        run = find_run(resume)
        settings = run.recipe
        data = _data_of(run, f"ocuseg train DATA --resume {run}") if data is None else data
    else:
        model = None if start_from is None else open_bundle(start_from)
        start = None if model is None else bundle_start(model)
        if recipe is None:
            recipe = "retina-unet256" if model is None else tuning_recipe(model)
        settings = load_recipe(recipe, overrides)
        if start is None and settings.start_from is not None:
            start = _start_of_recipe(settings.start_from)
    if data is None:
        raise UsageError("no data were given; name a folder of images and masks or a split file")
    resolve_network(settings.network)
    options = replace(options, cache=open_cache(cache, data))
    if resume is not None:
        if run.folds:
            return resume_folds(run, data, options)
        run.clear_temporaries()
        start = read_start(run.folder)
        checked = check_run(run, data, bar=options.progress)
        require_same_data(run, checked)
    else:
        folder = Path(out) if out is not None else new_run_folder(settings.name)
        if folds is not None:
            return start_folds(data, folds, settings, folder, start, options)
        with checking_bar(options.progress) as bar:
            checked = check_data(index_data(data, settings), settings, progress=bar)
        require_sound(checked)
        tell_check(checked)
        warn_of_names(start, checked)
        warn_of_seen(start, checked, checked.index.of_split("test"), "the scores on test would be no test for them")
    prepared = prepare(checked, settings, start=start, resume=resume is not None, device=options.device)
    if resume is None:
        run = start_run(
            folder, settings, checked,
            data=data, environment=describe_machine(), start=prepared.start, processes=options.team.size,
        )  # fmt: skip
    with resumable(run):
        dead = fit_run(
            run, prepared, checked, options, resume=resume is not None, made=None if resume is not None else run.folder
        )
    if dead:
        raise DeadNetworkError(f"{run}: the network is dead: {'; '.join(dead)}; {DEAD_REMEDY}")
    return run


def _start_of_recipe(model: str) -> StartWeights:
    """Return the weights of the model that a recipe starts from where its network fits; refused with the key's name."""
    from ocuseg.training.start import bundle_start

    try:
        return bundle_start(open_bundle(model), where_fit=True)
    except (ModelError, UsageError) as error:
        raise UsageError(f"'start_from' of the recipe: {error}; null starts from nothing") from error


def export(run: str | Path | Run, *, out: str | Path, data: str | Path | None = None, int8: bool = False) -> Bundle:
    """Return the bundle of a run's best epoch so far, written to `out`; with `int8` its convolutions are quantised.

    The run's data are needed again, for the threshold and the comparison with PyTorch; `data` says where they are if
    they have moved. Raises ModelError where the run has no checkpoint yet or int8 costs too much Dice, ResumeError
    where the data are others.
    """
    _require_torch()
    from ocuseg.bundle import require_replaceable
    from ocuseg.training.completion import complete_run
    from ocuseg.training.fit import load_fitted
    from ocuseg.training.quantisation import quantise_bundle
    from ocuseg.training.run import find_run, require_same_data
    from ocuseg.training.start import read_origin

    found = find_run(run)
    require_replaceable(out)
    if found.folds and not (found.bundle / "bundle.json").is_file():
        raise UsageError(f"{found}: has not ended; go on with 'ocuseg train --resume {found}'")
    if found.folds:
        raise UsageError(f"{found}: is a cross-validation, whose ensemble is {found.bundle}; copy it, or export a fold")
    fitted = load_fitted(found.folder)
    settings = found.recipe
    checked = check_run(found, _data_of(found, "--data DATA") if data is None else data)
    require_same_data(found, checked)
    origin = read_origin(found.folder)
    if not int8:
        return _told(complete_run(fitted, settings, checked, Path(out), origin, found.processes))
    with tempfile.TemporaryDirectory() as scratch:
        in_fp32 = _told(complete_run(fitted, settings, checked, Path(scratch) / "bundle", origin, found.processes))
        train, val = (checked.index.of_split(split) for split in ("train", "val"))
        return quantise_bundle(in_fp32, Path(out), calibration=train, validation=val, encoding=fitted.encoding)


def _data_of(run: Run, remedy: str) -> str:
    """Return where the data of a run are. Raises UsageError where they are not there any more."""
    if not Path(run.data).exists():
        raise UsageError(f"{run.data}: the data of {run} are not there any more; say where they are: {remedy}")
    return run.data


def _told(completed: Completed) -> Bundle:
    """Return the bundle, having warned of what its network did not learn."""
    for sentence in completed.dead:
        _log.warning("the network is dead: %s", sentence)
    return completed.bundle


def cache(folder: str | Path | None = None, *, clear: bool = False) -> CacheContents:
    """Return what is kept of decoded images in a folder, by default the user's own cache; `clear` deletes it.

    Nothing else in the folder is touched. Raises OutputError where a file cannot be deleted.
    """
    from ocuseg.training.cache import cache_folder, empty_cache

    return empty_cache(cache_folder() if folder is None else Path(folder), clear=clear)


def _require_torch() -> None:
    from importlib.util import find_spec

    needed = ("torch", "pytorch_lightning", "monai", "onnxscript", "platformdirs")
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        raise UsageError(f"training needs {', '.join(missing)}; pip install 'ocuseg[train]'")
