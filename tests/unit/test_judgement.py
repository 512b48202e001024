import numpy as np
import pytest

from ocuseg.evaluation.judgement import guess_dice, judge_dead

NAMES = ("background", "vessel")


def test_guess_dice_is_that_of_marking_everything():
    share = 0.1
    assert guess_dice(share) == pytest.approx(2 * share / (1 + share))
    blind = [2 * share * marked / (share + marked) for marked in np.linspace(0.01, 1, 100)]
    assert guess_dice(share) == pytest.approx(max(blind))


def test_a_class_that_is_never_predicted():
    (sentence,) = judge_dead(np.array([[90, 0], [10, 0]]), NAMES)
    assert sentence == "vessel is never predicted, though it holds 10 % of the reference"


def test_a_class_that_is_predicted_everywhere():
    (sentence,) = judge_dead(np.array([[0, 90], [0, 10]]), NAMES)
    assert "predicted everywhere" in sentence


def test_a_dice_that_the_share_alone_can_reach():
    # tp 5, fp 60, fn 5: dice 10/75 = .133, marking everything gives .182.
    (sentence,) = judge_dead(np.array([[30, 60], [5, 5]]), NAMES)
    assert "0.133" in sentence
    assert "0.182" in sentence


@pytest.mark.parametrize(("auc", "is_dead"), [(0.5, True), (0.3, True), (0.549, True), (0.56, False), (np.nan, False)])
def test_an_auc_near_chance_is_dead_even_with_a_passing_dice(auc, is_dead):
    alive = np.array([[88, 2], [5, 5]])
    assert judge_dead(alive, NAMES) == []
    assert bool(judge_dead(alive, NAMES, [auc])) is is_dead


def test_what_the_reference_lacks_is_not_judged():
    assert judge_dead(np.array([[95, 5], [0, 0]]), NAMES) == []
    assert judge_dead(np.zeros((2, 2), dtype=int), NAMES) == []


def test_only_the_dead_class_of_several_is_named():
    confusion = np.array([[80, 2, 0], [2, 10, 0], [3, 3, 0]])
    (sentence,) = judge_dead(confusion, ("background", "iris", "pupil"))
    assert sentence.startswith("pupil is never predicted")


def test_one_class_for_every_pixel_is_said_first():
    confusion = np.array([[80, 0, 0], [12, 0, 0], [8, 0, 0]])
    sentences = judge_dead(confusion, ("background", "iris", "pupil"))
    assert sentences[0] == "every pixel is predicted as background"
    assert len(sentences) == 3
