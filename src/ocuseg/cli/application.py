"""The application that the commands register with."""

from __future__ import annotations

import logging
from typing import Annotated

import typer
from typer.core import TyperGroup

__all__ = ["app"]

_ORDER = (
    "check", "train", "evaluate", "predict", "serve", "export", "compare", "import", "data",
    "models", "recipes", "cache", "doctor", "demo",
)  # fmt: skip
"""The commands as the help lists them: in the order of their use."""


class _InOrder(TyperGroup):
    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - whoever asks
        return sorted(self.commands, key=_ORDER.index)


app = typer.Typer(
    name="ocuseg",
    cls=_InOrder,
    help="Segment images of the eye: check -> train -> evaluate -> predict. Research use, not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"ocuseg {version('ocuseg')}")
        raise typer.Exit


@app.callback()
def _common(
    debug: Annotated[bool, typer.Option("--debug", help="Add the traceback to an error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback has answered
        bool, typer.Option("--version", help="Show the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    logging.getLogger("ocuseg").setLevel(logging.DEBUG if debug else logging.INFO)
