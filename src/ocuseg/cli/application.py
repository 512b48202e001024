"""The application that the commands register with."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(
    name="ocuseg",
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
