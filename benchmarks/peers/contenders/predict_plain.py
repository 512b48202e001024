"""The network of the bundle in plain PyTorch: Pillow in, one image at a time, PNG out.

Job `folder`: the images of a folder in each turn. Job `one`: a single image, from the start of the process.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from line import Line

line = Line()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from plain import UNet  # noqa: E402


def main() -> None:
    settings = line.settings
    facts = torch.load(settings["weights"], weights_only=True)  # with what belongs to the weights
    model = UNet(facts["width"])
    model.load_state_dict(facts["state"])
    model.eval()
    bf16 = settings.get("bf16", False)
    if bf16:
        model = model.to(memory_format=torch.channels_last)
    mean, std = (np.array(facts[key], np.float32) for key in ("mean", "std"))

    def predict(path: Path, out: Path) -> float:
        """Write the mask of one image and return the share of its pixels that are foreground."""
        values = (np.asarray(Image.open(path).convert("RGB"), np.float32) / 255 - mean) / std
        images = torch.from_numpy(values.transpose(2, 0, 1).copy())[None]
        if bf16:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(images)
        mask = (torch.sigmoid(logits.float())[0, 0] >= facts["threshold"]).numpy().astype(np.uint8)
        Image.fromarray(mask * 255).save(out)
        return float(mask.mean())

    if line.job == "one":
        line.answer({"same_foreground": predict(Path(settings["image"]), Path(settings["out"]))})
        return
    paths = sorted(Path(settings["images"]).iterdir())
    for warm in line.turns():
        with tempfile.TemporaryDirectory() as out:
            start = time.perf_counter()
            shares = [predict(path, Path(out) / f"{path.stem}.png") for path in (paths[:2] if warm else paths)]
            took = time.perf_counter() - start
        line.answer({"image_s": took / len(shares), "same_foreground": sum(shares) / len(shares)})


if __name__ == "__main__":
    main()
