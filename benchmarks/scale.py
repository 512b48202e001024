"""What a collection costs to predict, from the rate that this machine reaches with `ocuseg predict`.

    python benchmarks/scale.py MODEL                                  drawn fundus images of 1536 x 2048, JPEG
    python benchmarks/scale.py MODEL --data photographs               your own images
    python benchmarks/scale.py MODEL --core-hour 0.03 --gb-month 0.02 your own prices

Measured are the rate per core, by two runs of the command of which one has more images, and the bytes of an image and
of a mask. The prices are assumptions, not quotations: give those of your own contract. Leave the machine alone
meanwhile. Prints Markdown for docs/scale.md.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ocuseg.images import read_header, write_image
from ocuseg.index import find_images
from ocuseg.machine import describe_machine, usable_cores
from ocuseg.phantom import draw_fundus

COLLECTIONS = (1_000_000, 100_000_000)
# For each chunk its note, its rows and the notes' end: two files put, moved into place and looked for.
WRITES_PER_CHUNK = 8
# For each image how large it is, and its content.
READS_PER_IMAGE = 2


@dataclass(frozen=True)
class Measured:
    """Images per second and core, and bytes of an image and of its mask."""

    rate: float
    image_bytes: float
    mask_bytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a shipped model's name, a run folder or a bundle")
    parser.add_argument("--data", type=Path, help="a folder of images; default: drawn ones")
    parser.add_argument("--size", type=int, nargs=2, default=(1536, 2048), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--images", type=int, default=24, help="how many are drawn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="what is measured")
    parser.add_argument("--runtime", default="auto")
    parser.add_argument("--cores", type=int, nargs="+", default=(64, 1024), help="cores of the clusters in the table")
    parser.add_argument("--efficiency", type=float, default=0.9, help="assumed: what a cluster keeps of the rate")
    parser.add_argument("--core-hour", type=float, default=0.04, help="assumed price of a core for an hour")
    parser.add_argument("--gb-month", type=float, default=0.02, help="assumed price of a GB in storage for a month")
    parser.add_argument("--reads", type=float, default=0.0004, help="assumed price of 1000 reads of the storage")
    parser.add_argument("--writes", type=float, default=0.005, help="assumed price of 1000 writes")
    parser.add_argument("--transfer-gb", type=float, default=0.0, help="assumed price of a GB from storage to cores")
    parser.add_argument("--chunk-images", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = find_images(options.data) if options.data else drawn(Path(folder), options.images, options.size)
        if len(paths) < 8:
            parser.error("a rate needs at least 8 images")
        measured = measure(options, paths, Path(folder))
        print(told(options, paths, measured))
    print()
    print(table(options, measured))


def drawn(folder: Path, number: int, size: tuple[int, int]) -> list[Path]:
    """Draw fundus images and return their files."""
    (folder / "drawn").mkdir()
    return [
        write_image(folder / "drawn" / f"{one:03d}.jpg", draw_fundus(one, tuple(size)).image) for one in range(number)
    ]


def measure(options: argparse.Namespace, paths: Sequence[Path], folder: Path) -> Measured:
    """Return the rate of the command without its start: more images less fewer, by the time that they take more."""
    few = max(2, len(paths) // 4)
    times: dict[int, list[float]] = {few: [], len(paths): []}
    for _ in range(options.rounds):
        for number in times:
            times[number].append(predicted_s(options, paths[:number], folder / "out"))
    longer_s = statistics.median(times[len(paths)]) - statistics.median(times[few])
    if longer_s <= 0:
        sys.exit("more images took less time: the machine is busy with something else, or they are too few")
    subprocess.run(command(options, paths, folder / "masks", "local"), check=True, capture_output=True)
    masks = [path.stat().st_size for path in (folder / "masks").glob("*.png")]
    return Measured(
        (len(paths) - few) / longer_s / usable_cores(),
        statistics.mean(path.stat().st_size for path in paths),
        statistics.mean(masks),
    )


def command(options: argparse.Namespace, paths: Sequence[Path], out: Path, engine: str) -> list[str]:
    """Return the command that predicts these images."""
    words = [sys.executable, "-m", "ocuseg", "predict", options.model, *map(str, paths), "--out", str(out)]
    return [*words, "--runtime", options.runtime, "--engine", engine]


def predicted_s(options: argparse.Namespace, paths: Sequence[Path], out: Path) -> float:
    """Return the seconds that the command takes, from start to end."""
    shutil.rmtree(out, ignore_errors=True)
    words = command(options, paths, out, options.engine)
    if options.engine == "ray":  # as many chunks as keep every core at work
        words += ["--chunk-images", str(max(1, len(paths) // (4 * usable_cores())))]
    start = time.perf_counter()
    subprocess.run(words, check=True, capture_output=True)
    return time.perf_counter() - start


def told(options: argparse.Namespace, paths: Sequence[Path], measured: Measured) -> str:
    """Return what was measured, on what, and which prices were assumed."""
    machine = describe_machine()
    height, width = read_header(paths[0]).size
    kind = f"photographs such as {paths[0].name}" if options.data else "drawn fundus images"
    return (
        f"Measured on {date.today():%Y-%m-%d} on {machine['usable_cores']} cores of {machine['processor']}, "
        f"{len(paths)} {kind} of {width} x {height}, engine {options.engine}, runtime {options.runtime}, median of "
        f"{options.rounds}: **{measured.rate:.2f} images/s per core**; {measured.image_bytes / 1e6:.2f} MB an image, "
        f"{measured.mask_bytes / 1e3:.0f} KB a mask.\n\n"
        f"Assumed: {options.core_hour:g} per core-hour, {options.gb_month:g} per GB and month, {options.reads:g} and "
        f"{options.writes:g} per 1000 reads and writes, {options.transfer_gb:g} per GB read; "
        f"{options.efficiency:.0%} of the rate on a cluster; chunks of {options.chunk_images}."
    )


def table(options: argparse.Namespace, measured: Measured) -> str:
    """Return the table of docs/scale.md: a row for each quantity, a column for each collection."""
    columns = [quantities(options, measured, images) for images in COLLECTIONS]
    lines = [
        "| | " + " | ".join(f"{images:,} images" for images in COLLECTIONS) + " |",
        "|---|" + "---|" * len(columns),
    ]
    lines += [f"| {name} | " + " | ".join(column[name] for column in columns) + " |" for name in columns[0]]
    return "\n".join(lines)


def quantities(options: argparse.Namespace, measured: Measured, images: int) -> dict[str, str]:
    """Return time, cost, storage and network of a collection, by the formulas of docs/scale.md."""
    rate = measured.rate * options.efficiency
    core_hours = images / rate / 3600
    images_gb, masks_gb = images * measured.image_bytes / 1e9, images * measured.mask_bytes / 1e9
    writes = images / options.chunk_images * WRITES_PER_CHUNK
    requests = (images * READS_PER_IMAGE * options.reads + writes * options.writes) / 1000
    found = {"core-hours": f"{core_hours:,.0f}"}
    for cores in options.cores:
        found[f"time on {cores:,} cores"] = duration(core_hours / cores)
    found["computing"] = f"{core_hours * options.core_hour:,.0f}"
    found["requests to the storage"] = f"{requests:,.2f}"
    found["transfer"] = f"{images_gb * options.transfer_gb:,.0f}"
    found["images in storage"] = f"{images_gb / 1000:,.2f} TB, {images_gb * options.gb_month:,.0f} a month"
    found["masks in the table"] = f"{masks_gb / 1000:,.3f} TB, {masks_gb * options.gb_month:,.2f} a month"
    for cores in options.cores:
        found[f"network for {cores:,} cores"] = f"{cores * rate * measured.image_bytes * 8 / 1e9:,.2f} Gbit/s"
    return found


def duration(hours: float) -> str:
    """Return hours as what they are best read as."""
    if hours < 1:
        return f"{hours * 60:.0f} min"
    return f"{hours:.1f} h" if hours < 72 else f"{hours / 24:.1f} days"


if __name__ == "__main__":
    main()
