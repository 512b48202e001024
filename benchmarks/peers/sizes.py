"""How much work the rows are given: enough to be measured, or just enough to see that all of it runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sizes:
    """Sides are in pixels. `train` images are drawn with the sides `drawn` and trained at `image`.

    `steps` are those of a turn, `whole_steps` those from file to weights, each of `batch` images (`hrnet_batch` for
    HRNet). `width` is that of the U-Net, `channels` those of MONAI's with as many parameters. `fit_steps` make the
    bundle that predicts. `evaluate` large images are scored, of which `large_drawn` differ.
    """

    image: int = 256
    drawn: tuple[int, int] = (584, 565)  # as DRIVE
    train: int = 48
    val: int = 8
    batch: int = 8
    hrnet_batch: int = 4
    width: int = 32
    channels: tuple[int, ...] = (35, 70, 140, 280, 560)
    steps: int = 3
    whole_steps: int = 30
    fit_steps: int = 30
    predict: int = 64
    large: tuple[int, int] = (2336, 3504)  # as HRF
    large_drawn: int = 4
    evaluate: int = 4


FULL = Sizes()
TINY = Sizes(
    image=64, drawn=(72, 64), train=8, val=2, batch=2, hrnet_batch=2, width=4, channels=(4, 8, 16), steps=2,
    whole_steps=3, fit_steps=4, predict=4, large=(160, 240), large_drawn=2, evaluate=3,
)  # fmt: skip
