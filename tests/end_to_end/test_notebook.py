"""The notebooks run from their first cell to their last, and what is stored is what their scripts write."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"
NAMES = ("retina_unet256", "cataract_hrnet")


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_notebooks", FOLDER / "make_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def stored(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_tested(maker: Any) -> None:
    assert maker.NAMES == NAMES
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


def test_the_stored_notebook_is_what_its_script_writes(maker: Any, name: str, stored: Any) -> None:
    built = maker.build_notebook(name)
    assert [(cell.cell_type, cell.id, cell.source) for cell in stored.cells] == [
        (cell.cell_type, cell.id, cell.source) for cell in built.cells
    ]
    nbformat.validate(stored)


def test_the_notebook_is_stored_with_its_outputs(maker: Any, name: str, stored: Any) -> None:
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 5
    assert (FOLDER / f"{name}.ipynb").stat().st_size < maker.MOST_BYTES


def test_the_stored_notebook_names_no_machine(stored: Any) -> None:
    text = json.dumps([cell.get("outputs", []) for cell in stored.cells])
    own = str(FOLDER.resolve().parent) + "/"
    for word in ("/home/", "/tmp/", "/root/", "/Users/", own):
        assert word not in text


def _run_faster(maker: Any, name: str, faster: str, folder: Path) -> None:
    notebook = maker.build_notebook(name)
    position = next(
        index for index, cell in enumerate(notebook.cells) if maker.PARAMETERS in cell.metadata.get("tags", ())
    )
    notebook.cells.insert(position + 1, nbformat.v4.new_code_cell(faster))
    maker.execute(notebook, folder, timeout_s=500)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_cataract_notebook_runs(maker: Any, tmp_path: Path) -> None:
    faster = (
        'DRAWN, DRAWN_PX = {"train": 16, "val": 4, "test": 4}, 128\n'
        'OVERRIDES = ["preprocessing.size=[128, 128]", "network={name: hrnet, variant: small-v1}", "precision=fp32",\n'
        '             "epochs=20", "steps_per_epoch=10", "batch_size=4", "learning_rate=0.005"]'
    )
    _run_faster(maker, "cataract_hrnet", faster, tmp_path)
    found = json.loads(next(tmp_path.glob("runs/*/evaluation/test/metrics.json")).read_text(encoding="utf-8"))
    iris = found["classes"][0]
    share = iris["area"]["reference_share"]
    # Better than marking every pixel as iris.
    assert iris["dice"]["pooled"] > 1.2 * 2 * share / (1 + share)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_retina_notebook_runs(maker: Any, tmp_path: Path) -> None:
    faster = (
        'DRAWN, DRAWN_PX = {"train": 8, "val": 3, "test": 4}, 96\n'
        'OVERRIDES = ["preprocessing.size=[96, 96]", "network={name: unet-small, width: 8, depth: 2}",\n'
        '             "epochs=20", "steps_per_epoch=6", "batch_size=4", "learning_rate=0.01", "precision=fp32",\n'
        '             "prediction.flips=false"]'
    )
    _run_faster(maker, "retina_unet256", faster, tmp_path)
    found = json.loads(next(tmp_path.glob("runs/*/evaluation/test/metrics.json")).read_text(encoding="utf-8"))
    vessel = found["classes"][0]
    share = vessel["area"]["reference_share"]
    # Something was learnt: better than marking every pixel, which gives 2p / (1 + p).
    assert vessel["dice"]["pooled"] > 1.5 * 2 * share / (1 + share)
    assert found["dead"] == []

    # What is written is what docs/evaluation.md explains.
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    table = next(tmp_path.glob("runs/*/evaluation/test/per_image.csv")).read_text(encoding="utf-8")
    for name in (*found, *table.splitlines()[0].split(",")):
        assert f"`{name}`" in text, f"docs/evaluation.md does not explain {name}"
    history = next(tmp_path.glob("runs/*/history.csv")).read_text(encoding="utf-8")
    for name in history.splitlines()[0].split(","):
        assert f"`{name}`" in (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
