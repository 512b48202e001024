"""Weights in half precision in the ONNX file: the same network bit for bit, or as it was."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import onnx

from ocuseg.networks import build_network
from ocuseg.training import export
from ocuseg.training.halving import halved, restored


def exported(monkeypatch, *, rounded):
    """The ONNX files, as written and as large as it would be, of a network whose normalisations have seen images."""
    import torch

    torch.manual_seed(0)
    network = build_network({"name": "unet-small"}).train()
    with torch.no_grad():
        network(torch.rand(2, 3, 64, 64) * 3 - 1)
    network.eval()
    if rounded:
        state = {key: value.half().float() if value.ndim > 1 else value for key, value in network.state_dict().items()}
        network.load_state_dict(state)
    large = []
    monkeypatch.setattr(export, "halved", lambda model, weights: large.append(model) or halved(model, weights))
    return onnx.load_from_string(export.to_onnx(network)), large[0]


def logits(model, images):
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"images": images})[0]


def weights_of(model):
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer}
    return {name: (array.dtype, array.tobytes()) for name, array in arrays.items()}


def one_kernel(kernel):
    initializer = onnx.numpy_helper.from_array(kernel, "network.kernel")
    return onnx.helper.make_model(onnx.helper.make_graph([], "one", [], [], [initializer]))


def test_rounded_weights_take_half_the_bytes_and_change_no_bit(monkeypatch):
    small, large = exported(monkeypatch, rounded=True)
    onnx.checker.check_model(small, full_check=True)
    assert small.ByteSize() < 0.55 * large.ByteSize()
    assert {"Cast", "Mul"} <= {node.op_type for node in small.graph.node}
    images = np.random.default_rng(0).normal(size=(1, 3, 64, 96)).astype(np.float32)
    assert np.array_equal(logits(small, images), logits(large, images))
    assert weights_of(restored(small)) == weights_of(large)
    assert list(restored(small).graph.node) == list(large.graph.node)


def test_weights_that_were_not_rounded_stay_as_they_are(monkeypatch):
    small, large = exported(monkeypatch, rounded=False)
    assert small == large


@pytest.mark.parametrize("value", [np.float32(1e6), np.float32(np.nan), np.float32(1e-9)])
def test_what_half_precision_cannot_hold_stays_float32(value):
    kernel = np.full((1, 1, 1, 1), value, np.float32)
    model = one_kernel(kernel)
    assert weights_of(halved(model, {"kernel": kernel}, least_bytes=1)) == weights_of(model)


def test_small_weights_stay_as_they_are():
    kernel = np.ones((1, 1, 1, 1), np.float32)
    model = one_kernel(kernel)
    assert weights_of(halved(model, {"kernel": kernel})) == weights_of(model)
    assert [one.op_type for one in halved(model, {"kernel": kernel}, least_bytes=1).graph.node] == ["Cast"]


def test_a_channel_of_zeros_has_a_factor_too():
    weight = np.zeros((2, 1, 2, 2), np.float32)
    weight[1] = 0.5
    folded = weight * np.float32([[[[0.3]]], [[[0.7]]]])
    model = one_kernel(folded)
    small = halved(model, {"kernel": weight}, least_bytes=1)
    assert [one.op_type for one in small.graph.node] == ["Cast", "Mul"]
    assert weights_of(restored(small)) == weights_of(model)
