"""Which part of a network, a loss or a sampler helps: equal budgets, several seeds, folds by person, paired intervals.

    python benchmarks/ablation.py networks DATA --out FOLDER --folds 4 --size 256 384
    python benchmarks/ablation.py losses DATA --out FOLDER --folds 4 --size 288 384

Parameters and images per second beside these scores: `benchmarks/speed.py`.

Every setting is trained for the same number of steps on the same folds with the same seeds. In a fold, the best epoch
is chosen on a part of the other groups; the images scored took part in nothing. Scores are pooled over all images out
of fold, then averaged over the seeds. An interval draws groups (people, eyes, videos) and seeds with replacement. What
is done is kept in FOLDER, so that a run that was stopped goes on. Rows are printed as a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ocuseg.index import Record

_OCR = "ocr_channels: [128, 64]"  # of 512 and 256 for networks twenty times as large; see docs/results.md
NETWORKS = {
    "HRNet": "{name: hrnet, variant: small-v1}",
    "HRNet + se": "{name: hrnet, variant: small-v1, attention: se}",
    "HRNet + cbam": "{name: hrnet, variant: small-v1, attention: cbam}",
    "HRNet + scse": "{name: hrnet, variant: small-v1, attention: scse}",
    "HRNet + ocr": f"{{name: hrnet, variant: small-v1, attention: ocr, {_OCR}}}",
    "U-Net": "{name: unet-small}",
}
OBJECTIVES = {
    "CE, uniform": ("loss=ce",),
    "CE + Dice, uniform": ("loss=ce_dice",),
    "CE + Lovasz, uniform": ("loss=ce_lovasz",),
    "CE, repeat-factor": ("loss=ce", "sampler=repeat_factor", "repeat_threshold=0.8"),
    "CE + Dice, repeat-factor": ("loss=ce_dice", "sampler=repeat_factor", "repeat_threshold=0.8"),
    "CE + Lovasz, repeat-factor": ("loss=ce_lovasz", "sampler=repeat_factor", "repeat_threshold=0.8"),
}
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("networks", "losses"))
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--every", type=int, default=1, help="take every Nth image of each group: frames of one film")
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all settings alike")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, each on one core")
    parser.add_argument("--report", action="store_true", help="print the table of what is done, train nothing")
    options = parser.parse_args()
    settings: dict[str, tuple[str, ...]] = {name: (f"network={own}",) for name, own in NETWORKS.items()}
    settings["HRNet + ocr"] += ("auxiliary_weights=[0.4]",)  # as in its paper
    if options.what == "losses":
        settings = {name: (f"network={NETWORKS['HRNet']}", *own) for name, own in OBJECTIVES.items()}
    shared = (
        f"preprocessing.size={list(options.size)}", "epochs=5", f"steps_per_epoch={options.steps // 5}", *options.set,
    )  # fmt: skip
    cells = [
        Cell(options.data, options.every, options.folds, (*shared, *own), options.out, name, seed, fold)
        for seed in range(options.seeds)
        for fold in range(options.folds)
        for name, own in settings.items()
    ]
    _require_same_budget(cells)
    left = [] if options.report else [cell for cell in cells if not cell.path.exists()]
    options.out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for done, line in enumerate(pool.map(_train, left), start=1):
            print(f"{done}/{len(left)} {line}", file=sys.stderr, flush=True)
    report(options.out, list(settings))


@dataclass(frozen=True)
class Cell:
    """One training: a setting (`overrides` of the recipe, called `name`), a seed, and the fold left out."""

    data: Path
    every: int
    folds: int
    overrides: tuple[str, ...]
    out: Path
    name: str
    seed: int
    fold: int

    @property
    def path(self) -> Path:
        """Where its result is kept."""
        return self.out / f"{self.name}-seed{self.seed}-fold{self.fold}.json"

    @property
    def budget(self) -> dict[str, Any]:
        """What has to be equal for results to be compared, as kept beside them."""
        data = self.data.parent.name if self.data.is_file() else self.data.name
        return {"data": data, "every": self.every, "folds": self.folds, "overrides": list(self.overrides)}


def _train(cell: Cell) -> str:
    """Train one setting with one seed without one fold; write the confusion matrix of each image of that fold."""
    import shutil

    import torch

    from ocuseg.commands.opening import check_data, index_data
    from ocuseg.evaluation.measuring import MeasuringRules, measure_records
    from ocuseg.prediction import Predictor
    from ocuseg.training.fit import fit, load_fitted
    from ocuseg.training.folds import divide_folds, plan_folds
    from ocuseg.training.preparation import prepare
    from ocuseg.training.recipe import load_recipe

    torch.set_num_threads(1)
    recipe = load_recipe("cataract-hrnet", [f"seed={cell.seed}", *cell.overrides])
    index = index_data(cell.data, recipe)
    plan = plan_folds(replace(index, records=_thinned(index.records, cell.every)), cell.folds, recipe.split_seed)
    checked = divide_folds(check_data(plan.index, recipe, folds=plan.labels), plan, recipe)[cell.fold]
    folder = cell.path.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    fit(prepare(checked, recipe, device="cpu"), checked, recipe, folder)
    fitted = load_fitted(folder)
    trained = time.perf_counter() - start
    network = fitted.network

    def logits(images: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            found: NDArray[np.float32] = network(torch.from_numpy(images)).float().numpy()
        return found

    predictor = Predictor(logits, classes=fitted.classes, preprocessing=fitted.preprocessing)
    rules = MeasuringRules("field_of_view", borders=False, threads=False, second_observer=False)
    records = checked.index.of_split("test")
    images = []
    for item in measure_records(predictor, records, fitted.encoding, rules, workers=1):
        if isinstance(item, Exception):
            raise item
        confusion = item.masks.confusion.tolist()
        images.append({"image": item.record.name, "unit": item.record.unit, "confusion": confusion})
    shutil.rmtree(folder, ignore_errors=True)
    content = {
        "budget": cell.budget,
        "classes": fitted.classes.names,
        "train_s": round(trained, 1),
        "images": images,
    }
    cell.path.write_text(json.dumps(content), encoding="utf-8")
    return f"{cell.path.stem}: {trained:.0f} s"


def _thinned(records: Sequence[Record], every: int) -> tuple[Record, ...]:
    """Return every Nth record of each group, in their order."""
    seen: Counter[str] = Counter()
    kept = []
    for record in records:
        if seen[record.unit] % every == 0:
            kept.append(record)
        seen[record.unit] += 1
    return tuple(kept)


def _require_same_budget(cells: Sequence[Cell]) -> None:
    """Refuse what an earlier call left with other data, steps, sizes or folds: budgets would not be equal."""
    for cell in cells:
        if cell.path.exists() and json.loads(cell.path.read_text(encoding="utf-8"))["budget"] != cell.budget:
            raise SystemExit(f"{cell.path}: was made with another budget; give another --out")


def report(folder: Path, settings: Sequence[str]) -> None:
    """Print the table of what lies in `folder`: scores, and differences to the first setting."""
    confusions, classes, units = _read(folder, settings)
    drawn = _draws(units, next(iter(confusions.values())).shape[0])
    scores = {name: _scores(values, drawn) for name, values in confusions.items()}
    plain = next(iter(scores.values()))
    foreground = classes[1:]
    print(f"| setting | mean foreground Dice | {' | '.join(foreground)} | mIoU | difference to {settings[0]} |")
    print("|---" * (len(foreground) + 4) + "|")
    for name, found in scores.items():
        cells = [_with_interval(found["mean"])]
        cells += [f"{found['dice'][0][index]:.4f}" for index in range(len(foreground))]
        cells.append(_with_interval(found["miou"]))
        difference = [ours - theirs for ours, theirs in zip(found["mean"], plain["mean"], strict=True)]
        low, high = np.percentile(difference[1], [2.5, 97.5])
        seeds = ", ".join(f"{value:+.4f}" for value in found["by_seed"] - plain["by_seed"])
        said = f"{difference[0]:+.4f} ({low:+.4f} to {high:+.4f}); by seed {seeds}" if found is not plain else ""
        print(f"| {name} | {' | '.join(cells)} | {said} |")
    print(f"\n{len(next(iter(confusions.values())))} seeds, {len(set(units))} groups, {len(units)} images")


def _read(folder: Path, settings: Sequence[str]) -> tuple[dict[str, NDArray[np.int64]], list[str], list[str]]:
    """Return confusion matrices (seeds, images, C, C) of each setting, the classes, and the group of each image."""
    found: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in settings}
    classes: list[str] = []
    units: dict[str, str] = {}
    for path in sorted(folder.glob("*.json")):
        name, seed, _ = path.stem.rsplit("-", 2)
        if name not in found:
            continue
        content = json.loads(path.read_text(encoding="utf-8"))
        classes = content["classes"]
        of_seed = found[name].setdefault(int(seed.removeprefix("seed")), {})
        for item in content["images"]:
            of_seed[item["image"]] = item["confusion"]
            units[item["image"]] = item["unit"]
    names = sorted(units)
    whole = {
        seed for seed in range(100)
        if all(len(by_seed.get(seed, {})) == len(names) for by_seed in found.values())
    }  # fmt: skip
    if not whole:
        raise SystemExit(f"{folder}: no seed is complete for all settings yet")
    stacked = {
        name: np.array([[by_seed[seed][image] for image in names] for seed in sorted(whole)])
        for name, by_seed in found.items()
    }
    return stacked, classes, [units[image] for image in names]


def _draws(units: Sequence[str], seeds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how often each image (R, N) and each seed (R, S) is drawn in each resample; the first draws each once."""
    from ocuseg.metrics.intervals import bootstrap_weights

    names, weights = bootstrap_weights(units, RESAMPLES)
    of_image = weights[:, [names.index(unit) for unit in units]]
    _, of_seed = bootstrap_weights(range(seeds), RESAMPLES, seed=1)
    return (
        np.concatenate([np.ones((1, len(units)), np.int64), of_image]),
        np.concatenate([np.ones((1, seeds), np.int64), of_seed]),
    )


def _scores(confusions: NDArray[np.int64], drawn: tuple[NDArray[np.int64], NDArray[np.int64]]) -> Mapping[str, Any]:
    """Return scores as (value, resampled values): pooled over the images drawn, averaged over the seeds drawn."""
    images, seeds = drawn
    pooled = np.einsum("rn,snij->rsij", images, confusions).astype(float)  # (R, S, C, C)
    overlap = np.einsum("rsii->rsi", pooled)
    sums = pooled.sum(2) + pooled.sum(3)
    with np.errstate(invalid="ignore"):
        dice, iou = 2 * overlap / sums, overlap / (sums - overlap)
    shares = seeds / seeds.sum(1, keepdims=True)

    def averaged(values: NDArray[np.float64]) -> tuple[Any, Any]:
        mean = np.einsum("rs,rs...->r...", shares, values)
        return mean[0], mean[1:]

    mean = np.nanmean(dice[..., 1:], axis=2)
    return {
        "mean": averaged(mean),
        "dice": averaged(dice[..., 1:]),
        "miou": averaged(np.nanmean(iou, axis=2)),
        "by_seed": mean[0],
    }


def _with_interval(score: tuple[Any, Any]) -> str:
    low, high = np.nanpercentile(score[1], [2.5, 97.5])
    return f"{score[0]:.4f} ({low:.4f} to {high:.4f})"


if __name__ == "__main__":
    main()
