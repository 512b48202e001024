from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from ocuseg.errors import LossError, UsageError
from ocuseg.networks import build_network
from ocuseg.training.augment import Augmentation
from ocuseg.training.losses import build_loss
from ocuseg.training.module import SegmentationModule
from ocuseg.training.recipe import load_recipe


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _module(total_steps: int = 100, auxiliary: bool = False, **keys: Any) -> SegmentationModule:
    recipe = load_recipe(keys)
    settings = {"name": "unet-small", "width": 4, "depth": 2, "deep_supervision": auxiliary}
    return SegmentationModule(
        build_network(settings),
        build_loss("bce", out_channels=1, auxiliary_weights=recipe.auxiliary_weights),
        Augmentation(recipe.augmentation),
        recipe,
        mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2), out_size=(16, 16), num_classes=2, total_steps=total_steps,
        description={},
    )  # fmt: skip


def _batch() -> dict[str, Any]:
    return {
        "images": torch.zeros(1, 3, 16, 16, dtype=torch.uint8),
        "target": torch.zeros(1, 16, 16, dtype=torch.uint8),
        "counted": torch.ones(1, 16, 16, dtype=torch.bool),
        "names": ["eye"],
        "epoch": 0,
        "step": 0,
    }


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # Of 100 steps, 10 warm up: steps 0, 9, 10, 55 (the middle of the rest), 100.
        ("poly", [1 / 11, 10 / 11, 1.0, 0.5**0.9, 0.0]),
        ("cosine", [1 / 11, 10 / 11, 1.0, (1 + 1e-3) / 2, 1e-3]),
        ("one_cycle", [1 / 25, None, 1.0, (1 + 1e-3) / 2, 1e-3]),
        ("constant", [1 / 11, 10 / 11, 1.0, 1.0, 1.0]),
        ("plateau", [1 / 11, 10 / 11, 1.0, 1.0, 1.0]),
    ],
)
def test_schedules_by_hand(schedule: str, expected: list[float | None]) -> None:
    factor = _module(schedule=schedule).rate_factor
    for step, value in zip((0, 9, 10, 55, 100), expected, strict=True):
        assert value is None or factor(step) == pytest.approx(value)


def test_poly_has_its_power_and_stays_at_its_end() -> None:
    straight = _module(schedule="poly", poly_power=1, warmup_share=0).rate_factor
    assert [straight(step) for step in (0, 25, 100, 130)] == pytest.approx([1, 0.75, 0, 0])
    assert _module(schedule="poly", poly_power=2, warmup_share=0).rate_factor(50) == pytest.approx(0.25)


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "sgd"])
def test_the_encoder_learns_at_its_own_rate_under_any_schedule(optimizer: str) -> None:
    module = _module(
        optimizer=optimizer, learning_rate=0.1, encoder_learning_rate_factor=0.25, schedule="cosine", weight_decay=0.01
    )
    chosen = module.configure_optimizers()
    groups, schedule = chosen["optimizer"].param_groups, chosen["lr_scheduler"]["scheduler"]
    names = {id(parameter): name for name, parameter in module.network.named_parameters()}
    held = [{names[id(parameter)] for parameter in group["params"]} for group in groups]
    assert sum(map(len, held)) == len(names) == len(set.union(*held))  # each parameter in one group
    assert [all(name.startswith("encoder.") for name in group) for group in held] == [False, False, True, True]
    assert not any(name.startswith("encoder.") for group in held[:2] for name in group)
    assert [group["weight_decay"] for group in groups] == [0.01, 0.0, 0.01, 0.0]
    shapes = {name: parameter.ndim for name, parameter in module.network.named_parameters()}
    assert all((shapes[name] > 1) == (group["weight_decay"] > 0) for group, inner in zip(groups, held, strict=True)
               for name in inner)  # fmt: skip
    for step in (0, 30, 80):
        while schedule.last_epoch < step:
            chosen["optimizer"].step()
            schedule.step()
        rate = 0.1 * module.rate_factor(step)
        assert [group["lr"] for group in groups] == pytest.approx([rate, rate, rate / 4, rate / 4])


def test_without_a_factor_there_are_two_groups() -> None:
    groups = _module(learning_rate=0.1).configure_optimizers()["optimizer"].param_groups
    assert [group["weight_decay"] for group in groups] == [1e-4, 0.0]


def test_auxiliary_weights_have_to_fit_the_network() -> None:
    fitting = _module(auxiliary=True, auxiliary_weights=[0.4])
    fitting.log = lambda *_, **__: None  # type: ignore[method-assign]
    assert math.isfinite(fitting.training_step(_batch(), 0).item())
    with pytest.raises(UsageError, match="the network has 1 auxiliary outputs; give one for each"):
        _module(auxiliary=True, auxiliary_weights=[0.4, 0.2]).training_step(_batch(), 0)
    with pytest.raises(UsageError, match="has 0 auxiliary outputs; leave it out"):
        _module(auxiliary_weights=[0.4]).training_step(_batch(), 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_output_that_is_no_number_stops_the_validation(value: float) -> None:
    module = _module().eval()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    assert module.validation_step(_batch(), 0).shape == (1, 16, 16)
    with torch.no_grad():
        module.network.head.bias.fill_(value)
    nothing_counts = _batch() | {"counted": torch.zeros(1, 16, 16, dtype=torch.bool)}  # whose loss is 0 all the same
    for batch in (_batch(), nothing_counts):
        with pytest.raises(LossError) as error:
            module.validation_step(batch, 0)
        message = str(error.value)
        assert message.startswith("epoch 1: after its last step the network's output is no number")
        assert "on the validation image eye; lower learning_rate (0.001), set gradient_clip" in message
