"""Several networks as one: the mean of their probabilities, in PyTorch and in the ONNX file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ocuseg.errors import UsageError
from ocuseg.networks import Ensemble, SegmentationNetwork, build_network, network_names, resolve_network
from ocuseg.training.export import to_onnx

SETTINGS = {"name": "unet-small", "width": 4, "depth": 2}


class Constant(SegmentationNetwork):
    """Gives the same logits at every pixel."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.in_channels, self.multiple = 3, 1
        self.values = nn.Parameter(torch.tensor(logits).view(1, -1, 1, 1))

    def logits(self, images: Tensor) -> Tensor:
        return self.values.expand(len(images), -1, *images.shape[2:])


def ensemble_of(count: int, out_channels: int, seed: int = 0) -> Ensemble:
    torch.manual_seed(seed)
    members = [{**SETTINGS, "out_channels": out_channels} for _ in range(count)]
    built = build_network({"name": "ensemble", "members": members})
    assert isinstance(built, Ensemble)
    return built.eval()


def probabilities(logits: Tensor) -> Tensor:
    return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(dim=1)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("size", [(16, 24), (13, 7)])
def test_its_probabilities_are_the_mean_of_those_of_its_members(channels: int, size: tuple[int, int]) -> None:
    ensemble = ensemble_of(3, channels)
    images = torch.randn(2, 3, *size)
    with torch.no_grad():
        expected = torch.stack([probabilities(member(images)) for member in ensemble.members]).mean(dim=0)
        found = probabilities(ensemble(images))
    assert found.shape == (2, channels, *size)
    assert (found - expected).abs().max() < 1e-6
    assert (expected - probabilities(ensemble.members[0](images))).abs().max() > 0.01


@pytest.mark.parametrize("channels", [1, 4])
def test_the_onnx_file_gives_the_mean_of_the_members_too(channels: int) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    ensemble = ensemble_of(2, channels)
    ensemble.absorb([((0.2, 0.3, 0.4), (0.1, 0.2, 0.3)), ((0.5, 0.4, 0.3), (0.3, 0.2, 0.1))], ([0.4] * 3, [0.2] * 3))
    images = torch.rand(3, 3, 20, 12)
    session = onnxruntime.InferenceSession(to_onnx(ensemble), providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {"images": ((images - 0.4) / 0.2).numpy()})[0])
    normalised = [
        (images - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
        for mean, std in (((0.2, 0.3, 0.4), (0.1, 0.2, 0.3)), ((0.5, 0.4, 0.3), (0.3, 0.2, 0.1)))
    ]
    with torch.no_grad():
        each = [probabilities(member(own)) for member, own in zip(ensemble.members, normalised, strict=True)]
    assert (probabilities(found) - torch.stack(each).mean(dim=0)).abs().max() < 1e-5


def test_logits_far_out_stay_exact() -> None:
    # Two members that agree on 100 give 100; 100 and -100 give 1/2; 100 and 0 give 3/4, hence log 3.
    cases = [((100.0, 100.0), 100.0), ((100.0, -100.0), 0.0), ((100.0, 0.0), np.log(3)), ((-90.0, -90.0), -90.0)]
    for pair, expected in cases:
        logits = Ensemble([Constant(value) for value in pair])(torch.zeros(1, 3, 2, 2))
        assert logits.flatten().tolist() == pytest.approx([expected] * 4, rel=1e-5, abs=1e-5)


def test_many_classes_worked_by_hand() -> None:
    # Softmaxes (1/2, 1/4, 1/4) and (0, 0, 1): the mean is (1/4, 1/8, 5/8).
    ensemble = Ensemble([Constant(np.log(2), 0.0, 0.0), Constant(-200.0, -200.0, 200.0)])
    assert ensemble(torch.zeros(1, 3, 1, 1)).flatten().exp().tolist() == pytest.approx([0.25, 0.125, 0.625])


def test_weights_and_normalisation_go_in_and_out_again() -> None:
    first, second = ensemble_of(2, 1), ensemble_of(2, 1, seed=1)
    first.absorb([([0.1] * 3, [0.5] * 3), ([0.2] * 3, [0.4] * 3)], ([0.0] * 3, [1.0] * 3))
    images = torch.rand(1, 3, 8, 8)
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        assert torch.equal(first(images), second(images))
    assert first.scale[:, 0, 0, 0].tolist() == pytest.approx([2.0, 2.5])
    assert first.shift[:, 0, 0, 0].tolist() == pytest.approx([-0.2, -0.5])


def test_sides_are_padded_to_what_all_members_need() -> None:
    members = [{**SETTINGS, "depth": 1}, {**SETTINGS, "depth": 3}]
    ensemble = build_network({"name": "ensemble", "members": members})
    assert ensemble.multiple == 8
    assert ensemble(torch.zeros(1, 3, 9, 5)).shape == (1, 1, 9, 5)


@pytest.mark.parametrize("members", [None, [], "unet", ["unet"]])
def test_members_that_are_none_are_refused(members: Any) -> None:
    with pytest.raises(UsageError, match=r"network ensemble: members is .*; give a list of the settings"):
        build_network({"name": "ensemble", "members": members})


def test_a_recipe_cannot_ask_for_it() -> None:
    assert "ensemble" not in network_names()
    with pytest.raises(UsageError, match="unknown name 'ensemble'"):
        resolve_network({"name": "ensemble", "members": [SETTINGS]})


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("channels", [1, 3])
def test_members_that_are_far_too_sure_give_numbers_in_every_runtime(channels: int, runtime: str) -> None:
    pytest.importorskip(runtime)
    ensemble = ensemble_of(2, channels)
    with torch.no_grad():
        for member in ensemble.members:
            for parameter in list(member.parameters())[-2:]:
                parameter.mul_(3000)  # the last convolution
        images = torch.randn(1, 3, 16, 16)
        expected = ensemble(images)
    assert expected.abs().max() > 200
    model = to_onnx(ensemble)
    if runtime == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        found = session.run(None, {"images": images.numpy()})[0]
    else:
        import openvino

        compiled = openvino.compile_model(openvino.Core().read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found = compiled(images.numpy())[0]
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-3, atol=0.05)
