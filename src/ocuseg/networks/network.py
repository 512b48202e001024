"""The shape that every network has: encoder, decoder, head, and padding around them for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SegmentationNetwork", "WithoutPadding"]


class SegmentationNetwork(nn.Module):
    """Images to logits of the same height and width, through `encoder`, `decoder` and `head`.

    `encoder(images)` gives features, finest first; `decoder(features)` gives features, finest first; `head` turns the
    finest into logits. `auxiliary_heads` (deep supervision; often none) turn the coarser ones into logits of their
    own. `multiple` is the number of pixels that height and width are padded to a multiple of.
    """

    in_channels: int
    multiple: int
    encoder: nn.Module
    decoder: nn.Module
    head: nn.Module
    auxiliary_heads: nn.ModuleList

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return logits (N, C, H, W) for images (N, 3, H, W) of any H, W >= 1.

        In training mode with auxiliary heads: a tuple, the main logits first, then the auxiliary ones from fine to
        coarse, all enlarged to (N, C, H, W) so that a loss treats them alike.
        Images are padded at the right and the bottom by their edge, which unlike a reflection exists for one pixel.
        """
        height, width = images.shape[-2:]
        bottom, right = -height % self.multiple, -width % self.multiple
        if bottom or right:
            images = functional.pad(images, (0, right, 0, bottom), mode="replicate")
        logits = self.logits(images)
        if isinstance(logits, tuple):
            return tuple(each[..., :height, :width] for each in logits)
        return logits[..., :height, :width]

    def logits(self, images: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return what `forward` returns, for images whose height and width are multiples of `multiple` already."""
        features = self.decoder(self.encoder(images))
        logits: Tensor = self.head(features[0])
        if not self.training or not self.auxiliary_heads:
            return logits
        size = logits.shape[-2:]
        coarser = zip(self.auxiliary_heads, features[1:], strict=True)
        return (logits, *(functional.interpolate(head(each), size, mode="bilinear") for head, each in coarser))

    def scale_logits(self, scale: float, shift: float | Sequence[float]) -> None:
        """Make the main logits `scale` times what they were plus `shift`, within the weights of the last layer.

        `shift` is one number, or one for each of the C channels.
        """
        last = [part for part in self.head.modules() if isinstance(part, nn.Conv2d | nn.ConvTranspose2d)][-1]
        assert last.bias is not None
        with torch.no_grad():
            last.weight.mul_(scale)
            last.bias.mul_(scale).add_(torch.as_tensor(shift, dtype=last.bias.dtype))


class WithoutPadding(nn.Module):
    """A network as it is exported: images whose sides are multiples of `multiple` already, to logits.

    Batch, height and width stay free in the exported graph with::

        torch.onnx.export(exported, (exported.example(),), dynamo=True, dynamic_shapes=exported.dynamic_shapes)
    """

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, C, H, W) for images (N, in_channels, H, W)."""
        logits = self.network.logits(images)
        return logits if isinstance(logits, Tensor) else logits[0]

    def example(self) -> Tensor:
        """Return images of a shape that tells batch, height and width apart; none is 1, which export would fix."""
        multiple, device = self.network.multiple, next(self.network.parameters()).device
        return torch.zeros(2, self.network.in_channels, 2 * multiple, 3 * multiple, device=device)

    @property
    def dynamic_shapes(self) -> dict[str, Any]:
        """The free axes, in the form that `torch.export` and `torch.onnx.export` take."""
        height, width = (torch.export.Dim(name, min=1, max=1 << 16) for name in ("rows", "columns"))
        multiple = self.network.multiple
        return {"images": {0: torch.export.Dim("batch"), 2: multiple * height, 3: multiple * width}}
