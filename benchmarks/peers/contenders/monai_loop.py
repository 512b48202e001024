"""MONAI as its tutorials train it: dictionary transforms, CacheDataset, DiceLoss, Adam, DiceMetric."""

from __future__ import annotations

from line import Line, train

line = Line()

import torch  # noqa: E402
from monai.data import CacheDataset, DataLoader, decollate_batch  # noqa: E402
from monai.losses import DiceLoss  # noqa: E402
from monai.metrics import DiceMetric  # noqa: E402
from monai.networks.nets import UNet as MonaiUNet  # noqa: E402
from monai.transforms import (  # noqa: E402
    Activations,
    AsDiscrete,
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandFlipd,
    RandRotate90d,
    Resized,
    ScaleIntensityd,
)
from plain import UNet, count, pairs  # noqa: E402
from torch.utils.data import RandomSampler  # noqa: E402


def main() -> None:
    settings = line.settings
    size, batch, workers = settings["size"], settings["batch"], settings["workers"]
    fixed = [
        LoadImaged(keys=["img", "seg"]),
        EnsureChannelFirstd(keys=["img", "seg"]),
        Resized(keys=["img", "seg"], spatial_size=(size, size), mode=["bilinear", "nearest"]),
        ScaleIntensityd(keys=["img"]),
    ]
    random = [
        RandRotate90d(keys=["img", "seg"], prob=0.5, spatial_axes=(0, 1)),
        RandFlipd(keys=["img", "seg"], prob=0.5, spatial_axis=0),
    ]

    def cached(split: str, transforms: list) -> CacheDataset:
        files = [{"img": str(image), "seg": str(mask)} for image, mask in pairs(settings["data"], split)]
        return CacheDataset(files, Compose(transforms), cache_rate=1.0, num_workers=workers, progress=False)

    training, validation = cached("training", fixed + random), cached("validation", fixed)
    if settings["channels"] is None:
        model = UNet(settings["width"])
    else:
        channels = settings["channels"]
        model = MonaiUNet(2, 3, 1, channels=channels, strides=[2] * (len(channels) - 1), num_res_units=2)
    criterion = DiceLoss(sigmoid=True)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    metric = DiceMetric(include_background=True, reduction="mean", get_not_nans=False)
    decided = Compose([Activations(sigmoid=True), AsDiscrete(threshold=0.5)])

    def epoch(steps: int) -> None:
        model.train()
        running = 0.0
        sampler = RandomSampler(training, num_samples=steps * batch)
        for data in DataLoader(training, batch_size=batch, sampler=sampler, num_workers=workers):
            optimizer.zero_grad()
            loss = criterion(model(data["img"]), data["seg"])
            loss.backward()
            optimizer.step()
            running += loss.item()

    def validate() -> None:
        model.eval()
        with torch.no_grad():
            for data in DataLoader(validation, batch_size=1, num_workers=workers):
                found = [decided(each) for each in decollate_batch(model(data["img"]))]
                metric(y_pred=found, y=decollate_batch(data["seg"]))
        metric.aggregate().item()
        metric.reset()

    def save() -> None:
        torch.save(model.state_dict(), settings["weights"])

    train(line, epoch, validate, save, parameters=count(model))


if __name__ == "__main__":
    main()
