"""A run folder: what it holds, how it is started, and how it is taken up again."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from ocuseg.checking import CheckResult
from ocuseg.errors import ModelError, OutputError, ResumeError
from ocuseg.files import make_folder, write_json, write_text
from ocuseg.folders import safe_name
from ocuseg.index import Record
from ocuseg.training.folds import FoldPlan
from ocuseg.training.losses import settled_loss
from ocuseg.training.recipe import Recipe, load_recipe, save_recipe
from ocuseg.training.start import START_FILE, StartWeights, write_start

__all__ = [
    "OUT_OF_FOLD", "Run", "find_run", "new_run_folder", "require_same_data", "require_same_recipe", "share_of_batch",
    "start_run",
]  # fmt: skip

OUT_OF_FOLD = "out_of_fold"
"""The name, in the place of a split, of scores in which each image was scored by the model that did not see it."""


@dataclass(frozen=True, slots=True)
class Run:
    """A training run on disk; what it holds is listed in the documentation of the run folder."""

    folder: Path
    leads: bool = True
    """Whether this process is the one that wrote it, and speaks for the others that trained it with it."""

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
    def folds(self) -> tuple[Run, ...]:
        """The runs of a cross-validation, one for each fold; none where this is an ordinary run."""
        number = self._findings().get("folds", {}).get("number", 0)
        return tuple(Run(self.folder / f"fold_{fold}") for fold in range(1, number + 1))

    @property
    def fold(self) -> tuple[int, int] | None:
        """Which fold of how many this run is; None where it is none."""
        found = self._findings().get("fold")
        return None if found is None else (found["number"], found["of"])

    @property
    def processes(self) -> int:
        """How many processes the run was started with, each with batches of the recipe's size."""
        return int(self._findings().get("processes", 1))

    @property
    def scores(self) -> dict[str, Any]:
        """The out-of-fold scores of a cross-validation, in the form of `metrics.json`.

        Raises ModelError where the run is no cross-validation or has not come to its end.
        """
        path = self.folder / "evaluation" / OUT_OF_FOLD / "metrics.json"
        if not path.is_file():
            remedy = f"go on with 'ocuseg train --resume {self}'" if self.folds else "use 'ocuseg evaluate'"
            raise ModelError(f"{path}: there are no out-of-fold scores; {remedy}")
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return content

    @property
    def history(self) -> list[dict[str, float]]:
        """One row per epoch, as in `history.csv`; a cross-validation has one in each of its `folds`."""
        path = self.folder / "history.csv"
        if not path.exists() and self.folds:
            raise ModelError(f"{self}: is a cross-validation; look at the history of each of its folds")
        with path.open(newline="", encoding="utf-8") as file:
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
        for place in (self.folder, self.folder / "checkpoints", self.folder / "samples", self.folder / "evaluation"):
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
    name, number = safe_name(name), 1
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
    plan: FoldPlan | None = None,
    fold: int | None = None,
    processes: int = 1,
) -> Run:
    """Return a new run with its recipe, split, findings, environment and the weights that it starts from.

    `processes` is how many train it. With a `plan` it is a cross-validation, or one `fold` of it. Raises OutputError
    where the folder holds anything already, but for what a start that was cut short has left.
    """
    if folder.is_dir() and not _is_begun(folder):
        resume = f", or go on with --resume {folder}" if (folder / "recipe.yaml").is_file() else ""
        raise OutputError(f"{folder}: is not empty; give another --out{resume}")
    make_folder(folder)
    make_folder(folder / "checkpoints")
    findings = checked.findings.to_json() | {"data_hash": checked.data_hash, "data": str(Path(data).resolve())}
    if plan is None or fold is not None:
        write_text(folder / "split.csv", _split_table(checked))
    else:
        write_text(folder / "folds.csv", _folds_table(checked, plan))
        findings["folds"] = {"number": plan.folds, "rule": plan.rule}
    if plan is not None and fold is not None:
        findings["fold"] = {"number": fold, "of": plan.folds}
    if processes > 1:
        findings["processes"] = processes
    write_json(folder / "findings.json", findings)
    write_json(folder / "environment.json", environment)
    if start is not None:
        write_start(start, folder)
    settled = _settled(recipe, checked)
    save_recipe(settled, folder / "recipe.yaml")  # last: a folder with a recipe is a run that can be resumed
    run = Run(folder)
    run.clear_temporaries()
    return run


def find_run(folder: str | PathLike[str]) -> Run:
    """Return the run in a folder; raises ResumeError where there is none."""
    path = Path(folder)
    if not (path / "recipe.yaml").is_file():
        if (path / "bundle.json").is_file():
            raise ResumeError(f"{path}: is a finished model and no run; give the folder that 'ocuseg train' made it in")
        raise ResumeError(f"{path}: holds no run; start one with 'ocuseg train DATA --out {path}'")
    return Run(path)


def require_same_data(run: Run, checked: CheckResult) -> None:
    """Raise ResumeError where the data are not those that the run was started on."""
    if run.data_hash != checked.data_hash:
        raise ResumeError(
            f"{run}: was trained on other data, or on them divided otherwise (hash {run.data_hash[:12]}, now "
            f"{checked.data_hash[:12]}); restore the data as listed in its split.csv and the keys of its recipe.yaml "
            "that divide them, or start a new run"
        )


def share_of_batch(run: Run, processes: int) -> int:
    """Return how many images of a step each of `processes` takes: the steps of a run stay as they were begun.

    Raises ResumeError where they cannot be divided evenly.
    """
    whole = run.recipe.batch_size * run.processes
    if whole % processes:
        raise ResumeError(
            f"{run}: was begun by {run.processes} processes with {run.recipe.batch_size} images each, {whole} a step, "
            f"which {processes} cannot divide evenly; resume with a number of processes that does"
        )
    return whole // processes


def require_same_recipe(folder: Path, before: Mapping[str, Any], recipe: Recipe) -> None:
    """Raise ResumeError where `recipe`, of the run in `folder`, is not the resolved one that it was trained by before.

    A key that only one of the two knows is of another version of this program, and no change.
    """
    changed = []
    for key, value in recipe.to_plain().items():
        if key not in before:
            continue
        if isinstance(getattr(recipe, key), BaseModel):
            changed += [f"{key}.{inner}" for inner in value if before[key].get(inner, value[inner]) != value[inner]]
        elif before[key] != value:
            changed.append(key)
    if changed:
        raise ResumeError(
            f"{folder / 'recipe.yaml'}: was changed since the run started ({', '.join(changed)}); "
            "restore it, or start a new run with --from"
        )


def _settled(recipe: Recipe, checked: CheckResult) -> Recipe:
    """Return a recipe that says which loss it takes, so that it means the same wherever it is read again."""
    if checked.classes is None:
        return recipe
    return recipe.model_copy(update={"loss": settled_loss(recipe.loss, checked.classes.out_channels)})


def _is_begun(folder: Path) -> bool:
    """Whether a folder is empty or holds what `start_run` writes before the recipe: its checkpoints' folder first."""
    found = set(folder.iterdir())
    checkpoints = folder / "checkpoints"
    if not checkpoints.is_dir():  # a table here is the user's own
        return not found
    names = ("split.csv", "folds.csv", "findings.json", "environment.json")
    return all(path.name in names or _is_temporary(path) for path in found - {checkpoints}) and all(
        path.name == START_FILE or _is_temporary(path) for path in checkpoints.iterdir()
    )


def _is_temporary(path: Path) -> bool:
    """Whether a file or folder was being written: `ocuseg.files` and `ocuseg.folders` name them like this."""
    return path.name.startswith(".") and ".tmp" in path.suffixes


def _split_table(checked: CheckResult) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "mask", "field_of_view", "split", "group", "image_sha256", "mask_sha256"])
    for record in checked.index.records:
        files, digests = _file_cells(checked, record)
        writer.writerow([*files, record.split or "", record.group or "", *digests])
    return text.getvalue()


def _folds_table(checked: CheckResult, plan: FoldPlan) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "mask", "field_of_view", "group", "fold", "image_sha256", "mask_sha256"])
    for record in checked.index.records:
        files, digests = _file_cells(checked, record)
        writer.writerow([*files, record.group or "", plan.fold_of[record.name], *digests])
    return text.getvalue()


def _file_cells(checked: CheckResult, record: Record) -> tuple[list[str], list[str]]:
    """Return the paths of image, mask and field of view as a split file has them, and the first two's SHA-256."""
    root = checked.index.root if checked.index.root.is_dir() else checked.index.root.parent

    def relative(path: Path | None) -> str:
        if path is None:
            return ""
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()

    def digest(path: Path | None) -> str:
        return "" if path is None else checked.file_hashes.get(str(path), "")

    files = [relative(path) for path in (record.image, record.mask, record.field_of_view)]
    return files, [digest(record.image), digest(record.mask)]
