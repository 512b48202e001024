"""What is settled before a run writes anything: classes, precision, network and loss, and that they go together."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ocuseg.checking import CheckResult
from ocuseg.classes import Classes
from ocuseg.encoding import MaskEncoding
from ocuseg.errors import DataError, ModelError, UsageError
from ocuseg.files import hash_file
from ocuseg.networks import SegmentationNetwork, build_network, resolve_network
from ocuseg.training.adjustment import adjustment_of
from ocuseg.training.frequencies import class_weights
from ocuseg.training.losses import SegmentationLoss, build_loss
from ocuseg.training.precision import Precision, choose_precision
from ocuseg.training.pretrained import load_encoder_weights
from ocuseg.training.recipe import Recipe
from ocuseg.training.start import Origin, StartWeights

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
    start: StartWeights | None


def prepare(
    checked: CheckResult,
    recipe: Recipe,
    *,
    start: StartWeights | None = None,
    resume: bool = False,
    device: str = "auto",
) -> Prepared:
    """Return what a recipe asks for on these data and this machine, the network seeded by the recipe.

    The network starts from `start`, else from the recipe's `encoder_weights`; a run that goes on (`resume`) has read
    these before, and finds all of its weights in `start` or in a checkpoint. A start that only the recipe asks for is
    left out, and that is said, where it is of another network.

    Raises UsageError where the recipe or the device is not accepted, DataError where the classes are not known or the
    foreground of two is missing from `val`, and ModelError where the weights are of another network - all before a run
    folder is made.
    """
    if start is not None and start.where_fit and recipe.encoder_weights is not None:
        start = None  # what a user names goes before what a recipe does
    if recipe.encoder_weights is not None and start is not None and not resume:
        raise UsageError(f"both 'encoder_weights' and {start.origin.model} are given as the start; leave out one")
    classes, encoding = checked.classes, checked.encoding
    if classes is None or encoding is None:
        raise DataError(f"{checked.index.root}: the classes of the masks are not known; see the findings of the check")
    for split, use in (("train", "to learn from"), ("val", "to choose the best epoch and the threshold on")):
        if not checked.index.has_split(split):
            raise DataError(f"{checked.index.root}: has no images of {split} {use}; add that split, or a split file")
    if len(classes) == 2 and not checked.class_pixels["val"][1]:
        raise DataError(
            f"{checked.index.root}: no mask of val shows {classes.items[1].name}, to choose the threshold on; "
            "move images that do into val, whole groups at a time"
        )
    settings = resolve_network({"in_channels": 3, "out_channels": classes.out_channels, **recipe.network})
    if start is not None and start.where_fit and (key := _first_difference(settings, start)):
        _log.info("starting from nothing: %s is of another network (its %s)", start.origin.model, key)
        start = None
    _require_channels(settings, classes, start)
    if recipe.prediction.smallest_piece_px is not None and len(classes) != 2:
        raise UsageError(
            "'prediction.smallest_piece_px' is for one class and the background; set prediction.smallest_piece_px=null"
        )
    adjustment_of(recipe, classes)
    precision = choose_precision(recipe.precision, device)
    loss = _loss(recipe, classes, checked)
    torch.manual_seed(recipe.seed)
    network = build_network(settings)
    if start is not None:
        _start_from(network, settings, start)
    elif recipe.encoder_weights is not None and not resume:
        dropped = _load_encoder(network, recipe.encoder_weights)
        origin = Origin(Path(recipe.encoder_weights).name, hash_file(recipe.encoder_weights), dropped=dropped)
        start = StartWeights(origin, settings, network.state_dict())
    return Prepared(classes, encoding, precision, network, settings, loss, start)


def _require_channels(settings: Mapping[str, Any], classes: Classes, start: StartWeights | None) -> None:
    """Raise where the network takes no RGB or gives other classes than the data have, as that of a model may."""
    if settings["out_channels"] != classes.out_channels:
        of_data = f"{len(classes)} classes ({', '.join(classes.names)})"
        if start is not None and start.network.get("out_channels") == settings["out_channels"]:
            raise ModelError(
                f"{start.origin.model}: has {max(2, settings['out_channels'])} classes, the data {of_data}; "
                "start from a model of as many, or train from nothing"
            )
        raise UsageError(
            f"network.out_channels: {settings['out_channels']} does not fit the data of {of_data}; leave it out"
        )
    if settings["in_channels"] != 3:
        raise UsageError(f"network.in_channels: {settings['in_channels']} does not fit images in RGB; leave it out")


def _load_encoder(network: SegmentationNetwork, path: str) -> tuple[str, ...]:
    """Return the names that were dropped; said here by part, one by one in the bundle: there can be hundreds."""
    dropped = load_encoder_weights(network, path)
    parts = Counter(".".join(name.split(".")[:2]) for name in dropped)
    said = ", ".join(f"{part} ({count})" for part, count in parts.items()) or "nothing"
    _log.info("weights of %s taken for the encoder; dropped, as no part of it: %s", path, said)
    return tuple(dropped)


def _first_difference(settings: Mapping[str, Any], start: StartWeights) -> str | None:
    """Return the first setting in which the network of a start is another, if there is one."""
    own = _own_settings(start)
    return next((key for key in ("name", *sorted(settings)) if settings[key] != own.get(key)), None)


def _own_settings(start: StartWeights) -> dict[str, Any]:
    try:
        return resolve_network(start.network)  # a model of an earlier version lacks the settings that came since
    except UsageError as error:
        raise ModelError(f"{start.origin.model}: {error}; start from another model") from error


def _start_from(network: SegmentationNetwork, settings: dict[str, Any], start: StartWeights) -> None:
    if key := _first_difference(settings, start):
        own = _own_settings(start).get(key)
        raise ModelError(
            f"{start.origin.model}: its network has {key} {own!r}, the recipe {settings[key]!r}; "
            f"set network.{key}={own}"
        )
    network.load_state_dict(start.weights)
    _log.info("weights of %s taken as the start", start.origin.model)


def _loss(recipe: Recipe, classes: Classes, checked: CheckResult) -> SegmentationLoss:
    weight, pixels = recipe.positive_weight, checked.class_pixels["train"]
    if weight == "measured":
        weight = float(pixels[0] / max(1, pixels[1]))
    images = (record.name for record in checked.index.of_split("train"))
    by_image = [checked.image_class_pixels[name] for name in images if name in checked.image_class_pixels]
    return build_loss(
        recipe.loss,
        out_channels=classes.out_channels,
        class_weights=class_weights(by_image or pixels, recipe.class_weights),
        positive_weight=weight,
        focal_gamma=recipe.focal_gamma,
        tversky_alpha=recipe.tversky_alpha,
        tversky_beta=recipe.tversky_beta,
        auxiliary_weights=recipe.auxiliary_weights,
    )
