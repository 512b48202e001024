"""What the network sees: some validation images after every epoch, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

from ocuseg.classes import Classes
from ocuseg.drawing import draw_overlay
from ocuseg.files import make_folder
from ocuseg.images import write_image
from ocuseg.training.dataset import ValidationImages
from ocuseg.training.team import ALONE, Team

__all__ = ["SamplePictures"]


class SamplePictures(Callback):
    """Draws `number` validation images after each epoch to `folder/epochXX_NAME.jpg`, at their working size.

    Left the reference, right the prediction (of two classes at the threshold 0.5), in the colours of the classes. The
    images are evenly spaced among those of validation, and the same in every epoch. Of a team each process draws its
    own images, and the leader writes them all.
    """

    def __init__(
        self, folder: Path, number: int, classes: Classes, images: ValidationImages, team: Team = ALONE
    ) -> None:
        self.folder = folder
        self.classes = classes
        self.team = team
        count = len(images.samples)
        number = min(number, count)
        chosen = {(2 * index + 1) * count // (2 * number) for index in range(number)}
        self._chosen = {index for index, place in enumerate(images.places) if place in chosen}
        self._drawn: dict[str, NDArray[np.uint8]] = {}

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Draw the image that was just validated, if it is one of the chosen."""
        if batch_idx not in self._chosen:
            return
        reference = batch["target"][0].cpu().numpy()
        region = batch["counted"][0].cpu().numpy()
        height, width = reference.shape
        image = np.ascontiguousarray(batch["images"][0, :, :height, :width].permute(1, 2, 0).cpu().numpy())
        sides = [
            draw_overlay(image, mask.astype(np.uint8), self.classes, region=region)
            for mask in (reference, outputs[0].cpu().numpy())
        ]
        digits = max(2, len(str(trainer.max_epochs)))
        name = f"epoch{trainer.current_epoch + 1:0{digits}d}_{batch['names'][0]}.jpg"
        self._drawn[name] = np.concatenate(sides, axis=1)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what was drawn."""
        for drawn in self.team.gathered(self._drawn):
            for name, picture in drawn.items():
                write_image(make_folder(self.folder) / name, picture)
        self._drawn = {}
