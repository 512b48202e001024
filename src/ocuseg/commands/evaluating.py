"""The command evaluate: the data as they were read for training, one model, its scores written down."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ocuseg.commands.opening import (
    Progress,
    check_data,
    index_data,
    open_bundle,
    require_sound,
    tell_runtime,
)
from ocuseg.errors import CheckError, DataError, ModelError, UsageError

if TYPE_CHECKING:
    from ocuseg.bundle import Bundle
    from ocuseg.checking import CheckResult
    from ocuseg.classes import Classes
    from ocuseg.commands.opening import Model
    from ocuseg.encoding import MaskEncoding
    from ocuseg.evaluation import Evaluation
    from ocuseg.index import Index
    from ocuseg.training.recipe import Recipe

__all__ = ["evaluate", "evaluation_folder"]

_log = logging.getLogger("ocuseg")


def evaluate(
    model: Model,
    data: str | Path,
    *,
    split: str = "test",
    out: str | Path | None = None,
    recipe: str | Path | Mapping[str, Any] | Recipe | None = None,
    overrides: Sequence[str] = (),
    region: Literal["field_of_view", "image"] = "field_of_view",
    runtime: str = "auto",
    precision: str = "auto",
    flips: bool | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Return the scores of a model on one split of a data set, written down with masks, overlays and a report.

    `out` is a folder (default: `evaluation_folder`). The data are read as they were for training; a `recipe` says
    otherwise, with its data keys only. A data set without a test split is evaluated on `val`, which is said.
    Raises DataError where nothing can be scored; a single bad image is one of the result's `failures`.
    """
    from dataclasses import replace

    from ocuseg.commands.spelling import spelt_evaluation
    from ocuseg.evaluation import evaluate_records
    from ocuseg.index.splitting import parse_split
    from ocuseg.machine import package_versions
    from ocuseg.prediction import open_predictor
    from ocuseg.reporting import require_replaceable, write_evaluation
    from ocuseg.training.recipe import load_recipe

    bundle = open_bundle(model)
    settings = load_recipe(bundle.info.trained_on.get("data_settings", {}) if recipe is None else recipe, overrides)
    index = index_data(data, settings)
    wanted = parse_split(split) or split
    if wanted == "test" and not index.has_split("test") and index.has_split("val"):
        if any(of_split == "test" for _, of_split in index.lost):
            raise DataError(f"{data}: no image of test is there; restore the files, or give --split val")
        wanted = "val"
        _log.warning("%s has no test split: the scores are on 'val', which is not a test", data)
    if not index.has_split(wanted):
        held = ", ".join(sorted({record.split or "none" for record in index.records}))
        raise UsageError(f"{data}: has no split {split!r}; it has {held}")
    folder = evaluation_folder(model, wanted) if out is None else Path(out)
    require_replaceable(folder)
    images = len(index.of_split(wanted))
    predictor = open_predictor(bundle, runtime, flips=flips, precision=precision, images=images)
    tell_runtime(predictor)
    checked = check_data(
        replace(index, records=index.of_split(wanted)),
        settings,
        classes=bundle.classes,
        encoding=_learnt_encoding(bundle, settings),
    )
    if checked.encoding is None:
        require_sound(checked)
        raise CheckError(f"{data}: the masks of the split {wanted!r} do not say what they mean; see 'ocuseg check'")
    seen = _seen_in_training(bundle, checked)
    if seen and wanted == "test":
        _log.warning("%d of these images took part in training, such as %s: this is no test", len(seen), seen[0])
    # Where the recipe named the classes, they were meant to differ from those of classes.yaml.
    warnings = [] if settings.classes is not None else _named_otherwise(index, bundle.classes)
    if seen and wanted == "val" and bundle.info.network.get("name") == "ensemble":
        warnings.append(f"{len(seen)} of these images took part in training the ensemble's members: this is no test")
    evaluation = evaluate_records(
        predictor,
        checked.usable,
        checked.encoding,
        split=wanted,
        region=region,
        progress=progress,
        failures=_left_out(checked, wanted),
        warnings=warnings,
        provenance={
            "model": bundle.info.name,
            "model_hash": bundle.digest,
            "data_hash": checked.data_hash,
            "threshold_chosen_on": bundle.info.threshold_chosen_on,
            "seen_in_training": len(seen),
            "trained_on_data_hash": bundle.info.trained_on.get("data_hash"),
            "epoch": bundle.info.trained_on.get("epoch"),
            "runtime": getattr(predictor.network, "name", None),
            "flips": predictor.flips,
            "command": spelt_evaluation(
                model, data, split=wanted, out=out, recipe=recipe, overrides=overrides, region=region, runtime=runtime,
                precision=precision, flips=flips,
            ),
            "versions": package_versions(),
        },
    )  # fmt: skip
    write_evaluation(evaluation, folder, histories=[bundle.folder.parent / "history.csv"])
    return evaluation


def evaluation_folder(model: Model, split: str) -> Path:
    """Return where `evaluate` writes by default: in a run's own folder, else `evaluation/<model>-<split>`."""
    from ocuseg.folders import safe_name

    bundle = open_bundle(model)  # a shipped one by its name, even where a run has that name too
    run = bundle.folder.parent
    if isinstance(model, str | PathLike) and Path(model) == run and (run / "recipe.yaml").is_file():
        return run / "evaluation" / split
    return Path("evaluation") / f"{safe_name(bundle.info.name)}-{split}"


def _learnt_encoding(bundle: Bundle, settings: Recipe) -> MaskEncoding | None:
    """Return the rule by which the model's own masks were read; None where other settings ask for another one."""
    from ocuseg.encoding import MaskEncoding

    learnt = bundle.info.trained_on.get("data_settings", {})
    keys = ("mask_values", "mask_threshold", "ignore_index")
    asked = json.loads(json.dumps(settings.data_settings()))
    if bundle.info.encoding is None or any(asked.get(key) != learnt.get(key) for key in keys):
        return None
    try:
        return MaskEncoding.from_json(bundle.info.encoding)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise ModelError(f"{bundle.folder}: encoding: is no rule for masks; export the bundle again") from error


def _named_otherwise(index: Index, classes: Classes) -> list[str]:
    """Return a line where the data give an id of the model another name, such as iris and pupil swapped."""
    from ocuseg.classes import read_classes

    if index.classes_file is None:
        return []
    try:
        names = read_classes(index.classes_file).names
    except DataError:  # another name in it may be right; what counts here are the model's classes
        return []
    pairs = zip(names, classes.names, strict=False)
    others = [f"{class_id} is {one}, not {own}" for class_id, (one, own) in enumerate(pairs) if one != own]
    if not others:
        return []
    listed = ", ".join(others)
    return [f"{index.classes_file.name} names other classes than the model ({listed}): the names of the model are used"]


def _left_out(checked: CheckResult, split: str) -> list[str]:
    """Return one line for each image of the split that is missing or cannot be scored, and each mask without one."""
    from ocuseg.index.records import relative_name

    root = checked.index.root
    usable = {record.name for record in checked.usable}
    errors = checked.findings.of_level("error")
    first = {finding.path: str(finding) for finding in reversed(errors)}
    lines, folders = [], set[str]()
    for record in checked.index.records:
        files = (record.image, record.mask, record.field_of_view, record.second_mask)
        paths = [relative_name(path, root) for path in files if path is not None]
        if record.mask is not None:
            folders.add(paths[1].rpartition("/")[0])
        if record.name not in usable:
            lines.append(next((first[path] for path in paths if path in first), f"{paths[0]}: cannot be scored"))
    lost = [relative_name(path, root) for path, of_split in checked.index.lost if of_split in (split, None)]
    lines += [first[path] for path in lost if path in first]
    lone = [item for item in errors if item.code == "mask-unpaired" and item.path.rpartition("/")[0] in folders]
    return [*lines, *map(str, lone)]


def _seen_in_training(bundle: Bundle, checked: CheckResult) -> list[str]:
    known = tuple(bundle.info.trained_on.get("image_hashes", ()))
    hashes = {record.name: checked.file_hashes.get(str(record.image), "") for record in checked.index.records}
    return [name for name, digest in hashes.items() if known and digest.startswith(known)]
