"""The scores of stored probabilities by `ocuseg.evaluation`, from files: all but the distances and centrelines."""

from __future__ import annotations

import time
from pathlib import Path

from line import Line, cases

line = Line()

import numpy as np  # noqa: E402

from ocuseg.classes import default_classes  # noqa: E402
from ocuseg.encoding import MaskEncoding  # noqa: E402
from ocuseg.evaluation import evaluate_records  # noqa: E402
from ocuseg.index import Record  # noqa: E402


class Stored:
    """A predictor whose probabilities, one file for each image, lie on disk."""

    def __init__(self, files: list[str], threshold: float) -> None:
        self.classes = default_classes(2)
        self.threshold = threshold
        self.files = iter(files)

    def probabilities(self, _: np.ndarray) -> np.ndarray:
        return np.load(next(self.files))[None]


def main() -> None:
    settings = line.settings
    files = cases(settings)
    records = [
        Record(f"{number:02d}", Path(case["image"]), Path(case["mask"]), Path(case["field_of_view"]))
        for number, case in enumerate(files)
    ]
    encoding = MaskEncoding("ids", ((0, 0), (1, 1)))
    for warm in line.turns():
        count = 1 if warm else len(records)
        stored = Stored([case["probabilities"] for case in files[:count]], settings["threshold"])
        start = time.perf_counter()
        found = evaluate_records(stored, records[:count], encoding, borders=False, threads=False)
        took = time.perf_counter() - start
        scores = found.metrics["classes"][0]
        same = {f"same_{key}": scores[key]["pooled"] for key in ("dice", "iou", "precision", "recall", "specificity")}
        same |= {f"same_{key}": scores[key]["pooled"] for key in ("auc", "average_precision")}
        same |= {f"same_{key}_per_image": scores[key]["per_image"] for key in ("dice", "auc", "average_precision")}
        same |= {f"same_{key}": found.metrics["calibration"][key] for key in ("ece", "brier")}
        line.answer({"image_s": took / count, **same})


if __name__ == "__main__":
    main()
