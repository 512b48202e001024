import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocuseg.classes import Classes, default_classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, ModelError, UsageError
from ocuseg.evaluation import METRIC_RULE, choose_threshold, evaluate_records, measuring
from ocuseg.evaluation.cautions import cautions_about_classes
from ocuseg.evaluation.measuring import PackedMask
from ocuseg.index.records import Record

IDS = MaskEncoding("ids", ((0, 0), (1, 1), (2, 2), (9, 9)))
SIDE = 24


@dataclass
class Reading:
    """Says what the red and green of an image hold: red is the probability of class 1, green that of class 2."""

    classes: Classes
    threshold: float | None = 0.5
    name: str = "reading"

    def probabilities(self, image):
        levels = image.astype(np.float32).transpose(2, 0, 1) / 255
        if len(self.classes) == 2:
            return levels[:1]
        return np.stack([1 - levels[0] - levels[1], levels[0], levels[1]])


class Folder:
    """Records on disk, written from arrays."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []

    def add(self, red, mask, *, green=None, field_of_view=None, second=None, group=None):
        name = f"eye{len(self.records):02d}"
        image = np.zeros((*np.shape(red), 3), dtype=np.uint8)
        image[..., 0] = red
        image[..., 1] = 0 if green is None else green
        optional = {"field_of_view": field_of_view, "second_mask": second}
        paths = {key: self._save(f"{name}_{key}", value) for key, value in optional.items() if value is not None}
        record = Record(name, self._save(name, image), self._save(f"{name}_mask", mask), group=group, **paths)
        self.records.append(record)
        return record

    def _save(self, name, values):
        path = self.path / f"{name}.png"
        Image.fromarray(np.asarray(values, dtype=np.uint8)).save(path)
        return path


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def noisy(folder, seed, **more):
    rng = np.random.default_rng(seed)
    mask = (rng.random((SIDE, SIDE)) < 0.3).astype(np.uint8)
    red = np.clip(rng.normal(90 + 90 * mask, 50), 0, 255)
    return folder.add(red, mask, **more)


def test_scores_by_hand_with_their_protocol(folder):
    # First image: tp 1, fp 1, fn 1, tn 1; second: tp 4.
    folder.add([[255, 255], [0, 0]], [[1, 0], [1, 0]])
    folder.add([[255, 255], [255, 255]], [[1, 1], [1, 1]])
    provenance = {"model": "m", "model_hash": "aa", "data_hash": "bb", "threshold_chosen_on": "val"}
    found = evaluate_records(Reading(default_classes(2)), folder.records, IDS, split="test", provenance=provenance)
    scores = found.to_json()
    (row,) = scores["classes"]
    assert row["dice"]["pooled"] == pytest.approx(10 / 12, abs=1e-6)
    assert row["dice"]["per_image"] == pytest.approx(0.75)
    assert row["auc"]["images"] == 1
    expected = {
        "schema": 1, "rule": METRIC_RULE, "split": "test", "images": 2, "resolution": "native", "region": "image",
        "threshold": 0.5, "decision": "threshold", "second_observer": None, "failures": [],
    }  # fmt: skip
    assert {key: scores[key] for key in expected} == expected
    assert {key: scores[key] for key in provenance} == provenance
    assert scores["intervals"]["over"] == "images"
    assert scores["intervals"]["units"] == 2
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert found.mask(0).tolist() == [[1, 1], [0, 0]]
    assert found.best_first() == [1, 0]


def test_the_same_scores_as_scikit_learn(folder):
    from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, roc_auc_score

    for seed in range(5):
        noisy(folder, seed)
    found = evaluate_records(Reading(default_classes(2), 0.4), folder.records, IDS).to_json()
    images = [np.asarray(Image.open(record.image))[..., 0] / 255 for record in folder.records]
    masks = [np.asarray(Image.open(record.mask)) for record in folder.records]
    true, probability = np.concatenate(masks).ravel(), np.concatenate(images).ravel()
    (row,) = found["classes"]
    assert row["dice"]["pooled"] == pytest.approx(f1_score(true, probability >= 0.4), abs=1e-6)
    assert row["auc"]["pooled"] == pytest.approx(roc_auc_score(true, probability), abs=1e-5)
    assert row["average_precision"]["pooled"] == pytest.approx(average_precision_score(true, probability), abs=1e-5)
    assert found["calibration"]["brier"] == pytest.approx(brier_score_loss(true, probability), abs=1e-5)
    per_image = np.mean([roc_auc_score(m.ravel(), i.ravel()) for m, i in zip(masks, images, strict=True)])
    assert row["auc"]["per_image"] == pytest.approx(per_image, abs=1e-5)


def test_only_the_field_of_view_counts_unless_the_whole_image_is_asked_for(folder):
    folder.add([[255, 255, 0]], [[1, 0, 0]], field_of_view=[[255, 0, 255]])
    inside = evaluate_records(Reading(default_classes(2)), folder.records, IDS)
    assert inside.to_json()["region"] == "field_of_view"
    assert inside.to_json()["classes"][0]["dice"]["pooled"] == 1.0
    assert inside.image_rows()[0]["pixels"] == 2
    whole = evaluate_records(Reading(default_classes(2)), folder.records, IDS, region="image")
    assert whole.to_json()["region"] == "image"
    assert whole.to_json()["classes"][0]["dice"]["pooled"] == pytest.approx(2 / 3, abs=1e-6)
    assert any("outside the field of view" in line for line in whole.warnings)


def test_images_with_and_without_a_field_of_view_are_said(folder):
    folder.add([[255, 0]], [[1, 0]], field_of_view=[[255, 255]])
    folder.add([[255, 0]], [[1, 0]])
    found = evaluate_records(Reading(default_classes(2)), folder.records, IDS)
    assert found.to_json()["region_images"] == {"field_of_view": 1, "image": 1}
    assert any("1 of 2 images have no field of view" in line for line in found.warnings)


def test_the_ignored_id_counts_nowhere(folder):
    folder.add([[255, 255, 0]], [[1, 9, 0]])
    found = evaluate_records(Reading(Classes(default_classes(2).items, 9)), folder.records, IDS)
    assert found.confusion.tolist() == [[1, 0], [0, 1]]


def test_more_classes_take_the_most_probable(folder):
    folder.add([[0, 200, 20]], [[0, 1, 2]], green=[[0, 20, 200]])
    folder.add([[0, 200, 90]], [[0, 1, 2]], green=[[0, 20, 80]])
    found = evaluate_records(Reading(default_classes(3), None), folder.records, IDS)
    scores = found.to_json()
    assert scores["decision"] == "most probable class"
    assert scores["threshold"] is None
    assert scores["oracle_gap"] is None
    assert found.confusion.tolist() == [[2, 0, 0], [0, 2, 0], [0, 1, 1]]
    assert [row["id"] for row in scores["classes"]] == [1, 2]
    assert scores["mean_all"]["iou"]["pooled"] == pytest.approx((1 + 2 / 3 + 1 / 2) / 3, abs=1e-6)
    assert [row["class_id"] for row in found.image_rows()] == [0, 1, 2] * 2
    assert found.sweep.tp.shape == (2, 99)
    # A probability of three classes squared: 0 for the sure background, the rest by hand.
    third = [1 - 220 / 255, 200 / 255, 20 / 255]
    fourth = [1 - 170 / 255, 90 / 255, 80 / 255]
    one = third[0] ** 2 + (1 - third[1]) ** 2 + third[2] ** 2
    other = fourth[0] ** 2 + fourth[1] ** 2 + (1 - fourth[2]) ** 2
    assert scores["calibration"]["brier"] == pytest.approx((0 + one + one + 0 + one + other) / 6, abs=1e-4)


def test_the_second_observer_gets_the_scores_that_a_model_would(folder):
    for seed in range(3):
        rng = np.random.default_rng(seed)
        first, second = (rng.random((2, SIDE, SIDE)) < 0.4).astype(np.uint8)
        folder.add(255 * second, first, second=second)
    scores = evaluate_records(Reading(default_classes(2)), folder.records, IDS, threads=True).to_json()
    model, observer = scores["classes"][0], scores["second_observer"]["classes"][0]
    assert {key: model[key] for key in observer} == observer
    assert "cldice" in observer
    assert "auc" not in observer
    assert scores["second_observer"]["images"] == 3
    assert "model_on_same_images" not in scores["second_observer"]


def test_an_observer_of_some_images_stands_beside_the_model_on_those(folder):
    folder.add([[255, 0]], [[1, 0]], second=[[1, 1]])
    folder.add([[0, 0]], [[1, 0]])
    found = evaluate_records(Reading(default_classes(2)), folder.records, IDS)
    observer = found.to_json()["second_observer"]
    assert observer["images"] == 1
    assert observer["model_on_same_images"]["classes"][0]["dice"]["pooled"] == 1.0
    assert found.to_json()["classes"][0]["dice"]["pooled"] == pytest.approx(2 / 3, abs=1e-6)
    assert [row["second_observer_dice"] for row in found.image_rows()] == [pytest.approx(2 / 3, abs=1e-6), None]


@pytest.mark.parametrize("where", ["read_case", "_measure", "probabilities"])
def test_an_image_too_large_for_memory_is_a_failure_and_the_rest_is_scored(folder, monkeypatch, where):
    for _ in range(3):
        folder.add([[255, 0]], [[1, 0]])
    predictor = Reading(default_classes(2))
    owner, calls = (predictor if where == "probabilities" else measuring), iter((1, 2, 3))
    done = getattr(owner, where)

    def too_much(*given, **more):
        if next(calls) == 2:
            raise MemoryError
        return done(*given, **more)

    monkeypatch.setattr(owner, where, too_much)
    found = evaluate_records(predictor, folder.records, IDS)
    assert found.to_json()["images"] == 2
    (failure,) = found.failures
    assert "eye0" in failure
    assert "needs more memory than there is" in failure


def test_one_bad_image_is_a_failure_and_the_rest_is_scored(folder):
    bad = folder.add([[255, 0]], [[1, 0]])
    folder.add([[255, 0]], [[1, 0]])
    bad.image.write_bytes(bad.image.read_bytes()[:40])
    seen = []
    found = evaluate_records(
        Reading(default_classes(2)), folder.records, IDS, failures=["before"], progress=lambda *at: seen.append(at)
    )
    assert found.to_json()["images"] == 1
    assert len(found.failures) == 2
    assert found.failures[0] == "before"
    assert "eye00.png" in found.failures[1]
    assert seen == [(1, 2), (2, 2)]


def test_nothing_to_score_is_an_error(folder):
    with pytest.raises(DataError, match="no images to score in the split test"):
        evaluate_records(Reading(default_classes(2)), [], IDS, split="test")
    why = "no image can be scored in the split test, the first because of eye: has no mask; run 'ocuseg check'"
    with pytest.raises(DataError, match=why):
        evaluate_records(Reading(default_classes(2)), [], IDS, split="test", failures=["eye: has no mask", "other"])
    bad = folder.add([[255, 0]], [[1, 0]])
    bad.image.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"no image could be scored, the first because of .*eye00.png"):
        evaluate_records(Reading(default_classes(2)), folder.records, IDS)
    with pytest.raises(UsageError, match="region 'fov' is unknown"):
        evaluate_records(Reading(default_classes(2)), folder.records, IDS, region="fov")


def test_a_broken_model_is_not_a_broken_image(folder):
    class Broken(Reading):
        def probabilities(self, image):
            raise ModelError("no numbers")

    folder.add([[255, 0]], [[1, 0]])
    with pytest.raises(ModelError):
        evaluate_records(Broken(default_classes(2)), folder.records, IDS)


def test_the_number_of_workers_changes_nothing(folder):
    for seed in range(7):
        noisy(folder, seed, group=f"person {seed // 2}")
    one, four = (
        evaluate_records(Reading(default_classes(2)), folder.records, IDS, threads=True, workers=workers)
        for workers in (1, 4)
    )
    assert one.to_json() == four.to_json()
    assert one.image_rows() == four.image_rows()
    assert [record.name for record in four.records] == [record.name for record in folder.records]


def test_intervals_are_over_groups_where_they_are_known(folder):
    for seed in range(6):
        noisy(folder, seed, group=f"person {seed % 2}")
    scores = evaluate_records(Reading(default_classes(2)), folder.records, IDS).to_json()
    assert scores["intervals"]["over"] == "groups"
    assert scores["intervals"]["units"] == 2
    assert any("only 2 independent" in line for line in scores["warnings"])
    lonely = evaluate_records(Reading(default_classes(2)), folder.records[::2], IDS).to_json()
    assert lonely["classes"][0]["dice"]["ci95"] is None
    assert lonely["classes"][0]["auc"]["ci95"] is None


def test_threads_are_measured_where_the_masks_are_thread_like(folder):
    rows, columns = np.mgrid[:64, :64]
    lines = ((rows % 16 < 2) | (columns % 20 < 2)).astype(np.uint8)
    disc = ((rows - 32) ** 2 + (columns - 32) ** 2 < 400).astype(np.uint8)
    thin, round_one = folder.add(255 * lines, lines), folder.add(255 * disc, disc)
    predictor = Reading(default_classes(2))
    assert "cldice" in evaluate_records(predictor, [thin], IDS).to_json()["classes"][0]
    assert "cldice" not in evaluate_records(predictor, [round_one], IDS).to_json()["classes"][0]
    assert "cldice" in evaluate_records(predictor, [round_one], IDS, threads=True).to_json()["classes"][0]
    without = evaluate_records(predictor, [thin], IDS, threads=False, borders=False).to_json()["classes"][0]
    assert {"cldice", "nsd", "hd95_px"}.isdisjoint(without)


def test_a_dead_network_is_said(folder):
    folder.add(np.zeros((4, 4)), np.eye(4))
    found = evaluate_records(Reading(default_classes(2)), folder.records, IDS)
    assert found.dead == ("foreground is never predicted, though it holds 25 % of the reference",)
    assert found.to_json()["dead"] == list(found.dead)
    assert found.to_json()["pixel_accuracy"]["pooled"] == 0.75


def test_the_oracle_gap_is_what_a_better_threshold_would_have_added(folder):
    folder.add([[60, 60, 10, 10]], [[1, 1, 0, 0]])
    scores = evaluate_records(Reading(default_classes(2)), folder.records, IDS).to_json()
    assert scores["classes"][0]["dice"]["pooled"] == 0
    assert scores["oracle_gap"]["gap"] == 1.0
    assert 10 / 255 < scores["oracle_gap"]["threshold"] <= 60 / 255
    fitting = evaluate_records(Reading(default_classes(2), 0.2), folder.records, IDS).to_json()
    assert fitting["oracle_gap"]["gap"] == 0.0


def test_what_spoils_a_test_is_warned_of(folder):
    folder.add([[255, 0]], [[1, 0]])
    told = {"threshold_chosen_on": "test", "seen_in_training": 3}
    found = evaluate_records(Reading(default_classes(2)), folder.records, IDS, split="test", provenance=told)
    assert any("the threshold was chosen on these very images" in line for line in found.warnings)
    assert any("3 of these images took part" in line for line in found.warnings)
    told = {"threshold_chosen_on": "val", "seen_in_training": 1}
    found = evaluate_records(Reading(default_classes(2)), folder.records, IDS, split="val", provenance=told)
    (line,) = (line for line in found.warnings if "not a test" in line)
    assert "its best epoch and its threshold chosen on them" in line
    assert not any("took part" in line for line in found.warnings)
    found = evaluate_records(Reading(default_classes(3), None), folder.records, IDS, split="val", warnings=["mine"])
    assert found.to_json()["warnings"][0] == "mine"
    assert any("its best epoch chosen on them" in line for line in found.warnings)
    assert any("class_2 is in no reference mask" in line for line in found.warnings)


def test_a_dead_class_says_nothing_of_one_whose_name_begins_its_own():
    # 2 of 10 pixels are lens, and 8 are called lens: Dice .4 where marking all gives .333; the other class is dead.
    confusion = np.array([[1, 6, 0], [0, 2, 0], [0, 1, 0]])
    rows = [{"id": i, "name": name, "dice": {"pooled": 0.4}} for i, name in ((1, "lens"), (2, "lens capsule"))]
    lines = cautions_about_classes(confusion, rows, ["lens capsule is never predicted"])
    assert [line.split(":")[0] for line in lines] == ["lens is hardly learnt"]


def test_a_class_that_is_hardly_better_than_a_guess_is_not_dead_but_named(folder):
    # Of 10 pixels 2 are true: marking all gives 4/12 = .333. Marking 5 of them, both true ones too, gives 4/7 = .571;
    # marking 8 gives 4/10 = .4, hardly better.
    mask = [[1, 1, 0, 0, 0, 0, 0, 0, 0, 0]]
    red = np.full((1, 10), 40)
    red[:, :8] = 200
    folder.add(red, mask)
    found = evaluate_records(Reading(default_classes(2)), folder.records, IDS)
    assert found.dead == ()
    assert (
        "foreground is hardly learnt: its pooled Dice is 0.400, and marking every pixel gives 0.333" in found.warnings
    )
    learnt = evaluate_records(Reading(default_classes(2), 0.9), folder.records, IDS)
    assert not any("hardly" in line for line in learnt.warnings)  # never predicted, which is dead
    red[:, 5:8] = 40
    folder.records.clear()
    folder.add(red, mask)
    assert not any("hardly" in w for w in evaluate_records(Reading(default_classes(2)), folder.records, IDS).warnings)


def test_the_threshold_with_the_highest_pooled_dice(folder):
    # Level 120 is false, 200 true: any threshold in between is perfect; 0.5 is the one nearest to 0.5.
    folder.add([[200, 120, 0]], [[1, 0, 0]])
    threshold, dice_pooled, sweep = choose_threshold(Reading(default_classes(2), None), folder.records, IDS)
    assert (threshold, dice_pooled) == (0.5, 1.0)
    assert sweep.tp.shape == (99,)
    folder.add([[100, 0, 0]], [[1, 1, 0]])
    # At .39 and below: tp 2, fp 1, fn 1; above .47: tp 1, fp 0, fn 2, so the lower one wins.
    threshold, dice_pooled, _ = choose_threshold(Reading(default_classes(2), None), folder.records, IDS)
    assert dice_pooled == pytest.approx(2 / 3)
    assert threshold == 0.39


def test_the_threshold_respects_the_region(folder):
    folder.add([[200, 120, 250]], [[1, 0, 0]], field_of_view=[[255, 255, 0]])
    predictor = Reading(default_classes(2), None)
    assert choose_threshold(predictor, folder.records, IDS).dice_pooled == 1.0
    assert choose_threshold(predictor, folder.records, IDS, "image").dice_pooled < 1.0


def test_no_threshold_without_a_need_or_without_foreground(folder):
    bad = folder.add([[200, 0]], [[0, 0]])
    assert choose_threshold(Reading(default_classes(3), None), folder.records, IDS) is None
    with pytest.raises(DataError, match="none of 1 validation images shows foreground"):
        choose_threshold(Reading(default_classes(2), None), folder.records, IDS)
    bad.mask.unlink()
    with pytest.raises(DataError, match=r"eye00_mask.png"):
        choose_threshold(Reading(default_classes(2), None), folder.records, IDS)


def test_packed_masks_come_back_as_they_were():
    mask = np.random.default_rng(0).integers(0, 4, size=(13, 7)).astype(np.uint8)
    assert np.array_equal(PackedMask.pack(mask).unpack(), mask)
