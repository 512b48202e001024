"""The command line: parse, call one function, print, exit."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from ocuseg import terminal
from ocuseg.cli import about, data, exchanging, making, serving, using
from ocuseg.cli.application import app

__all__ = ["about", "app", "data", "exchanging", "main", "making", "serving", "using"]

_ORDER = (
    "check", "train", "evaluate", "predict", "serve", "export", "compare", "import",
    "models", "recipes", "cache", "doctor", "demo",
)  # fmt: skip
"""The commands as the help lists them: in the order of their use."""


def main() -> NoReturn:
    """Run the command line and exit with 0, 1 (data, model or result is bad), 2 (wrong use) or 130 (interrupted)."""
    sys.exit(terminal.run(app, sys.argv[1:]))


def _place(command: Any) -> int:
    return _ORDER.index(command.name or command.callback.__name__)


app.registered_commands.sort(key=_place)
