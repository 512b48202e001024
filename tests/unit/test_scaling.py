"""The scale and shift that calibrate a logit."""

import numpy as np
import pytest
import torch

from ocuseg.metrics import auc, calibration_error, fit_scaling
from ocuseg.networks import build_network

LEVELS = 65_536


def histogram(chances: np.ndarray, truth: np.ndarray) -> np.ndarray:
    level = np.rint(chances * (LEVELS - 1)).astype(int)
    return np.stack([np.bincount(level[truth == kind], minlength=LEVELS) for kind in (False, True)])


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


@pytest.mark.parametrize(("scale", "shift"), [(0.5, -1.0), (2.0, 0.7), (1.0, 0.0)])
def test_the_change_that_was_made_is_found(scale, shift):
    random = np.random.default_rng(0)
    logits = random.normal(-2, 2, 200_000)
    levels = histogram(sigmoid(logits), random.random(logits.size) < sigmoid(scale * logits + shift))
    assert fit_scaling(levels) == pytest.approx((scale, shift), abs=0.03)


def test_it_agrees_with_logistic_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    random = np.random.default_rng(1)
    logits = random.normal(0, 1, 5_000)
    truth = random.random(logits.size) < sigmoid(0.3 * logits + 2)
    fitted = linear_model.LogisticRegression(C=1e9).fit(logits[:, None], truth)
    expected = (fitted.coef_.item(), fitted.intercept_.item())
    assert fit_scaling(histogram(sigmoid(logits), truth)) == pytest.approx(expected, abs=2e-3)


def test_too_sure_probabilities_become_true_and_keep_their_order():
    random = np.random.default_rng(2)
    logits = random.normal(-1, 1, 100_000)
    truth = random.random(logits.size) < sigmoid(logits)
    levels = histogram(sigmoid(3 * logits), truth)
    scale, shift = fit_scaling(levels)
    mended = histogram(sigmoid(scale * 3 * logits + shift), truth)
    assert calibration_error(levels) > 0.05
    assert calibration_error(mended) < 0.005
    assert auc(mended) == pytest.approx(auc(levels), abs=1e-4)


def test_two_kinds_told_apart_wholly_have_a_finite_scale():
    levels = np.zeros((2, LEVELS), np.int64)
    levels[0, 20_000], levels[1, 40_000] = 1_000, 1_000
    scale, shift = fit_scaling(levels)
    assert 1 < scale < 1e4
    assert np.isfinite(shift)


@pytest.mark.parametrize(
    "filled",
    [[], [(0, 5, 10)], [(1, 5, 10)], [(0, 5, 10), (1, 5, 10)], [(0, 60_000, 50), (1, 100, 50)]],
    ids=["nothing", "one kind", "the other kind", "one level", "the wrong way round"],
)
def test_what_cannot_be_calibrated_stays(filled):
    levels = np.zeros((2, LEVELS), np.int64)
    for kind, level, count in filled:
        levels[kind, level] = count
    assert fit_scaling(levels) == (1.0, 0.0)


NETWORKS = [
    {"name": "unet-small", "width": 4},
    {"name": "unet-256", "width": 4},
    {"name": "hrnet", "variant": "small-v1"},
    {"name": "hrnet", "variant": "small-v1", "attention": "ocr", "ocr_channels": [16, 8]},
]


@pytest.mark.parametrize("settings", NETWORKS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_a_network_scales_its_logits(settings):
    torch.manual_seed(0)
    network = build_network({**settings, "out_channels": 1}).eval()
    images = torch.rand(1, 3, 256, 256)
    with torch.inference_mode():
        before = network(images)
        network.scale_logits(0.5, -1.25)
        assert torch.allclose(network(images), 0.5 * before - 1.25, atol=1e-5)
