"""The Lovász extension against its definition as an integral, which needs neither sorting nor differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from ocuseg.training.losses import build_loss
from ocuseg.training.lovasz import lovasz_hinge, lovasz_softmax


def _jaccard_loss(wrong: set[int], truth: set[int]) -> float:
    """1 - IoU of a class whose pixels are `truth` where `wrong` are taken for the opposite; 0 where nothing is."""
    return len(wrong) / len(truth | wrong) if wrong else 0.0


def _by_integral(errors: list[float], truth: set[int]) -> float:
    """The Lovász extension as the integral over t of the loss of the set of pixels with an error of at least t."""
    total, low = 0.0, 0.0
    for level in sorted(set(errors)):
        total += (level - low) * _jaccard_loss({i for i, error in enumerate(errors) if error >= level}, truth)
        low = level
    return total


def _slow_softmax(probabilities: Tensor, target: Tensor) -> float:
    losses = []
    for class_id in sorted(set(target.tolist())):
        truth = {i for i, each in enumerate(target.tolist()) if each == class_id}
        chances = probabilities[:, class_id].tolist()
        losses.append(_by_integral([1 - p if i in truth else p for i, p in enumerate(chances)], truth))
    return float(np.mean(losses))


def _slow_hinge(logits: Tensor, target: Tensor) -> float:
    truth = {i for i, each in enumerate(target.tolist()) if each}
    errors = [max(0.0, 1 - z if i in truth else 1 + z) for i, z in enumerate(logits.tolist())]
    return _by_integral(errors, truth)


@pytest.mark.parametrize("seed", range(8))
def test_both_are_what_their_definition_says(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(40, 4, generator=generator, dtype=torch.float64)
    probabilities = (3 * logits).softmax(dim=1)
    probabilities[5:9] = probabilities[4]  # equal errors
    target = torch.randint(0, 3 if seed % 2 else 4, (40,), generator=generator)  # of three, class 3 is absent
    assert lovasz_softmax(probabilities, target).item() == pytest.approx(_slow_softmax(probabilities, target), rel=1e-5)
    for foreground in (target == 1, torch.ones(40, dtype=torch.bool), torch.zeros(40, dtype=torch.bool)):
        expected = _slow_hinge(logits[:, 0], foreground)
        assert lovasz_hinge(logits[:, 0], foreground.long()).item() == pytest.approx(expected, rel=1e-5)


def test_of_a_decided_network_it_is_one_minus_the_iou() -> None:
    target = torch.tensor([0, 0, 0, 1, 1, 2])
    found = torch.tensor([0, 0, 1, 1, 0, 2])
    expected = 1 - np.mean([2 / 4, 1 / 3, 1.0])
    assert lovasz_softmax(torch.eye(3)[found], target).item() == pytest.approx(expected)
    # At the hinge's corners, z = -1 and 1, an error counts twice.
    z = torch.tensor([-1.0, 1.0, 1.0, -1.0])
    assert lovasz_hinge(z, torch.tensor([0, 1, 0, 1])).item() == pytest.approx(2 * (1 - 1 / 3))


def test_a_class_that_the_target_lacks_is_left_out() -> None:
    probabilities, target = torch.tensor([[0.7, 0.1, 0.2], [0.3, 0.2, 0.5]]), torch.tensor([0, 0])
    expected = _by_integral([0.3, 0.7], {0, 1})
    assert lovasz_softmax(probabilities, target).item() == pytest.approx(expected)


def test_the_gradient_is_that_of_the_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    probabilities = torch.randn(12, 3, generator=generator, dtype=torch.float64).softmax(dim=1).requires_grad_()
    target = torch.randint(0, 3, (12,), generator=generator)
    lovasz_softmax(probabilities, target).backward()
    assert probabilities.grad is not None
    for pixel, channel in ((0, 0), (3, 1), (7, 2), (11, 1)):
        ends = []
        for step in (1e-6, -1e-6):
            moved = probabilities.detach().clone()
            moved[pixel, channel] += step
            ends.append(_slow_softmax(moved, target))
        assert probabilities.grad[pixel, channel].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-5)


def test_a_million_pixels_do_not_drown_in_rounding() -> None:
    # One pixel of 2^20 is of the class and every error is 1/4: the loss is 1/4, its weights sum to 1.
    target = torch.zeros(1 << 20, dtype=torch.long)
    target[12345] = 1
    logits = torch.where(target == 1, 0.75, -0.75).requires_grad_()
    loss = lovasz_hinge(logits, target)
    assert loss.item() == pytest.approx(0.25, rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.abs().sum().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_over_the_counted_pixels_of_the_whole_batch(channels: int) -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(3, channels, 6, 5, generator=generator)
    target = torch.randint(0, max(2, channels), (3, 6, 5), generator=generator)
    counted = torch.rand(3, 6, 5, generator=generator) < 0.6
    flat = torch.stack([logits[n, :, y, x] for n, y, x in counted.nonzero().tolist()])
    truth = torch.stack([target[n, y, x] for n, y, x in counted.nonzero().tolist()])
    expected = _slow_hinge(flat[:, 0], truth) if channels == 1 else _slow_softmax(flat.softmax(dim=1), truth)
    found = build_loss("lovasz", out_channels=channels)(logits, target, counted)
    assert found.item() == pytest.approx(expected, rel=1e-5)
