"""What a run starts from, kept in its folder: weights, as it may be killed before its first checkpoint, and origin."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ocuseg.bundle import Bundle
from ocuseg.checking import CheckResult
from ocuseg.errors import ModelError
from ocuseg.files import written_whole
from ocuseg.index import Record

__all__ = [
    "START_FILE", "Origin", "StartWeights", "bundle_start", "read_origin", "read_start", "seen_before", "warn_of_names",
    "warn_of_seen", "write_start",
]  # fmt: skip

_log = logging.getLogger("ocuseg")

START_FILE = "start.safetensors"


@dataclass(frozen=True, slots=True)
class Origin:
    """Which model a run starts from: its name, the SHA-256 of its files, and what images it was made with.

    `image_hashes` are the first digits of their SHA-256, as its bundle has them; none where nobody wrote them down.
    `dropped` are the names of those of its weights that were not taken: a classifier, say.
    """

    model: str
    digest: str | None = None
    image_hashes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return what a bundle says of the model that its training started from."""
        return {"name": self.model, "digest": self.digest} | ({"dropped": list(self.dropped)} if self.dropped else {})


@dataclass(frozen=True, slots=True)
class StartWeights:
    """The weights of a model that a run starts from, its origin, its network's settings and its classes' names.

    Those that only the recipe asks for (`where_fit`) are for its own network: any other starts from nothing.
    """

    origin: Origin
    network: dict[str, Any]
    weights: Mapping[str, torch.Tensor]
    classes: tuple[str, ...] = ()
    where_fit: bool = False


def bundle_start(bundle: Bundle, *, where_fit: bool = False) -> StartWeights:
    """Return the weights of a bundle; raises ModelError where its file holds none, or those of several networks."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if bundle.info.network.get("name") == "ensemble":
        raise ModelError(f"{bundle.folder}: is an ensemble of several networks; start from one fold, RUN/fold_1 say")
    origin = Origin(bundle.info.name, bundle.digest, tuple(bundle.info.trained_on.get("image_hashes", ())))
    try:
        weights = load_file(bundle.weights_path)
    except SafetensorError as error:
        raise ModelError(f"{bundle.weights_path}: holds no weights ({error}); export the bundle again") from error
    return StartWeights(origin, bundle.info.network, weights, bundle.classes.names, where_fit)


def write_start(start: StartWeights, folder: Path) -> None:
    """Write what the run in `folder` starts from; raises OutputError where that is not possible."""
    from safetensors.torch import save

    facts = {
        "model": start.origin.model,
        "digest": start.origin.digest or "",
        "image_hashes": " ".join(start.origin.image_hashes),
        "dropped": json.dumps(start.origin.dropped),
        "network": json.dumps(start.network),
    }
    content = save(dict(start.weights), facts)
    with written_whole(folder / "checkpoints" / START_FILE) as temporary:
        temporary.write_bytes(content)


def read_start(folder: Path) -> StartWeights | None:
    """Return what the run in `folder` starts from; None where these are fresh weights or a checkpoint has followed.

    Raises ModelError for a damaged file.
    """
    path = folder / "checkpoints" / START_FILE
    if not path.exists() or path.with_name("last.ckpt").exists():
        return None
    with _opened(path) as file:
        facts = file.metadata()
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        return StartWeights(_origin(facts), json.loads(facts["network"]), weights)


def read_origin(folder: Path) -> Origin | None:
    """Return which model the run in `folder` started from, however far it has come; None for fresh weights.

    Raises ModelError for a damaged file.
    """
    path = folder / "checkpoints" / START_FILE
    if not path.exists():
        return None
    with _opened(path) as file:
        return _origin(file.metadata())


def seen_before(origin: Origin | None, checked: CheckResult, records: Sequence[Record]) -> list[str]:
    """Return the names of those records whose images the model that a run starts from was made with."""
    if origin is None or not origin.image_hashes:
        return []
    digests = {record.name: checked.file_hashes.get(str(record.image), "") for record in records}
    return [name for name, digest in digests.items() if digest.startswith(origin.image_hashes)]


def warn_of_names(start: StartWeights | None, checked: CheckResult) -> None:
    """Say where the data give an id of the model another name, such as iris and pupil swapped.

    Of the start that a recipe names for a background and one structure, whatever it is, there is nothing to say, nor of
    one with another number of classes, which is not started from.
    """
    if start is None or checked.classes is None or checked.index.classes_file is None:
        return
    if start.where_fit and (len(checked.classes) == 2 or len(checked.classes) != len(start.classes)):
        return
    pairs = enumerate(zip(checked.classes.names, start.classes, strict=False))
    others = [f"{class_id} is {one}, not {own}" for class_id, (one, own) in pairs if one != own]
    if others:
        _log.warning(
            "%s names other classes than %s (%s); if they are the same in another order, it starts from wrong ones",
            checked.index.classes_file.name, start.origin.model, ", ".join(others),
        )  # fmt: skip


def warn_of_seen(start: StartWeights | None, checked: CheckResult, records: Sequence[Record], meaning: str) -> None:
    """Log a warning where some of the records are known to the model that a run starts from."""
    if start is not None and (seen := seen_before(start.origin, checked, records)):
        _log.warning(
            "%s: %d of the %d images that are to test it took part in making this model, such as %s: %s",
            start.origin.model, len(seen), len(records), seen[0], meaning,
        )  # fmt: skip


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (OSError, ValueError, LookupError, TypeError, SafetensorError) as error:
        raise ModelError(f"{path}: is damaged ({error}); start a new run with --from") from error


def _origin(facts: Mapping[str, str]) -> Origin:
    """Return the origin in a file's metadata; of a run of an earlier version the model's name alone."""
    hashes, dropped = facts.get("image_hashes", "").split(), json.loads(facts.get("dropped", "[]"))
    return Origin(facts["model"], facts.get("digest") or None, tuple(hashes), tuple(dropped))
