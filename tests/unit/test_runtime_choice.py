from __future__ import annotations

import importlib
import sys
from types import SimpleNamespace

import pytest

from ocuseg.errors import UsageError
from ocuseg.runtime import choice
from ocuseg.runtime.choice import LITTLE_PX, Gpu, choose_runtime

# As they are before the tests' common fixture takes their place.
CUDA_GPU, OPENVINO_BF16 = choice.cuda_gpu, choice.openvino_bf16

NEW_GPU, OLD_GPU = Gpu("H200", bf16=True), Gpu("T4", bf16=False)


@pytest.fixture
def here(monkeypatch):
    """A function that says what the machine has: here(gpu=..., openvino=the feature it uses, feature=...)."""

    def have(gpu: Gpu | None = None, openvino: str | None = None, feature: str | None = None) -> None:
        monkeypatch.setattr(choice, "cuda_gpu", lambda: gpu)
        monkeypatch.setattr(choice, "openvino_bf16", lambda: openvino)
        monkeypatch.setattr(choice, "bf16_feature", lambda: feature or openvino)
        monkeypatch.setattr(choice, "processor_features", lambda: tuple(filter(None, [feature or openvino])))

    have()
    return have


@pytest.mark.parametrize(
    ("machine", "arguments", "name", "reason"),
    [
        ({}, {}, "onnxruntime fp32", "no bf16 arithmetic"),
        ({"feature": "AVX512-BF16"}, {}, "onnxruntime fp32", "OpenVINO is not installed, which would use AVX512-BF16"),
        ({"feature": "Arm-BF16"}, {}, "onnxruntime fp32", "no runtime is known to be faster with Arm-BF16"),
        ({"openvino": "AMX-BF16"}, {}, "openvino bf16", "the processor has AMX-BF16"),
        ({"openvino": "AMX-BF16"}, {"precision": "bf16"}, "openvino bf16", "AMX-BF16"),
        ({"openvino": "AMX-BF16"}, {"precision": "fp32"}, "onnxruntime fp32", "fp32 was asked for"),
        ({"openvino": "AMX-BF16", "gpu": NEW_GPU}, {}, "pytorch bf16 cuda", "H200"),
        ({"gpu": NEW_GPU}, {"precision": "fp32"}, "pytorch fp32 cuda", "H200"),
        ({"gpu": OLD_GPU}, {}, "pytorch fp32 cuda", "T4"),
        ({"openvino": "AMX-BF16", "gpu": OLD_GPU}, {"precision": "bf16"}, "openvino bf16", "AMX-BF16"),
    ],
)
def test_auto_is_the_fastest_by_what_the_machine_has(here, machine, arguments, name, reason):
    here(**machine)
    chosen = choose_runtime(**arguments)
    assert chosen.name == name
    assert reason in chosen.reason


@pytest.mark.parametrize("machine", [{"gpu": NEW_GPU}, {"openvino": "AVX512-BF16"}])
def test_for_little_work_the_start_counts(here, machine):
    here(**machine)
    little = choose_runtime(work_px=LITTLE_PX - 1)
    assert (little.name, "starts fastest" in little.reason) == ("onnxruntime fp32", True)
    assert choose_runtime(work_px=LITTLE_PX).runtime != "onnxruntime"
    assert choose_runtime(precision="bf16", work_px=1).precision == "bf16"


@pytest.mark.parametrize(
    ("machine", "wanted", "precision", "name"),
    [
        ({"openvino": "AVX512-BF16", "gpu": NEW_GPU}, "onnxruntime", "auto", "onnxruntime fp32"),
        ({"openvino": "AVX512-BF16"}, "openvino", "auto", "openvino bf16"),
        ({"openvino": "AVX512-BF16"}, "openvino", "fp32", "openvino fp32"),
        ({}, "openvino", "auto", "openvino fp32"),
        ({"feature": "AVX512-BF16"}, "pytorch", "auto", "pytorch fp32"),
        ({"feature": "AVX512-BF16"}, "pytorch", "bf16", "pytorch bf16"),
        ({"gpu": NEW_GPU}, "pytorch", "auto", "pytorch bf16 cuda"),
        ({"gpu": OLD_GPU}, "pytorch", "auto", "pytorch fp32 cuda"),
    ],
)
def test_what_is_asked_for_is_taken(here, machine, wanted, precision, name):
    here(**machine)
    chosen = choose_runtime(wanted, precision, work_px=1)
    assert chosen.name == name
    assert chosen.reason.startswith("asked for")


@pytest.mark.parametrize(
    ("machine", "arguments", "says"),
    [
        ({}, {"wanted": "onnx"}, "'onnx' is unknown; did you mean 'onnxruntime'"),
        ({}, {"precision": "int4"}, "give one of auto, fp32, bf16"),
        ({}, {"precision": "bf16"}, "nothing that is installed computes in bf16"),
        ({}, {"wanted": "onnxruntime", "precision": "bf16"}, "onnxruntime computes in fp32 only"),
        ({}, {"wanted": "pytorch", "precision": "bf16"}, "the processor has no bf16 arithmetic"),
        ({"gpu": OLD_GPU}, {"wanted": "pytorch", "precision": "bf16"}, "T4 has no bf16 arithmetic"),
        ({}, {"wanted": "pytorch", "int8": True}, "does not compute the int8 network"),
        ({}, {"precision": "fp32", "int8": True}, "quantised to int8, not fp32"),
    ],
)
def test_what_cannot_be_is_said_with_a_remedy(here, machine, arguments, says):
    here(**machine)
    with pytest.raises(UsageError, match=says) as caught:
        choose_runtime(**arguments)
    assert ";" in str(caught.value)


def test_openvino_without_bf16_refuses_it(here, monkeypatch):
    monkeypatch.setattr(choice, "is_installed", lambda module: True)
    with pytest.raises(UsageError, match="openvino has no bf16 arithmetic on this processor; give --precision fp32"):
        choose_runtime("openvino", "bf16")


def test_an_unknown_processor_leaves_the_decision_to_the_user(here, monkeypatch):
    monkeypatch.setattr(choice, "processor_features", lambda: None)
    assert choose_runtime("pytorch", "bf16").name == "pytorch bf16"


@pytest.mark.parametrize(
    ("feature", "arguments", "name"),
    [
        ("AVX512-VNNI", {}, "openvino int8"),
        ("AVX512-VNNI", {"work_px": 1}, "onnxruntime int8"),
        ("AVX512-VNNI", {"wanted": "onnxruntime"}, "onnxruntime int8"),
        ("AVX2", {}, "onnxruntime int8"),
        ("AVX2", {"wanted": "openvino"}, "openvino int8"),
    ],
)
def test_an_int8_network_stays_on_the_processor(here, monkeypatch, feature, arguments, name):
    here(gpu=NEW_GPU, feature=feature)
    monkeypatch.setattr(choice, "is_installed", lambda module: True)
    assert choose_runtime(int8=True, **arguments).name == name
    monkeypatch.setattr(choice, "is_installed", lambda module: False)
    assert choose_runtime(int8=True).name == "onnxruntime int8"


@pytest.fixture
def a_torch(monkeypatch):
    """A function that puts a PyTorch of some build beside some GPU, where there is a driver."""

    def have(build: str, available: bool, capability: tuple[int, int] = (9, 0)) -> None:
        cuda = SimpleNamespace(
            is_available=lambda: available,
            get_device_capability=lambda: capability,
            get_device_name=lambda: "a GPU",
        )
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
        monkeypatch.setattr("importlib.metadata.version", lambda package: build)
        monkeypatch.setattr(choice, "is_installed", lambda module: True)
        monkeypatch.setattr(choice, "has_nvidia_driver", lambda: True)

    return have


def test_the_gpu_is_the_one_that_pytorch_finds(a_torch):
    a_torch("2.13.0", True)
    assert CUDA_GPU() == Gpu("a GPU", bf16=True)
    a_torch("2.13.0+cu130", True, (7, 5))
    assert CUDA_GPU() == Gpu("a GPU", bf16=False)
    a_torch("2.13.0", False)
    assert CUDA_GPU() is None


@pytest.mark.parametrize("lacks", ["driver", "torch", "cuda"])
def test_pytorch_is_not_imported_where_it_cannot_find_a_gpu(a_torch, monkeypatch, lacks):
    a_torch("2.13.0+cpu" if lacks == "cuda" else "2.13.0", True)
    if lacks == "driver":
        monkeypatch.setattr(choice, "has_nvidia_driver", lambda: False)
    if lacks == "torch":
        monkeypatch.setattr(choice, "is_installed", lambda module: module != "torch")
    monkeypatch.setattr(importlib, "import_module", lambda name: pytest.fail(f"{name} was imported"))
    assert CUDA_GPU() is None


@pytest.mark.parametrize(
    ("installed", "features", "capabilities", "expected"),
    [
        (False, ("AMX-BF16",), [], None),
        (True, ("AVX512-BF16", "AVX2"), [], "AVX512-BF16"),
        (True, ("Arm-BF16",), [], None),
        (True, ("AVX2",), ["BF16"], None),
        # Where the system does not list them, OpenVINO is asked.
        (True, None, ["FP32", "BF16"], "bf16 arithmetic"),
        (True, None, ["FP32"], None),
    ],
)
def test_openvino_is_faster_where_it_computes_in_bf16(monkeypatch, installed, features, capabilities, expected):
    core = SimpleNamespace(get_property=lambda device, name: capabilities)
    monkeypatch.setattr(choice, "is_installed", lambda module: installed)
    monkeypatch.setattr(choice, "processor_features", lambda: features)
    monkeypatch.setattr(choice, "bf16_feature", lambda: (features or (None,))[0] if features != ("AVX2",) else None)
    monkeypatch.setattr(choice, "import_openvino", lambda: SimpleNamespace(Core=lambda: core))
    assert OPENVINO_BF16() == expected


def test_what_would_be_faster_is_named_with_how_to_get_it(here, monkeypatch):
    monkeypatch.setattr(choice, "has_nvidia_driver", lambda: False)
    monkeypatch.setattr(choice, "is_installed", lambda module: module != "openvino")
    assert choice.faster_if_installed() == []
    here(feature="AVX512-BF16")
    assert choice.faster_if_installed() == ["OpenVINO, in bf16 by AVX512-BF16: pip install 'ocuseg[openvino]'"]
    here(openvino="AVX512-BF16")
    monkeypatch.setattr(choice, "is_installed", lambda module: True)
    assert choice.faster_if_installed() == []
    monkeypatch.setattr(choice, "has_nvidia_driver", lambda: True)
    assert "pytorch.org" in choice.faster_if_installed()[0]
    here(gpu=NEW_GPU)
    assert choice.faster_if_installed() == []
