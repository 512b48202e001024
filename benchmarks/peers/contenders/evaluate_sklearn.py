"""The same scores of stored probabilities by scikit-learn and MONAI, from files, each package where it is at home.

Counts are taken once for each image and not once for each score, which is more care than most scripts take.
"""

from __future__ import annotations

import time

from line import Line, cases

line = Line()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from monai.metrics import DiceMetric, MeanIoU  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.metrics import average_precision_score, brier_score_loss, confusion_matrix, roc_auc_score  # noqa: E402

BINS = 15


def main() -> None:
    settings = line.settings
    files = cases(settings)
    for warm in line.turns():
        chosen = files[:1] if warm else files
        start = time.perf_counter()
        scores = evaluate(chosen, settings["threshold"])
        took = time.perf_counter() - start
        line.answer({"image_s": took / len(chosen), **{f"same_{key}": float(value) for key, value in scores.items()}})


def evaluate(files: list[dict[str, str]], threshold: float) -> dict[str, float]:
    dice = DiceMetric(include_background=True, reduction="mean")
    iou = MeanIoU(include_background=True, reduction="mean")
    matrices, aucs, precisions, truths, levels = [], [], [], [], []
    for case in files:
        mask = np.asarray(Image.open(case["mask"])) > 0
        inside = np.asarray(Image.open(case["field_of_view"])) > 0
        probabilities = np.load(case["probabilities"])
        decided = probabilities >= threshold
        found, reference = (torch.from_numpy(each & inside)[None, None] for each in (decided, mask))
        dice(found, reference)
        iou(found, reference)
        truth, level = mask[inside], probabilities[inside]
        matrices.append(confusion_matrix(truth, decided[inside], labels=[False, True]))
        aucs.append(roc_auc_score(truth, level))
        precisions.append(average_precision_score(truth, level))
        truths.append(truth)
        levels.append(level)
    truth, level = np.concatenate(truths), np.concatenate(levels)
    (tn, fp), (fn, tp) = np.sum(matrices, axis=0)
    iou.aggregate()
    return {
        "dice": 2 * tp / (2 * tp + fp + fn),
        "iou": tp / (tp + fp + fn),
        "precision": tp / (tp + fp),
        "recall": tp / (tp + fn),
        "specificity": tn / (tn + fp),
        "auc": roc_auc_score(truth, level),
        "average_precision": average_precision_score(truth, level),
        "dice_per_image": dice.aggregate().item(),
        "auc_per_image": np.mean(aucs),
        "average_precision_per_image": np.mean(precisions),
        "ece": calibration_error(truth, level),
        "brier": brier_score_loss(truth, level),
    }


def calibration_error(truth: np.ndarray, level: np.ndarray) -> float:
    """Return the expected calibration error in 15 bins, which scikit-learn does not have."""
    bins = np.minimum((level * BINS).astype(np.int64), BINS - 1)
    sums = np.bincount(bins, level, BINS) - np.bincount(bins, truth, BINS)
    return float(np.abs(sums).sum() / len(level))


if __name__ == "__main__":
    main()
