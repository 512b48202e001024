"""The arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = [
    "AddressOption",
    "CacheOption",
    "ChunkOption",
    "Data",
    "DevicesOption",
    "EngineName",
    "EngineOption",
    "FlipsOption",
    "FoldsOption",
    "FormatsOption",
    "MainAddressOption",
    "MasksName",
    "MasksOption",
    "Model",
    "PrecisionName",
    "PrecisionOption",
    "RecipeOption",
    "Region",
    "RetryOption",
    "RuntimeName",
    "RuntimeOption",
    "SetOption",
    "StartOption",
    "ThresholdOption",
    "WorkerOption",
]


class Region(StrEnum):
    """Where pixels count: inside the field of view, or everywhere."""

    field_of_view = "field_of_view"
    image = "image"


class RuntimeName(StrEnum):
    """What computes the network; `auto` is the fastest that is installed, by what the machine has."""

    auto = "auto"
    onnxruntime = "onnxruntime"
    openvino = "openvino"
    pytorch = "pytorch"


class PrecisionName(StrEnum):
    """The arithmetic of the network; `auto` is that of the runtime on this machine."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"


class EngineName(StrEnum):
    """Where images are predicted: in this process, or by workers on Ray."""

    local = "local"
    ray = "ray"


class MasksName(StrEnum):
    """Where the masks of a collection go: into its table, into files beside it, or nowhere."""

    table = "table"
    files = "files"
    none = "none"


Data = Annotated[Path, typer.Argument(help="A folder of images and masks, or a split file (CSV).", show_default=False)]
Model = Annotated[str, typer.Argument(help="A shipped model's name, a run folder or a bundle.", show_default=False)]
RecipeOption = Annotated[str | None, typer.Option("--recipe", help="A shipped recipe's name or a YAML file.")]
StartOption = Annotated[
    str | None, typer.Option("--from", help="Start from the weights of a shipped model, run or bundle.")
]
FoldsOption = Annotated[
    int | None, typer.Option("--folds", help="Cross-validate: train this many folds, each tested on its own part.")
]
FormatsOption = Annotated[
    list[str] | None,
    typer.Option("--format", help="Also write masks as coco, cvat, dicom-seg, geojson, labelme or nifti."),
]
CacheOption = Annotated[
    str, typer.Option("--cache", help="Where decoded images are kept: on (your cache folder), a folder, or off.")
]
DevicesOption = Annotated[
    int, typer.Option("--devices", help="Train with this many processes: one for each GPU, or sharing the cores.")
]
MainAddressOption = Annotated[
    str | None, typer.Option("--main-address", help="HOST:PORT where the first of them can be reached.")
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe; may be repeated.")]
RuntimeOption = Annotated[
    RuntimeName, typer.Option("--runtime", help="What computes the network; auto: the fastest that is installed.")
]
PrecisionOption = Annotated[
    PrecisionName,
    typer.Option("--precision", help="Its arithmetic; auto: bf16 where machine and runtime have it."),
]
FlipsOption = Annotated[
    bool | None, typer.Option("--flips/--no-flips", help="Average over the four flips; default: as the model says.")
]
ThresholdOption = Annotated[
    float | None, typer.Option("--threshold", help="0 to 1; default: the one chosen on validation.")
]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="local: this process; ray: many workers.")]
AddressOption = Annotated[
    str | None, typer.Option("--address", help="ray: a running cluster, HOST:PORT; default: one on this machine.")
]
MasksOption = Annotated[MasksName, typer.Option("--masks", help="ray: PNG in the table, files beside it, or none.")]
ChunkOption = Annotated[int, typer.Option("--chunk-images", help="ray: how many images are one file of the table.")]
WorkerOption = Annotated[int, typer.Option("--worker-cpus", help="ray: CPUs, and so threads, of each worker.")]
RetryOption = Annotated[bool, typer.Option("--retry-failed", help="ray: do chunks anew that hold failed images.")]
