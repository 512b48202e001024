"""The Jaccard loss (1 - IoU) as a surface that gradients can follow: its Lovász extension."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["lovasz_hinge", "lovasz_softmax"]


def lovasz_softmax(probabilities: Tensor, target: Tensor) -> Tensor:
    """Return the Lovász-softmax loss, from 0 to 1, of `probabilities` (P, C) and `target` (P,) class ids.

    The mean over the classes that `target` holds, the background among them; 0, with zero gradients, where P is 0.
    Berman, Triki & Blaschko 2018, doi:10.1109/CVPR.2018.00464.
    """
    if not len(target):
        return probabilities.sum() * 0
    belongs = functional.one_hot(target, probabilities.shape[1]).T  # (C, P)
    present = belongs.any(dim=1)
    belongs, chances = belongs[present], probabilities.T[present]
    return _extension((belongs - chances).abs(), belongs).mean()


def lovasz_hinge(logits: Tensor, target: Tensor) -> Tensor:
    """Return the Lovász hinge, 0 or more, of the foreground for `logits` (P,) and `target` (P,) of 0 and 1.

    Zero where every pixel is on its side of 0 by 1. Where `target` holds no foreground, it is the largest hinge: each
    false pixel more makes an IoU of 0 no worse. 0, with zero gradients, where P is 0.
    Yu & Blaschko 2015, http://proceedings.mlr.press/v37/yub15.html; Berman et al. 2018, doi:10.1109/CVPR.2018.00464.
    """
    signs = 2.0 * target - 1
    return _extension(functional.relu(1 - logits * signs)[None], target[None]).sum()


def _extension(errors: Tensor, belongs: Tensor) -> Tensor:
    """Return the Lovász extension (K,) of the Jaccard loss at `errors` (K, P), 0 or more, of sets `belongs` of 0, 1.

    With the errors from large to small, each weighs what its pixel adds to the loss of the set of those before it. A
    pixel of the set takes 1 from the intersection of I, one outside adds 1 to the union of U: closed forms of the
    paper's differences, which in float32 would drown in rounding for a million pixels.
    """
    errors, order = errors.sort(dim=1, descending=True)
    inside = belongs.gather(1, order)
    total, found = inside.sum(dim=1, keepdim=True), inside.cumsum(dim=1)
    places = torch.arange(1, errors.shape[1] + 1, device=errors.device)
    intersection, union = (total - found).float(), (total + places - found).float()
    before = union - 1  # without this pixel; 0 for the first one about an empty set, which takes the loss from 0 to 1
    outside = torch.where(before > 0, intersection / (union * before.clamp(min=1)), 1.0)
    return (errors * torch.where(inside > 0, 1 / union, outside)).sum(dim=1)
