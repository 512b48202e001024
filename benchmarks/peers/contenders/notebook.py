"""The loop that notebooks copy: fp32, NCHW, Pillow, per-image transforms in a DataLoader, Adam, BCE."""

from __future__ import annotations

from line import Line, train

line = Line()

import torch  # noqa: E402
from plain import Folder, UNet, batches, count  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402


def main() -> None:
    settings = line.settings
    size, batch, workers = settings["size"], settings["batch"], settings["workers"]
    training = Folder(settings["data"], "training", size, augment=True, normalise=True)
    validation = Folder(settings["data"], "validation", size, augment=False, normalise=True)
    model = UNet(settings["width"])
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def epoch(steps: int) -> None:
        model.train()
        running = 0.0
        for images, masks in batches(training, batch, steps, workers):
            optimizer.zero_grad()
            loss = criterion(model(images), masks)
            loss.backward()
            optimizer.step()
            running += loss.item()

    def validate() -> None:
        model.eval()
        dice = 0.0
        with torch.no_grad():
            for images, masks in DataLoader(validation, batch_size=batch, num_workers=workers):
                found = (torch.sigmoid(model(images)) > 0.5).float()
                dice += (2 * (found * masks).sum() / (found.sum() + masks.sum() + 1e-7)).item()

    def save() -> None:
        torch.save(model.state_dict(), settings["weights"])

    train(line, epoch, validate, save, parameters=count(model))


if __name__ == "__main__":
    main()
