"""The library's verbs: one function for each command, with plain arguments."""

from __future__ import annotations

from ocuseg.commands.about import doctor, models, recipes
from ocuseg.commands.making import check, export, train
from ocuseg.commands.using import compare, evaluate, evaluation_folder, load, predict

__all__ = [
    "check",
    "compare",
    "doctor",
    "evaluate",
    "evaluation_folder",
    "export",
    "load",
    "models",
    "predict",
    "recipes",
    "train",
]
