"""The command `ocuseg`, also as `python -m ocuseg`."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line of `ocuseg.cli`; Ctrl-C while that is still being imported is an interruption like any."""
    try:
        from ocuseg.cli import main as run
    except KeyboardInterrupt:
        print("ocuseg: interrupted", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
