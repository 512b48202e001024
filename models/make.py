"""Make the models that ship: from their data and their description, by the commands that a user has.

    python models/make.py vessels cataract-lens --data FOLDER

`models/NAME.yaml` says from what and how: the stages of the training, each a recipe with data of its own that starts
where the one before ended; what the model is measured on; and what its card has to say. The bundle is written into the
package. The runs stay in the work folder, so that a training that was stopped goes on where it stopped.
"""

from __future__ import annotations

import argparse
import csv
import logging
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from cards import card_of, rows_of

import ocuseg
from ocuseg.bundle import Bundle, find_bundle, load_bundle, write_bundle
from ocuseg.commands.opening import index_data
from ocuseg.index import Record
from ocuseg.networks import build_network
from ocuseg.training.export import export_bundle
from ocuseg.training.recipe import load_recipe
from ocuseg.training.run import Run

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT.parent / "src" / "ocuseg" / "models"
MAX_BYTES = 10_000_000
"""What a shipped bundle may weigh."""
COMPARED = 4
"""On how many validation images its two files are compared."""

_log = logging.getLogger("ocuseg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="NAME", choices=sorted(path.stem for path in ROOT.glob("*.yaml")))
    parser.add_argument("--data", type=Path, required=True, help="the folder that the descriptions' paths start from")
    parser.add_argument("--work", type=Path, default=Path("runs/models"), help="where the runs are kept")
    parser.add_argument("--out", type=Path, default=PACKAGE)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for name in options.names:
        make(name, options.data, options.work / name, options.out / name)


def make(name: str, data: Path, work: Path, out: Path) -> Bundle:
    """Return the bundle `name`, trained by its stages, measured, and written to `out` with its card."""
    description = yaml.safe_load((ROOT / f"{name}.yaml").read_text(encoding="utf-8"))
    work.mkdir(parents=True, exist_ok=True)
    start: Path | None = None
    for number, last in enumerate(description["stages"], start=1):
        earlier = start
        source = gathered(last, data, work / f"stage_{number}")
        start = trained(source, last, work / f"run_{number}", start)
    bundle = load_bundle(find_bundle(start))
    compared = index_data(source, load_recipe({})).of_split("val")[:COMPARED]
    named = ship(bundle, name, description, [], compared, work / "unmeasured")
    rows = [
        row
        for number, wanted in enumerate(description["measured"], start=1)
        for row in rows_of(wanted, measured(wanted, named, last, earlier, data, work / f"measured_{number}"))
    ]
    shipped = ship(bundle, name, description, rows, compared, out)
    size = sum(path.stat().st_size for path in out.iterdir())
    if size > MAX_BYTES:
        raise SystemExit(f"{out}: is {size / 1e6:.1f} MB, more than the {MAX_BYTES / 1e6:.0f} MB of a shipped model")
    _log.info("%s: %.1f MB", out, size / 1e6)
    return shipped


def trained(source: Path, stage: Mapping[str, Any], folder: Path, start: Path | None, folds: int | None = None) -> Path:
    """Return the run that a stage leaves: made now, gone on with, or found ended."""
    if not (folder / "bundle").is_dir():
        words = [str(source), "--recipe", stage["recipe"], "--out", str(folder)]
        words += [word for override in stage.get("overrides", []) for word in ("--set", override)]
        words += ["--from", str(start)] if start is not None else []
        words += ["--folds", str(folds)] if folds is not None else []
        if (folder / "recipe.yaml").exists():
            words = ["--resume", str(folder)]
        _log.info("ocuseg train %s", " ".join(words))
        done = subprocess.run([sys.executable, "-m", "ocuseg", "train", *words], check=False)
        if not (folder / "bundle").is_dir():  # which is there too where a class was not learnt, as it then says
            raise SystemExit(done.returncode)
    return folder


def measured(
    wanted: Mapping[str, Any], model: Bundle, stage: Mapping[str, Any], start: Path | None, data: Path, folder: Path
) -> Mapping[str, Any]:
    """Return scores in the form of `metrics.json`: of a test that the model never saw, or out of fold."""
    if "folds" in wanted:
        run = trained(data / wanted["data"], stage, folder, start, wanted["folds"])
        return Run(run).scores
    return ocuseg.evaluate(model, data / wanted["data"], out=folder).metrics


def gathered(stage: Mapping[str, Any], data: Path, folder: Path) -> Path:
    """Return the data of a stage: what it draws, or one split file over all of its sources."""
    if "draw" in stage:
        return _drawn(stage["draw"], folder)
    rows: list[dict[str, str]] = []
    for source in stage["sources"]:
        records = index_data(data / source["data"], load_recipe({})).records
        if wanted := source.get("splits"):
            records = tuple(record for record in records if record.split in wanted)
        rows += _rows(records, source["name"], source.get("validate"))
    path = folder.with_suffix(".csv")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _rows(records: Sequence[Record], source: str, validating: Sequence[str] | None) -> list[dict[str, str]]:
    """Return the rows of one source: split as it is itself, or with the groups in `validating` to validate."""
    rows = []
    for record in records:
        split = str(record.split)
        if validating is not None:
            split = "val" if record.unit in map(str, validating) else "train"
        paths = (record.image, record.mask, record.field_of_view)
        image, mask, field_of_view = ("" if path is None else str(Path(path).resolve()) for path in paths)
        group = f"{source}-{record.unit}"
        rows.append({"image": image, "mask": mask, "field_of_view": field_of_view, "split": split, "group": group})
    return rows


def _drawn(wanted: Mapping[str, Any], folder: Path) -> Path:
    """Return a folder of drawn pictures, made once: `{kind, train, val, seed, size}`, and of a fundus `diseased`."""
    from ocuseg import phantom

    asked = folder.with_name(f"{folder.name}.yaml")
    if not asked.exists():
        asked.write_text(yaml.safe_dump(dict(wanted)), encoding="utf-8")
    elif yaml.safe_load(asked.read_text(encoding="utf-8")) != wanted:
        raise SystemExit(f"{folder}: was drawn as {asked} says, and other pictures are wanted now; delete both")
    if not (folder / "classes.yaml").exists():  # which is written last
        write = getattr(phantom, f"write_{wanted['kind']}_set")
        counts = {split: wanted[split] for split in ("train", "val")}
        height, width = wanted["size"]
        more = {"diseased": wanted["diseased"]} if "diseased" in wanted else {}
        write(folder, counts, seed=wanted.get("seed", 0), size=(height, width), **more)
    return folder


def ship(
    bundle: Bundle,
    name: str,
    description: Mapping[str, Any],
    rows: Sequence[str],
    compared: Sequence[Record],
    out: Path,
) -> Bundle:
    """Return a trained bundle written to `out` with the name, licence and card that it ships with, its weights rounded.

    Matrices are rounded to half precision, in the ONNX file too, which computes in fp32: both files hold the same
    network, as is seen on the images of `compared`.
    """
    from safetensors.torch import load_file, save

    weights = load_file(bundle.weights_path)
    rounded = {key: value.half() if value.ndim > 1 else value for key, value in weights.items()}
    network = build_network(bundle.info.network).eval()
    network.load_state_dict(rounded)
    facts = {**bundle.info.trained_on, "data": description["data"]}
    info = bundle.info.model_copy(
        update={
            "name": name,
            "classes": description["classes"],
            "threshold": description.get("threshold", bundle.info.threshold),
            "licence": " ".join(description["licence"].split()),
            "trained_on": facts,
            "files": {},
        }
    )
    exported = export_bundle(network, info, out, records=compared)
    card = card_of(info.to_json(), description, rows)
    onnx_model = exported.onnx_path.read_bytes()
    return load_bundle(write_bundle(out, info, onnx_model=onnx_model, weights=save(rounded), readme=card))


if __name__ == "__main__":
    main()
