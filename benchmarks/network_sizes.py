"""What the small default network loses against the large ones, at 256 x 256 and an equal number of steps.

    python benchmarks/network_sizes.py DATA --out FOLDER [--steps 200]

Trains each network with the recipe `retina-unet256` but for its network, batch size, number of steps and learning rate,
and prints the pooled Dice on the validation images at native size with its interval. The test split is not looked at.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import ocuseg
from ocuseg.errors import DeadNetworkError

NETWORKS = {
    "unet-small": ("{name: unet-small}", 4e-3),
    "unet-256": ("{name: unet-256, norm: batch}", 1e-3),
    "unet, width 32": ("{name: unet, width: 32}", 1e-3),
    "unet": ("{name: unet}", 1e-3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    options = parser.parse_args()
    print("network,parameters,learning_rate,steps,images_per_s,val_dice_pooled,ci95_low,ci95_high,val_auc")
    for name in options.networks:
        network, rate = NETWORKS[name]
        folder = options.out / name.replace(", ", "-").replace(" ", "")
        overrides = [f"network={network}", f"learning_rate={rate}", "batch_size=4", "seed=0"]
        overrides += ["epochs=4", f"steps_per_epoch={options.steps // 4}"]
        start = time.perf_counter()
        try:
            run = ocuseg.train(options.data, "retina-unet256", out=folder, overrides=overrides)
        except DeadNetworkError as error:
            print(f"{name}: {error}")
            continue
        bundle = json.loads((run.bundle / "bundle.json").read_text(encoding="utf-8"))
        trained = sum(row["time_s"] for row in run.history)
        scores = bundle["scores"]["val"]["classes"][0]
        dice = scores["dice"]
        print(
            f"{name},{_parameters(bundle['network'])},{rate},{options.steps},{4 * options.steps / trained:.2f},"
            f"{dice['pooled']:.4f},{dice['ci95'][0]:.4f},{dice['ci95'][1]:.4f},{scores['auc']['pooled']:.4f}",
            f"# {time.perf_counter() - start:.0f} s in all",
            flush=True,
        )


def _parameters(settings: dict[str, object]) -> int:
    from ocuseg.networks import build_network

    return sum(parameter.numel() for parameter in build_network(settings).parameters())


if __name__ == "__main__":
    main()
