"""Losses: logits, target and what counts to one number; nothing outside of what counts matters.

A loss is named (`bce_dice`) or a weighted sum of terms (`{bce: 1, dice: 0.5}`). Two classes have one logit and the
terms bce, dice, focal, tversky, lovasz, cldice, skeleton_recall; more have one logit each and ce instead of bce. `auto`
is bce_dice or ce_dice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ocuseg.errors import UsageError
from ocuseg.networks.settings import unknown
from ocuseg.training.terms import TERMS, Options, Pixels, Pool, Term

__all__ = ["LOSSES", "TERMS", "SegmentationLoss", "build_loss", "settled_loss"]

LOSSES: dict[str, dict[str, float]] = {
    "bce": {"bce": 1.0},
    "ce": {"ce": 1.0},
    "dice": {"dice": 1.0},
    "focal": {"focal": 1.0},
    "tversky": {"tversky": 1.0},
    "lovasz": {"lovasz": 1.0},
    "bce_dice": {"bce": 1.0, "dice": 1.0},
    "ce_dice": {"ce": 1.0, "dice": 1.0},
    "focal_dice": {"focal": 1.0, "dice": 1.0},
    "bce_lovasz": {"bce": 1.0, "lovasz": 1.0},
    "ce_lovasz": {"ce": 1.0, "lovasz": 1.0},
    "bce_dice_cldice": {"bce": 1.0, "dice": 1.0, "cldice": 1.0},
    "ce_dice_cldice": {"ce": 1.0, "dice": 1.0, "cldice": 1.0},
    "bce_dice_skeleton_recall": {"bce": 1.0, "dice": 1.0, "skeleton_recall": 1.0},
    "ce_dice_skeleton_recall": {"ce": 1.0, "dice": 1.0, "skeleton_recall": 1.0},
}


@dataclass(frozen=True)
class SegmentationLoss:
    """A weighted sum of terms, called with logits, target and weight; see `build_loss`."""

    terms: Mapping[str, tuple[float, Term]]
    out_channels: int
    class_weights: tuple[float, ...] | None
    positive_weight: float | None
    auxiliary_weights: tuple[float, ...] | None

    def __call__(
        self, logits: Tensor | Sequence[Tensor], target: Tensor, weight: Tensor, *, pool: Pool = lambda sums: sums
    ) -> Tensor:
        """Return the loss as a float32 scalar; 0, with zero gradients, where nothing counts.

        `logits` are (N, C, H, W), or a sequence of such (deep supervision, the main ones first), of which the
        weighted mean is taken. `target` (N, H, W) holds class ids; `weight` (N, H, W), float or bool, is 0 where a
        pixel does not count (outside the field of view, the ignored id). The terms over pixels weigh each by it, the
        terms over regions (all the others) count what is above 0. With a `pool` it is the loss of all batches
        together, but for lovasz, which cannot be made of sums: that is the mean of the batches'.
        Raises ValueError where a counted pixel holds an id that the network has no class for.
        """
        if isinstance(logits, Tensor):
            return self._of(logits, target, weight, pool)
        weights = self.auxiliary_weights or tuple(0.5**level for level in range(1, len(logits)))
        shares = (1.0, *weights)
        losses = [share * self._of(each, target, weight, pool) for share, each in zip(shares, logits, strict=True)]
        return torch.stack(losses).sum() / sum(shares)

    def require_auxiliary(self, outputs: int) -> None:
        """Raise UsageError where weights were given for another number of auxiliary outputs than the network has."""
        if self.auxiliary_weights is not None and len(self.auxiliary_weights) != outputs:
            raise UsageError(
                f"auxiliary_weights: {list(self.auxiliary_weights)} has length {len(self.auxiliary_weights)}, the "
                f"network has {outputs} auxiliary outputs; {'give one for each' if outputs else 'leave it out'}"
            )

    def _of(self, logits: Tensor, target: Tensor, weight: Tensor, pool: Pool) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            pixels = self._pixels(logits.float(), target.long(), weight.float(), pool)
            return torch.stack([share * term(pixels) for share, term in self.terms.values()]).sum()

    def _pixels(self, logits: Tensor, target: Tensor, weight: Tensor, pool: Pool) -> Pixels:
        # Filling rather than multiplying: even an infinite logit out there has then no part in the loss or gradient.
        counted = weight > 0
        logits = logits.masked_fill(~counted[:, None], 0.0)
        target = target.masked_fill(~counted, 0)
        num_classes = max(2, self.out_channels)
        if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < num_classes:
            raise ValueError(f"target: holds ids {int(target.min())} to {int(target.max())} of {num_classes} classes")
        factor, total = weight, weight.sum()
        if self.class_weights is not None:
            factor = weight * weight.new_tensor(self.class_weights)[target]
            total = factor.sum()
        elif self.positive_weight is not None:
            factor = weight * torch.where(target == 1, self.positive_weight, 1.0)
        one_hot = functional.one_hot(target, num_classes).movedim(-1, 1).float()
        total = pool(total)
        return Pixels(
            logits=logits,
            target=target,
            one_hot=one_hot if self.out_channels > 1 else one_hot[:, 1:],
            counted=counted[:, None].float(),
            factor=factor,
            total=torch.where(total > 0, total, torch.ones_like(total)),
            pool=pool,
        )


def build_loss(
    spec: str | Mapping[str, float],
    *,
    out_channels: int,
    class_weights: Sequence[float] | None = None,
    positive_weight: float | None = None,
    focal_gamma: float = 2.0,
    tversky_alpha: float = 0.3,
    tversky_beta: float = 0.7,
    auxiliary_weights: Sequence[float] | None = None,
) -> SegmentationLoss:
    """Return the loss that `spec` names (a key of LOSSES, or auto), or the weighted sum that it spells out (of TERMS).

    `class_weights`, one per class, background included, weigh the pixels of bce, ce and focal, and their mean is
    divided by the sum of the weights; `positive_weight` weighs the pixels of class 1 of two and their mean is divided
    by the number of pixels. `focal_gamma` as by Lin et al.; `tversky_alpha` weighs false positives, `tversky_beta`
    false negatives. `auxiliary_weights` belong to the auxiliary logits of deep supervision, 1 being the main logits';
    default 1/2, 1/4, ...
    Raises UsageError on anything that is unknown, or that would have no effect.
    """
    if not (focal_gamma == 0 or 1 <= focal_gamma < math.inf):  # between, the gradient of a certain pixel is infinite
        raise UsageError(f"loss: focal_gamma {focal_gamma!r} is neither 0 nor at least 1; give a number such as 2")
    if not min(tversky_alpha, tversky_beta) >= 0 or not 0 < tversky_alpha + tversky_beta < math.inf:
        raise UsageError(
            f"loss: tversky_alpha {tversky_alpha!r}, tversky_beta {tversky_beta!r} must be 0 or more, not both 0"
        )
    weights = _weights(settled_loss(spec, out_channels))
    _require_fitting(spec, weights, out_channels, class_weights, positive_weight)
    options = Options(out_channels, focal_gamma, tversky_alpha, tversky_beta)
    return SegmentationLoss(
        terms={name: (weight, TERMS[name](options)) for name, weight in weights.items()},
        out_channels=out_channels,
        class_weights=None if class_weights is None else tuple(float(each) for each in class_weights),
        positive_weight=positive_weight,
        auxiliary_weights=None if auxiliary_weights is None else tuple(float(each) for each in auxiliary_weights),
    )


def settled_loss(spec: Any, out_channels: int) -> Any:
    """Return `spec`, or what `auto` stands for: bce_dice for one logit, ce_dice for more."""
    if spec != "auto":
        return spec
    return "bce_dice" if out_channels == 1 else "ce_dice"


def _weights(spec: Any) -> dict[str, float]:
    if isinstance(spec, str):
        if spec not in LOSSES:
            raise UsageError(
                f"loss: {unknown('name', spec, [*LOSSES, 'auto'])}, or a weighted sum such as {{bce: 1, dice: 0.5}}"
            )
        return LOSSES[spec]
    if not isinstance(spec, Mapping) or not spec:
        raise UsageError(
            f"loss: {spec!r} is not a loss; give a name such as bce_dice, or a sum as {{bce: 1, dice: 0.5}}"
        )
    for name, weight in spec.items():
        if name not in TERMS:
            raise UsageError(f"loss: {unknown('term', name, TERMS)}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
            raise UsageError(
                f"loss: the weight {weight!r} of {name} is not a number above 0; give one, or leave it out"
            )
    return {name: float(weight) for name, weight in spec.items()}


def _require_fitting(
    spec: str | Mapping[str, float],
    weights: Mapping[str, float],
    out_channels: int,
    class_weights: Sequence[float] | None,
    positive_weight: float | None,
) -> None:
    wrong, right, classes = ("ce", "bce", "two") if out_channels == 1 else ("bce", "ce", "more than two")
    if wrong in weights:
        terms = ", ".join(f"{right if name == wrong else name}: {weight:g}" for name, weight in weights.items())
        remedy = f"loss={right + spec.removeprefix(wrong)}" if isinstance(spec, str) else f"'loss={{{terms}}}'"
        raise UsageError(f"loss: {wrong!r} does not fit {classes} classes; use {right!r}, with --set {remedy}")
    if (class_weights is not None or positive_weight is not None) and not {"bce", "ce", "focal"} & set(weights):
        raise UsageError("loss: class or positive weights act on bce, ce and focal only; add one of them, or drop them")
    if positive_weight is not None:
        if out_channels > 1:
            raise UsageError("loss: positive_weight is for two classes; give class_weights")
        if class_weights is not None:
            raise UsageError("loss: positive_weight and class_weights are given both; keep one")
        if not 0 < positive_weight < math.inf:
            raise UsageError(f"loss: positive_weight {positive_weight!r} is not above 0; give a number such as 3")
    if class_weights is not None:
        num_classes = max(2, out_channels)
        if len(class_weights) != num_classes or not all(0 <= each < math.inf for each in class_weights):
            raise UsageError(f"loss: class_weights {list(class_weights)} are not {num_classes} numbers of 0 or more")
