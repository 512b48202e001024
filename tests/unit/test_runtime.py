from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys

import numpy as np
import pytest

from ocuseg.bundle import load_bundle
from ocuseg.errors import ModelError, UsageError
from ocuseg.files import hash_file
from ocuseg.prediction import open_predictor
from ocuseg.runtime import choice, open_runtime, runtime_names
from ocuseg.runtime.choice import Choice
from ocuseg.runtime.engines import ENGINES

# As it is before the tests' common fixture takes its place.
OPENVINO_BF16 = choice.openvino_bf16

IMAGES = np.random.default_rng(0).random((2, 3, 8, 12), dtype=np.float32)


@pytest.mark.parametrize(("runtime", "name"), [("auto", "onnxruntime fp32"), ("openvino", "openvino fp32")])
def test_the_logits_are_those_of_the_convolution(bright_red, runtime, name):
    if runtime == "openvino":
        pytest.importorskip("openvino")
    network = open_runtime(load_bundle(bright_red()), runtime, threads=1, precision="fp32")
    logits = network(IMAGES)
    assert network.name == name
    assert logits.shape == (2, 1, 8, 12)
    assert logits.dtype == np.float32
    assert np.allclose(logits[:, 0], 8 * (IMAGES[:, 0] - 0.5), atol=1e-5)


def test_openvino_keeps_its_logits_when_it_is_called_again(bright_red):
    pytest.importorskip("openvino")
    network = open_runtime(load_bundle(bright_red()), "openvino", threads=1)
    first = network(IMAGES)
    before = first.copy()
    network(IMAGES[::-1] * 2)
    assert np.array_equal(first, before)


def test_openvino_in_bf16_says_so_and_is_near(bright_red, monkeypatch):
    pytest.importorskip("openvino")
    if OPENVINO_BF16() is None:
        pytest.skip("this processor has no bf16 arithmetic that OpenVINO uses")
    monkeypatch.setattr(choice, "openvino_bf16", OPENVINO_BF16)
    network = open_runtime(load_bundle(bright_red()), threads=1)
    assert (network.name, network.threads) == ("openvino bf16", 1)
    assert network._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "bf16"
    assert np.allclose(network(IMAGES)[:, 0], 8 * (IMAGES[:, 0] - 0.5), atol=0.1)


def test_openvino_never_reports_home(bright_red):
    pytest.importorskip("openvino")
    script = f"""
import sys
from ocuseg.bundle import load_bundle
from ocuseg.runtime import open_runtime
import openvino_telemetry
from openvino_telemetry import main
del sys.modules["openvino_telemetry"]
def fail(*a, **k): raise AssertionError("telemetry")
main.Telemetry.__init__ = main.Telemetry.send_event = fail
sys.modules["openvino_telemetry"] = openvino_telemetry
open_runtime(load_bundle({str(bright_red())!r}), "openvino", threads=1)
assert sys.modules["openvino_telemetry"] is openvino_telemetry
assert "openvino.tools.ovc.telemetry_stub" in sys.modules
"""
    pytest.importorskip("openvino_telemetry")
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


def test_pytorch_computes_from_the_weights_alone(bright_red, tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    from ocuseg.bundle import write_bundle
    from ocuseg.networks import build_network

    info = load_bundle(bright_red()).info
    torch.manual_seed(0)
    network = build_network(info.network).eval()
    folder = write_bundle(tmp_path / "torch", info, onnx_model=b"not needed", weights=save(network.state_dict()))
    images = np.random.default_rng(1).random((2, 3, 32, 48), dtype=np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(images)).numpy()
    threads = torch.get_num_threads()
    runtime = open_runtime(load_bundle(folder), "pytorch")
    assert torch.get_num_threads() == threads
    assert runtime.name == "pytorch fp32"
    assert np.allclose(runtime(images), expected, atol=1e-4)
    rounded = ENGINES["pytorch"](load_bundle(folder), Choice("pytorch", "bf16", "cpu", "asked for"), threads, 64)
    assert rounded.name == "pytorch bf16"
    assert rounded(images).dtype == np.float32
    assert np.allclose(rounded(images), expected, atol=0.2)


@pytest.fixture
def untrained(bright_red, tmp_path):
    """A bundle with the weights of an untrained network, and without its ONNX file."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    from ocuseg.bundle import write_bundle
    from ocuseg.networks import build_network

    info = load_bundle(bright_red()).info
    torch.manual_seed(0)
    weights = save(build_network(info.network).state_dict())
    return load_bundle(write_bundle(tmp_path / "untrained", info, onnx_model=b"not needed", weights=weights))


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_on_a_gpu_the_network_and_the_images_are_there(untrained, monkeypatch, precision):
    """Where no GPU is: each move there is noted and goes nowhere, and the arithmetic is that of the processor."""
    import torch

    moved, flags = [], []
    autocast = torch.autocast

    def noted(original):
        def to(self, *arguments, **options):
            if arguments[:1] == ("cuda",):
                moved.append((type(self).__name__, options["memory_format"]))
                arguments = ("cpu",)
            return original(self, *arguments, **options)

        return to

    def exact(**options):
        flags.append(options)
        return autocast("cpu", enabled=False)

    images = np.random.default_rng(1).random((2, 3, 32, 48), dtype=np.float32)
    there = Choice("pytorch", precision, "cpu", "")
    expected = ENGINES["pytorch"](untrained, there, None, 64)(images)
    with monkeypatch.context() as patch:
        patch.setattr(torch.nn.Module, "to", noted(torch.nn.Module.to))
        patch.setattr(torch.Tensor, "to", noted(torch.Tensor.to))
        patch.setattr(torch, "autocast", lambda device, dtype, enabled: autocast("cpu", dtype, enabled=enabled))
        patch.setattr(torch.backends.cudnn, "flags", exact)
        network = ENGINES["pytorch"](untrained, Choice("pytorch", precision, "cuda", "a GPU"), None, 64)
        found = network(images)
    assert network.name == f"pytorch {precision} cuda"
    assert [name for name, _ in moved] == ["UNet", "Tensor"]
    assert {layout for _, layout in moved} == {torch.channels_last}
    assert flags == ([] if precision == "bf16" else [{"enabled": True, "allow_tf32": False}])
    assert np.array_equal(found, expected)


def test_pytorch_keeps_to_the_quota_of_its_container(untrained):
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert ENGINES["pytorch"](untrained, Choice("pytorch", "fp32", "cpu", ""), None, 2).threads == 2
        assert torch.get_num_threads() == 2
        assert ENGINES["pytorch"](untrained, Choice("pytorch", "fp32", "cpu", ""), None, 8).threads == 2
    finally:
        torch.set_num_threads(before)


def test_where_the_faster_one_cannot_be_opened_onnxruntime_computes(bright_red, monkeypatch, caplog):
    def broken(*arguments):
        raise ModelError("model.onnx: openvino cannot open it (no reason); export the bundle again")

    monkeypatch.setattr(choice, "openvino_bf16", lambda: "AMX-BF16")
    monkeypatch.setitem(ENGINES, "openvino", broken)
    with caplog.at_level(logging.WARNING, logger="ocuseg"):
        network = open_runtime(load_bundle(bright_red()), threads=1)
    assert (network.name, network.reason) == ("onnxruntime fp32", "openvino could not open the network")
    assert "onnxruntime computes instead" in caplog.text
    assert network(IMAGES).shape == (2, 1, 8, 12)
    for asked in ({"runtime": "openvino"}, {"precision": "bf16"}):
        with pytest.raises(ModelError, match="no reason"):
            open_runtime(load_bundle(bright_red()), **asked)


@pytest.mark.parametrize(
    ("preprocessing", "images", "work_px"),
    [
        ({"size": [64, 96]}, 3, 3 * 4 * 64 * 96),
        ({"field_of_view_diameter_px": 100}, 1, 4 * 100 * 100),
        ({"field_of_view_diameter_px": 100, "find_scale": True}, 1, None),  # nobody knows at how many scales
        ({}, 1, None),  # its own size, which is not known yet
        ({"size": [64, 96]}, None, None),
    ],
)
def test_the_work_to_come_is_counted_in_pixels_through_the_network(
    bright_red, monkeypatch, preprocessing, images, work_px
):
    told = []
    monkeypatch.setattr("ocuseg.prediction.opening.open_runtime", lambda *_, **given: told.append(given["work_px"]))
    folder = bright_red(preprocessing=preprocessing | {"multiple": 4})
    open_predictor(folder, flips=True, images=images)
    assert told == [work_px]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino", "pytorch"])
def test_a_network_that_cannot_be_opened_is_one_line(bright_red, runtime):
    pytest.importorskip("torch" if runtime == "pytorch" else runtime)
    folder = bright_red()
    (folder / "model.onnx").write_bytes(b"no network")
    bundle_file = folder / "bundle.json"
    content = json.loads(bundle_file.read_text(encoding="utf-8"))
    # A digest that is right for a file that is wrong.
    content["files"]["model.onnx"] = hash_file(folder / "model.onnx")
    content["files"]["bundle.json"] = "0" * 64
    text = json.dumps(content)
    bundle_file.write_text(text, encoding="utf-8")
    digest = hash_file(bundle_file)
    bundle_file.write_text(text.replace("0" * 64, digest), encoding="utf-8")
    with pytest.raises(ModelError, match="cannot open it") as caught:
        open_runtime(load_bundle(folder), runtime, threads=1)
    assert "\n" not in str(caught.value)


def test_a_network_that_fails_or_answers_in_another_size_is_one_line(bright_red):
    network = open_runtime(load_bundle(bright_red()), threads=1)
    with pytest.raises(ModelError, match="fails on images of 1 x 2 x 8 x 8") as caught:
        network(np.zeros((1, 2, 8, 8), np.float32))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("words", ["Failed to allocate memory for requested buffer of size 9", "std::bad_alloc"])
def test_a_refused_allocation_is_a_want_of_memory(bright_red, words):
    class Full:
        def run(self, outputs, inputs):
            raise RuntimeError(words)

    network = open_runtime(load_bundle(bright_red()), threads=1)
    network._session = Full()
    with pytest.raises(MemoryError):
        network(np.zeros((1, 3, 8, 8), np.float32))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"runtime": "onnx"}, "'onnx' is unknown; did you mean 'onnxruntime'"),
        ({"threads": 0}, "0 threads"),
    ],
)
def test_a_wrong_request_says_what_is_accepted(bright_red, arguments, says):
    with pytest.raises(UsageError, match=says):
        open_runtime(load_bundle(bright_red()), **arguments)


@pytest.mark.parametrize(
    ("runtime", "module", "remedy"),
    [
        ("onnxruntime", "onnxruntime", "pip install 'onnxruntime'"),
        ("openvino", "openvino", r"pip install 'ocuseg\[openvino\]'"),
        ("pytorch", "torch", r"pip install 'ocuseg\[train\]'"),
    ],
)
def test_a_missing_package_comes_with_the_command_that_installs_it(bright_red, monkeypatch, runtime, module, remedy):
    def without(name: str) -> object:
        if name == module:
            raise ImportError(name)
        return original(name)

    original = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(UsageError, match=f"{module} is not installed; run: {remedy}"):
        open_runtime(load_bundle(bright_red()), runtime)


def test_the_names_of_the_runtimes():
    assert runtime_names() == ("onnxruntime", "openvino", "pytorch")
