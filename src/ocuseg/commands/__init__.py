"""The library's verbs: one function for each command, with plain arguments."""

from __future__ import annotations

from ocuseg.commands.about import doctor, models, recipes
from ocuseg.commands.collecting import predict_collection
from ocuseg.commands.comparing import compare
from ocuseg.commands.downloading import get_public_set, public_sets
from ocuseg.commands.evaluating import evaluate, evaluation_folder
from ocuseg.commands.exchanging import import_annotations
from ocuseg.commands.making import cache, check, export, train
from ocuseg.commands.predicting import load, predict, predict_each
from ocuseg.commands.serving import needs_token, serve

__all__ = [
    "cache",
    "check",
    "compare",
    "doctor",
    "evaluate",
    "evaluation_folder",
    "export",
    "get_public_set",
    "import_annotations",
    "load",
    "models",
    "needs_token",
    "predict",
    "predict_collection",
    "predict_each",
    "public_sets",
    "recipes",
    "serve",
    "train",
]
