"""The command line: parse, call one function, print, exit."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ocuseg import terminal
from ocuseg.options import (
    AddressOption,
    CacheOption,
    ChunkOption,
    Data,
    DevicesOption,
    EngineName,
    EngineOption,
    FlipsOption,
    FoldsOption,
    MainAddressOption,
    MasksName,
    MasksOption,
    Model,
    PrecisionName,
    PrecisionOption,
    RecipeOption,
    Region,
    RetryOption,
    RuntimeName,
    RuntimeOption,
    SetOption,
    StartOption,
    ThresholdOption,
    WorkerOption,
)

__all__ = ["app", "main"]

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
        _print_scores(run.scores, run.folder / "evaluation" / run.scores["split"])
        typer.echo(f"wrote {run.bundle}: the ensemble of the {len(run.folds)} networks that have these scores")
    elif run.leads:
        source = data if data is not None else run.data
        typer.echo(f"wrote {run.folder}; next: {terminal.shown_command('ocuseg', 'evaluate', run.folder, source)}")


@app.command()
def evaluate(
    model: Model,
    data: Data,
    split: Annotated[str, typer.Option("--split", help="train, val or test; val if there is no test.")] = "test",
    out: Annotated[Path | None, typer.Option("--out", help="Where to write; default RUN/evaluation/<split>.")] = None,
    recipe: RecipeOption = None,
    overrides: SetOption = None,
    region: Annotated[Region, typer.Option("--region", help="Where pixels count.")] = Region.field_of_view,
    runtime: RuntimeOption = RuntimeName.auto,
    precision: PrecisionOption = PrecisionName.auto,
    flips: FlipsOption = None,
) -> None:
    """Score a model on a split: pooled and per image, with intervals, overlays and a report."""
    from ocuseg import commands

    with terminal.progress_bar("evaluating") as progress:
        evaluation = commands.evaluate(
            model, data,
            split=split, out=out, recipe=recipe, overrides=overrides or (), region=region.value,
            runtime=runtime.value, precision=precision.value, flips=flips, progress=progress,
        )  # fmt: skip
    _print_scores(evaluation.metrics, out or commands.evaluation_folder(model, evaluation.metrics["split"]))
    if evaluation.dead or evaluation.failures:
        raise typer.Exit(1)


@app.command()
def predict(
    model: Model,
    images: Annotated[list[str], typer.Argument(help="Images or folders of images.", show_default=False)],
    out: Annotated[str, typer.Option("--out", help="The folder for masks and areas.", show_default=False)],
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write the probabilities, PNG.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="Also write the probabilities, as NumPy arrays instead.")] = False,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write the images with the mask drawn on.")] = False,
    threshold: ThresholdOption = None,
    runtime: RuntimeOption = RuntimeName.auto,
    precision: PrecisionOption = PrecisionName.auto,
    flips: FlipsOption = None,
    again: Annotated[bool, typer.Option("--again", help="Also predict what an earlier run has done.")] = False,
    engine: EngineOption = EngineName.local,
    address: AddressOption = None,
    masks: MasksOption = MasksName.table,
    chunk_images: ChunkOption = 100,
    worker_cpus: WorkerOption = 1,
    retry_failed: RetryOption = False,
) -> None:
    """Write a mask for each image, at the image's own size, and the areas of the classes in all of them."""
    from ocuseg import commands

    if engine is EngineName.ray:
        if probabilities or npz or overlay:
            raise typer.BadParameter("--engine ray writes masks and areas alone; leave out what else there shall be")
        with terminal.progress_bar("predicting") as progress:
            summary = commands.predict_collection(
                model, images, out=out, address=address, masks=masks.value, chunk_images=chunk_images,
                worker_cpus=worker_cpus, threshold=threshold, runtime=runtime.value, precision=precision.value,
                flips=flips, retry_failed=retry_failed, progress=progress,
            )  # fmt: skip
        typer.echo(str(summary))
        raise typer.Exit(1 if summary.failed else 0)
    with terminal.progress_bar("predicting") as progress:
        outcomes = commands.predict_each(
            model, images, out=out, probabilities="npz" if npz else probabilities, overlay=overlay, threshold=threshold,
            runtime=runtime.value, precision=precision.value, flips=flips, again=again, progress=progress,
        )  # fmt: skip
        summary_line, failed = terminal.show_outcomes(outcomes, out)
    typer.echo(summary_line)
    if failed:
        raise typer.Exit(1)


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
def compare(
    first: Annotated[Path, typer.Argument(help="An evaluation folder or its metrics.json.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another evaluation of the same images.", show_default=False)],
) -> None:
    """Compare two evaluations of the same images: differences, intervals, paired tests."""
    from ocuseg import commands
    from ocuseg.reporting import comparison_table

    typer.echo(comparison_table(commands.compare(first, second)))


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


def main() -> NoReturn:
    """Run the command line and exit with 0, 1 (data, model or result is bad), 2 (wrong use) or 130 (interrupted)."""
    sys.exit(terminal.run(app, sys.argv[1:]))


def _print_scores(metrics: Mapping[str, Any], folder: Path) -> None:
    from ocuseg.evaluation.judgement import DEAD_REMEDY
    from ocuseg.reporting import scores_table

    typer.echo(scores_table(metrics, with_faults=False))
    typer.echo(f"wrote {folder / 'metrics.json'}, {folder / 'report.html'}, {folder / 'overlays'}")
    terminal.say_all(f"dead: {sentence}; {DEAD_REMEDY}" for sentence in metrics["dead"])
    terminal.say_all(metrics["failures"])
