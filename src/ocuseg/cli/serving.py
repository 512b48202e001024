"""The command that serves a model to browsers and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocuseg import terminal
from ocuseg.cli.application import app
from ocuseg.cli.options import FlipsOption, PrecisionName, PrecisionOption, RuntimeName, RuntimeOption

__all__ = ["serve"]


@app.command()
def serve(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Names, run folders or bundles.", show_default=False)
    ],
    host: Annotated[str, typer.Option("--host", help="Where to listen; another needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0: any that is free.")] = 8000,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="Its first line is the token; default: a new one, shown.")
    ] = None,
    image_mb: Annotated[float, typer.Option("--image-mb", help="The most million bytes of an image.")] = 32,
    megapixels: Annotated[float, typer.Option("--image-megapixels", help="The most million pixels of one.")] = 50,
    batch_images: Annotated[int, typer.Option("--batch-images", help="The most images of a batch.")] = 16,
    upload_s: Annotated[float, typer.Option("--upload-seconds", help="The longest that an upload takes.")] = 60,
    compute_s: Annotated[float, typer.Option("--compute-seconds", help="The longest that an image takes.")] = 120,
    workers: Annotated[int, typer.Option("--workers", help="How many images are predicted at once.")] = 2,
    waiting: Annotated[int, typer.Option("--waiting", help="How many more requests wait, before 503.")] = 16,
    runtime: RuntimeOption = RuntimeName.auto,
    precision: PrecisionOption = PrecisionName.auto,
    flips: FlipsOption = None,
) -> None:
    """Serve models with a page to look at masks, and an HTTP interface for programs, until Ctrl-C."""
    from ocuseg import commands

    token = None
    if token_file is not None:  # what is no text is no good as a token, which the command says
        token = (token_file.read_text(encoding="utf-8", errors="replace").splitlines() or [""])[0].strip()
    elif commands.needs_token(host):
        import secrets

        token = secrets.token_urlsafe(24)
        terminal.say(f"other machines can reach {host}; the token is {token}")
    commands.serve(
        models, host=host, port=port, token=token, image_mb=image_mb, image_megapixels=megapixels,
        batch_images=batch_images, upload_s=upload_s, compute_s=compute_s, workers=workers, waiting=waiting,
        runtime=runtime.value, precision=precision.value, flips=flips,
    )  # fmt: skip
