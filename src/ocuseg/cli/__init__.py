"""The command line: parse, call one function, print, exit."""

from __future__ import annotations

import sys
from typing import NoReturn

from ocuseg import terminal
from ocuseg.cli import about, data, exchanging, making, serving, using
from ocuseg.cli.application import app

__all__ = ["about", "app", "data", "exchanging", "main", "making", "serving", "using"]


def main() -> NoReturn:
    """Run the command line and exit with 0, 1 (data, model or result is bad), 2 (wrong use) or 130 (interrupted)."""
    sys.exit(terminal.run(app, sys.argv[1:]))
