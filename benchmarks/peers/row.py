"""What a row of the benchmark is, and the words that start its contenders."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizes import Sizes
from turns import Contender

CONTENDERS = Path(__file__).parent / "contenders"


@dataclass(frozen=True)
class Comparison:
    """One line of the table: `measure` (less is better) of ours and of a peer; `bar` is the ratio that is promised."""

    work: str
    measure: str
    ours: str
    theirs: str
    bar: float | None = None


@dataclass(frozen=True)
class Row:
    """Contenders that take turns. `material` is what they work on; `peers` says whether any needs the peers' Python.

    `prepare` are commands run once before the row, such as one that saves the weights a contender loads.
    """

    title: str
    steady: bool
    material: tuple[str, ...]
    contenders: tuple[Contender, ...]
    comparisons: tuple[Comparison, ...]
    rounds: int = 3
    warm_up: bool = True
    peers: bool = False
    prepare: tuple[tuple[str, ...], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Place:
    """Where things are: `material` holds what is worked on, `peers` is the peers' Python, or why there is none."""

    material: Path
    peers: Path | str
    cores: int
    sizes: Sizes

    def script(self, name: str, script: str, job: str, *, peers: bool = False, **settings: Any) -> Contender:
        """Return the contender that runs a script of ours in our own environment or in that of the peers."""
        if peers and isinstance(self.peers, str):
            return Contender(name, skip=self.peers)
        return Contender(name, self.command(script, job, peers=peers, **settings))

    def command(self, script: str, job: str, *, peers: bool = False, **settings: Any) -> tuple[str, ...]:
        """Return the words that run a script for a job with settings."""
        python = str(self.peers) if peers else sys.executable
        return (python, str(CONTENDERS / script), job, json.dumps(settings))

    def ocuseg(self, name: str, *words: str) -> Contender:
        """Return the contender that is a command of ours."""
        return Contender(name, (sys.executable, "-m", "ocuseg", *words), answers=False)

    def ours(
        self, name: str, job: str, network: str = "", *, precision: str = "auto", batch: int = 0, **more: Any
    ) -> Contender:
        """Return the contender that is `ocuseg.train`, with the peers' network, batch and size."""
        size, batch = self.sizes.image, batch or self.sizes.batch
        overrides = [
            f"network={network or self.unet}", f"batch_size={batch}", f"preprocessing.size=[{size}, {size}]",
            "preprocessing.crop=none", "learning_rate=1e-3", f"precision={precision}",
        ]  # fmt: skip
        settings = {"data": self.training["data"], "steps": self.sizes.steps, "out": "{out}", "started": "{started}"}
        return self.script(name, "ocuseg_train.py", job, **(settings | more), batch=batch, overrides=overrides)

    @property
    def unet(self) -> str:
        """The U-Net that all train, as a recipe has it."""
        return f"{{name: unet, width: {self.sizes.width}}}"

    @property
    def training(self) -> dict[str, Any]:
        """What every peer's training loop is told."""
        sizes = self.sizes
        return {
            "data": (self.material / "set").as_posix(), "size": sizes.image, "batch": sizes.batch,
            "width": sizes.width, "steps": sizes.steps, "workers": self.cores,
        }  # fmt: skip
