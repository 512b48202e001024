"""What is settled before a run writes anything: classes, precision, network and loss, and that they go together."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ocuseg.checking import CheckResult
from ocuseg.classes import Classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, ModelError
from ocuseg.networks import SegmentationNetwork, build_network, resolve_network
from ocuseg.training.losses import SegmentationLoss, build_loss, class_weights
from ocuseg.training.precision import Precision, choose_precision
from ocuseg.training.recipe import Recipe
from ocuseg.training.start import StartWeights

__all__ = ["Prepared", "prepare"]

_log = logging.getLogger("ocuseg")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A network and a loss that fit each other, the data and the machine; nothing of it is on disk yet."""

    classes: Classes
    encoding: MaskEncoding
    precision: Precision
    network: SegmentationNetwork
    network_settings: dict[str, Any]
    loss: SegmentationLoss


def prepare(
    checked: CheckResult, recipe: Recipe, *, start: StartWeights | None = None, device: str = "auto"
) -> Prepared:
    """Return what a recipe asks for on these data and this machine, the network seeded by the recipe.

    Raises UsageError where the recipe or the device is not accepted, DataError where the classes are not known, and
    ModelError where the weights of `start` are of another network - all before a run folder is made.
    """
    classes, encoding = checked.classes, checked.encoding
    if classes is None or encoding is None:
        raise DataError(f"{checked.index.root}: the classes of the masks are not known; see the findings of the check")
    for split, use in (("train", "to learn from"), ("val", "to choose the best epoch and the threshold on")):
        if not checked.index.has_split(split):
            raise DataError(f"{checked.index.root}: has no images of {split} {use}; add that split, or a split file")
    precision = choose_precision(recipe.precision, device)
    settings = resolve_network({"in_channels": 3, "out_channels": classes.out_channels, **recipe.network})
    loss = _loss(recipe, classes, checked.class_pixels["train"])
    torch.manual_seed(recipe.seed)
    network = build_network(settings)
    if start is not None:
        _start_from(network, settings, start)
    return Prepared(classes, encoding, precision, network, settings, loss)


def _start_from(network: SegmentationNetwork, settings: dict[str, Any], start: StartWeights) -> None:
    different = sorted(key for key in settings if settings[key] != start.network.get(key))
    if different:
        key = different[0]
        raise ModelError(
            f"{start.model}: its network has {key} {start.network.get(key)!r}, the recipe {settings[key]!r}; "
            f"set network.{key}={start.network.get(key)}"
        )
    network.load_state_dict(start.weights)
    _log.info("weights of %s taken as the start", start.model)


def _loss(recipe: Recipe, classes: Classes, pixels: NDArray[np.int64]) -> SegmentationLoss:
    weight = recipe.positive_weight
    if weight == "measured":
        weight = float(pixels[0] / max(1, pixels[1]))
    return build_loss(
        recipe.loss,
        out_channels=classes.out_channels,
        class_weights=class_weights(pixels, recipe.class_weights),
        positive_weight=weight,
        focal_gamma=recipe.focal_gamma,
        tversky_alpha=recipe.tversky_alpha,
        tversky_beta=recipe.tversky_beta,
    )
