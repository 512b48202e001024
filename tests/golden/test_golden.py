"""Fixed weights on fixed pictures give what they gave when the expected results were stored.

`make_golden.py` in this folder made them, and says how.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


golden = _load("make_golden")


@pytest.fixture(scope="module")
def logits() -> Mapping[str, Any]:
    with np.load(HERE / "logits.npz") as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def predictions() -> Mapping[str, Any]:
    with np.load(HERE / "predictions.npz") as stored:
        return dict(stored)


@pytest.mark.parametrize("name", golden.NETWORKS)
def test_logits(name: str, logits: Mapping[str, Any]) -> None:
    expected = logits[name]
    assert np.ptp(expected) > 1  # a network that gives next to nothing would agree with anything
    np.testing.assert_allclose(golden.logits_of(name), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", golden.PREDICTIONS)
def test_probabilities_and_masks(name: str, predictions: Mapping[str, Any]) -> None:
    threshold = float(predictions[f"{name}_threshold"])
    result = golden.predictor_of(name, None if np.isnan(threshold) else threshold)(golden.first_image())
    assert len(np.unique(predictions[f"{name}_mask"])) >= 2
    np.testing.assert_allclose(result.probabilities, predictions[f"{name}_probabilities"], rtol=0, atol=1e-4)
    np.testing.assert_array_equal(result.mask, predictions[f"{name}_mask"])


@pytest.mark.parametrize("name", golden.DATA)
def test_metrics(name: str) -> None:
    expected = json.loads((HERE / f"metrics_{name}.json").read_text(encoding="utf-8"))
    assert expected["images"] == 3
    assert expected["classes"][0]["dice"]["pooled"] > 0.4
    assert _differences(golden.evaluation_of(name).to_json(), expected) == []


def _differences(found: Any, expected: Any, place: str = "metrics") -> list[str]:
    """Every place where two JSON documents differ, numbers by more than 1e-6."""
    if isinstance(expected, dict) and isinstance(found, dict):
        missing = [f"{place}: keys {sorted(set(found) ^ set(expected))}"] if set(found) != set(expected) else []
        inner = (_differences(found[key], expected[key], f"{place}.{key}") for key in expected if key in found)
        return [*missing, *(line for lines in inner for line in lines)]
    if isinstance(expected, list) and isinstance(found, list | tuple) and len(found) == len(expected):
        pairs = enumerate(zip(found, expected, strict=True))
        return [line for index, (a, b) in pairs for line in _differences(a, b, f"{place}[{index}]")]
    numbers = isinstance(expected, float) and isinstance(found, int | float)
    if found == expected or (numbers and abs(found - expected) <= 1e-6):
        return []
    return [f"{place}: {found!r} instead of {expected!r}"]


def test_differences_are_noticed() -> None:
    expected = {"a": [1.0, {"b": 2, "c": None}], "d": "x"}
    assert _differences({"a": [1.0 + 5e-7, {"b": 2, "c": None}], "d": "x"}, expected) == []
    assert len(_differences({"a": [1.0 + 5e-6, {"b": 3, "c": 0.0}], "d": "y"}, expected)) == 4
    assert _differences({"a": [1.0, {"b": 2}], "d": "x"}, expected) == ["metrics.a[1]: keys ['c']"]
