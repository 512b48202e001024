"""The network in training: one step, one validation, one optimiser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from ocuseg.errors import LossError
from ocuseg.training.augment import Augmentation
from ocuseg.training.dataset import Batch
from ocuseg.training.losses import SegmentationLoss
from ocuseg.training.recipe import Recipe
from ocuseg.training.team import ALONE, Team

__all__ = ["SegmentationModule", "our_module"]


class SegmentationModule(pl.LightningModule):
    """A network, its loss and its augmentation as Lightning trains them.

    Every random number of a step comes from (seed, epoch, step), so a resumed run repeats nothing and misses nothing.
    The processes of a `team` take parts of a step's images and have the loss of all of them; they divide the validation
    images, and have the scores of all.
    Logs per epoch `train_loss`, `val_loss` and, pooled over the validation images at working size inside the region,
    `val_dice` and `val_iou` (mean over the foreground classes) and `val_foreground_share` (predicted).
    """

    DESCRIPTION = "ocuseg"

    def __init__(
        self,
        network: nn.Module,
        loss: SegmentationLoss,
        augmentation: Augmentation,
        recipe: Recipe,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        out_size: tuple[int, int],
        num_classes: int,
        total_steps: int,
        description: dict[str, Any],
        team: Team = ALONE,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss = loss
        self.augmentation = augmentation
        self.recipe = recipe
        self.out_size = out_size
        self.num_classes = num_classes
        self.total_steps = total_steps
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1), persistent=False)
        self.description = description
        self.team = team
        self.plateau_factor = 1.0
        self._confusion = torch.zeros(num_classes, num_classes, dtype=torch.int64)
        self._validated = torch.zeros(2)  # the sum of the losses of the images, and their number

    def forward(self, images: Tensor) -> Tensor | Sequence[Tensor]:
        """Return the logits of `images` (N, 3, H, W) on the 0..1 scale."""
        normalised = (images - self.mean) / self.std
        logits: Tensor | Sequence[Tensor] = self.network(normalised.contiguous(memory_format=torch.channels_last))
        return logits

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch; raises LossError with the images' names where it is not a number."""
        images, target, counted = self.views(batch)
        logits = self(images)
        self.loss.require_auxiliary(0 if isinstance(logits, Tensor) else len(logits) - 1)
        with self._full_precision():
            loss = self.loss(logits, target, counted, pool=self.team.pooled)
        if not torch.isfinite(loss):
            names = [name for part in self.team.gathered(batch["names"]) for name in part]
            raise LossError(
                f"epoch {batch['epoch'] + 1}, step {batch['step'] + 1}: the loss is {loss.item()} on the images "
                f"{', '.join(names)}; look at these images, or {self._calmer}"
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=target.shape[0])
        return loss

    def views(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return images, target and what counts of a training batch, augmented; its epoch and step seed all chance."""
        seed = _mix(self.recipe.seed, batch["epoch"], batch["step"])
        self._seed(seed)
        with self._full_precision():
            views = self.augmentation(
                batch["images"],
                batch["target"],
                batch["counted"],
                out_size=self.out_size,
                part=self.team.part,
                pool=self.team.total,
            )
        if not self.team.leads:
            self._seed(_mix(seed, self.team.rank, 0))  # for dropout, which is to differ among the processes
        return views

    def _seed(self, seed: int) -> None:
        """Do what `torch.manual_seed` does but for devices not in use: for each it notes the stack, every step."""
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Count one whole image and return the predicted ids (1, h, w).

        Raises LossError where a logit is not finite: the weights, which are no numbers then, are not to be kept.
        """
        target, counted = batch["target"], batch["counted"]
        if not batch["names"]:  # this process has no image to validate
            return torch.zeros_like(target, dtype=torch.int64)
        logits = self(batch["images"].float() / 255)
        if not isinstance(logits, Tensor):
            logits = logits[0]
        height, width = target.shape[1:]
        logits = logits.float()[..., :height, :width]
        if not torch.isfinite(logits).all():
            raise LossError(
                f"epoch {self.current_epoch + 1}: after its last step the network's output is no number on the "
                f"validation image {', '.join(batch['names'])}; {self._calmer}"
            )
        with self._full_precision():
            loss = self.loss(logits, target, counted)
        self._validated = self._validated.to(loss.device) + torch.stack([loss, torch.ones_like(loss)])
        prediction: Tensor = (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
        codes = target[counted].long() * self.num_classes + prediction[counted]
        counts = torch.bincount(codes, minlength=self.num_classes**2)
        self._confusion += counts.view(self.num_classes, self.num_classes).cpu()
        return prediction

    @property
    def _calmer(self) -> str:
        return f"lower learning_rate ({self.recipe.learning_rate:g}), set gradient_clip, or use precision=fp32"

    def _full_precision(self) -> torch.autocast:
        """Switch autocast off: views and losses are computed in fp32 whatever the network's precision."""
        return torch.autocast(self.device.type, enabled=False)

    def on_validation_epoch_start(self) -> None:
        """Forget the counts of the epoch before."""
        self._confusion.zero_()
        self._validated.zero_()

    def on_validation_epoch_end(self) -> None:
        """Turn the pooled counts into scores."""
        confusion = self.team.total(self._confusion).double()
        loss, images = self.team.total(self._validated.to(self.device))
        self.log("val_loss", loss / images)
        overlap = confusion.diagonal()[1:]
        reference, prediction = confusion.sum(1)[1:], confusion.sum(0)[1:]
        # A class in neither is undefined and left out of the mean; nanmean of nothing counts as 0 here, since the
        # best epoch has to be chosen among numbers.
        dice = (2 * overlap / (reference + prediction)).nanmean().nan_to_num(0.0)
        iou = (overlap / (reference + prediction - overlap)).nanmean().nan_to_num(0.0)
        self.log("val_dice", dice.float())
        self.log("val_iou", iou.float())
        self.log("val_foreground_share", (prediction.sum() / confusion.sum().clamp(min=1)).float())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is needed to build the network again and to use it."""
        checkpoint[self.DESCRIPTION] = self.description

    def configure_optimizers(self) -> Any:
        """Return the optimiser and its schedule by step.

        With `encoder_learning_rate_factor`, the parameters of `network.encoder` are groups of their own, which come
        last. Each group starts at its own rate, which the schedule multiplies. Norms and biases are never decayed.
        """
        recipe = self.recipe
        encoder = {id(parameter) for parameter in self.network.get_submodule("encoder").parameters()}
        groups: list[dict[str, Any]] = []
        for factor in dict.fromkeys((1.0, recipe.encoder_learning_rate_factor)):
            chosen = [
                parameter
                for parameter in self.network.parameters()
                if factor == (recipe.encoder_learning_rate_factor if id(parameter) in encoder else 1.0)
            ]
            rate = recipe.learning_rate * factor
            decayed, plain = [p for p in chosen if p.ndim > 1], [p for p in chosen if p.ndim <= 1]
            groups.append({"params": decayed, "lr": rate, "weight_decay": recipe.weight_decay})
            groups.append({"params": plain, "lr": rate, "weight_decay": 0.0})
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=0.9, nesterov=True)
        elif recipe.optimizer == "adam":
            optimizer = torch.optim.Adam(groups, lr=recipe.learning_rate, fused=True)
        else:
            optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self.rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of all gradients; Lightning refuses to under bf16 and a fused optimiser, which need no care."""
        if gradient_clip_val is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), gradient_clip_val)

    def rate_factor(self, step: int) -> float:
        """Return the share of the learning rate that step `step` takes.

        `one_cycle` rises and falls along half cosines (Smith & Topin 2019, doi:10.1117/12.2520589) from 1/25 to 1
        to 1/1000; `cosine` warms up linearly and falls to 1/1000; `poly` warms up linearly and falls as what is left
        of the steps to the power `poly_power` (Chen et al. 2018, doi:10.1109/TPAMI.2017.2699184) to 0; `plateau` and
        `constant` only warm up. `plateau_factor` is what a plateau has left of the rate.
        """
        schedule = self.recipe.schedule
        warmup = self.recipe.warmup_share * self.total_steps
        if step < warmup:
            return _half_cosine(1 / 25, 1.0, step / warmup) if schedule == "one_cycle" else (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1.0, self.total_steps - warmup))
        if schedule in ("one_cycle", "cosine"):
            return _half_cosine(1.0, 1e-3, done)
        if schedule == "poly":
            return float((1 - done) ** self.recipe.poly_power)
        return self.plateau_factor


def our_module(module: pl.LightningModule) -> SegmentationModule:
    """Return `module` as what it is in every run of ours, for callbacks."""
    assert isinstance(module, SegmentationModule)
    return module


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _mix(seed: int, epoch: int, step: int) -> int:
    """Return a 63-bit seed in which every (seed, epoch, step) differs (splitmix64's finaliser)."""
    value = (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + step * 0x94D049BB133111EB) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = ((value ^ (value >> shift)) * factor) % 2**64
    return (value ^ (value >> 31)) >> 1
