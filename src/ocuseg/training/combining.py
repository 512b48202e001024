"""The finished folds of a cross-validation become one: out-of-fold scores, and an ensemble bundle."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np

from ocuseg.bundle import Bundle, BundleInfo, PredictionSettings, load_bundle
from ocuseg.checking import CheckResult
from ocuseg.errors import DataError
from ocuseg.evaluation import Evaluation, PredictorLike, evaluate_folds
from ocuseg.files import hash_bytes
from ocuseg.geometry import Preprocessing
from ocuseg.index import Record
from ocuseg.machine import package_versions
from ocuseg.metrics import best_of_sweep
from ocuseg.networks import Ensemble, build_network
from ocuseg.prediction import open_predictor
from ocuseg.suitability import learn_features
from ocuseg.training.completion import LICENCE, common_facts, headline
from ocuseg.training.export import export_bundle
from ocuseg.training.folds import FoldPlan
from ocuseg.training.recipe import Recipe
from ocuseg.training.run import OUT_OF_FOLD, Run
from ocuseg.training.start import Origin, read_origin, seen_before
from ocuseg.training.usual_doubts import combined_doubts

__all__ = ["combine_folds", "score_folds"]

_log = logging.getLogger("ocuseg")

_COMPARED_PER_FOLD = 1
_CHOSEN_ON = "the out-of-fold predictions of its members"
_NOTE = (
    "each image was scored by the one member that was neither trained nor chosen on it; "
    "the ensemble itself has seen all of them, and has no test of its own"
)


def score_folds(run: Run, plan: FoldPlan, checked: CheckResult, command: str | None = None) -> Evaluation:
    """Return the out-of-fold scores: every image by the bundle of its fold, with that fold's threshold, pooled.

    `checked` is the check of all images, `command` what makes the scores again. Raises DataError where no image can
    be scored.
    """
    if checked.encoding is None:
        raise DataError(f"{checked.index.root}: the masks do not say what they mean; see 'ocuseg check'")

    def opened() -> Iterator[tuple[PredictorLike, Sequence[Record]]]:
        for number, fold in enumerate(run.folds, start=1):
            records = plan.records_of(number)
            _log.info("scoring the %d images of fold %d of %d", len(records), number, plan.folds)
            predictor = open_predictor(fold.bundle)
            provenance.update(runtime=getattr(predictor.network, "name", None), flips=predictor.flips)
            yield predictor, records

    bundles = [load_bundle(fold.bundle) for fold in run.folds]
    provenance: dict[str, Any] = {
        "model": run.recipe.name,
        "model_hash": hash_bytes([bundle.digest for bundle in bundles]),
        "data_hash": checked.data_hash,
        "folds": plan.folds,
        "folds_made": plan.rule,
        "threshold_chosen_on": None if bundles[0].info.threshold is None else "val",
        "seen_in_training": len(seen_before(read_origin(run.folder), checked, plan.index.records)),
        "command": command,
        "versions": package_versions(),
    }
    return evaluate_folds(opened(), checked.encoding, split=OUT_OF_FOLD, provenance=provenance)


def combine_folds(run: Run, plan: FoldPlan, checked: CheckResult, recipe: Recipe, scores: Evaluation) -> Bundle:
    """Return the bundle, written to `run.bundle`, that averages the probabilities of the folds' networks.

    Its threshold (two classes) is the one with the highest pooled Dice of the out-of-fold predictions in `scores`.
    Raises ExportError where PyTorch and the ONNX file disagree on an image of each fold.
    """
    from safetensors.torch import load_file

    members = [load_bundle(fold.bundle) for fold in run.folds]
    networks = [build_network(member.info.network) for member in members]
    for network, member in zip(networks, members, strict=True):
        network.load_state_dict(load_file(member.weights_path))
    ensemble = Ensemble(networks)
    own = [(member.preprocessing.mean, member.preprocessing.std) for member in members]
    mean, std = (_mean_of([values[part] for values in own]) for part in (0, 1))
    ensemble.absorb(own, (mean, std))
    first = members[0]
    info = BundleInfo(
        name=recipe.name,
        network={
            "name": "ensemble",
            "in_channels": ensemble.in_channels,
            "out_channels": first.classes.out_channels,
            "members": [member.info.network for member in members],
        },
        classes=first.info.classes,
        preprocessing=replace(_scale_of(members), mean=mean, std=std).to_json(),
        prediction=_prediction_of(members),
        threshold=best_of_sweep(scores.sweep)[0] if len(first.classes) == 2 else None,
        threshold_chosen_on=_CHOSEN_ON if len(first.classes) == 2 else None,
        trained_on=_facts(plan, checked, recipe, members, read_origin(run.folder), run.processes),
        scores={"note": _NOTE, OUT_OF_FOLD: headline(scores)},
        licence=LICENCE,
        ocuseg_version=version("ocuseg"),
        encoding=first.info.encoding,
        measures=first.info.measures,
        made_for=learn_features(row for member in members for row in member.info.made_for or ()) or None,
    )
    compared = [
        record for number in range(1, plan.folds + 1) for record in plan.records_of(number)[:_COMPARED_PER_FOLD]
    ]
    return export_bundle(ensemble, info, run.bundle, records=compared)


def _scale_of(members: Sequence[Bundle]) -> Preprocessing:
    """Return the preprocessing of the first member with the mean scale of all, where it was measured for each."""
    all_of_them = [member.preprocessing for member in members]
    diameters = [each.field_of_view_diameter_px for each in all_of_them if each.field_of_view_diameter_px is not None]
    mean = round(sum(diameters) / len(diameters)) if diameters else None
    return replace(all_of_them[0], field_of_view_diameter_px=mean)


def _prediction_of(members: Sequence[Bundle]) -> PredictionSettings:
    """Return the settings of the first member, with the usual doubts of all."""
    settings = members[0].info.prediction.copy()
    settings.pop("usual_doubts", None)
    usual = combined_doubts([member.info.prediction.get("usual_doubts") for member in members])
    if usual is not None:
        settings["usual_doubts"] = usual
    return settings


def _facts(
    plan: FoldPlan,
    checked: CheckResult,
    recipe: Recipe,
    members: Sequence[Bundle],
    origin: Origin | None,
    processes: int,
) -> dict[str, Any]:
    records = checked.index.records
    return {
        **common_facts(recipe, checked, records, origin, processes),
        "images": len(records),
        "groups": len({record.group for record in records if record.group}),
        "folds": plan.folds,
        "folds_made": plan.rule,
        "epochs": [member.info.trained_on["epoch"] for member in members],
        "thresholds": [member.info.threshold for member in members if member.info.threshold is not None],
    }


def _mean_of(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 4) for value in np.mean(rows, axis=0))
    return red, green, blue
