"""What a prediction over a collection was begun with: the model's bytes and the settings that its rows share."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ocuseg.bundle import Bundle, load_bundle
from ocuseg.errors import OutputError
from ocuseg.scale.storage import Storage

__all__ = ["Job", "Masks", "begin_job", "pack_bundle", "unpack_bundle"]

Masks = Literal["table", "files", "none"]

_FILE = "job.json"


@dataclass(frozen=True, slots=True)
class Job:
    """The model by name and digest, and how it is applied: what must not differ among the rows of one output."""

    model: str
    model_digest: str
    threshold: float | None
    flips: bool
    runtime: str
    precision: str
    masks: Masks


def begin_job(out: Storage, job: Job) -> None:
    """Write what a job is to its output, or find there that the output is of the same job.

    Raises OutputError where the output is of another job, or holds what `predict --engine ray` did not write.
    """
    if out.has(_FILE):
        begun = _read(out)
        for name, value in asdict(job).items():
            if begun.get(name) != value:
                raise OutputError(
                    f"{out.uri}: was begun with {name.replace('_', ' ')} {_shown(begun.get(name))}, "
                    f"not {_shown(value)}; give what it was begun with, or another --out"
                )
    elif not out.is_empty():
        raise OutputError(f"{out.uri}: holds files of something else (no {_FILE}); give an empty folder or prefix")
    else:
        out.write(_FILE, (json.dumps({"schema": 1, **asdict(job)}, indent=2) + "\n").encode())


def pack_bundle(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of a bundle by name, to be sent to machines that do not share a disc."""
    return {path.name: path.read_bytes() for path in sorted(bundle.folder.iterdir()) if path.is_file()}


def unpack_bundle(files: dict[str, bytes], folder: Path) -> Bundle:
    """Return the bundle of `pack_bundle`, written to `folder` and verified; raises ModelError where a byte differs."""
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return load_bundle(folder)


def _read(out: Storage) -> dict[str, Any]:
    try:
        content = json.loads(out.read(_FILE))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise OutputError(f"{out.shown(_FILE)}: is damaged; restore it, or give another --out")
    return content


def _shown(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text
