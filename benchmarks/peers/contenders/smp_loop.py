"""segmentation_models_pytorch as its documentation trains it, on its own network or on the plain U-Net.

The steps are those of its notebook `binary_segmentation_intro`: images normalised inside the model, DiceLoss on
logits, Adam with a cosine, `get_stats` after every step. There Lightning calls them; here a plain loop does.
"""

from __future__ import annotations

from line import Line, train

line = Line()

import segmentation_models_pytorch as smp  # noqa: E402
import torch  # noqa: E402
from plain import MEAN, STD, Folder, UNet, batches, count  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402


def main() -> None:
    settings = line.settings
    size, batch, workers = settings["size"], settings["batch"], settings["workers"]
    training = Folder(settings["data"], "training", size, augment=False, normalise=False)
    validation = Folder(settings["data"], "validation", size, augment=False, normalise=False)
    if settings["encoder"] is None:
        model = UNet(settings["width"])
    else:
        model = smp.Unet(settings["encoder"], encoder_weights=None, in_channels=3, classes=1)
    criterion = smp.losses.DiceLoss(smp.losses.BINARY_MODE, from_logits=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-4)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=1000, eta_min=1e-5)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))

    def shared_step(images: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        logits = model((images - mean) / std)
        loss = criterion(logits, masks)
        found = (logits.sigmoid() > 0.5).float()
        return loss, smp.metrics.get_stats(found.long(), masks.long(), mode="binary")

    def epoch(steps: int) -> None:
        model.train()
        stats = []
        for images, masks in batches(training, batch, steps, workers):
            loss, found = shared_step(images, masks)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            stats.append(found)
        score(stats)

    def score(stats: list[tuple[torch.Tensor, ...]]) -> None:
        tp, fp, fn, tn = (torch.cat(each) for each in zip(*stats, strict=True))
        smp.metrics.iou_score(tp, fp, fn, tn, reduction="micro-imagewise")
        smp.metrics.iou_score(tp, fp, fn, tn, reduction="micro")

    def validate() -> None:
        model.eval()
        with torch.no_grad():
            loader = DataLoader(validation, batch_size=batch, num_workers=workers)
            score([shared_step(images, masks)[1] for images, masks in loader])

    def save() -> None:
        torch.save(model.state_dict(), settings["weights"])

    train(line, epoch, validate, save, parameters=count(model))


if __name__ == "__main__":
    main()
