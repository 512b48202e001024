"""A fitted network becomes a finished model: its threshold chosen, its validation scores taken, its bundle written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from ocuseg.bundle import Bundle, BundleInfo, PredictionSettings
from ocuseg.checking import CheckResult
from ocuseg.evaluation import Evaluation, choose_threshold, evaluate_records
from ocuseg.images import read_image
from ocuseg.index import Record
from ocuseg.prediction import open_predictor
from ocuseg.suitability import learn_features
from ocuseg.training.adjustment import adjust_logits
from ocuseg.training.calibration import calibrate
from ocuseg.training.export import export_bundle
from ocuseg.training.fit import Fitted
from ocuseg.training.recipe import Recipe
from ocuseg.training.start import Origin
from ocuseg.training.unexported import fitted_predictor
from ocuseg.training.usual_doubts import choose_usual_doubts, mean_doubts

__all__ = ["LICENCE", "Completed", "common_facts", "complete_run", "headline"]

_log = logging.getLogger("ocuseg")

HASH_DIGITS = 16
"""How much of an image's SHA-256 a bundle keeps, so that an evaluation can tell an image it was trained on."""
_COMPARED = 4
_SHOWN = 24
"""How many of the training and validation images show which pictures a model is made for."""
_DOUBTED = 8
"""How many validation images show how much the network usually doubts what it sees."""
LICENCE = "not stated: that of the training data and of whoever trained it"


@dataclass(frozen=True, slots=True)
class Completed:
    """A bundle, and one sentence for each class that its network did not learn."""

    bundle: Bundle
    dead: tuple[str, ...]


def complete_run(
    fitted: Fitted,
    recipe: Recipe,
    checked: CheckResult,
    folder: Path,
    origin: Origin | None = None,
    processes: int = 1,
) -> Completed:
    """Return the bundle written to `folder`, with the threshold and the scores of the validation images.

    Both come from the exported network as a user will run it. `origin` is the model that the run started from,
    `processes` how many trained it. Raises ExportError where the exported network disagrees with PyTorch.
    """
    records = checked.index.of_split("val")
    shown = _evenly((*checked.index.of_split("train"), *records), _SHOWN)
    facts = _training_facts(recipe, checked, fitted, origin, processes)
    prediction = _settle(fitted, recipe, records, facts)
    info = BundleInfo(
        name=recipe.name,
        network=fitted.network_settings,
        classes=fitted.classes.to_list(),
        preprocessing=fitted.preprocessing.to_json(),
        prediction=prediction,
        threshold=None,
        threshold_chosen_on=None,
        trained_on=facts,
        scores={},
        licence=LICENCE,
        ocuseg_version=version("ocuseg"),
        encoding=fitted.encoding.to_json(),
        measures=recipe.measures if len(fitted.classes) == 2 else [],
    )
    evaluations: list[Evaluation] = []

    def complete(staged: Bundle) -> BundleInfo:
        predictor = open_predictor(staged)
        predictor.threshold = None  # so that small pieces are left out at each threshold that is tried
        choice = choose_threshold(predictor, records, fitted.encoding)
        if choice is not None:
            predictor.threshold = choice.threshold
            _log.info("threshold %.2f by pooled Dice %.4f on val", choice.threshold, choice.dice_pooled)
        evaluation = evaluate_records(predictor, records, fitted.encoding, split="val", borders=False, threads=False)
        evaluations.append(evaluation)
        made_for = learn_features(predictor(read_image(record.image)).features() for record in shown)
        update: dict[str, Any] = {"scores": {"val": headline(evaluation)}, "made_for": made_for}
        if choice is not None:
            update |= {"threshold": choice.threshold, "threshold_chosen_on": "val"}
        return info.model_copy(update=update)

    bundle = export_bundle(fitted.network, info, folder, records=records[:_COMPARED], complete=complete)
    return Completed(bundle, evaluations[0].dead)


def common_facts(
    recipe: Recipe, checked: CheckResult, records: Sequence[Record], origin: Origin | None, processes: int = 1
) -> dict[str, Any]:
    """Return what every bundle says of its training: the recipe, the data, the images that took part, the start.

    `records` took part in this training; `image_hashes` has their images and those of the model that it started from.
    Of a file of weights and of a model its name is given, not the folder that it lies in.
    """
    plain = recipe.to_plain()
    for key in ("start_from", "encoder_weights"):
        if plain[key] is not None:
            plain[key] = Path(plain[key]).name
    digests = {checked.file_hashes.get(str(record.image), "")[:HASH_DIGITS] for record in records} - {""}
    return {
        "recipe": plain,
        "data_settings": recipe.data_settings(),
        "data_hash": checked.data_hash,
        **({} if origin is None else {"started_from": origin.to_json()}),
        "seed": recipe.seed,
        **({"processes": processes} if processes > 1 else {}),
        "image_hashes": sorted(digests.union(() if origin is None else origin.image_hashes)),
    }


def _settle(fitted: Fitted, recipe: Recipe, records: Sequence[Record], facts: dict[str, Any]) -> PredictionSettings:
    """Return how the network is to predict, once its logits are calibrated and adjusted, of which `facts` then tell."""
    predictor, some = fitted_predictor(fitted, recipe), _evenly(records, _DOUBTED)
    usual = predictor.usual_doubts = choose_usual_doubts(predictor, some, fitted.encoding)
    if recipe.calibrate and len(fitted.classes) == 2:
        facts["calibration"] = calibrate(fitted.network, predictor, records, fitted.encoding)
        usual = None if usual is None else mean_doubts(predictor, some)
    if recipe.logit_adjustment:
        facts["logit_adjustment"] = adjust_logits(fitted.network.eval().cpu(), recipe, fitted.classes)
    settings = cast(PredictionSettings, recipe.prediction.model_dump())
    if usual is not None:
        settings["usual_doubts"] = usual
    return settings


def _training_facts(
    recipe: Recipe, checked: CheckResult, fitted: Fitted, origin: Origin | None, processes: int
) -> dict[str, Any]:
    splits = {split: checked.index.of_split(split) for split in ("train", "val", "test")}
    return {
        **common_facts(recipe, checked, (*splits["train"], *splits["val"]), origin, processes),
        "images": {split: len(records) for split, records in splits.items() if records},
        "groups": {
            split: len({record.group for record in records if record.group}) for split, records in splits.items()
        },
        "epoch": fitted.best_epoch,
    }


def _evenly(records: Sequence[Record], count: int) -> list[Record]:
    """Return `count` of the records, spread evenly over them, or all where they are fewer."""
    step = max(1.0, len(records) / count)
    return [records[int(place * step)] for place in range(min(count, len(records)))]


def headline(evaluation: Evaluation) -> dict[str, Any]:
    """Return what a bundle keeps: the pooled and per-image scores of each class, with intervals, and dead classes."""
    metrics = evaluation.metrics
    keys = ("dice", "iou", "precision", "recall", "auc")
    return {
        "images": metrics["images"],
        "region": metrics["region"],
        "resolution": metrics["resolution"],
        "dead": list(evaluation.dead),
        "classes": [
            {"id": item["id"], "name": item["name"], **{key: item[key] for key in keys if key in item}}
            for item in metrics["classes"]
        ],
        **({key: metrics[key] for key in ("mean_foreground", "mean_all")} if len(metrics["classes"]) > 1 else {}),
    }
