"""A process that fits what the leader of its team hands to it: `python -m ocuseg.training.helper`."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocuseg.errors import OcusegError
from ocuseg.training.assembly import arrival, meeting_place
from ocuseg.training.cache import ArrayCache
from ocuseg.training.fit import fit
from ocuseg.training.precision import Precision
from ocuseg.training.preparation import prepare
from ocuseg.training.start import StartWeights
from ocuseg.training.team import Team

__all__ = ["follow", "main"]


def follow(team: Team) -> str:
    """Fit what the leader of `team` hands to this process, without a word, and return the leader's result.

    Ctrl-C is left to the leader, whose end is this process's. Raises SystemExit where anything stops this process or
    another: it is the leader who says what that was.
    """
    logger = logging.getLogger("ocuseg")
    before, quiet = signal.getsignal(signal.SIGINT), logger.disabled
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logger.disabled = True
    try:
        while True:
            word, content = team.receive()
            if word == "end":
                return str(content)
            _fit(team, **content)
    except BaseException as error:
        if team.report(error) and not isinstance(error, OcusegError):
            traceback.print_exc()
        raise SystemExit(1) from error
    finally:
        signal.signal(signal.SIGINT, before)
        logger.disabled = quiet


def _fit(team: Team, *, start: StartWeights | None, precision: Precision, cache: Path | None, **job: Any) -> None:
    own = prepare(job["checked"], job["recipe"], start=start, resume=True, device=precision.device)
    opened = None if cache is None else ArrayCache(cache)
    with team.at_work():
        fit(replace(own, precision=precision), **job, cache=opened, team=team)


def main() -> None:
    """Do what the line on the standard input says, until the leader is done or that input ends."""
    told = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_leader, daemon=True).start()
    warnings.simplefilter("ignore")
    team = Team(**told["seat"])
    store = meeting_place(told["place"], team)
    store.set(arrival(team.rank), "yes")
    team.connect(store)
    follow(team)
    team.leave()


def _end_with_the_leader() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    main()
