"""The terms of a loss: what counts of a batch to one number each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ocuseg.training.lovasz import lovasz_hinge, lovasz_softmax
from ocuseg.training.skeletons import skeletons, soft_skeletons, tubes

__all__ = ["TERMS", "Options", "Pixels", "Pool", "Term"]

_SMOOTH = 1e-5
"""What keeps the overlap of two empty regions a number."""

Pool = Callable[[Tensor], Tensor]
"""Takes sums over a batch and returns those over all batches of a step, where several processes have one each."""


@dataclass(frozen=True, slots=True)
class Options:
    """What terms are told of a loss; see `build_loss`."""

    out_channels: int
    focal_gamma: float
    tversky_alpha: float
    tversky_beta: float


@dataclass(frozen=True, slots=True)
class Pixels:
    """One batch, float32, with logits and ids at zero wherever nothing counts."""

    logits: Tensor  # (N, C, H, W)
    target: Tensor  # (N, H, W) int64
    one_hot: Tensor  # (N, C, H, W)
    counted: Tensor  # (N, 1, H, W), 0 or 1
    factor: Tensor  # (N, H, W), weight of the pixel times that of its class
    total: Tensor  # (), what the sum of factor * loss is divided by, pooled
    pool: Pool

    def mean(self, losses: Tensor) -> Tensor:
        """Return the weighted mean of `losses` (N, H, W)."""
        return self.pool((losses * self.factor).sum()) / self.total


Term = Callable[[Pixels], Tensor]


def _bce(_: Options) -> Term:
    def term(pixels: Pixels) -> Tensor:
        target = pixels.one_hot
        losses = functional.binary_cross_entropy_with_logits(pixels.logits, target, reduction="none")
        return pixels.mean(losses[:, 0])

    return term


def _ce(_: Options) -> Term:
    return lambda pixels: pixels.mean(functional.cross_entropy(pixels.logits, pixels.target, reduction="none"))


def _dice(options: Options) -> Term:
    """Return 1 - Dice, Milletari et al. 2016, doi:10.1109/3DV.2016.79, over the whole batch.

    Over the batch, not per image: a crop without vessels then needs no definition of its own, and the sum is the
    pooled score's. Of several classes the mean over the foreground. As MONAI's `DiceLoss(batch=True)`, of pooled sums.
    """

    def term(pixels: Pixels) -> Tensor:
        chances, truth = _regions(pixels, options)
        found, predicted, present = _pooled(pixels, chances * truth, chances, truth)
        false, missed = (predicted - found) * 0.5, (present - found) * 0.5
        return (1 - (2 * found + _SMOOTH) / (2 * (found + false + missed) + _SMOOTH)).mean()

    return term


def _tversky(options: Options) -> Term:
    """Return 1 - Tversky index, Salehi et al. 2017, doi:10.1007/978-3-319-67389-9_44, over the whole batch.

    As MONAI's `TverskyLoss(batch=True)`, of pooled sums.
    """

    def term(pixels: Pixels) -> Tensor:
        chances, truth = _regions(pixels, options)
        found, false, missed = _pooled(pixels, chances * truth, chances * (1 - truth), (1 - chances) * truth)
        false, missed = false * options.tversky_alpha, missed * options.tversky_beta
        return (1.0 - (found + _SMOOTH) / (found + false + missed + _SMOOTH)).mean()

    return term


def _cldice(options: Options) -> Term:
    """Return 1 - centreline Dice, Shit et al. 2021, doi:10.1109/CVPR46437.2021.01629, over the whole batch.

    The harmonic mean of two shares: of the prediction's soft centrelines in the truth, and of the truth's centrelines
    in the prediction. The latter are exact, where the authors take soft ones: faster, and right for any width.
    """

    def term(pixels: Pixels) -> Tensor:
        chances, truth = _regions(pixels, options)
        line, true_line = soft_skeletons(chances, pixels.counted), skeletons(truth)
        right, lines, met, true_lines = _pooled(pixels, line * truth, line, true_line * chances, true_line)
        precision, sensitivity = (right + _SMOOTH) / (lines + _SMOOTH), (met + _SMOOTH) / (true_lines + _SMOOTH)
        return (1 - 2 * precision * sensitivity / (precision + sensitivity)).mean()

    return term


def _skeleton_recall(options: Options) -> Term:
    """Return 1 - skeleton recall, Kirchhoff et al. 2024, doi:10.1007/978-3-031-72980-5_13, over the whole batch.

    The share of the tubes about the truth's centrelines that is found.
    """

    def term(pixels: Pixels) -> Tensor:
        chances, truth = _regions(pixels, options)
        tube = tubes(truth)
        met, present = _pooled(pixels, tube * chances, tube)
        return (1 - (met + _SMOOTH) / (present + _SMOOTH)).mean()

    return term


def _regions(pixels: Pixels, options: Options) -> tuple[Tensor, Tensor]:
    """Return probabilities and truth (N, C, H, W) of the foreground, 0 where nothing counts."""
    logits, first = pixels.logits, 0 if options.out_channels == 1 else 1
    chances = torch.sigmoid(logits) if options.out_channels == 1 else torch.softmax(logits, dim=1)
    return (chances * pixels.counted)[:, first:], (pixels.one_hot * pixels.counted)[:, first:]


def _pooled(pixels: Pixels, *maps: Tensor) -> tuple[Tensor, ...]:
    """Return the sum of each of some maps (N, C, H, W) as (C,)."""
    return pixels.pool(torch.stack([each.sum(dim=(0, 2, 3)) for each in maps])).unbind()


def _focal(options: Options) -> Term:
    """Return the focal loss, Lin et al. 2017, doi:10.1109/ICCV.2017.324; with gamma 0 it is bce or ce."""
    from monai.losses import FocalLoss

    loss = FocalLoss(gamma=options.focal_gamma, use_softmax=options.out_channels > 1, reduction="none")
    return lambda pixels: pixels.mean(loss(pixels.logits, pixels.one_hot).sum(dim=1))


def _lovasz(options: Options) -> Term:
    """Return the Lovász hinge of one logit, the Lovász-softmax of more, over all counted pixels of the batch."""

    def term(pixels: Pixels) -> Tensor:
        counted = pixels.counted[:, 0] > 0
        logits, target = pixels.logits.movedim(1, -1)[counted], pixels.target[counted]
        if options.out_channels == 1:
            own = lovasz_hinge(logits[:, 0], target)
        else:
            own = lovasz_softmax(torch.softmax(logits, dim=1), target)
        total, batches = pixels.pool(torch.stack([own, torch.ones_like(own)])).unbind()
        return total / batches

    return term


TERMS: dict[str, Callable[[Options], Term]] = {
    "bce": _bce,
    "ce": _ce,
    "dice": _dice,
    "focal": _focal,
    "tversky": _tversky,
    "lovasz": _lovasz,
    "cldice": _cldice,
    "skeleton_recall": _skeleton_recall,
}
