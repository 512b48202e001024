"""A run folder: what it holds, how it is started, and how it is taken up again."""

from __future__ import annotations

import csv
import io
import json
import shutil
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from ocuseg.checking import CheckResult
from ocuseg.errors import ModelError, OutputError, ResumeError
from ocuseg.files import make_folder, write_json, write_text
from ocuseg.training.recipe import Recipe, load_recipe, save_recipe
from ocuseg.training.start import START_FILE, StartWeights, write_start

__all__ = ["Run", "find_run", "new_run_folder", "require_same_data", "start_run"]


@dataclass(frozen=True, slots=True)
class Run:
    """A training run on disk; what it holds is listed in the documentation of the run folder."""

    folder: Path

    def __fspath__(self) -> str:
        return str(self.folder)

    def __str__(self) -> str:
        return str(self.folder)

    @property
    def bundle(self) -> Path:
        """The folder that `load`, `evaluate` and `predict` use."""
        return self.folder / "bundle"

    @property
    def recipe(self) -> Recipe:
        """The resolved recipe."""
        return load_recipe(self.folder / "recipe.yaml")

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per epoch, as in `history.csv`."""
        with (self.folder / "history.csv").open(newline="", encoding="utf-8") as file:
            return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]

    @property
    def data_hash(self) -> str:
        """The hash of the data that the run was started on."""
        return str(self._findings()["data_hash"])

    @property
    def data(self) -> str:
        """The folder or split file that the run was started on."""
        return str(self._findings()["data"])

    def clear_temporaries(self) -> None:
        """Delete what a kill has left of files and folders that were being written."""
        for place in (self.folder, self.folder / "checkpoints"):
            for path in [*filter(_is_temporary, place.glob("*"))]:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def _findings(self) -> dict[str, Any]:
        path = self.folder / "findings.json"
        try:
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{path}: cannot be read; give a run folder that 'ocuseg train' made") from error
        return content


def new_run_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Return the first of `runs/<name>`, `runs/<name>-2`, ... that does not exist."""
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            return folder
        number += 1


def start_run(
    folder: Path,
    recipe: Recipe,
    checked: CheckResult,
    *,
    data: str | PathLike[str],
    environment: dict[str, Any],
    start: StartWeights | None = None,
) -> Run:
    """Return a new run with its recipe, split, findings, environment and the weights that it starts from.

    Raises OutputError where the folder holds anything already, but for what a start that was cut short has left.
    """
    if folder.is_dir() and not all(map(_is_begun, folder.iterdir())):
        resume = f", or go on with --resume {folder}" if (folder / "recipe.yaml").is_file() else ""
        raise OutputError(f"{folder}: is not empty; give another --out{resume}")
    make_folder(folder)
    make_folder(folder / "checkpoints")
    write_text(folder / "split.csv", _split_table(checked))
    findings = checked.findings.to_json() | {"data_hash": checked.data_hash, "data": str(Path(data).resolve())}
    write_json(folder / "findings.json", findings)
    write_json(folder / "environment.json", environment)
    if start is not None:
        write_start(start, folder)
    save_recipe(recipe, folder / "recipe.yaml")  # last: a folder with a recipe is a run that can be resumed
    run = Run(folder)
    run.clear_temporaries()
    return run


def find_run(folder: str | PathLike[str]) -> Run:
    """Return the run in a folder; raises ResumeError where there is none."""
    path = Path(folder)
    if not (path / "recipe.yaml").is_file():
        raise ResumeError(f"{path}: holds no run; start one with 'ocuseg train DATA --out {path}'")
    return Run(path)


def require_same_data(run: Run, checked: CheckResult) -> None:
    """Raise ResumeError where the data are not those that the run was started on."""
    if run.data_hash != checked.data_hash:
        raise ResumeError(
            f"{run}: was trained on other data (hash {run.data_hash[:12]}, now {checked.data_hash[:12]}); "
            "restore the data as listed in its split.csv, or start a new run"
        )


def _is_begun(path: Path) -> bool:
    """Whether `path` is what `start_run` writes before the recipe."""
    if path.name == "checkpoints" and path.is_dir():
        return all(inner.name == START_FILE or _is_temporary(inner) for inner in path.iterdir())
    return path.name in ("split.csv", "findings.json", "environment.json") or _is_temporary(path)


def _is_temporary(path: Path) -> bool:
    """Whether a file or folder was being written: `ocuseg.files` and `ocuseg.folders` name them like this."""
    return path.name.startswith(".") and ".tmp" in path.suffixes


def _split_table(checked: CheckResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "mask", "field_of_view", "split", "group", "image_sha256", "mask_sha256"])
    root = checked.index.root if checked.index.root.is_dir() else checked.index.root.parent

    def relative(path: Path | None) -> str:
        if path is None:
            return ""
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()

    def digest(path: Path | None) -> str:
        return "" if path is None else checked.file_hashes.get(str(path), "")

    for record in checked.index.records:
        files = (record.image, record.mask, record.field_of_view)
        row = [relative(path) for path in files]
        writer.writerow([*row, record.split or "", record.group or "", digest(record.image), digest(record.mask)])
    return text.getvalue()
