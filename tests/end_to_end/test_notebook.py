"""The notebook runs from its first cell to its last, and what is stored is what its script writes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks"


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_notebooks", FOLDER / "make_notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored(maker: Any) -> Any:
    return nbformat.read(FOLDER / maker.NAME, as_version=4)


def test_the_stored_notebook_is_what_its_script_writes(maker: Any, stored: Any) -> None:
    built = maker.build_notebook()
    assert [(cell.cell_type, cell.id, cell.source) for cell in stored.cells] == [
        (cell.cell_type, cell.id, cell.source) for cell in built.cells
    ]
    nbformat.validate(stored)


def test_the_notebook_is_stored_with_its_outputs(maker: Any, stored: Any) -> None:
    code = [cell for cell in stored.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 5
    assert (FOLDER / maker.NAME).stat().st_size < maker.MOST_BYTES


def test_the_stored_notebook_names_no_machine(stored: Any) -> None:
    text = json.dumps([cell.get("outputs", []) for cell in stored.cells])
    own = str(FOLDER.resolve().parent) + "/"
    for word in ("/home/", "/tmp/", "/root/", "/Users/", own):
        assert word not in text


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_notebook_runs(maker: Any, tmp_path: Path) -> None:
    notebook = maker.build_notebook()
    position = next(
        index for index, cell in enumerate(notebook.cells) if maker.PARAMETERS in cell.metadata.get("tags", ())
    )
    faster = nbformat.v4.new_code_cell(
        'DRAWN, DRAWN_PX = {"train": 8, "val": 3, "test": 4}, 96\n'
        'OVERRIDES = ["preprocessing.size=[96, 96]", "network={name: unet-small, width: 8, depth: 2}",\n'
        '             "epochs=20", "steps_per_epoch=6", "batch_size=4", "learning_rate=0.01", "precision=fp32",\n'
        '             "prediction.flips=false"]',
    )
    notebook.cells.insert(position + 1, faster)
    maker.execute(notebook, tmp_path, timeout_s=500)

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
