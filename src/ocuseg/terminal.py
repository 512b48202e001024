"""What a command shows beside its results: lines on stderr, the log, a bar."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any

import typer

__all__ = [
    "WrongUse",
    "describe_refusal",
    "describe_wrong_use",
    "progress_bar",
    "run",
    "say",
    "say_all",
    "set_up_logging",
    "show_check",
    "show_findings",
    "show_outcomes",
    "shown_command",
]

_SECONDS_BETWEEN_LINES = 10

WrongUse: Any = typer.BadParameter.__base__
"""The usage error of click, of which newer versions of typer hold a copy of their own."""


def run(app: Callable[..., Any], arguments: Sequence[str]) -> int:
    """Return the exit status of a command line: what went wrong is said in one line, `--debug` adds the traceback."""
    set_up_logging()
    from ocuseg.errors import OcusegError

    debug = "--debug" in arguments
    if debug:  # accepted at any place
        arguments = ["--debug", *(argument for argument in arguments if argument != "--debug")]
    status = 1
    try:
        status = app(arguments, prog_name="ocuseg", standalone_mode=False) or 0
        sys.stdout.flush()
    except WrongUse as error:
        status = 2
        say_all(describe_wrong_use(error))
    except BrokenPipeError:  # nobody reads on, as with 'ocuseg check data | head'
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OcusegError, OSError) as error:
        if debug:
            traceback.print_exc()
        say(error if isinstance(error, OcusegError) else describe_refusal(error))
        status = getattr(error, "exit_status", 1)
    except KeyboardInterrupt:
        status = 130
    except MemoryError:
        say("out of memory; close other programs, or lower batch_size, crop_px or prediction.tile_px")
    if status == 130:
        say("interrupted")
    return status


def say(message: object) -> None:
    """Print one line on stderr; a message of several lines gets the program's name once."""
    typer.echo(f"ocuseg: {message}", err=True)


def say_all(messages: Iterable[object]) -> None:
    """Print one line on stderr for each message."""
    for message in messages:
        say(message)


def show_check(checked: Any) -> None:
    """Print what a check found: the layout, a line for each finding, how many there are."""
    typer.echo(f"layout: {checked.index.layout}; image and mask: {checked.index.pairing}")
    show_findings(checked.findings)


def show_findings(findings: Any) -> None:
    """Print a line for each finding, and how many there are."""
    for finding in findings:
        colour = {"error": typer.colors.RED, "warning": typer.colors.YELLOW, "note": typer.colors.BLUE}[finding.level]
        typer.secho(f"{finding.level:8}", fg=colour, nl=False)
        typer.echo(f"{finding.code}: {finding}")
    typer.echo(findings.summary)


def show_outcomes(outcomes: Iterable[Any], out: str | PathLike[str]) -> tuple[str, int]:
    """Print what is wrong with each image; return a line on all of them and how many were not predicted.

    An image that is not what the model was made for is said when it is predicted. Of one image alone the measures are
    shown.
    """
    done = before = failed = 0
    described = False
    outcome = None
    said = set[str]()
    for outcome in outcomes:
        for note in () if outcome.facts is None else outcome.facts.notes:
            if note not in said:  # of pictures that are alike only the first
                said.add(note)
                say(f"{outcome.image}: {note}")
        if outcome.flags and not outcome.done_before:
            say(
                f"{outcome.image}: differs from the pictures that the model was made for ({', '.join(outcome.flags)}); "
                "do not trust its mask unseen"
            )
        if outcome.error is not None:
            failed += 1
            say(outcome.error)
        # The mask may be there although it could not be written in another format as well.
        if outcome.done_before and outcome.written:
            before += 1
        elif outcome.written:
            done += 1
            described |= outcome.described
    if outcome is not None and done + before == 1 and not failed:
        for name, value in outcome.measures.items():
            typer.echo(f"{name}: {'undefined' if value is None else format(value, '.4g')}")
    tables = "areas.csv and measures.csv" if described else "areas.csv"
    written = f"{done} mask{'' if done == 1 else 's'}" + (f", {tables}" if done else "")
    ends = [f", {before} already done"] * bool(before) + [f", {failed} failed"] * bool(failed)
    return f"wrote {written} to {out}" + "".join(ends), failed


def describe_wrong_use(error: Any) -> list[str]:
    """Return what a WrongUse says as one line; nothing where the help was shown in its place."""
    message = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    if not message:
        return []
    command = error.ctx.command_path if error.ctx else "ocuseg"
    return [f"{message[0].lower()}{message[1:]}{'' if message.endswith('?') else ';'} see '{command} --help'"]


def describe_refusal(error: OSError) -> str:
    """Return one line on what the system refused, such as to open a folder."""
    where = error.filename if error.filename is not None else "a file"
    reason = (error.strerror or str(error)).lower()
    return f"{where}: {reason}; see that it may be read and written, and that the disk has space"


def shown_command(*words: str | PathLike[str]) -> str:
    """Return a command as it can be typed, with quotes where a word needs them."""
    texts = [str(word) for word in words]
    return subprocess.list2cmdline(texts) if sys.platform == "win32" else shlex.join(texts)


def set_up_logging() -> None:
    """Let the library's log go to stderr: information as plain lines, warnings with their level."""
    logger = logging.getLogger("ocuseg")
    handler = logging.StreamHandler()
    handler.setFormatter(_Line())
    logger.handlers = [handler]
    logger.propagate = False


@contextmanager
def progress_bar(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that shows (done, total): as a bar on a terminal, as a line every ten seconds elsewhere."""
    if not sys.stderr.isatty():
        yield _progress_lines(verb)
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _progress_lines(verb: str) -> Callable[[int, int], None]:
    said_s = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= _SECONDS_BETWEEN_LINES:
            said_s = time.monotonic()
            typer.echo(f"{verb} {done}/{total}", err=True)

    return tell


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        prefix = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        return prefix + record.getMessage()
