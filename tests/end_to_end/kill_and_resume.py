"""Kill a training run at random moments, resume it each time, and compare it with a run that was left alone.

    python tests/end_to_end/kill_and_resume.py --kills 20

The moments are spread over the whole run: before the first checkpoint, within every epoch, and during the export.
Ends with exit status 0 where both runs are the same bit for bit.
"""

from __future__ import annotations

import argparse
import csv
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch

from ocuseg.phantom import write_fundus_set

SETTINGS = (
    "preprocessing.size=[64, 64]",
    "network={name: unet-small, width: 4, depth: 2}",
    "batch_size=2",
    "steps_per_epoch=3",
    "crop_px=48",
    "sampler=balanced",
    "keep_every=2",
    "early_stopping=50",
    "prediction.flips=false",
)
_STATES = (
    "epoch", "global_step", "state_dict", "current_model_state", "averaging_state", "optimizer_states",
    "lr_schedulers", "callbacks",
)  # fmt: skip
_PATIENCE_S = 300.0


def differences(first: Path, second: Path) -> list[str]:
    """Return what differs between two finished runs, but for the times; an empty list where nothing does."""
    found = []
    for name in ("best.ckpt", "last.ckpt"):
        one, other = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (first, second))
        for key in _STATES:
            found += _unequal(one.get(key), other.get(key), f"{name}: {key}")
    if _history(first) != _history(second):
        found.append("history.csv")
    for name in ("model.safetensors", "model.onnx", "bundle.json"):
        contents = [
            path.read_bytes() if path.exists() else None for path in (first / "bundle" / name, second / "bundle" / name)
        ]
        if contents[0] != contents[1]:
            found.append(f"bundle/{name}")
    names = [sorted(_lasting(run)) for run in (first, second)]
    if names[0] != names[1]:
        found.append(f"files: {', '.join(sorted(set(names[0]) ^ set(names[1])))}")
    return found


def _unequal(one: Any, other: Any, where: str) -> Iterator[str]:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield where
    elif isinstance(one, Mapping) and isinstance(other, Mapping) and list(one) == list(other):
        for key in one:
            yield from _unequal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        for index, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _unequal(left, right, f"{where}[{index}]")
    elif type(one) is not type(other) or one != other:
        yield where


def _history(run: Path) -> list[dict[str, str]]:
    path = run / "history.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value for key, value in row.items() if key != "time_s"} for row in csv.DictReader(file)]


def _lasting(run: Path) -> Iterator[str]:
    for path in run.rglob("*"):
        name = path.relative_to(run).as_posix()
        if path.is_file() and not name.startswith("tensorboard/"):  # one more event file for each start
            yield name


class Watched:
    """A process of `ocuseg train` whose lines on stderr are read as they come, each with its time."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ocuseg", "train", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append((time.monotonic(), line.rstrip()))

    def time_of(self, beginning: str) -> float | None:
        """When the first line that begins so came; None where none has."""
        return next((moment for moment, line in list(self.lines) if line.startswith(beginning)), None)

    def wait(self, beginning: str, folder: Path | None = None) -> bool:
        """Wait for such a line, or for a folder to appear; False where the process ends without it."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end:
            if self.time_of(beginning) is not None or (folder is not None and folder.exists()):
                return True
            if self.process.poll() is not None:
                self._reader.join()
                return self.time_of(beginning) is not None
            time.sleep(0.001)
        raise TimeoutError(f"no line that begins with {beginning!r} came in {_PATIENCE_S:g} s")

    def kill(self, delay: float, beginning: str) -> bool:
        """Send SIGKILL after `delay` seconds, or with a line that begins so; False where the process ended before."""
        end = time.monotonic() + delay
        while time.monotonic() < end and self.time_of(beginning) is None and self.process.poll() is None:
            time.sleep(0.001)
        self.process.kill()
        self.end()
        return not self.finished

    def end(self) -> int:
        """Wait for the end and return the exit status."""
        status = self.process.wait(_PATIENCE_S)
        self._reader.join()
        return status

    @property
    def finished(self) -> bool:
        """Whether it came to its own end, a dead network's included; a killed one did not."""
        return self.process.returncode in (0, 1)


@dataclass(frozen=True)
class Tempo:
    """How long the parts of the undisturbed run took: `parts[m]` from the end of epoch m to the end of the next.

    The first begins with the run folder, the last ends with the process. `start_s` is what a resumed process needs
    from its first line to the training.
    """

    parts: list[float]
    start_s: float


def _undisturbed(data: Path, run: Path, options: list[str], epochs: int) -> tuple[Watched, Tempo]:
    watched = Watched(str(data), "--out", str(run), *options)
    watched.wait("run ", run)
    marks = [time.monotonic()]
    watched.end()
    if not watched.finished:
        raise RuntimeError("the undisturbed run failed:\n" + "\n".join(line for _, line in watched.lines))
    began = watched.time_of("run ")
    for epoch in range(1, epochs + 1):
        moment = watched.time_of(f"epoch {epoch}/")
        assert moment is not None
        marks.append(moment)
    marks.append(time.monotonic())
    assert began is not None
    parts = [after - before for before, after in pairwise(marks)]
    return watched, Tempo(parts, max(0.0, marks[1] - began - parts[1]))


def _start(run: Path, data: Path, options: list[str]) -> Watched:
    if (run / "recipe.yaml").exists():
        return Watched("--resume", str(run))
    return Watched(str(data), "--out", str(run), *options)


def _kill_once(watched: Watched, run: Path, position: float, tempo: Tempo, rows: int) -> bool:
    """Kill a process at a position of the run: 2.5 is halfway between the ends of epochs 2 and 3.

    `rows` is how many epochs its history had when it began. False where it came to its end before.
    """
    epoch, share = int(position), position % 1
    delay = share * tempo.parts[epoch]
    if epoch > rows:
        reached = watched.wait(f"epoch {epoch}/")
    else:
        reached = watched.wait("run ", None if (run / "recipe.yaml").exists() else run)
        delay += share * tempo.start_s if rows else 0.0
    killed = watched.kill(delay, f"epoch {epoch + 1}/") if reached else False
    if not killed and not watched.finished:
        raise RuntimeError("a run failed by itself:\n" + "\n".join(line for _, line in watched.lines))
    return killed


def _phase(run: Path, epochs: int) -> str:
    if not (run / "recipe.yaml").exists():
        return "before the run had a recipe"
    if not (run / "checkpoints" / "last.ckpt").exists():
        return "before the first checkpoint"
    return "after the last epoch" if len(_history(run)) >= epochs else "between checkpoints"


def _positions(kills: int, epochs: int, moments: random.Random) -> list[float]:
    """Spread over the run; of several the first lies before the first checkpoint, the last in the export."""
    width = (epochs + 1) / max(1, kills)
    spread = [(number + moments.random()) * width for number in range(kills)]
    if kills > 1:
        spread[0], spread[-1] = moments.random(), epochs + 0.8 * moments.random()
    return spread


def main() -> int:
    """Return 0 where the killed run is the same as the undisturbed one, else 1; print what was done."""
    parser = argparse.ArgumentParser(description="Kill a training run at random moments and resume it each time.")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return _compare(Path(scratch), chosen.kills, chosen.epochs, random.Random(chosen.seed))


def _compare(scratch: Path, kills: int, epochs: int, moments: random.Random) -> int:
    data = write_fundus_set(scratch / "data", {"train": 6, "val": 2}, seed=7, size=96)
    options = ["--recipe", "retina-unet256"]
    for setting in (*SETTINGS, f"epochs={epochs}"):
        options += ["--set", setting]
    quiet, run = scratch / "quiet", scratch / "killed"
    undisturbed, tempo = _undisturbed(data, quiet, options, epochs)
    print(f"undisturbed: {epochs} epochs and the export in {sum(tempo.parts):.1f} s", flush=True)

    phases: Counter[str] = Counter()
    positions = deque(_positions(kills, epochs, moments))
    while positions:
        position = positions.popleft()
        rows = len(_history(run))
        watched = _start(run, data, options)
        if not _kill_once(watched, run, position, tempo, rows):
            positions.append(epochs + 0.8 * moments.random())  # it was too fast: again, in another export
            continue
        if len(_history(run)) < rows:
            raise AssertionError(f"history.csv had {rows} rows, and has {len(_history(run))} after the kill")
        last = watched.lines[-1][1] if watched.lines else "none"
        phases[phase := _phase(run, epochs)] += 1
        print(f"kill {phases.total()} at {position:.2f}, {phase}; last line: {last}", flush=True)

    resumed = _start(run, data, options)
    status = resumed.end()
    found = differences(quiet, run)
    ends = (undisturbed.process.returncode, undisturbed.lines[-1][1]), (status, resumed.lines[-1][1])
    if ends[0] != (status, ends[1][1].replace("killed", "quiet")):
        found.append(f"the end ({status}, {ends[1][1]})")
    print(f"{phases.total()} kills: " + ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items())))
    if found:
        print(f"DIFFERENT from the undisturbed run: {'; '.join(found)}")
        return 1
    print(f"identical: weights, averages, optimiser, schedule, bundle, and {len(_history(run))} rows of history")
    return 0


if __name__ == "__main__":
    sys.exit(main())
