"""Several trained networks as one, whose probabilities are the mean of theirs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ocuseg.networks.network import SegmentationNetwork

__all__ = ["Ensemble"]

Normalisation = tuple[Sequence[float], Sequence[float]]


class Ensemble(SegmentationNetwork):
    """Networks of the same channels that were trained apart, run one after the other on the same images.

    Its logits are those of the mean probability: of one channel the logit of the members' mean sigmoid, of more the
    logarithm of their mean softmax, so that whatever reads logits reads the mean. `scale` and `shift` (M, in_channels,
    1, 1) bring images, normalised for the ensemble, to what each of the M members was trained on; `absorb` sets them.
    Averaging networks of a cross-validation: Krogh & Vedelsby 1995, https://dl.acm.org/doi/10.5555/2998687.2998716.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, members: Sequence[SegmentationNetwork]) -> None:
        super().__init__()
        self.in_channels = members[0].in_channels
        self.multiple = math.lcm(*(member.multiple for member in members))
        self.members = nn.ModuleList(members)
        self.auxiliary_heads = nn.ModuleList()
        shape = (len(members), self.in_channels, 1, 1)
        self.register_buffer("scale", torch.ones(shape))
        self.register_buffer("shift", torch.zeros(shape))

    def absorb(self, own: Sequence[Normalisation], shared: Normalisation) -> None:
        """Take images that are normalised by `shared`, (mean, std) of each channel, for members that need `own`."""
        mean, std = (torch.tensor(values, dtype=torch.float64) for values in shared)
        for position, (own_mean, own_std) in enumerate(own):
            divisor = torch.tensor(own_std, dtype=torch.float64)
            self.scale[position, :, 0, 0] = std / divisor
            self.shift[position, :, 0, 0] = (mean - torch.tensor(own_mean, dtype=torch.float64)) / divisor

    def logits(self, images: Tensor) -> Tensor:
        """Return the logits (N, C, H, W) of the members' mean probability, for sides that `multiple` divides."""
        found: list[Tensor] = []
        for position, member in enumerate(self.members):
            assert isinstance(member, SegmentationNetwork)
            logits = member.logits(images * self.scale[position] + self.shift[position])
            # Sums of exponentials need the range and the digits of fp32, whatever the members compute in.
            found.append((logits if isinstance(logits, Tensor) else logits[0]).float())
        stacked = torch.stack(found)
        if stacked.shape[2] == 1:
            # The logit of the mean is log(sum p) - log(sum (1 - p)): exact also where p rounds to 0 or 1.
            yes, no = (_log_sum(_log_sigmoid(sign * stacked)) for sign in (1, -1))
            return yes - no
        return _log_sum(torch.log_softmax(stacked, dim=2)) - math.log(len(found))


# PyTorch's own are as exact, but in an ONNX file they become the logarithm of a sigmoid, which is 0 from logits of -104
# on, and of a sum of exponentials, which some runtimes take without their largest.
def _log_sigmoid(values: Tensor) -> Tensor:
    return values.clamp(max=0) - torch.log(1 + torch.exp(-values.abs()))


def _log_sum(values: Tensor) -> Tensor:
    """Return the logarithm of the sum over the members, the first dimension, of the exponentials."""
    largest = values.amax(dim=0, keepdim=True)
    return torch.log(torch.exp(values - largest).sum(dim=0)) + largest[0]
