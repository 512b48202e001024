"""Contenders take turns in one run: A B A B ..., so that whatever else the machine does befalls them alike.

A *worker* sets up once and then waits to be told `go`; only one works at a time. A *process* is started anew in each
turn, which is where start-up and peak memory belong. Standard library only: a child's peak memory is at least that of
the process that starts it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any

SETTLE_S = 0.5  # what a contender leaves running, such as loaders that read ahead, ends before the next turn


@dataclass(frozen=True)
class Contender:
    """What is run: `command` is a list of words, in which {out} is a fresh path and {started} the time of the start.

    `answers` says whether it prints JSON; of a process that does not, only time and memory are known. `skip` says why
    it cannot be run here.
    """

    name: str
    command: tuple[str, ...] = ()
    answers: bool = True
    skip: str | None = None


@dataclass
class Outcome:
    """What one contender did: its measured `turns` by measure, the `facts` it told, or the `failure` that ended it."""

    turns: list[dict[str, float]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str | None = None


class ContenderError(Exception):
    """A contender did not do its turn; the message says why in one line."""


Say = Callable[[str], None]


def take_turns(
    contenders: Sequence[Contender],
    *,
    steady: bool,
    rounds: int,
    warm_up: bool,
    turn_limit_s: float,
    row_limit_s: float,
    environment: Mapping[str, str],
    say: Say,
) -> dict[str, Outcome]:
    """Return what each contender did in up to `rounds` rounds; no round begins after `row_limit_s`.

    A contender that fails once is left out from there on, with the reason.
    """
    outcomes = {each.name: Outcome(failure=each.skip) for each in contenders}
    begun = time.monotonic()
    with ExitStack() as stack:
        running: dict[str, Callable[[bool], dict[str, Any]]] = {}

        def attempt(name: str, what: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
            try:
                found = work()
            except ContenderError as error:
                outcomes[name].failure = str(error)
                running.pop(name, None)
                say(f"{name}: failed: {error}")
                return None
            numbers = ", ".join(f"{key} {value:.4g}" for key, value in found.items() if isinstance(value, float))
            say(f"{name}: {what} {numbers}")
            time.sleep(SETTLE_S)
            return found

        for each in contenders:
            if each.skip is not None:
                say(f"{each.name}: skipped: {each.skip}")
            elif steady:
                worker = stack.enter_context(_worker(each, turn_limit_s, environment))
                facts = attempt(each.name, "is set up", worker.ready)
                if facts is not None:
                    outcomes[each.name].facts = facts
                    running[each.name] = worker.turn
            else:
                running[each.name] = _Process(each, turn_limit_s, environment).turn
        for number in range(0 if warm_up else 1, rounds + 1):
            if number > 1 and time.monotonic() - begun > row_limit_s:
                say(f"no round {number}: the row has taken its {row_limit_s:g} s")
                break
            for name, turn in list(running.items()):
                what = f"round {number}" if number else "warm-up"
                found = attempt(name, what, partial(turn, number == 0))
                if found is not None and number:
                    outcomes[name].turns.append(found)
    return outcomes


class _Worker:
    """A process that stays, and does a turn when it is told to."""

    def __init__(self, process: subprocess.Popen[str], log: IO[str], limit_s: float) -> None:
        self.process, self.log, self.limit_s = process, log, limit_s

    def ready(self) -> dict[str, Any]:
        return self._read()

    def turn(self, warm: bool) -> dict[str, Any]:
        try:
            print("warm" if warm else "go", file=self.process.stdin, flush=True)
        except OSError:
            raise ContenderError(_last_words(self.log)) from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with _stopped_after(self.process, self.limit_s) as late:
            text = self.process.stdout.readline()
        if late.is_set():
            raise ContenderError(f"took longer than {self.limit_s:g} s")
        if not text:
            raise ContenderError(_last_words(self.log))
        return json.loads(text)


@contextmanager
def _worker(contender: Contender, limit_s: float, environment: Mapping[str, str]) -> Iterator[_Worker]:
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            _filled(contender.command, Path(scratch)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            text=True, env=dict(environment),
        )  # fmt: skip
        try:
            yield _Worker(process, log, limit_s)
        finally:
            process.kill()
            process.communicate()


class _Process:
    """A process of its own for each turn, timed from outside."""

    def __init__(self, contender: Contender, limit_s: float, environment: Mapping[str, str]) -> None:
        self.contender, self.limit_s, self.environment = contender, limit_s, environment

    def turn(self, warm: bool) -> dict[str, Any]:  # noqa: ARG002 - the same work warms up
        with (
            tempfile.TemporaryDirectory() as scratch,
            tempfile.TemporaryFile("w+", encoding="utf-8") as log,
            tempfile.TemporaryFile("w+", encoding="utf-8") as said,
        ):
            start = time.perf_counter()
            process = subprocess.Popen(
                _filled(self.contender.command, Path(scratch)), stdin=subprocess.DEVNULL, stdout=said, stderr=log,
                env=dict(self.environment),
            )  # fmt: skip
            with _stopped_after(process, self.limit_s) as late:
                peak_mb = _wait(process)
            found: dict[str, Any] = {"wall_s": time.perf_counter() - start}
            if late.is_set():
                raise ContenderError(f"took longer than {self.limit_s:g} s")
            if process.returncode:
                raise ContenderError(_last_words(log))
            if peak_mb is not None:
                found["peak_mb"] = peak_mb
            said.seek(0)
            lines = said.read().splitlines()
            if self.contender.answers and lines:
                found |= json.loads(lines[-1])
            return found


def _filled(command: Sequence[str], scratch: Path) -> list[str]:
    """Return the command with its placeholders filled in; braces that are none stay as they are."""
    values = {"{out}": (scratch / "out").as_posix(), "{started}": str(time.time()), "{python}": sys.executable}
    filled = []
    for word in command:
        for placeholder, value in values.items():
            word = word.replace(placeholder, value)
        filled.append(word)
    return filled


def _wait(process: subprocess.Popen[Any]) -> float | None:
    """Wait for a process and return the peak of its resident memory in MB; None where the system does not tell.

    On Linux it is at least what this process holds when it starts the other, which is little.
    """
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)


@contextmanager
def _stopped_after(process: subprocess.Popen[Any], limit_s: float) -> Iterator[threading.Event]:
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limit_s, stop)
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _last_words(log: IO[str]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().splitlines() if line.strip()]
    return lines[-1][:300] if lines else "ended without a word"
