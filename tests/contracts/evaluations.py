"""Evaluations of drawn images by a predictor that reads its answer from the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from ocuseg.classes import Classes, ClassInfo
from ocuseg.encoding import MaskEncoding
from ocuseg.evaluation import evaluate_records
from ocuseg.index.records import Record
from ocuseg.reporting import write_evaluation

IDS = MaskEncoding("ids", ((0, 0), (1, 1), (2, 2)))
VESSEL = Classes((ClassInfo(0, "background", "#000000"), ClassInfo(1, "vessel", "#56b4e9")))
LENS = Classes(
    (ClassInfo(0, "background", "#000000"), ClassInfo(1, "iris", "#e69f00"), ClassInfo(2, "lens", "#56b4e9"))
)


class Red:
    """The red of an image is the probability of class 1; for three classes green is that of class 2."""

    def __init__(self, classes: Classes, name: str = "red", threshold: float = 0.5) -> None:
        self.classes, self.name = classes, name
        self.threshold = threshold if len(classes) == 2 else None

    def probabilities(self, image: np.ndarray) -> np.ndarray:
        levels = image.astype(np.float32).transpose(2, 0, 1) / 255
        return levels[:1] if len(self.classes) == 2 else np.stack([1 - levels[0] - levels[1], levels[0], levels[1]])


def drawn_records(
    folder: Path, names: list[str], num_classes: int = 2, size: tuple[int, int] = (120, 160)
) -> list[Record]:
    """Write discs that are predicted the worse the later they come, with a second observer; return their records."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width = size
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height / 2, columns - width / 3) / height
    records = []
    for index, name in enumerate(names):
        rng = np.random.default_rng(index)
        mask = (distance < 0.25).astype(np.uint8)
        if num_classes == 3:
            mask[distance < 0.12] = 2
        image = np.zeros((height, width, 3), dtype=np.uint8)
        found = np.roll(mask, (2 + index) * width // 100, axis=1)
        image[..., 0], image[..., 1] = 170 * (found == 1), 170 * (found == 2)
        image[..., :2] += rng.integers(0, 70, size=(height, width, 1), dtype=np.uint8)
        image[..., 2] = 90
        paths = {}
        for kind, array in (("image", image), ("mask", mask), ("second_mask", np.roll(mask, 1, axis=0))):
            paths[kind] = folder / f"{index}_{kind}.png"
            Image.fromarray(array).save(paths[kind])
        records.append(Record(name, group=f"person {index // 2}", **paths))
    return records


def written_evaluation(
    records: list[Record], folder: Path, classes: Classes = VESSEL, threshold: float = 0.5, model: str = "red"
) -> Path:
    """Evaluate the records, write the evaluation to a folder and return that."""
    facts = {"model": model, "threshold_chosen_on": "val", "command": "ocuseg evaluate red data"}
    facts |= {"versions": {"ocuseg": "1.2.3"}}
    evaluation = evaluate_records(Red(classes, threshold=threshold), records, IDS, split="test", provenance=facts)
    return write_evaluation(evaluation, folder)
