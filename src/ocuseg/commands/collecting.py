"""The command over a collection that one machine cannot, or need not, predict alone."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike, fspath
from typing import TYPE_CHECKING, Literal

from ocuseg.commands.opening import Progress, open_bundle

if TYPE_CHECKING:
    from ocuseg.commands.opening import Model
    from ocuseg.scale import Summary

__all__ = ["predict_collection"]


def predict_collection(
    model: Model,
    images: str | PathLike[str] | Iterable[str | PathLike[str]],
    *,
    out: str | PathLike[str],
    address: str | None = None,
    masks: Literal["table", "files", "none"] = "table",
    chunk_images: int = 100,
    worker_cpus: int = 1,
    threshold: float | None = None,
    runtime: str = "auto",
    precision: str = "auto",
    flips: bool | None = None,
    retry_failed: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Return the count of an output with a row for each image, in Parquet, predicted on Ray: `predict --engine ray`.

    `images` are images, folders and lists, `out` is a folder, all as paths or as URIs that fsspec knows. Without
    `address` Ray is started on this machine. What is done is not done again. As for the rest and for what is raised see
    `ocuseg.scale.predict_collection`.
    """
    from ocuseg import scale

    return scale.predict_collection(
        open_bundle(model),
        [fspath(images)] if isinstance(images, str | PathLike) else [fspath(one) for one in images],
        fspath(out),
        address=address,
        masks=masks,
        chunk_images=chunk_images,
        worker_cpus=worker_cpus,
        threshold=threshold,
        runtime=runtime,
        precision=precision,
        flips=flips,
        retry_failed=retry_failed,
        progress=progress,
    )
