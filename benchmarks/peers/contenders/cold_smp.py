"""One image through a network of segmentation_models_pytorch, as a script does it from its start.

Job `weights` saves such weights for the job `one` to load.
"""

from __future__ import annotations

from line import Line

line = Line()

import numpy as np  # noqa: E402
import segmentation_models_pytorch as smp  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from plain import MEAN, STD  # noqa: E402


def main() -> None:
    settings = line.settings
    model = smp.Unet("resnet34", encoder_weights=None, in_channels=3, classes=1)
    if line.job == "weights":
        torch.save(model.state_dict(), settings["weights"])
        return
    model.load_state_dict(torch.load(settings["weights"], weights_only=True))
    model.eval()
    image = np.asarray(Image.open(settings["image"]).convert("RGB"), np.float32) / 255
    images = torch.from_numpy(((image - MEAN) / STD).astype(np.float32).transpose(2, 0, 1).copy())[None]
    with torch.inference_mode():
        mask = (model(images).sigmoid()[0, 0] > 0.5).numpy()
    Image.fromarray(mask.astype(np.uint8) * 255).save(settings["out"])


if __name__ == "__main__":
    main()
