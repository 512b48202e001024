"""How a contender and the harness talk: a word a line in, JSON a line out; with nothing but the standard library."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class Line:
    """The contender's end: its `job`, its `settings`, and where it answers.

    Whatever libraries print goes to stderr; only answers reach the harness. With `cores` in the settings the process
    keeps to that many, so make one before anything that counts cores is imported.
    """

    def __init__(self) -> None:
        self.job: str = sys.argv[1]
        self.settings: dict[str, Any] = json.loads(sys.argv[2])
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        keep_to(self.settings.get("cores"))

    def answer(self, content: dict[str, Any]) -> None:
        """Give the harness one answer."""
        print(json.dumps(content), file=self._answers, flush=True)

    def turns(self, **facts: Any) -> Iterator[bool]:
        """Say that all is set up, then wait for each turn; yields whether it only warms up."""
        self.answer(facts)
        for word in sys.stdin:
            yield word.strip() == "warm"


def keep_to(cores: int | None) -> None:
    """Keep this process to the first `cores` of those it may use; where the system cannot, set its threads alone."""
    if cores is None:
        return
    os.environ["OMP_NUM_THREADS"] = str(cores)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def cases(settings: dict[str, Any]) -> list[dict[str, str]]:
    """Return the files of `count` large images, by what they are; where fewer were drawn, some are taken again."""
    folder = Path(settings["folder"])
    drawn = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    listed = [drawn[number % len(drawn)] for number in range(settings["count"])]
    return [{name: str(folder / file) for name, file in case.items()} for case in listed]


def train(
    line: Line, epoch: Callable[[int], None], validate: Callable[[], None], save: Callable[[], None], **facts: Any
) -> None:
    """Do the job of a training loop: turns of some `steps`, or the `whole` from the folder to saved weights."""
    settings = line.settings
    if line.job == "steps":
        for warm in line.turns(**facts):
            steps = 1 if warm else settings["steps"]
            start = time.perf_counter()
            epoch(steps)
            line.answer({"step_s": (time.perf_counter() - start) / steps})
        return
    start = time.perf_counter()
    epoch(settings["steps"])
    validate()
    took = time.perf_counter() - start
    save()
    line.answer({"epoch_s": took, "weights_s": time.time() - float(settings["started"])})
