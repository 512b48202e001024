"""int8 by a network of three convolutions that fits in one's head: what it keeps, and when it is refused."""

from __future__ import annotations

import logging

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from ocuseg.bundle import load_bundle, write_bundle
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import ExportError, UsageError
from ocuseg.index import Record
from ocuseg.prediction import open_predictor
from ocuseg.training import quantisation
from ocuseg.training.quantisation import quantise_bundle

IDS = MaskEncoding("ids", ((0, 0), (1, 1)))


def three_convolutions(loud: float) -> bytes:
    """Logit 8 * (red - 0.5), through two channels: red, and `loud` times red, which the last convolution ignores."""
    kernels = {
        "first": np.array([[1, 0, 0], [loud, 0, 0]]),
        "middle": np.eye(2),
        "last": np.array([[8, 0]]),
    }
    biases = {"first": np.zeros(2), "middle": np.zeros(2), "last": np.array([-4])}
    nodes, tensors, tensor = [], [], "images"
    for name, kernel in kernels.items():
        output = "logits" if name == "last" else f"{name}_output"
        tensors += [
            numpy_helper.from_array(kernel[:, :, None, None].astype(np.float32), f"{name}_kernel"),
            numpy_helper.from_array(biases[name].astype(np.float32), f"{name}_bias"),
        ]
        nodes.append(helper.make_node("Conv", [tensor, f"{name}_kernel", f"{name}_bias"], [output], name=name))
        tensor = output
    graph = helper.make_graph(
        nodes,
        "three",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", 1, "h", "w"])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


@pytest.fixture
def bundle(bright_red_parts, tmp_path):
    """A function that writes the bundle of `three_convolutions`."""

    def write(loud: float = 1.1):
        info, _, weights = bright_red_parts()
        folder = write_bundle(tmp_path / "fp32", info, onnx_model=three_convolutions(loud), weights=weights)
        return load_bundle(folder)

    return write


@pytest.fixture
def records(tmp_path):
    """Three noisy images, with what is bright red in them as the mask."""
    found = []
    for index in range(3):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 48, 3), dtype=np.uint8)
        image, mask = tmp_path / f"{index}.png", tmp_path / f"{index}_mask.png"
        Image.fromarray(pixels).save(image)
        Image.fromarray((pixels[..., 0] > 127).astype(np.uint8)).save(mask)
        found.append(Record(str(index), image, mask))
    return found


def quantised(bundle, folder, records):
    return quantise_bundle(bundle, folder, calibration=records[:2], validation=records[2:], encoding=IDS)


def test_an_int8_bundle_gives_nearly_the_same_masks_and_says_what_it_is(bundle, records, tmp_path, caplog):
    import onnx

    source = bundle()
    with caplog.at_level(logging.INFO, logger="ocuseg"):
        made = quantised(source, tmp_path / "int8", records)
    assert (made.info.precision, made.info.threshold) == ("int8", source.info.threshold)
    facts = made.info.quantisation
    assert (facts["calibration_images"], facts["measured_on"]) == (2, "val")
    (row,) = facts["dice"]
    assert row["fp32"] == 1
    assert 0.995 <= row["int8"] <= 1
    assert made.info.scores["val"]["classes"][0]["dice"]["pooled"] == row["int8"]
    card = (made.folder / "README.md").read_text(encoding="utf-8")
    assert "int8, calibrated on 2 training images" in card
    assert f"| foreground | 1 | {row['int8']:.4g} |" in card
    assert "int8" not in (source.folder / "README.md").read_text(encoding="utf-8")
    assert "int8 from 2 training images" in caplog.text
    assert "of the time of fp32" in caplog.text

    graph = onnx.load(made.onnx_path).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    assert stored["first_kernel"] == stored["last_kernel"] == TensorProto.FLOAT
    assert stored["middle_kernel_quantized"] == TensorProto.INT8
    assert (
        np.abs(next(numpy_helper.to_array(t) for t in graph.initializer if t.name == "middle_kernel_quantized")).max()
        <= 64
    )

    before = open_predictor(source, "onnxruntime", threads=1)(records[2].image)
    after = open_predictor(made, "onnxruntime", threads=1)
    assert after.network.name == "onnxruntime int8"
    result = after(records[2].image)
    assert 0 < np.abs(before.probabilities - result.probabilities).max() < 0.02
    assert np.mean(before.mask != result.mask) < 0.01
    with pytest.raises(UsageError, match="does not compute the int8 network"):
        open_predictor(made, "pytorch")


def test_openvino_computes_it_too(bundle, records, tmp_path):
    pytest.importorskip("openvino")
    made = quantised(bundle(), tmp_path / "int8", records)
    network = open_predictor(made, "openvino", threads=1)
    assert network.network.name == "openvino int8"
    other = open_predictor(made, "onnxruntime", threads=1)(records[2].image)
    assert np.abs(network(records[2].image).probabilities - other.probabilities).max() < 0.02


def test_a_network_that_int8_breaks_is_refused_with_the_numbers(bundle, records, tmp_path):
    # 256 steps up to 200 leave 2 for red.
    with pytest.raises(
        ExportError, match=r"falls from 1\.0000 to 0\.\d{4}.*accepted is 0\.005; export without"
    ) as caught:
        quantised(bundle(loud=200.0), tmp_path / "int8", records)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "int8").exists()


def test_the_rule_counts_each_class(bundle, records, tmp_path, monkeypatch):
    monkeypatch.setattr(quantisation, "MOST_LOST", -1.0)
    with pytest.raises(ExportError, match="the Dice of foreground on val"):
        quantised(bundle(), tmp_path / "int8", records)


def test_of_many_images_some_calibrate_evenly_spread(bundle, records, tmp_path, monkeypatch):
    monkeypatch.setattr(quantisation, "_CALIBRATED_ON", 2)
    shown = []
    windows = quantisation._windows
    monkeypatch.setattr(
        quantisation, "_windows", lambda bundle, records: (shown.append(list(records)), windows(bundle, records))[1]
    )
    many = [records[0], records[1]] * 2 + [records[2]]
    quantise_bundle(bundle(), tmp_path / "int8", calibration=many, validation=records, encoding=IDS)
    assert shown[0] == [many[0], many[2]]


def test_a_large_image_calibrates_by_some_of_its_tiles(bundle, tmp_path):
    image = tmp_path / "large.png"
    Image.fromarray(np.zeros((150, 200, 3), np.uint8)).save(image)
    windows = list(quantisation._windows(bundle(), [Record("large", image)]))
    assert len(windows) == 4
    assert {window.shape for window in windows} == {(1, 3, 64, 64)}


def test_the_outer_convolutions_of_branches_are_all_found():
    def node(kind: str, name: str, *inputs: str):
        return helper.make_node(kind, list(inputs), [f"{name}_out"], name=name)

    graph = helper.make_graph(
        [
            node("Mul", "scaled", "images", "two"),
            node("Conv", "first_a", "scaled_out", "k"),
            node("Conv", "first_b", "images", "k"),
            node("Relu", "relu", "first_a_out"),
            node("Conv", "middle", "relu_out", "k"),
            node("Add", "sum", "middle_out", "first_b_out"),
            node("ConvTranspose", "last", "sum_out", "k"),
            node("Resize", "logits", "last_out"),
        ],
        "branches",
        [],
        [],
    )
    assert set(quantisation._outer_convolutions(graph)) == {"first_a", "first_b", "last"}
