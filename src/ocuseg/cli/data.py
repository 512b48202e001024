"""The commands around public sets: `data list`, `data show`, `data get`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocuseg import terminal
from ocuseg.cli.application import app

if TYPE_CHECKING:
    from ocuseg.catalogue import PublicSet

__all__ = ["data", "get", "list_sets", "show"]

data = typer.Typer(no_args_is_help=True, help="List public sets, and get one: its licence is shown first.")
app.add_typer(data, name="data")

Name = Annotated[str, typer.Argument(help="A name of 'ocuseg data list'.", show_default=False)]
Catalogue = Annotated[Path | None, typer.Option("--catalogue", help="A catalogue of your own, in YAML.")]


@data.command("list")
def list_sets(catalogue: Catalogue = None) -> None:
    """List public sets: how many images, how they are got, what for. Nothing is fetched."""
    from ocuseg import commands

    for name, one in commands.public_sets(catalogue).items():
        typer.echo(f"{name:14}{one.images or '':>6}  {'fetched' if one.files else 'by hand':9}{one.for_}")


@data.command()
def show(name: Name, catalogue: Catalogue = None) -> None:
    """Show what is known of a set: licence, citation, split, addresses, checksums."""
    from ocuseg.catalogue import find_set

    _describe(name, find_set(name, catalogue))


@data.command()
def get(
    name: Name,
    out: Annotated[Path | None, typer.Option("--out", help="The folder of the data set; default: its name.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept the licence without being asked.")] = False,
    archive: Annotated[
        list[Path] | None, typer.Option("--archive", help="An archive or folder that you have; may be repeated.")
    ] = None,
    catalogue: Catalogue = None,
) -> None:
    """Get a set from its publisher, or from archives that you have, as a data set that 'train' understands."""
    from ocuseg import commands
    from ocuseg.catalogue import find_set

    wanted = find_set(name, catalogue)
    _describe(name, wanted)
    accepted = yes
    if wanted.files and not archive and not yes and sys.stdin.isatty():
        accepted = typer.confirm("Fetch it under this licence?")
        if not accepted:
            typer.echo("nothing was fetched")
            raise typer.Exit(1)
    with terminal.progress_bar("fetching bytes") as progress:
        got = commands.get_public_set(
            name, out=out or Path(name), accept_licence=accepted, archives=archive or (), catalogue=catalogue,
            progress=progress,
        )  # fmt: skip
    terminal.say_all(f"{one}: no checksum is known for it; what it holds was not verified" for one in got.unverified)
    typer.echo(f"{got.folder}: {got.images} images{', already there' if got.was_there else ''}")


def _describe(name: str, wanted: PublicSet) -> None:
    lines = {
        "set": f"{name}: {wanted.title}",
        "for": wanted.for_,
        "licence": wanted.licence,
        "cite": wanted.citation + (f" doi:{wanted.doi}" if wanted.doi else ""),
        "home": wanted.home,
        "images": f"{wanted.images or ''}{', ' if wanted.images and wanted.size else ''}{wanted.size}",
        "split": wanted.split,
        "note": wanted.note,
        "by hand": wanted.instructions,
    }
    for key, value in lines.items():
        if value:
            typer.echo(f"{key:9}{value}")
    for file in wanted.files:
        algorithm, digest = file.checksum
        size = f", {file.bytes / 1e6:.1f} MB" if file.bytes else ""
        typer.echo(f"{'fetches':9}{file.url}{size}, {algorithm} {digest} by {file.checksum_by or 'the catalogue'}")
