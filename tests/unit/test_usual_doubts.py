"""How much a network usually doubts images, and whether that is what other images are compared with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocuseg.classes import default_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.geometry import Preprocessing
from ocuseg.images import write_image
from ocuseg.index import Record
from ocuseg.prediction import Predictor
from ocuseg.training.usual_doubts import choose_usual_doubts, combined_doubts, mean_doubts

SIDE = 256
IDS = MaskEncoding("values", ((0, 0), (255, 1)))
PLACE = Preprocessing(field_of_view_diameter_px=128, find_scale=True, mean=(0, 0, 0), std=(1, 1, 1))
USUAL_STEP = 3


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    """Two photographs of dark bars on a lit disc as wide as the picture."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    lit = np.hypot(y, x) < 0.49 * SIDE
    made = []
    for number, shift in enumerate((0, 12)):
        bars = (np.mgrid[:SIDE, :SIDE][1] + shift) // 16 % 3 == 0
        image = np.where(lit & bars, 80, np.where(lit, 200, 0)).astype(np.uint8)[..., None].repeat(3, axis=2)
        paths = (
            write_image(tmp_path / f"{number}.png", image),
            write_image(tmp_path / f"{number}_mask.png", (lit & bars).astype(np.uint8) * 255),
        )
        made.append(Record(str(number), *paths))
    return made


def _predictor(right_at: Callable[[int], bool], sure_at: Callable[[int], bool], outputs: int = 2) -> Predictor:
    """A network that finds the bars, or all but them, and is sure or in doubt, by the size at which it sees them."""

    def network(images: np.ndarray) -> np.ndarray:
        side = images.shape[2]
        bars = (images[:, :1] > 0.15) & (images[:, :1] < 0.55)
        found = bars if right_at(side) else ~bars
        logits = np.where(found, 5.0 if sure_at(side) else 1.0, -5.0 if sure_at(side) else -1.0).astype(np.float32)
        return logits if outputs == 2 else np.concatenate([-logits, logits, logits - 1], axis=1)

    return Predictor(network, classes=default_classes(outputs), preprocessing=PLACE)


def _is_usual(side: int) -> bool:
    return 125 < side < 170  # 131, and 93 and 185 next to it, as multiples of 32


def _is_near(side: int) -> bool:
    return 90 < side < 200


def test_a_network_that_is_surer_where_it_is_wrong_is_compared_with_itself(records, caplog):
    predictor = _predictor(right_at=_is_near, sure_at=lambda side: not _is_usual(side))
    with caplog.at_level("INFO", "ocuseg"):
        usual = choose_usual_doubts(predictor, records, IDS)
    assert usual is not None
    assert min(usual) > 0
    assert usual.index(max(usual)) == USUAL_STEP
    assert "Dice 0.9" in caplog.text
    assert predictor.usual_doubts is None  # whoever asks decides
    predictor.usual_doubts = usual
    bars = predictor(records[0].image).mask
    reference = np.asarray(Image.open(records[0].mask)) > 0
    assert np.mean((bars == 1) == reference) > 0.95


def test_a_network_that_is_right_where_it_is_surer_goes_by_doubt_alone(records):
    predictor = _predictor(right_at=lambda side: not _is_usual(side), sure_at=lambda side: not _is_usual(side))
    assert choose_usual_doubts(predictor, records, IDS) is None


def test_without_a_scale_to_find_or_a_mask_to_compare_with_there_are_none(records, tmp_path):
    predictor = _predictor(right_at=_is_near, sure_at=lambda side: not _is_usual(side))
    empty = write_image(tmp_path / "empty.png", np.zeros((SIDE, SIDE), np.uint8))
    assert choose_usual_doubts(predictor, [Record("0", records[0].image, empty)], IDS) is None
    three = _predictor(right_at=_is_usual, sure_at=lambda side: not _is_usual(side), outputs=3)
    assert choose_usual_doubts(three, records, IDS) is None
    predictor.preprocessing = Preprocessing(field_of_view_diameter_px=128, mean=(0, 0, 0), std=(1, 1, 1))
    assert choose_usual_doubts(predictor, records, IDS) is None


def test_usual_doubts_are_the_mean_over_images(records):
    predictor = _predictor(right_at=lambda side: True, sure_at=_is_usual)
    each = [mean_doubts(predictor, [record]) for record in records]
    assert None not in each
    assert mean_doubts(predictor, records) == pytest.approx(np.mean(each, axis=0), abs=2e-6)


def test_where_nothing_is_found_the_largest_doubt_stands_for_it(records, tmp_path):
    blank = np.full((SIDE, SIDE, 3), 200, np.uint8)
    ImageDraw.Draw(picture := Image.fromarray(blank)).rectangle((100, 100, 124, 124), fill=(80, 80, 80))
    small = Record("small", write_image(tmp_path / "small.png", np.asarray(picture)), records[0].mask)
    predictor = _predictor(right_at=lambda side: True, sure_at=lambda side: side > 110)
    found = mean_doubts(predictor, [small])  # the square has fewer than 50 pixels at the two smallest scales
    assert found is not None
    assert np.isinf(predictor.doubts(np.asarray(picture))[:2]).all()
    assert found[0] == found[1] == max(found)
    nothing = Record("none", write_image(tmp_path / "blank.png", blank), records[0].mask)
    assert mean_doubts(predictor, [nothing]) is None
    assert mean_doubts(predictor, [small, nothing]) == found


def test_folds_that_are_averaged_have_the_mean_of_those_that_have_some():
    one, other = [1.0, 2.0], [3.0, 3.0]
    assert combined_doubts([one, other]) == [2.0, 2.5]
    assert combined_doubts([None, other]) == other
    assert combined_doubts([None, other, None]) is None
    assert combined_doubts([None]) is None
