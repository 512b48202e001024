"""Segment images of the eye: from a folder of images and masks to a tested model.

>>> import ocuseg
>>> predictor = ocuseg.load("runs/vessels")  # doctest: +SKIP
>>> predictor("eye.jpg").mask.shape  # doctest: +SKIP
(960, 999)

Everything is loaded when it is first used: importing this package imports neither PyTorch nor matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ocuseg import errors

if TYPE_CHECKING:
    from ocuseg.classes import Classes as Classes
    from ocuseg.commands import cache as cache
    from ocuseg.commands import check as check
    from ocuseg.commands import compare as compare
    from ocuseg.commands import doctor as doctor
    from ocuseg.commands import evaluate as evaluate
    from ocuseg.commands import export as export
    from ocuseg.commands import get_public_set as get_public_set
    from ocuseg.commands import import_annotations as import_annotations
    from ocuseg.commands import load as load
    from ocuseg.commands import models as models
    from ocuseg.commands import predict as predict
    from ocuseg.commands import predict_collection as predict_collection
    from ocuseg.commands import public_sets as public_sets
    from ocuseg.commands import recipes as recipes
    from ocuseg.commands import serve as serve
    from ocuseg.commands import train as train
    from ocuseg.demonstration import demo as demo
    from ocuseg.evaluation import Evaluation as Evaluation
    from ocuseg.findings import Finding as Finding
    from ocuseg.findings import Findings as Findings
    from ocuseg.prediction import Predictor as Predictor
    from ocuseg.prediction import Result as Result

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(
        (
            "cache",
            "check",
            "compare",
            "doctor",
            "evaluate",
            "export",
            "get_public_set",
            "import_annotations",
            "load",
            "models",
            "predict",
            "predict_collection",
            "public_sets",
            "recipes",
            "serve",
            "train",
        ),
        "ocuseg.commands",
    ),
    "demo": "ocuseg.demonstration",
    "Classes": "ocuseg.classes",
    "Evaluation": "ocuseg.evaluation",
    "Finding": "ocuseg.findings",
    "Findings": "ocuseg.findings",
    "Predictor": "ocuseg.prediction",
    "Result": "ocuseg.prediction",
}

__all__ = ["__version__", "errors", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'ocuseg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
