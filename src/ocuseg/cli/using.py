"""The commands that use a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ocuseg import terminal
from ocuseg.cli.application import app
from ocuseg.cli.options import (
    AddressOption,
    ChunkOption,
    Data,
    EngineName,
    EngineOption,
    FlipsOption,
    FormatsOption,
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
    ThresholdOption,
    WorkerOption,
)

__all__ = ["compare", "evaluate", "predict", "print_scores"]

_OF_RAY = ("address", "masks", "chunk_images", "worker_cpus", "retry_failed")


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
    print_scores(evaluation.metrics, out or commands.evaluation_folder(model, evaluation.metrics["split"]))
    if evaluation.dead or evaluation.failures:
        raise typer.Exit(1)


@app.command()
def predict(
    context: typer.Context,
    model: Model,
    images: Annotated[list[str] | None, typer.Argument(help="Images or folders of images.", show_default=False)] = None,
    chosen: Annotated[
        str | None, typer.Option("--model", help="The model; what stands before the options are then all images.")
    ] = None,
    out: Annotated[str, typer.Option("--out", help="The folder for masks and areas.")] = "predicted",
    probabilities: Annotated[bool, typer.Option("--probabilities", help="Also write the probabilities, PNG.")] = False,
    npz: Annotated[bool, typer.Option("--npz", help="Also write the probabilities, as NumPy arrays instead.")] = False,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also write the images with the mask drawn on.")] = False,
    threshold: ThresholdOption = None,
    runtime: RuntimeOption = RuntimeName.auto,
    precision: PrecisionOption = PrecisionName.auto,
    flips: FlipsOption = None,
    formats: FormatsOption = None,
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

    if chosen is not None:
        model, images = chosen, [model, *(images or ())]
    elif not images:
        raise typer.BadParameter(
            "missing argument 'IMAGES...'; name a model and images, as in 'ocuseg predict vessels eye.jpg'"
        )
    if engine is EngineName.ray:
        if probabilities or npz or overlay or formats:
            raise typer.BadParameter("--engine ray writes masks and areas alone; leave out what else there shall be")
        if again:
            raise typer.BadParameter("--engine ray has no --again; give another --out to do all anew")
        with terminal.progress_bar("predicting") as progress:
            summary = commands.predict_collection(
                model, images, out=out, address=address, masks=masks.value, chunk_images=chunk_images,
                worker_cpus=worker_cpus, threshold=threshold, runtime=runtime.value, precision=precision.value,
                flips=flips, retry_failed=retry_failed, progress=progress,
            )  # fmt: skip
        typer.echo(str(summary))
        raise typer.Exit(1 if summary.failed else 0)
    given = ", ".join(f"--{name.replace('_', '-')}" for name in _OF_RAY if _is_given(context, name))
    if given:  # whatever its value is
        raise typer.BadParameter(f"{given}: of --engine ray alone; add that, or leave it out")
    with terminal.progress_bar("predicting") as progress:
        outcomes = commands.predict_each(
            model, images, out=out, probabilities="npz" if npz else probabilities, overlay=overlay, threshold=threshold,
            runtime=runtime.value, precision=precision.value, flips=flips, again=again, formats=formats or (),
            progress=progress,
        )  # fmt: skip
        summary_line, failed = terminal.show_outcomes(outcomes, out)
    typer.echo(summary_line)
    if failed:
        raise typer.Exit(1)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(help="An evaluation folder or its metrics.json.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another evaluation of the same images.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The folder for the report.")] = Path("comparison"),
) -> None:
    """Compare two evaluations of the same images: differences, intervals, paired tests, and a page with both."""
    from ocuseg import commands
    from ocuseg.reporting import comparison_table

    typer.echo(comparison_table(commands.compare(first, second, out=out)))
    typer.echo(f"wrote {out / 'report.html'}, {out / 'comparison.json'}, {out / 'per_image.csv'}")


def print_scores(metrics: Mapping[str, Any], folder: Path) -> None:
    """Print the table of an evaluation, where it was written, and what is wrong with it."""
    from ocuseg.evaluation.judgement import DEAD_REMEDY
    from ocuseg.reporting import scores_table

    typer.echo(scores_table(metrics, with_faults=False))
    typer.echo(f"wrote {folder / 'metrics.json'}, {folder / 'report.html'}, {folder / 'overlays'}")
    terminal.say_all(f"dead: {sentence}; {DEAD_REMEDY}" for sentence in metrics["dead"])
    terminal.say_all(metrics["failures"])


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"
