"""How fast networks train and predict on this machine, taking turns in one run.

    python benchmarks/speed.py sizes --size 256 256         the small default network and the large ones
    python benchmarks/speed.py attention --size 256 256     the U-Net, HRNet, and HRNet with each attention

A training step is forward, cross-entropy, backward and AdamW on random images, in bf16 and channels-last; nothing is
read or augmented. Leave the machine alone meanwhile. Prints a Markdown table of medians.
"""

from __future__ import annotations

import argparse
import statistics
import time

import ablation
import network_sizes
import torch
import yaml
from torch.nn import functional

from ocuseg.networks import build_network

CHOICES = {
    "sizes": {name: settings for name, (settings, _) in network_sizes.NETWORKS.items()},
    "attention": ablation.NETWORKS,
}
CLASSES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=CHOICES)
    parser.add_argument("--size", type=int, nargs=2, default=(256, 256), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    networks = {}
    for name, settings in CHOICES[options.which].items():
        network = build_network({**yaml.safe_load(settings), "out_channels": CLASSES})
        networks[name] = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizers = {name: torch.optim.AdamW(network.parameters(), fused=True) for name, network in networks.items()}
    images = torch.randn(options.batch, 3, *options.size).contiguous(memory_format=torch.channels_last)
    target = torch.randint(0, CLASSES, (options.batch, *options.size))
    training: dict[str, list[float]] = {name: [] for name in networks}
    prediction: dict[str, list[float]] = {name: [] for name in networks}
    for turn in range(options.rounds + 1):  # the first warms up
        for name, network in networks.items():
            start = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16):
                logits = network.train()(images)
            parts = logits if isinstance(logits, tuple) else (logits,)
            loss = torch.stack([functional.cross_entropy(each.float(), target) for each in parts]).sum()
            optimizers[name].zero_grad()
            loss.backward()
            optimizers[name].step()
            middle = time.perf_counter()
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                network.eval()(images)
            if turn:
                training[name].append(options.batch / (middle - start))
                prediction[name].append(options.batch / (time.perf_counter() - middle))
    height, width = options.size
    threads = torch.get_num_threads()
    print(f"{height} x {width}, batches of {options.batch}, {threads} threads, bf16, medians of {options.rounds}\n")
    print("| network | parameters | training, images/s | prediction, images/s |\n|---|---|---|---|")
    for name, network in networks.items():
        millions = sum(each.numel() for each in network.parameters()) / 1e6
        medians = [statistics.median(values[name]) for values in (training, prediction)]
        print(f"| {name} | {millions:.2f} M | {medians[0]:.1f} | {medians[1]:.1f} |")


if __name__ == "__main__":
    main()
