"""Which change of a recipe carries over: equal budgets, several seeds, other cameras, differences in pairs.

    python benchmarks/study.py benchmarks/studies/vessels.yaml --data FOLDER --out RESULTS
    python benchmarks/study.py benchmarks/studies/vessels.yaml --data FOLDER --out RESULTS --variants plain,tone

A study file names a recipe, what all its trainings have in common, the tasks (a data set to train on and the sets to
score) and the variants (what each changes of the recipe). Every variant is trained on every task with the same seeds.
A variant is a list of settings, or a mapping: its `overrides`, the model to `start_from`, the data to `train` on in
place of the task's; these two are paths, in which `{task}` stands for the name of the task.
The threshold comes from the validation images of the task, as `train` chooses it, and stays for the other sets. Scores
are pooled over a set's images at native size, inside the field of view. What is done is kept in RESULTS, so that a
study that was stopped goes on. No `test` split is looked at: a task that names one is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ocuseg.prediction import Predictor

SCORES = ("dice", "auc", "ece", "cldice", "components")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder that the study's paths start from")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--variants", default="", help="some of the study's variants, with commas; default all")
    parser.add_argument("--tasks", default="", help="some of the study's tasks, with commas; default all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", action="store_true", help="score clDice and components too: slow on large images")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, each on one core")
    parser.add_argument("--report", action="store_true", help="print the table of what is done, train nothing")
    options = parser.parse_args()
    study = yaml.safe_load(options.study.read_text(encoding="utf-8"))
    variants = {name: study["variants"][name] for name in _chosen(options.variants, study["variants"])}
    tasks = {name: study["tasks"][name] for name in _chosen(options.tasks, study["tasks"])}
    cells = [
        _cell(options, study, (task, tasks[task]), (variant, own), seed)
        for seed in range(options.seeds)
        for task in tasks
        for variant, own in variants.items()
    ]
    _require_fit(cells)
    left = [] if options.report else [cell for cell in cells if not cell.path.exists()]
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for done, line in enumerate(pool.map(_run, left), start=1):
            print(f"{done}/{len(left)} {line}", file=sys.stderr, flush=True)
    report(cells, list(variants), list(tasks))


@dataclass(frozen=True)
class Cell:
    """One training: a variant (`overrides` of the recipe), a task and a seed."""

    data: str
    recipe: str
    overrides: tuple[str, ...]
    train: str
    score: Mapping[str, Mapping[str, Any]]
    out: str
    task: str
    variant: str
    seed: int
    threads: bool
    start_from: str | None = None

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        return Path(self.out) / f"{self.variant}-{self.task}-seed{self.seed}.json"

    @property
    def budget(self) -> dict[str, Any]:
        """What has to be equal for a kept result to stand for this cell."""
        wanted = {**asdict(self), "overrides": list(self.overrides)}
        return {key: wanted[key] for key in ("recipe", "overrides", "train", "score", "threads", "start_from")}


def _cell(
    options: argparse.Namespace, study: Mapping[str, Any], task: tuple[str, Any], variant: tuple[str, Any], seed: int
) -> Cell:
    """Return the training of one variant on one task with one seed."""
    own = variant[1] if isinstance(variant[1], Mapping) else {"overrides": variant[1]}
    paths = {key: own[key].format(task=task[0]) for key in ("train", "start_from") if key in own}
    return Cell(
        data=str(options.data),
        recipe=study["recipe"],
        overrides=(*study["common"], *own.get("overrides", ())),
        train=paths.get("train", task[1]["train"]),
        score=task[1]["score"],
        out=str(options.out),
        task=task[0],
        variant=variant[0],
        seed=seed,
        threads=options.threads,
        start_from=paths.get("start_from"),
    )


def _run(cell: Cell) -> str:
    """Train one variant on one task with one seed, score all sets of the task, write the result."""
    import torch

    import ocuseg
    from ocuseg.errors import DeadNetworkError
    from ocuseg.prediction import open_predictor

    torch.set_num_threads(1)
    folder = cell.path.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    overrides = [f"seed={cell.seed}", *cell.overrides]
    with contextlib.suppress(DeadNetworkError):  # its scores say so
        start_from = None if cell.start_from is None else Path(cell.data) / cell.start_from
        ocuseg.train(Path(cell.data) / cell.train, cell.recipe, overrides=overrides, out=folder, start_from=start_from)
    trained = time.perf_counter() - start
    bundle = folder / "bundle"
    predictor = open_predictor(bundle, threads=1)
    sets = {name: _scored(predictor, bundle, Path(cell.data), own, cell.threads) for name, own in cell.score.items()}
    shutil.rmtree(folder, ignore_errors=True)
    content = {"budget": cell.budget, "train_s": round(trained, 1), "threshold": predictor.threshold, "sets": sets}
    cell.path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    dices = ", ".join(f"{name} {values['dice']:.4f}" for name, values in sets.items())
    return f"{cell.path.stem}: {trained:.0f} s; Dice {dices}"


def _scored(
    predictor: Predictor, bundle: Path, data: Path, settings: Mapping[str, Any], threads: bool
) -> dict[str, float]:
    """Return the pooled scores of class 1 on some splits of a set."""
    from ocuseg.bundle import load_bundle
    from ocuseg.commands.opening import index_data
    from ocuseg.encoding import MaskEncoding
    from ocuseg.evaluation.measuring import MeasuringRules, measure_records
    from ocuseg.metrics import auc, calibration_error
    from ocuseg.training.recipe import load_recipe

    encoding = MaskEncoding.from_json(load_bundle(bundle).info.encoding or {})
    index = index_data(data / settings["data"], load_recipe({}))
    records = [record for split in settings["splits"] for record in index.of_split(split)]
    rules = MeasuringRules("field_of_view", borders=False, threads=threads, second_observer=False)
    confusion = np.zeros((2, 2), np.int64)
    histograms: NDArray[np.int64] | None = None
    thin: list[tuple[float, float]] = []
    for item in measure_records(predictor, records, encoding, rules, workers=1):
        if isinstance(item, Exception):
            raise item
        confusion += item.masks.confusion
        histograms = item.histograms if histograms is None else histograms + item.histograms
        if item.masks.threads is not None:
            thin.append(_threads(item.masks.threads))
    found, false, missed = confusion[1, 1], confusion[0, 1], confusion[1, 0]
    scores = {"dice": float(2 * found / (2 * found + false + missed)), "images": len(records)}
    if histograms is not None:
        scores["auc"] = float(auc(histograms)[-1])
        scores["ece"] = float(calibration_error(histograms[-1]))
    if thin:
        scores["cldice"], scores["components"] = (statistics.fmean(values) for values in zip(*thin, strict=True))
    return scores


def _threads(counts: NDArray[np.int64]) -> tuple[float, float]:
    """Return clDice, and how many times as many components as in the reference there are, of one image."""
    from ocuseg.metrics import ThreadCounts, cldice

    found = ThreadCounts.from_array(counts[0])
    return float(cldice(found)), float(found.components_prediction / max(1, int(found.components_reference)))


def _chosen(wanted: str, known: Mapping[str, Any]) -> list[str]:
    """Return the names in `wanted`, all of `known` where there are none; the first is the base of the table."""
    names = [name.strip() for name in wanted.split(",") if name.strip()] or list(known)
    if strange := [name for name in names if name not in known]:
        raise SystemExit(f"{', '.join(strange)}: is not in the study; it has {', '.join(known)}")
    return names


def _require_fit(cells: Sequence[Cell]) -> None:
    """Refuse a test split, and what an earlier call left with other settings: budgets would not be equal."""
    for cell in cells:
        if any("test" in own["splits"] for own in cell.score.values()):
            raise SystemExit(f"{cell.task}: names the split 'test', which no recipe may be chosen on")
        if cell.path.exists() and json.loads(cell.path.read_text(encoding="utf-8"))["budget"] != cell.budget:
            raise SystemExit(f"{cell.path}: was made with other settings; give another --out, or delete it")


def report(cells: Sequence[Cell], variants: Sequence[str], tasks: Sequence[str]) -> None:
    """Print a table for each task and set: means over seeds, and differences to the first variant by seed."""
    kept = {(cell.variant, cell.task, cell.seed): cell for cell in cells if cell.path.exists()}
    found = {key: json.loads(cell.path.read_text(encoding="utf-8")) for key, cell in kept.items()}
    for task in tasks:
        sets = next(cell.score for cell in cells if cell.task == task)
        for name in sets:
            print(f"\nTrained on {task}, scored on {name}\n")
            print("| variant | Dice | difference by seed | AUC | ECE | clDice | components | seconds |")
            print("|---" * 8 + "|")
            base = {seed: item for (variant, of, seed), item in found.items() if (variant, of) == (variants[0], task)}
            for variant in variants:
                own = {seed: item for (which, of, seed), item in found.items() if (which, of) == (variant, task)}
                if own:
                    print(_row(variant, name, own, {} if variant == variants[0] else base))


def _row(variant: str, name: str, own: Mapping[int, Any], base: Mapping[int, Any]) -> str:
    def mean(score: str) -> str:
        values = [item["sets"][name][score] for item in own.values() if score in item["sets"][name]]
        return f"{statistics.fmean(values):.4f}" if values else ""

    steps = [own[seed]["sets"][name]["dice"] - base[seed]["sets"][name]["dice"] for seed in sorted(own) if seed in base]
    said = f"{statistics.fmean(steps):+.4f} ({', '.join(f'{step:+.4f}' for step in steps)})" if steps else ""
    seconds = statistics.fmean(item["train_s"] for item in own.values())
    rest = " | ".join(mean(score) for score in SCORES[1:])
    return f"| {variant} | {mean('dice')} | {said} | {rest} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
