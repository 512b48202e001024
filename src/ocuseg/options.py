"""The arguments and options that several commands share."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["Data", "FlipsOption", "Model", "RecipeOption", "Region", "RuntimeName", "RuntimeOption", "SetOption"]


class Region(StrEnum):
    """Where pixels count: inside the field of view, or everywhere."""

    field_of_view = "field_of_view"
    image = "image"


class RuntimeName(StrEnum):
    """What computes the network; `auto` is ONNX Runtime."""

    auto = "auto"
    onnxruntime = "onnxruntime"
    openvino = "openvino"
    pytorch = "pytorch"


Data = Annotated[Path, typer.Argument(help="A folder of images and masks, or a split file (CSV).", show_default=False)]
Model = Annotated[str, typer.Argument(help="A shipped model's name, a run folder or a bundle.", show_default=False)]
RecipeOption = Annotated[str | None, typer.Option("--recipe", help="A shipped recipe's name or a YAML file.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="key=value of the recipe; may be repeated.")]
RuntimeOption = Annotated[RuntimeName, typer.Option("--runtime", help="What computes the network.")]
FlipsOption = Annotated[
    bool | None, typer.Option("--flips/--no-flips", help="Average over the four flips; default: as the model says.")
]
