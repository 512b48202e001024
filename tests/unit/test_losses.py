from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ocuseg.errors import UsageError
from ocuseg.training.frequencies import class_weights
from ocuseg.training.losses import LOSSES, TERMS, build_loss, settled_loss

ONE_LOGIT = sorted(name for name, terms in LOSSES.items() if "ce" not in terms)
THREE_LOGITS = sorted(name for name, terms in LOSSES.items() if "bce" not in terms)
CASES = [(name, 1) for name in ONE_LOGIT] + [(name, 3) for name in THREE_LOGITS]


def _batch(out_channels: int, seed: int = 0, size: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, out_channels, size, size, generator=generator)
    target = torch.randint(0, max(2, out_channels), (2, size, size), generator=generator, dtype=torch.uint8)
    counted = torch.rand(2, size, size, generator=generator) < 0.7
    return logits, target, counted


def _value(spec: Any, logits: Tensor, target: Tensor, weight: Tensor | None = None, **options: Any) -> float:
    loss = build_loss(spec, out_channels=logits.shape[1], **options)
    return loss(logits, target, torch.ones_like(target, dtype=torch.bool) if weight is None else weight).item()


# Four pixels of which one is class 1, and a network that has no idea.
UNSURE, ONE_OF_FOUR = torch.zeros(1, 1, 2, 2), torch.tensor([[[0, 0], [0, 1]]], dtype=torch.uint8)


@pytest.mark.parametrize(
    ("spec", "options", "expected"),
    [
        ("bce", {}, math.log(2)),
        ("bce", {"positive_weight": 3.0}, (3 + 3) / 4 * math.log(2)),  # three of class 0, one that weighs 3
        ("bce", {"class_weights": (1.0, 3.0)}, math.log(2)),  # divided by the weights, 6
        ("focal", {}, 0.25 * math.log(2)),  # (1 - 1/2)^2
        ("focal", {"focal_gamma": 0.0}, math.log(2)),
        ("dice", {}, 1 - 2 * 0.5 / (2 + 1)),  # tp 1/2, sum of the prediction 2, of the target 1
        ("tversky", {}, 1 - 0.5 / (0.5 + 0.3 * 1.5 + 0.7 * 0.5)),
        ("tversky", {"tversky_alpha": 0.5, "tversky_beta": 0.5}, 1 - 2 * 0.5 / (2 + 1)),  # is Dice
        ("lovasz", {}, 1.0),  # every hinge is 1, which weighs them by 1 in all
        ("bce_dice", {}, math.log(2) + 2 / 3),
        ("bce_lovasz", {}, math.log(2) + 1),
        ("focal_dice", {}, 0.25 * math.log(2) + 2 / 3),
        ({"bce": 1, "dice": 0.5}, {}, math.log(2) + 1 / 3),
    ],
)
def test_one_logit_by_hand(spec: Any, options: dict[str, Any], expected: float) -> None:
    assert _value(spec, UNSURE, ONE_OF_FOUR, **options) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("ce", math.log(3)),
        ("focal", (2 / 3) ** 2 * math.log(3)),
        # Of class 1 and of class 2: tp 1/3, sum of the prediction 4/3, of the target 1; the background is left out.
        ("dice", 1 - 2 / 3 / (4 / 3 + 1)),
        ("tversky", 1 - (1 / 3) / (1 / 3 + 0.3 * 1 + 0.7 * 2 / 3)),
        ("ce_dice", math.log(3) + 1 - 2 / 3 / (4 / 3 + 1)),
        # Errors 2/3 of a class's own pixels, 1/3 of the others. Background: 2/3 as both its pixels are missed; the
        # others add nothing. Class 1, and 2: 2/3 of the one missed; the others add nothing.
        ("lovasz", 2 / 3),
        ("ce_lovasz", math.log(3) + 2 / 3),
        ({"ce": 2, "lovasz": 0.5}, 2 * math.log(3) + 1 / 3),
    ],
)
def test_three_logits_by_hand(spec: str, expected: float) -> None:
    target = torch.tensor([[[0, 0], [1, 2]]])
    assert _value(spec, torch.zeros(1, 3, 2, 2), target) == pytest.approx(expected, abs=1e-4)


def test_dice_is_that_of_the_batch() -> None:
    # The second image has no class 1: tp 1/2 of the first, a prediction of 2 in each.
    logits, target = UNSURE.repeat(2, 1, 1, 1), torch.cat([ONE_OF_FOUR, torch.zeros_like(ONE_OF_FOUR)])
    assert _value("dice", logits, target) == pytest.approx(1 - 2 * 0.5 / (4 + 1), abs=1e-4)
    assert _value("tversky", logits, target) == pytest.approx(1 - 0.5 / (0.5 + 0.3 * 3.5 + 0.7 * 0.5), abs=1e-4)


def test_pixel_terms_are_pytorchs() -> None:
    logits, target, counted = _batch(3)
    weights = (0.5, 2.0, 3.0)
    expected = functional.cross_entropy(
        logits.movedim(1, -1)[counted], target[counted].long(), weight=torch.tensor(weights)
    )
    assert _value("ce", logits, target, counted, class_weights=weights) == pytest.approx(expected.item(), rel=1e-5)
    logits, target, counted = _batch(1)
    expected = functional.binary_cross_entropy_with_logits(
        logits[:, 0][counted], target[counted].float(), pos_weight=torch.tensor(4.0)
    )
    assert _value("bce", logits, target, counted, positive_weight=4.0) == pytest.approx(expected.item(), rel=1e-5)


def test_focal_without_focus_is_cross_entropy() -> None:
    logits, target, counted = _batch(3)
    plain = _value("ce", logits, target, counted, class_weights=(1.0, 2.0, 4.0))
    focal = _value("focal", logits, target, counted, class_weights=(1.0, 2.0, 4.0), focal_gamma=0.0)
    assert focal == pytest.approx(plain, rel=1e-5)


@pytest.mark.parametrize(("name", "out_channels"), CASES)
def test_nothing_outside_the_region_matters(name: str, out_channels: int) -> None:
    def loss_and_gradient(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits.clone().requires_grad_()
        loss = build_loss(name, out_channels=out_channels)(logits, target, counted)
        loss.backward()
        assert logits.grad is not None
        return loss, logits.grad

    logits, target, counted = _batch(out_channels)
    outside = ~counted
    loss, gradient = loss_and_gradient(logits, target)
    for value, class_id in ((0.0, 0), (50.0, 1), (-1e30, 255), (math.inf, 7), (math.nan, 255)):
        other_loss, other_gradient = loss_and_gradient(
            logits.masked_fill(outside[:, None], value), target.masked_fill(outside, class_id)
        )
        assert torch.equal(loss, other_loss)
        assert torch.equal(gradient, other_gradient)
    assert not gradient[outside[:, None].expand_as(gradient)].any()
    if (name, out_channels) != ("lovasz", 1):  # its hinge is content with a pixel that is right by 1
        assert gradient[counted[:, None].expand_as(gradient)].all()


@pytest.mark.parametrize(("name", "out_channels"), CASES)
def test_a_region_is_worth_its_pixels_alone(name: str, out_channels: int) -> None:
    logits, target, counted = _batch(out_channels)
    counted = torch.zeros_like(counted)
    counted[:, 2:7, 1:6] = True
    cut = _value(name, logits[..., 2:7, 1:6], target[:, 2:7, 1:6])
    assert _value(name, logits, target, counted) == pytest.approx(cut, rel=1e-5)
    assert _value(name, logits, target) != pytest.approx(cut, rel=1e-3)


@pytest.mark.parametrize(("name", "out_channels"), CASES)
def test_no_counted_pixel_is_no_loss(name: str, out_channels: int) -> None:
    logits, target, _ = _batch(out_channels)
    logits.requires_grad_()
    loss = build_loss(name, out_channels=out_channels)(logits, target, torch.zeros(target.shape))
    assert loss.item() == 0
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad.any()  # NaN would be true


@pytest.mark.parametrize(("name", "out_channels"), CASES)
def test_certain_logits_have_finite_gradients(name: str, out_channels: int) -> None:
    _, target, counted = _batch(out_channels)
    for sign in (1e4, -1e4):
        logits = functional.one_hot(target.long(), max(2, out_channels)).movedim(-1, 1)[:, -out_channels:].float()
        logits = ((2 * logits - 1) * sign).requires_grad_()
        loss = build_loss(name, out_channels=out_channels)(logits, target, counted)
        loss.backward()
        assert logits.grad is not None
        assert logits.grad.isfinite().all()
        assert (loss.item() < 1e-4) == (sign > 0)


@pytest.mark.parametrize(("name", "out_channels"), CASES)
def test_descent_finds_the_mask(name: str, out_channels: int) -> None:
    _, target, counted = _batch(out_channels)
    logits = torch.zeros(2, out_channels, 8, 8, requires_grad=True)
    loss = build_loss(name, out_channels=out_channels)
    optimiser = torch.optim.Adam([logits], lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        loss(logits, target, counted).backward()
        optimiser.step()
    prediction = (logits[:, 0] > 0).long() if out_channels == 1 else logits.argmax(dim=1)
    assert torch.equal(prediction[counted], target[counted].long())
    assert not logits.detach().masked_fill(counted[:, None], 0).any()


def test_the_loss_is_float32_also_of_bfloat16() -> None:
    logits, target, counted = _batch(1)
    with torch.autocast("cpu", torch.bfloat16):
        loss = build_loss("bce_dice", out_channels=1)(logits.bfloat16(), target, counted)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(_value("bce_dice", logits.bfloat16().float(), target, counted), rel=1e-6)


def test_weights_between_zero_and_one_weigh_pixels() -> None:
    logits, target = torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[1, 1]]])
    expected = (math.log(2) + 0.5 * math.log1p(math.exp(-2))) / 1.5
    assert _value("bce", logits, target, torch.tensor([[[1.0, 0.5]]])) == pytest.approx(expected, rel=1e-5)


def test_deep_supervision_is_a_weighted_mean() -> None:
    levels = [_batch(1, seed)[0] for seed in range(3)]
    _, target, counted = _batch(1)
    values = [_value("bce", logits, target, counted) for logits in levels]
    halved = build_loss("bce", out_channels=1)(levels, target, counted).item()
    assert halved == pytest.approx((values[0] + values[1] / 2 + values[2] / 4) / 1.75, rel=1e-5)
    given = build_loss("bce", out_channels=1, auxiliary_weights=[0.4])(tuple(levels[:2]), target, counted).item()
    assert given == pytest.approx((values[0] + 0.4 * values[1]) / 1.4, rel=1e-5)


def test_auxiliary_weights_are_as_many_as_the_networks_auxiliary_outputs() -> None:
    loss = build_loss("bce", out_channels=1, auxiliary_weights=[0.4, 0.2])
    loss.require_auxiliary(2)
    with pytest.raises(UsageError, match=r"\[0\.4, 0\.2\] has length 2, the network has 1 .*; give one for each"):
        loss.require_auxiliary(1)
    with pytest.raises(UsageError, match="has 0 auxiliary outputs; leave it out"):
        loss.require_auxiliary(0)
    build_loss("bce", out_channels=1).require_auxiliary(3)  # the default fits any number


def test_auto_is_the_dice_of_the_number_of_classes() -> None:
    assert [settled_loss("auto", channels) for channels in (1, 3)] == ["bce_dice", "ce_dice"]
    assert settled_loss({"focal": 1.0}, 3) == {"focal": 1.0}
    for channels, name in ((1, "bce_dice"), (3, "ce_dice")):
        assert _value("auto", *_batch(channels)) == _value(name, *_batch(channels))


def test_an_id_without_a_class_is_refused() -> None:
    logits, target, counted = _batch(1)
    target[0, 0, 0], counted[0, 0, 0] = 2, True
    with pytest.raises(ValueError, match="ids 0 to 2 of 2 classes"):
        build_loss("bce", out_channels=1)(logits, target, counted)


def test_every_named_loss_is_made_of_terms() -> None:
    assert {term for terms in LOSSES.values() for term in terms} == set(TERMS)


@pytest.mark.parametrize(
    ("spec", "options", "parts"),
    [
        ("bce_dise", {}, ["unknown name 'bce_dise'", "did you mean 'bce_dice'?", "{bce: 1, dice: 0.5}"]),
        ({"bce": 1, "dise": 1}, {}, ["unknown term 'dise'", "did you mean 'dice'?", "tversky"]),
        ({"bce": 0}, {}, ["weight 0 of bce"]),
        ({"bce": "1"}, {}, ["weight '1' of bce"]),
        ({"bce": math.nan}, {}, ["weight nan of bce"]),
        ({}, {}, ["is not a loss"]),
        (["bce"], {}, ["is not a loss"]),
        ("ce_dice", {}, ["'ce' does not fit two classes; use 'bce', with --set loss=bce_dice"]),
        (
            "bce_dice",
            {"out_channels": 4},
            ["'bce' does not fit more than two classes; use 'ce', with --set loss=ce_dice"],
        ),
        ({"bce": 1, "lovasz": 0.5}, {"out_channels": 4}, ["use 'ce', with --set 'loss={ce: 1, lovasz: 0.5}'"]),
        ("dice", {"positive_weight": 2.0}, ["act on bce, ce and focal only"]),
        ("ce", {"out_channels": 3, "positive_weight": 2.0}, ["give class_weights"]),
        ("bce", {"positive_weight": 2.0, "class_weights": (1, 2)}, ["keep one"]),
        ("bce", {"positive_weight": 0.0}, ["positive_weight 0.0"]),
        ("ce", {"out_channels": 3, "class_weights": (1, 2)}, ["[1, 2] are not 3 numbers"]),
        ("focal", {"focal_gamma": 0.5}, ["focal_gamma 0.5"]),
        ("tversky", {"tversky_alpha": 0, "tversky_beta": 0}, ["not both 0"]),
    ],
)
def test_a_wrong_loss_says_what_is_accepted(spec: Any, options: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        build_loss(spec, **{"out_channels": 1, **options})
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_inverse_weights_give_every_class_the_same_part() -> None:
    target = torch.tensor([[[0, 0, 0, 1]]])
    logits = torch.zeros(1, 1, 1, 4, requires_grad=True)
    weights = class_weights([3, 1], "inverse")
    build_loss("bce", out_channels=1, class_weights=weights)(logits, target, torch.ones(1, 1, 4)).backward()
    assert logits.grad is not None
    assert logits.grad.sum().item() == pytest.approx(0, abs=1e-6)


def _pooled(name: Any, out_channels: int, halves: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The loss of two processes with half a batch each, and its gradient as the mean over both, which DDP takes."""
    loss = build_loss(name, out_channels=out_channels)
    sums: list[list[Tensor]] = [[], []]
    for own, half in zip(sums, halves, strict=True):
        loss(*half, pool=lambda each, own=own: own.append(each.detach()) or each)  # type: ignore[misc]
    values, gradients = [], []
    for others, (logits, target, counted) in zip(reversed(sums), halves, strict=True):
        logits, waiting = logits.clone().requires_grad_(), iter(others)
        value = loss(logits, target, counted, pool=lambda own, others=waiting: 2 * own - own.detach() + next(others))
        value.backward()
        assert logits.grad is not None
        values.append(value.detach())
        gradients.append(logits.grad / 2)
    assert values[0] == pytest.approx(values[1].item(), rel=1e-6)
    return values[0], torch.cat(gradients)


@pytest.mark.parametrize(
    ("name", "out_channels"), [case for case in CASES if "lovasz" not in case[0]] + [("tversky", 3)]
)
def test_the_pooled_loss_of_two_halves_is_that_of_the_whole(name: str, out_channels: int) -> None:
    halves = [_batch(out_channels, seed) for seed in (0, 1)]
    halves[1][2][:, 3:] = False  # fewer pixels count in one of them
    logits, target, counted = (torch.cat(pair) for pair in zip(*halves, strict=True))
    logits.requires_grad_()
    whole = build_loss(name, out_channels=out_channels)(logits, target, counted)
    whole.backward()
    value, gradient = _pooled(name, out_channels, halves)
    assert value.item() == pytest.approx(whole.item(), rel=1e-5)
    torch.testing.assert_close(gradient, logits.grad, rtol=1e-4, atol=1e-8)
    each = [build_loss(name, out_channels=out_channels)(*half).item() for half in halves]
    assert abs(sum(each) / 2 - whole.item()) > 1e-4 * whole.item()  # the mean of the halves is another number


@pytest.mark.parametrize("out_channels", [1, 3])
def test_the_pooled_lovasz_of_two_halves_is_their_mean(out_channels: int) -> None:
    halves = [_batch(out_channels, seed) for seed in (0, 1)]
    value, _ = _pooled("lovasz", out_channels, halves)
    each = [build_loss("lovasz", out_channels=out_channels)(*half).item() for half in halves]
    assert value.item() == pytest.approx(sum(each) / 2, rel=1e-6)


@pytest.mark.parametrize("out_channels", [1, 3])
@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_regions_are_monais(name: str, out_channels: int) -> None:
    from monai.losses import DiceLoss, TverskyLoss

    logits, target, _ = _batch(out_channels)
    everything = torch.ones_like(target, dtype=torch.bool)
    one_hot = functional.one_hot(target.long(), max(2, out_channels)).movedim(-1, 1)[:, -out_channels:].float()
    one = out_channels == 1
    options: dict[str, Any] = {"batch": True, "include_background": one, "sigmoid": one, "softmax": not one}
    monais = DiceLoss(**options) if name == "dice" else TverskyLoss(alpha=0.3, beta=0.7, **options)
    own, other = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, expected = build_loss(name, out_channels=out_channels)(own, target, everything), monais(other, one_hot)
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(own.grad, other.grad, rtol=1e-5, atol=1e-9)
