import json

import numpy as np
import pytest

from ocuseg.classes import Classes, ClassInfo, default_classes
from ocuseg.evaluation.counting import count_levels, count_masks
from ocuseg.evaluation.scores import (
    LevelTally,
    MaskTally,
    image_table,
    level_scores,
    mask_scores,
    merged_for_intervals,
)
from ocuseg.metrics import shares_of_parent
from ocuseg.metrics.intervals import bootstrap_weights
from ocuseg.metrics.ranking import auc


def tally_of(confusions, groups=None):
    confusion = np.array(confusions, dtype=np.int64)
    names = tuple(f"image {index}" for index in range(len(confusion)))
    return MaskTally(groups or names, confusion, None, None, None)


def test_pooled_and_per_image_by_hand():
    # Dice 2*1/(2+1+0) = .667 and 2*8/(16+0+2) = .889; pooled 18/(18+1+2).
    scores = mask_scores(tally_of([[[8, 1], [0, 1]], [[0, 0], [2, 8]]]), default_classes(2))
    (row,) = scores["classes"]
    assert row["dice"]["pooled"] == pytest.approx(18 / 21, abs=1e-6)
    assert row["dice"]["per_image"] == pytest.approx((2 / 3 + 8 / 9) / 2, abs=1e-6)
    assert row["specificity"] == {
        "pooled": pytest.approx(8 / 9, abs=1e-6),
        "per_image": pytest.approx(8 / 9, abs=1e-6),
        "ci95": [pytest.approx(8 / 9, abs=1e-6)] * 2,
        "images": 1,
    }
    assert scores["pixel_accuracy"]["pooled"] == pytest.approx(17 / 20)
    assert scores["background"]["recall"]["pooled"] == pytest.approx(8 / 9, abs=1e-6)
    assert row["area"]["reference_share"] == pytest.approx(11 / 20)


def test_undefined_is_null_and_left_out_of_means():
    nothing, something = [[9, 0, 0], [0, 0, 0], [0, 0, 0]], [[4, 1, 0], [1, 4, 0], [0, 0, 0]]
    scores = mask_scores(tally_of([nothing, something]), default_classes(3))
    first, second = scores["classes"]
    assert first["dice"]["images"] == 1
    assert second["dice"] == {"pooled": None, "per_image": None, "ci95": None, "images": 0}
    assert scores["mean_foreground"]["dice"]["pooled"] == first["dice"]["pooled"] == pytest.approx(0.8)
    assert scores["mean_foreground"]["dice"]["images"] == 1
    assert scores["mean_all"]["iou"]["images"] == 2
    json.dumps(scores, allow_nan=False)


def test_absent_but_predicted_scores_zero():
    scores = mask_scores(tally_of([[[8, 2], [0, 0]], [[8, 0], [0, 2]]]), default_classes(2))
    assert scores["classes"][0]["dice"]["per_image"] == pytest.approx(0.5)
    assert scores["classes"][0]["dice"]["images"] == 2


def test_the_interval_is_that_of_resampled_groups():
    rng = np.random.default_rng(3)
    confusion = rng.integers(1, 50, size=(7, 2, 2))
    groups = ("a", "a", "b", "c", "c", "d", "d")
    found = mask_scores(tally_of(confusion, groups), default_classes(2))["classes"][0]["dice"]["ci95"]
    names, weights = bootstrap_weights(groups)
    values = []
    for drawn in weights:
        total = sum(drawn[names.index(group)] * one for group, one in zip(groups, confusion, strict=True))
        values.append(2 * total[1, 1] / (2 * total[1, 1] + total[0, 1] + total[1, 0]))
    assert found == pytest.approx(list(np.percentile(values, [2.5, 97.5])), abs=1e-6)


def test_one_group_has_no_interval():
    scores = mask_scores(tally_of([[[8, 1], [0, 1]], [[0, 0], [2, 8]]], ("a", "a")), default_classes(2))
    assert scores["classes"][0]["dice"]["ci95"] is None
    assert scores["pixel_accuracy"]["ci95"] is None


def test_borders_and_threads_by_image_and_pooled():
    empty, line = np.zeros((9, 9), dtype=np.uint8), np.zeros((9, 9), dtype=np.uint8)
    line[4] = 1
    counts = [count_masks(*pair, 2, threads=True) for pair in ((line, line), (line, empty), (empty, empty))]
    tally = MaskTally(
        ("a", "b", "c"),
        np.stack([one.confusion for one in counts]),
        np.stack([one.borders for one in counts]),
        np.stack([one.hd95_px for one in counts]),
        np.stack([one.threads for one in counts]),
    )
    (row,) = mask_scores(tally, default_classes(2))["classes"]
    assert row["nsd"]["tolerance_px"] == 1
    assert row["nsd_2px"]["tolerance_px"] == 2
    # 9 border pixels of the reference twice, of the prediction once; 18 of these 27 are within reach.
    assert row["nsd"]["pooled"] == pytest.approx(18 / 27, abs=1e-6)
    assert (row["nsd"]["per_image"], row["nsd"]["images"]) == (0.5, 2)
    assert (row["hd95_px"]["pooled"], row["hd95_px"]["per_image"], row["hd95_px"]["images"]) == (None, 0.0, 1)
    assert (row["cldice"]["per_image"], row["cldice"]["images"]) == (0.5, 2)
    assert row["components"]["prediction_per_image"] == pytest.approx(1 / 3, abs=1e-6)
    assert row["components"]["reference_per_image"] == pytest.approx(2 / 3, abs=1e-6)
    table = image_table(tally)
    assert np.isnan(table["cldice"][:, 0]).all()
    assert table["nsd_1px"][:2, 1].tolist() == [1, 0]
    kept = tally.subset([0])
    assert kept.groups == ("a",)
    assert kept.threads.shape == (1, 1, 6)


def test_auc_is_exact_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    groups, aucs, by_group, total = [], [], {}, np.zeros((1, 2, 65536), dtype=np.int64)
    for index in range(12):
        reference = rng.integers(0, 2, size=(20, 20)).astype(np.uint8)
        probabilities = np.clip(rng.normal(0.4 + 0.2 * reference, 0.2), 0, 1)[None].astype(np.float32)
        histograms, _ = count_levels(probabilities, reference, reference)
        total += histograms
        aucs.append(auc(histograms))
        groups.append(f"g{index}")
        by_group[groups[-1]] = merged_for_intervals(histograms)
    tally = LevelTally(np.stack(aucs), np.stack(aucs), total, total[0], by_group)
    (row,), calibration = level_scores(tally, groups)
    low, high = row["auc"]["ci95"]
    assert row["auc"]["pooled"] == pytest.approx(float(auc(total)[0]), abs=1e-6)
    assert low < row["auc"]["pooled"] < high < low + 0.1
    assert row["auc"]["images"] == 12
    assert 0 < calibration["ece"] < 1
    assert 0 < calibration["brier"] < 0.5


def test_merged_levels_lose_no_pixel_and_are_fine_where_networks_are_sure():
    histogram = np.zeros((2, 65536), dtype=np.int64)
    histogram[0, :8] = 1
    histogram[1, -8:] = 1
    merged = merged_for_intervals(histogram)
    assert merged.sum() == histogram.sum()
    assert merged.shape[-1] <= 1024
    assert np.count_nonzero(merged[0]) == 8


def test_shares_of_a_parent_count_all_its_parts():
    classes = Classes(
        (
            ClassInfo(0, "background", "#000000"),
            ClassInfo(1, "eye", "#111111"),
            ClassInfo(2, "iris", "#222222", "eye"),
            ClassInfo(3, "pupil", "#333333", "iris"),
        )
    )
    shares = shares_of_parent(np.array([[100, 10, 6, 4], [5, 0, 0, 0]]), classes)
    assert np.isnan(shares[0, :2]).all()
    assert shares[0, 2] == pytest.approx(10 / 20)
    assert shares[0, 3] == pytest.approx(4 / 10)
    assert np.isnan(shares[1]).all()
