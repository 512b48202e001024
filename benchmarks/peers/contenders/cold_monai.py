"""One image through MONAI's U-Net and transforms, as a script does it from its start.

Job `weights` saves such weights for the job `one` to load.
"""

from __future__ import annotations

from line import Line

line = Line()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from monai.networks.nets import UNet  # noqa: E402
from monai.transforms import (  # noqa: E402
    Activations,
    AsDiscrete,
    Compose,
    EnsureChannelFirst,
    LoadImage,
    ScaleIntensity,
)
from PIL import Image  # noqa: E402


def main() -> None:
    settings = line.settings
    channels = settings["channels"]
    model = UNet(2, 3, 1, channels=channels, strides=[2] * (len(channels) - 1), num_res_units=2)
    if line.job == "weights":
        torch.save(model.state_dict(), settings["weights"])
        return
    model.load_state_dict(torch.load(settings["weights"], weights_only=True))
    model.eval()
    image = Compose([LoadImage(image_only=True), EnsureChannelFirst(), ScaleIntensity()])(settings["image"])
    with torch.inference_mode():
        mask = Compose([Activations(sigmoid=True), AsDiscrete(threshold=0.5)])(model(image[None])[0])
    # MONAI's images have their width first.
    Image.fromarray(np.asarray(mask[0]).T.astype(np.uint8) * 255).save(settings["out"])


if __name__ == "__main__":
    main()
