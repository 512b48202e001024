"""The commands that tell what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocuseg.cli.application import app

__all__ = ["cache", "doctor", "models", "recipes"]


@app.command()
def models() -> None:
    """List the models that ship with the package."""
    from ocuseg import commands

    shipped = commands.models()
    if not shipped:
        typer.echo("this version ships no models; train one with 'ocuseg train'")
    for name, description in shipped.items():
        typer.echo(f"{name:20} {description}")


@app.command()
def recipes() -> None:
    """List the recipes that ship with the package."""
    from ocuseg import commands

    for name, description in commands.recipes().items():
        typer.echo(f"{name:20} {description}")


@app.command()
def cache(
    folder: Annotated[
        Path | None, typer.Argument(help="A folder given to 'train --cache'; default: your own.", show_default=False)
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Delete them.")] = False,
) -> None:
    """Show what 'train' keeps of decoded images, where and how much, or delete it."""
    from ocuseg import commands

    held = commands.cache(folder, clear=clear)
    typer.echo(f"{held.folder}: {held.arrays} images, {held.bytes / 1e6:.1f} MB{', deleted' if clear else ''}")


@app.command()
def doctor() -> None:
    """Show versions, processor features, and the precision and runtime that will be used."""
    from ocuseg import commands

    for key, value in commands.doctor().items():
        typer.echo(f"{key:20} {value}")
