"""The command that takes what an annotation tool exported."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ocuseg import terminal
from ocuseg.cli.application import app

__all__ = ["OrderName", "import_"]


class OrderName(StrEnum):
    """Which of two overlapping shapes lies on top: the later of the source, the later class, or the smaller."""

    source = "source"
    classes = "classes"
    size = "size"


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(help="The file or folder that the annotation tool exported.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The folder for the data set.", show_default=False)],
    format: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="coco, cvat, geojson, labelme, labelstudio, nnunet, supervisely or via; default: as recognised.",
        ),
    ] = None,
    classes: Annotated[
        Path | None, typer.Option("--classes", help="A classes.yaml; default: the labels, in the source's order.")
    ] = None,
    order: Annotated[
        OrderName, typer.Option("--order", help="What lies on top: the later shape, the later class, or the smaller.")
    ] = OrderName.source,
    images: Annotated[
        Path | None, typer.Option("--images", help="Where the images are, if not with the annotations.")
    ] = None,
    attribute: Annotated[
        str | None, typer.Option("--attribute", help="via: the region attribute that names the class.")
    ] = None,
    link: Annotated[bool, typer.Option("--link", help="Do not copy the images; list them where they are.")] = False,
    allow_loss: Annotated[
        bool, typer.Option("--allow-loss", help="End with status 0 though something had to be left out.")
    ] = False,
) -> None:
    """Make a data set of what an annotation tool exported: images, masks, classes, splits."""
    from ocuseg import commands

    with terminal.progress_bar("importing") as progress:
        imported = commands.import_annotations(
            source, out=out, format=format, classes=classes, order=order.value, images=images, attribute=attribute,
            link=link, progress=progress,
        )  # fmt: skip
    terminal.show_findings(imported.findings)
    names = ", ".join(f"{item.id} {item.name}" for item in imported.classes.items)
    typer.echo(f"{imported.format}: {imported.shapes} shapes; classes {names}")
    typer.echo(f"wrote {imported.folder}; next: {terminal.shown_command('ocuseg', 'check', imported.folder)}")
    if imported.has_losses and not allow_loss:
        raise typer.Exit(1)
