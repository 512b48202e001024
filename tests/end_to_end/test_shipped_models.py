"""What ships: whole, small, described, and able to find what it is for in drawn images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ocuseg
from ocuseg import phantom
from ocuseg.bundle import find_bundle, load_bundle, model_names

MODELS = ("cataract-lens", "cataract-surgery", "vessels", "vessels-drawn")
MOST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def opened() -> dict[str, ocuseg.Predictor]:
    return {name: ocuseg.load(name, runtime="onnxruntime") for name in MODELS}


def _dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    return 2 * float(np.count_nonzero(prediction & reference)) / (prediction.sum() + reference.sum())


def test_these_ship() -> None:
    assert model_names() == MODELS
    assert list(ocuseg.models()) == list(MODELS)


@pytest.mark.parametrize("name", MODELS)
def test_it_is_small_and_says_what_it_is(name: str) -> None:
    folder = find_bundle(name)
    bundle = load_bundle(folder)
    assert sum(path.stat().st_size for path in folder.iterdir()) < MOST_BYTES
    assert bundle.info.name == name
    assert bundle.info.trained_on["data"]
    assert bundle.info.made_for
    card = (folder / "README.md").read_text(encoding="utf-8")
    headings = ("What it is for", "Data and licence", "Measured", "Where it fails, and what it is not for", "Licence")
    assert [heading for heading in headings if f"## {heading}\n" not in card] == []
    assert "not a medical device" in card
    assert "Not measured" not in card
    assert f"ocuseg predict {name} IMAGE" in card
    assert bundle.info.licence in ocuseg.models()[name]


@pytest.mark.parametrize("name", MODELS)
def test_both_files_hold_the_same_network(name: str, opened: dict[str, ocuseg.Predictor]) -> None:
    image = _drawn(name, 3).image
    other = ocuseg.load(name, runtime="pytorch", precision="fp32")
    assert np.mean(opened[name](image).mask != other(image).mask) < 0.001


def _drawn(name: str, seed: int) -> phantom.Phantom:
    draw = {
        "vessels": phantom.draw_fundus,
        "vessels-drawn": phantom.draw_fundus,
        "cataract-surgery": phantom.draw_surgery,
        "cataract-lens": phantom.draw_retro,
    }
    return draw[name](seed, size=640 if draw[name] is phantom.draw_fundus else (320, 480))


@pytest.mark.parametrize(
    ("name", "found", "least"),
    [("vessels", 1, 0.6), ("vessels-drawn", 1, 0.85), ("cataract-surgery", 2, 0.7), ("cataract-lens", 0, 0.9)],
)
def test_it_finds_what_it_is_for_in_drawn_images(
    name: str, found: int, least: float, opened: dict[str, ocuseg.Predictor]
) -> None:
    scores = []
    for seed in range(900, 904):
        drawn = _drawn(name, seed)
        mask = opened[name](drawn.image).mask
        scores.append(_dice(mask == found, drawn.mask == found) if found else _dice(mask > 0, drawn.mask > 0))
    assert np.mean(scores) > least


@pytest.mark.parametrize("name", MODELS)
def test_what_it_was_not_made_for_is_flagged(name: str, opened: dict[str, ocuseg.Predictor]) -> None:
    black = np.zeros((400, 400, 3), np.uint8)
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    others = [_drawn(other, 5).image for other in MODELS if other != name]
    flagged = [bool(opened[name](picture).flags) for picture in (black, noise, *others)]
    assert flagged[:2] == [True, True]
    assert any(flagged[2:])


def test_the_share_of_the_lens_that_is_affected(opened: dict[str, ocuseg.Predictor]) -> None:
    rows = opened["cataract-lens"](_drawn("cataract-lens", 900).image).areas()
    cataract = next(row for row in rows if row["class"] == "cataract")
    assert cataract["parent"] == "clear lens"
    assert 0 <= cataract["share_of_parent"] <= 1


def test_a_mask_and_its_measures_by_one_command(tmp_path: Path, opened: dict[str, ocuseg.Predictor]) -> None:
    from ocuseg.images import write_image

    write_image(tmp_path / "eye.png", _drawn("vessels", 7).image)
    (outcome,) = ocuseg.predict("vessels", tmp_path / "eye.png", out=tmp_path / "out")
    assert outcome.error is None
    assert 0.02 < outcome.measures["vessel_density"] < 0.3
