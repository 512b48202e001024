"""The training itself, readable top to bottom."""

from __future__ import annotations

import logging
import math
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping

from ocuseg.checking import CheckResult
from ocuseg.classes import Classes, parse_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.geometry import Preprocessing
from ocuseg.machine import usable_cores
from ocuseg.networks import SegmentationNetwork, build_network
from ocuseg.terminal import progress_bar
from ocuseg.training.augment import Augmentation
from ocuseg.training.cache import ArrayCache
from ocuseg.training.callbacks import (
    BestAndLast,
    EpochWeights,
    FreshStatistics,
    History,
    ProgressLines,
    ReduceOnPlateau,
    SamplePictures,
    WarmedAveraging,
    WholeCheckpoints,
    read_checkpoint,
)
from ocuseg.training.dataset import TrainingBatches, ValidationImages
from ocuseg.training.events import TensorBoardEvents
from ocuseg.training.loading import data_loaders
from ocuseg.training.memory import kept_memory
from ocuseg.training.module import SegmentationModule
from ocuseg.training.normalising import normalised
from ocuseg.training.preparation import Prepared
from ocuseg.training.recipe import Recipe
from ocuseg.training.run import require_same_recipe
from ocuseg.training.samples import load_samples
from ocuseg.training.team import ALONE, Team
from ocuseg.training.widths import usual_preprocessing

__all__ = ["Fitted", "fit", "load_fitted"]

_log = logging.getLogger("ocuseg")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained network with its best weights, on the CPU, and what belongs to it."""

    network: SegmentationNetwork
    network_settings: dict[str, Any]
    preprocessing: Preprocessing
    classes: Classes
    encoding: MaskEncoding
    best_epoch: int


def fit(
    prepared: Prepared,
    checked: CheckResult,
    recipe: Recipe,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
    cache: ArrayCache | None = None,
    bar: bool = False,
    batch_size: int | None = None,
    team: Team = ALONE,
) -> None:
    """Train a network on `train` and choose it on `val`; it, and everything on the way, is then in `folder`.

    With `resume`, goes on after the last whole epoch of `folder/checkpoints/last.ckpt`, exactly as the undisturbed run
    would have. All processes of a `team` call this, each with `batch_size` images a step (default: the recipe's); its
    leader alone touches `folder`.
    Raises LossError, DataError, OutputError, and ResumeError where the recipe is not that of the checkpoint;
    KeyboardInterrupt leaves a run that can be resumed.
    """
    last = folder / "checkpoints" / "last.ckpt"
    resume = team.told(lambda: resume and _is_begun(last, recipe))
    over = team.told(lambda: resume and _is_over(last, recipe))
    classes, encoding, precision = prepared.classes, prepared.encoding, prepared.precision
    network, settings = prepared.network, prepared.network_settings
    _log.info("precision %s on %s: %s", precision.name, precision.device, precision.reason)
    records = {split: checked.index.of_split(split) for split in ("train", "val")}
    preprocessing = usual_preprocessing(
        recipe.preprocessing, int(network.multiple), records["train"], encoding, classes.ignore_index
    )
    with team.in_turn(cache is not None), progress_bar("reading") if bar else nullcontext() as progress:
        samples = load_samples(
            [*records["train"], *records["val"]],
            encoding,
            preprocessing,
            vessel_width_px=recipe.preprocessing.vessel_width_px,
            ignore_index=classes.ignore_index,
            cache=cache,
            threads=usable_cores(),
            progress=progress,
        )
    train, val = samples[: len(records["train"])], samples[len(records["train"]) :]
    preprocessing = normalised(preprocessing, recipe.preprocessing, train)

    batches = TrainingBatches(
        train,
        batch_size=batch_size or recipe.batch_size,
        crop_px=recipe.crop_px,
        margin=_margin(recipe),
        sampler=recipe.sampler,
        repeat_threshold=recipe.repeat_threshold,
        num_classes=len(classes),
        steps_per_epoch=recipe.steps_per_epoch,
        seed=recipe.seed,
        part=team.part,
    )
    images = ValidationImages(val, preprocessing.multiple, team.part)
    module = SegmentationModule(
        network.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        prepared.loss,
        Augmentation(recipe.augmentation),
        recipe,
        mean=preprocessing.mean,
        std=preprocessing.std,
        out_size=batches.out_size,
        num_classes=len(classes),
        total_steps=recipe.epochs * math.ceil(len(batches) / recipe.accumulate),
        description={
            "network": settings,
            "preprocessing": preprocessing.to_json(),
            "classes": classes.to_list(),
            "encoding": encoding.to_json(),
            "recipe": recipe.to_plain(),
        },
        team=team,
    )
    if not over:
        own = [*_callbacks(recipe, folder, classes, images, team, bar=bar), *callbacks]
        with _quiet():
            trainer = pl.Trainer(
                accelerator="gpu" if precision.device == "cuda" else "cpu",
                devices=team.local_size,
                num_nodes=team.size // team.local_size,
                strategy=team.strategy(),
                precision=precision.lightning,
                max_epochs=recipe.epochs,
                gradient_clip_val=recipe.gradient_clip,
                accumulate_grad_batches=recipe.accumulate,
                callbacks=[*own, BestAndLast(last.parent, recipe.monitor)],
                logger=TensorBoardEvents(folder / "tensorboard") if recipe.tensorboard and team.leads else False,
                plugins=[WholeCheckpoints(team)],
                num_sanity_val_steps=0,
                enable_progress_bar=False,
                enable_model_summary=False,
                use_distributed_sampler=False,
                log_every_n_steps=1,
            )
            parameters = sum(p.numel() for p in network.parameters())
            terms = " + ".join(f"{share:g} {name}" for name, (share, _) in prepared.loss.terms.items())
            _log.info(
                f"{settings['name']}, {parameters / 1e6:.2f} M parameters; {len(train)} training and {len(val)} "
                f"validation images; {recipe.epochs} epochs of {len(batches)} steps of {batches.whole}; "
                f"loss {terms}"
            )
            if team.size > 1:
                threads = f"; threads of each: {team.threads}" if team.device == "cpu" else ""
                _log.info("%d processes, each with %d images of a step%s", team.size, batches.batch_size, threads)
            if recipe.sampler == "repeat_factor":
                _log.info("images come 1 to %.2f times a turn, by their rarest class", batches.repeats.max())
            try:
                with kept_memory():
                    trainer.fit(
                        module,
                        *data_loaders(batches, images, trainer.strategy.root_device),
                        ckpt_path=str(last) if resume else None,
                        weights_only=True,
                    )
            except SystemExit as error:  # what Lightning makes of Ctrl-C, which it then goes on to ignore
                signal.signal(signal.SIGINT, signal.default_int_handler)
                raise KeyboardInterrupt from error


def load_fitted(folder: Path) -> Fitted:
    """Return the best network of a run, from its `best.ckpt` alone.

    Raises ModelError where there is none yet, or where it is damaged.
    """
    best = read_checkpoint(folder / "checkpoints" / "best.ckpt")
    described = best[SegmentationModule.DESCRIPTION]
    network = build_network(described["network"])
    prefix = "network."
    weights = {key.removeprefix(prefix): value for key, value in best["state_dict"].items() if key.startswith(prefix)}
    network.load_state_dict(weights)
    return Fitted(
        network=network.eval(),
        network_settings=described["network"],
        preprocessing=Preprocessing.from_json(described["preprocessing"]),
        classes=parse_classes(described["classes"]),
        encoding=MaskEncoding.from_json(described["encoding"]),
        best_epoch=int(best["epoch"]) + 1,
    )


def _callbacks(
    recipe: Recipe, folder: Path, classes: Classes, images: ValidationImages, team: Team, *, bar: bool
) -> list[Callback]:
    chosen: list[Callback] = [History(folder / "history.csv")] if team.leads else []
    if recipe.keep_every and team.leads:
        chosen.append(EpochWeights(folder / "checkpoints", str(recipe.network["name"]), recipe.keep_every))
    if recipe.weight_averaging:
        chosen.append(WarmedAveraging(recipe.weight_averaging))
    chosen.append(FreshStatistics())
    if recipe.sample_pictures:
        chosen.append(SamplePictures(folder / "samples", recipe.sample_pictures, classes, images, team))
    if recipe.schedule == "plateau":
        chosen.append(ReduceOnPlateau(recipe.plateau_patience, recipe.plateau_factor))
    if recipe.early_stopping:
        chosen.append(_early_stopping(recipe))
    return [*chosen, ProgressLines(bar=bar)] if team.leads else chosen


def _early_stopping(recipe: Recipe) -> EarlyStopping:
    mode = "min" if recipe.monitor.endswith("loss") else "max"
    return EarlyStopping(
        recipe.monitor, mode=mode, patience=recipe.early_stopping or 1, check_on_train_epoch_end=True, verbose=False
    )


def _is_begun(last: Path, recipe: Recipe) -> bool:
    """Whether there is a checkpoint; raises ResumeError where that of another recipe is."""
    if not last.exists():
        return False
    trained_by = read_checkpoint(last)[SegmentationModule.DESCRIPTION].get("recipe", {})  # none in old ones
    require_same_recipe(last.parents[1], trained_by, recipe)
    return True


def _is_over(last: Path, recipe: Recipe) -> bool:
    """Whether the run in a checkpoint has reached its last epoch, or was ended before by a callback, which is said."""
    checkpoint = read_checkpoint(last)
    epoch, states = checkpoint["epoch"] + 1, checkpoint["callbacks"]
    if epoch >= recipe.epochs:
        return True
    ended = bool(states.get(BestAndLast.__qualname__, {}).get("ended", False))  # not said in old ones
    if recipe.early_stopping:
        ended |= int(states.get(_early_stopping(recipe).state_key, {}).get("stopped_epoch", 0)) > 0
    if ended:
        run = last.parents[1]
        _log.info(
            "%s: was ended after epoch %d of %d; to train on, start a new run --from it", run, epoch, recipe.epochs
        )
    return ended


def _margin(recipe: Recipe) -> float:
    """Return how much larger than its crop a window is, so that turning and shrinking find image at the corners."""
    angle = np.radians(min(recipe.augmentation.rotation_degrees, 45.0))
    return float((np.cos(angle) + np.sin(angle)) / recipe.augmentation.scale[0])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice to itself: what a user has to know is said by us."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric|torch)\b")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
