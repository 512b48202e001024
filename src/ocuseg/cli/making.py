"""The commands that lead to a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ocuseg import terminal
from ocuseg.cli.application import app
from ocuseg.cli.options import (
    CacheOption,
    Data,
    DevicesOption,
    FoldsOption,
    MainAddressOption,
    RecipeOption,
    SetOption,
    StartOption,
)
from ocuseg.cli.using import print_scores

__all__ = ["check", "demo", "export", "train"]


@app.command()
def check(
    data: Data,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    json: Annotated[Path | None, typer.Option("--json", help="Also write the findings to this file.")] = None,
) -> None:
    """Look at every file of a data set and say what is wrong with it, and how to mend it."""
    from ocuseg import commands
    from ocuseg.files import write_json

    with terminal.progress_bar("reading") as progress:
        checked = commands.check(data, recipe=recipe, overrides=overrides or (), progress=progress)
    terminal.show_check(checked)
    if json is not None:
        write_json(json, checked.findings.to_json() | {"data_hash": checked.data_hash})
        typer.echo(f"wrote {json}")
    if checked.findings.has_errors:
        raise typer.Exit(1)


@app.command()
def train(
    data: Annotated[
        Path | None, typer.Argument(help="A folder of images and masks, or a split file (CSV).", show_default=False)
    ] = None,
    recipe: RecipeOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; default runs/<recipe>.")] = None,
    overrides: SetOption = None,
    resume: Annotated[Path | None, typer.Option("--resume", help="Go on with this run folder.")] = None,
    start_from: StartOption = None,
    folds: FoldsOption = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    cache: CacheOption = "on",
    devices: DevicesOption = 1,
    num_nodes: Annotated[int, typer.Option("--num-nodes", help="On this many machines; start it on each.")] = 1,
    node_rank: Annotated[int, typer.Option("--node-rank", help="Which of them this is, from 0.")] = 0,
    main_address: MainAddressOption = None,
) -> None:
    """Train a network on a data set and leave a run folder with a bundle that is ready to use."""
    from ocuseg import commands

    run = commands.train(
        data, recipe,
        out=out, overrides=overrides or (), resume=resume, start_from=start_from, folds=folds,
        device=device, cache=cache, devices=devices, num_nodes=num_nodes, node_rank=node_rank,
        main_address=main_address, progress=sys.stderr.isatty(),
    )  # fmt: skip
    if run.leads and run.folds:
        print_scores(run.scores, run.folder / "evaluation" / run.scores["split"])
        typer.echo(f"wrote {run.bundle}: the ensemble of the {len(run.folds)} networks that have these scores")
    elif run.leads:
        source = data if data is not None else run.data
        typer.echo(f"wrote {run.folder}; next: {terminal.shown_command('ocuseg', 'evaluate', run.folder, source)}")


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The folder for the bundle.", show_default=False)],
    data: Annotated[Path | None, typer.Option("--data", help="The data, if they have moved since training.")] = None,
    int8: Annotated[bool, typer.Option("--int8", help="Quantise it, unless that costs more than 0.005 Dice.")] = False,
) -> None:
    """Turn the best checkpoint of a run into a bundle, compared with PyTorch on real images."""
    from ocuseg import commands

    typer.echo(f"wrote {commands.export(run, out=out, data=data, int8=int8).folder}")


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Argument(help="A real folder to use instead of drawn images.", show_default=False)
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Where to write.")] = Path("demo"),
) -> None:
    """Do the whole job - draw a data set, check, train, evaluate - in minutes."""
    from ocuseg import demonstration
    from ocuseg.reporting import scores_table

    shown = demonstration.demo(data, out=out, progress=sys.stderr.isatty())
    typer.echo(scores_table(shown.evaluation.metrics))
    for path in shown.paths:
        typer.echo(f"wrote {path}")
    if shown.evaluation.dead or shown.evaluation.failures:
        raise typer.Exit(1)
