import csv
import json

import numpy as np
import pytest

from ocuseg.errors import DataError, UsageError
from ocuseg.evaluation.comparison import compare
from ocuseg.reporting.tables import comparison_table


@pytest.fixture
def write(tmp_path):
    def to_disk(name, dice, *, hd95=None, groups=None, images=None, classes=("vessel",), inside=None, **metrics):
        folder = tmp_path / name / (inside or "")
        folder.mkdir(parents=True, exist_ok=True)
        content = {"model": name, "rule": "r", "split": "test", "data_hash": "d", "dead": [], **metrics}
        (folder / "metrics.json").write_text(json.dumps(content), encoding="utf-8")
        rows = []
        for index, score in enumerate(dice):
            for class_id, class_name in enumerate(classes, start=1):
                row = {"image": images[index] if images else f"eye{index}", "group": groups[index] if groups else ""}
                row |= {"class_id": class_id, "class": class_name, "pixels": 100, "reference_px": 10}
                row |= {"dice": "" if np.isnan(score) else score, "hd95_px": "" if hd95 is None else hd95[index]}
                rows.append(row)
        with (folder / "per_image.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return tmp_path / name

    return to_disk


def test_a_difference_by_hand(write):
    base = np.linspace(0.5, 0.8, 12)
    found = compare(write("a", base + 0.1 + 0.01 * (np.arange(12) % 3)), write("b", base))
    (row,) = found.rows
    assert (found.a, found.b, found.images) == ("a", "b", 12)
    assert row.difference == pytest.approx(0.11, abs=1e-6)
    assert row.mean_a - row.mean_b == pytest.approx(0.11, abs=1e-5)
    assert 0.1 < row.ci95[0] < 0.11 < row.ci95[1] < 0.12
    assert row.verdict == "a is better"
    # All of 12 differences point one way: two-sided exact p = 2 / 2**12, and it is the only comparison.
    assert row.p_value == pytest.approx(2 / 4096, rel=0.2)
    assert row.p_holm == row.p_value
    assert "a is better" in comparison_table(found)


def test_of_distances_the_smaller_one_is_better(write):
    rng = np.random.default_rng(0)
    dice = rng.random(10)
    a, b = write("a", dice, hd95=list(rng.random(10) + 5)), write("b", dice, hd95=list(rng.random(10)))
    verdicts = {row.score: row.verdict for row in compare(a, b).rows}
    assert verdicts == {"dice": "no difference", "hd95_px": "b is better"}


def test_an_interval_that_holds_0_is_no_difference(write):
    base = np.linspace(0.5, 0.8, 10)
    found = compare(write("a", base + np.tile([0.1, -0.1], 5)), write("b", base))
    assert found.rows[0].verdict == "no difference"
    same = compare(write("c", base), write("d", base)).rows[0]
    assert (same.difference, same.p_value, same.verdict) == (0.0, 1.0, "no difference")


def test_several_comparisons_are_corrected(write):
    base = np.linspace(0.5, 0.8, 10)
    a, b = write("a", base + 0.1, classes=("iris", "pupil")), write("b", base, classes=("iris", "pupil"))
    rows = compare(a, b).rows
    assert [row.class_name for row in rows] == ["iris", "pupil", "mean, foreground"]
    assert rows[0].p_holm == pytest.approx(3 * rows[0].p_value)


def test_the_mean_over_the_foreground_is_paired_too_and_the_background_is_not_compared(write):
    a = write("a", [0.5, np.nan, 0.7], classes=("iris", "pupil"))
    for name in ("a", "b"):
        folder = write(name, [0.5, np.nan, 0.7], classes=("iris", "pupil"))
        lines = (folder / "per_image.csv").read_text(encoding="utf-8").splitlines()
        lines += [line.replace(",1,iris,", ",0,background,") for line in lines if ",iris," in line]
        if name == "b":
            lines[2] = lines[2].replace(",0.5,", ",0.9,")  # the pupil of the first eye
        (folder / "per_image.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = compare(a, folder).rows
    assert [(row.class_id, row.class_name) for row in rows] == [(1, "iris"), (2, "pupil"), (None, "mean, foreground")]
    assert rows[2].images == 2
    assert (rows[2].mean_a, rows[2].mean_b) == (pytest.approx(0.6), pytest.approx(0.7))


@pytest.mark.parametrize(("images", "is_noted"), [(9, True), (10, False)])
def test_an_interval_over_few_images_is_said_to_be_rough(write, images, is_noted):
    dice = np.linspace(0.5, 0.8, images)
    notes = compare(write("a", dice), write("b", dice)).notes
    assert [note for note in notes if "only 9 independent images" in note] == list(notes)
    assert bool(notes) is is_noted


def test_undefined_scores_leave_the_pair_out(write):
    found = compare(write("a", [np.nan, 0.5, 0.6, 0.7]), write("b", [0.1, 0.4, np.nan, 0.6])).rows[0]
    assert found.images == 2
    assert found.difference == pytest.approx(0.1)
    assert found.mean_a == pytest.approx(0.6)


def test_groups_are_drawn_as_a_whole(write):
    groups = ["p1"] * 3 + ["p2"] * 3
    found = compare(write("a", [0.6] * 6, groups=groups), write("b", [0.5] * 6, groups=groups)).rows[0]
    assert (found.images, found.groups) == (6, 2)
    alone = compare(write("c", [0.6] * 3, groups=["p"] * 3), write("d", [0.5] * 3, groups=["p"] * 3)).rows[0]
    assert alone.ci95 is None
    assert alone.verdict.startswith("unknown")


def test_other_images_or_other_masks_cannot_be_compared(write, tmp_path):
    a = write("a", [0.5, 0.6])
    with pytest.raises(DataError, match=r"1 are in one only, such as eye2 in .*b"):
        compare(a, write("b", [0.5, 0.6, 0.7]))
    with pytest.raises(DataError, match="different classes"):
        compare(a, write("c", [0.5, 0.6], classes=("vessel", "disc")))
    other = write("d", [0.5, 0.6])
    text = (other / "per_image.csv").read_text(encoding="utf-8")
    (other / "per_image.csv").write_text(text.replace(",10,", ",11,", 1), encoding="utf-8")
    with pytest.raises(DataError, match="differ in the reference mask of eye0"):
        compare(a, other)
    (other / "per_image.csv").write_text(text.replace(",100,", ",99,", 1), encoding="utf-8")
    with pytest.raises(DataError, match="differ in the region"):
        compare(a, other)


def test_what_is_meant_by_a_path(write, tmp_path):
    a, run = write("a", [0.5, 0.6]), write("run", [0.5, 0.6], inside="evaluation/test")
    assert compare(a / "metrics.json", run).images == 2
    write("run", [0.5, 0.6], inside="evaluation/val")
    with pytest.raises(UsageError, match=r"holds no metrics.json; name one of .*test, .*val"):
        compare(a, run)
    with pytest.raises(UsageError, match=r"nowhere: does not exist; give a folder"):
        compare(a, tmp_path / "nowhere")
    with pytest.raises(UsageError, match="score 'dise' is not in both"):
        compare(a, a, scores=["dise"])
    (a / "per_image.csv").unlink()
    with pytest.raises(DataError, match="cannot be read as an evaluation"):
        compare(a, run / "evaluation" / "test")


def test_what_makes_two_sides_less_comparable_is_noted(write):
    a = write("a", [0.5, 0.6], data_hash="other", dead=["vessel is never predicted"])
    found = compare(a, write("b", [0.5, 0.6]))
    assert found.notes[:-1] == ("the data hash differs: other and d", "a is dead: vessel is never predicted")
    assert "only 2 independent" in found.notes[-1]
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["notes"] == list(found.notes)


def test_another_runtime_and_flips_on_one_side_are_noted(write):
    dice = np.linspace(0.5, 0.8, 12)
    a = write("a", dice, runtime="onnxruntime fp32", flips=False)
    b = write("b", dice, runtime="openvino bf16", flips=True)
    assert compare(a, b).notes == (
        "the runtime differs: onnxruntime fp32 and openvino bf16",
        "the averaging over flips differs: no and yes",
    )
    assert compare(a, write("c", dice)).notes == ()  # an earlier version did not say it


def test_an_image_is_no_group_of_the_same_name(write):
    # The image "group 1" stands for itself, beside the two images of group 1.
    names = ["group 1", "x", "y", "z"]
    sides = [write(side, [0.5, 0.6, 0.7, 0.8], images=names, groups=["", "1", "1", ""]) for side in "ab"]
    assert compare(*sides).rows[0].groups == 3
