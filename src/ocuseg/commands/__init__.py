"""The library's verbs: one function for each command, with plain arguments."""

from __future__ import annotations

from ocuseg.commands.about import doctor, models, recipes
from ocuseg.commands.collecting import predict_collection
from ocuseg.commands.making import cache, check, export, train
from ocuseg.commands.using import compare, evaluate, evaluation_folder, load, predict, predict_each

__all__ = [
    "cache",
    "check",
    "compare",
    "doctor",
    "evaluate",
    "evaluation_folder",
    "export",
    "load",
    "models",
    "predict",
    "predict_collection",
    "predict_each",
    "recipes",
    "train",
]
