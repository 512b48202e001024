"""The weights that a run starts from, kept in its folder: it may be killed before its first checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ocuseg.bundle import Bundle
from ocuseg.errors import ModelError
from ocuseg.files import written_whole

__all__ = ["START_FILE", "StartWeights", "bundle_start", "read_start", "write_start"]

START_FILE = "start.safetensors"


@dataclass(frozen=True, slots=True)
class StartWeights:
    """The weights of a model that a run starts from, with its name and its network's settings."""

    model: str
    network: dict[str, Any]
    weights: Mapping[str, torch.Tensor]


def bundle_start(bundle: Bundle) -> StartWeights:
    """Return the weights of a bundle; raises ModelError where its file holds none, or those of several networks."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if bundle.info.network.get("name") == "ensemble":
        raise ModelError(f"{bundle.folder}: is an ensemble of several networks; start from one fold, RUN/fold_1 say")
    try:
        return StartWeights(bundle.info.name, bundle.info.network, load_file(bundle.weights_path))
    except SafetensorError as error:
        raise ModelError(f"{bundle.weights_path}: holds no weights ({error}); export the bundle again") from error


def write_start(start: StartWeights, folder: Path) -> None:
    """Write what the run in `folder` starts from; raises OutputError where that is not possible."""
    from safetensors.torch import save

    content = save(dict(start.weights), {"model": start.model, "network": json.dumps(start.network)})
    with written_whole(folder / "checkpoints" / START_FILE) as temporary:
        temporary.write_bytes(content)


def read_start(folder: Path) -> StartWeights | None:
    """Return what the run in `folder` starts from; None where these are fresh weights or a checkpoint has followed.

    Raises ModelError for a damaged file.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / "checkpoints" / START_FILE
    if not path.exists() or path.with_name("last.ckpt").exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata()
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        return StartWeights(facts["model"], json.loads(facts["network"]), weights)
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise ModelError(f"{path}: is damaged ({error}); start a new run with --from") from error
