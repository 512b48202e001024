"""The weights that are validated and kept: a moving average, with statistics of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, WeightAveraging
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ocuseg.training.dataset import TrainingBatches
from ocuseg.training.module import our_module

__all__ = ["FreshStatistics", "WarmedAveraging"]

_IMAGES_MEASURED = 64


class WarmedAveraging(WeightAveraging):
    """Exponential moving average of the weights, which validation and the bundle use.

    The decay of update n is min(decay, (1 + n) / (10 + n)), so that short runs are not held back by their start.
    Buffers are not averaged: `FreshStatistics`, which stands after this among the callbacks, measures them.
    """

    def __init__(self, decay: float) -> None:
        def average(averaged: Sequence[Tensor], current: Sequence[Tensor], updates: Tensor | int) -> None:
            n = float(updates)
            average_all = get_ema_multi_avg_fn(min(decay, (1 + n) / (10 + n)))  # type: ignore[no-untyped-call]
            average_all(averaged, current, updates)

        super().__init__(use_buffers=False, multi_avg_fn=average)


class FreshStatistics(Callback):
    """Measures the mean and variance that batch norms keep anew before each validation, for the weights validated.

    What they gather by the way lags behind weights that still move fast, and belongs to no average of weights: a loss
    that falls in training then seems to explode in validation. Measured are augmented batches of at least 64 images,
    as the weights were trained on: images as they are, or crops from anywhere under a balanced sampler, are another
    distribution and score worse. The epoch alone decides which, so that a resumed run finds the same. The processes of
    a team measure parts of them, and take the mean.
    Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576, section 3.
    """

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Run training images through the network, whose batch norms alone are in training mode."""
        module = our_module(pl_module)
        norms = [each for each in module.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]
        if not norms:
            return
        assert trainer.train_dataloader is not None
        batches = trainer.train_dataloader.dataset
        assert isinstance(batches, TrainingBatches)
        before = [(norm.momentum, norm.num_batches_tracked.clone()) for norm in norms]  # type: ignore[union-attr]
        for norm in norms:
            norm.train()
            norm.momentum = None  # the plain mean since the count was 0
            norm.num_batches_tracked.zero_()  # type: ignore[union-attr]
        with torch.no_grad(), trainer.precision_plugin.forward_context():
            for step in range(math.ceil(_IMAGES_MEASURED / batches.whole)):
                batch = trainer.strategy.batch_to_device(batches[trainer.current_epoch, step])
                module(module.views(batch)[0])
        statistics = [each for norm in norms for each in (norm.running_mean, norm.running_var) if each is not None]
        module.team.average(statistics)
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.eval()
            norm.momentum = momentum
            norm.num_batches_tracked.copy_(tracked)  # type: ignore[union-attr]
