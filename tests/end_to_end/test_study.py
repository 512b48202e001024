"""The study of what carries over to other cameras: equal budgets, results kept, no test looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "study.py"
TINY = [
    "preprocessing={crop: none, size: [64, 64]}", "network={name: unet-small, width: 4, depth: 2}", "crop_px=null",
    "epochs=1", "batch_size=2", "prediction.flips=false", "tensorboard=false",
]  # fmt: skip


def _study(folder: Path, drawn: Path, *, splits: list[str], steps: int = 2) -> list[str]:
    """Return the command of a study of two variants on a small set, scored on `splits` of it."""
    task = {"train": drawn.name, "score": {"own": {"data": drawn.name, "splits": splits}}}
    content = {
        "recipe": "vessels",
        "common": [*TINY, f"steps_per_epoch={steps}"],
        "tasks": {"drawn": task},
        "variants": {"plain": [], "slow": ["learning_rate=1e-4"]},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    options = [
        "--data",
        str(drawn.parent),
        "--out",
        str(folder / "results"),
        "--seeds",
        "1",
        "--jobs",
        "1",
        "--threads",
    ]
    return [sys.executable, str(SCRIPT), str(path), "--seeds", "1", "--jobs", "1", *options]


def _said(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_each_variant_is_scored_once_and_compared_with_the_first(drawn: Path, tmp_path: Path) -> None:
    command = _study(tmp_path, drawn, splits=["val"])
    first = _said(command)
    assert first.returncode == 0, first.stderr
    rows = [line for line in first.stdout.splitlines() if line.startswith(("| plain", "| slow"))]
    found = {
        name: json.loads((tmp_path / "results" / f"{name}-drawn-seed0.json").read_text()) for name in ("plain", "slow")
    }
    dice = {name: item["sets"]["own"]["dice"] for name, item in found.items()}
    assert dice["plain"] != dice["slow"]
    assert all(item["sets"]["own"]["images"] == 3 for item in found.values())
    assert f"| plain | {dice['plain']:.4f} |  |" in rows[0]
    difference = f"{dice['slow'] - dice['plain']:+.4f}"
    assert f"| slow | {dice['slow']:.4f} | {difference} ({difference}) |" in rows[1]
    again = _said(command)
    assert again.stdout == first.stdout
    assert "seed0" not in again.stderr  # nothing was trained a second time


@pytest.mark.parametrize(
    ("splits", "steps", "complaint"),
    [(["val", "test"], 2, "names the split 'test'"), (["val"], 3, "was made with other settings")],
)
def test_what_would_not_be_fair_is_refused(
    drawn: Path, tmp_path: Path, splits: list[str], steps: int, complaint: str
) -> None:
    if steps != 2:
        budget = {"recipe": "vessels", "overrides": ["steps_per_epoch=2"]}
        (tmp_path / "results").mkdir()
        (tmp_path / "results" / "plain-drawn-seed0.json").write_text(json.dumps({"budget": budget}), encoding="utf-8")
    refused = _said(_study(tmp_path, drawn, splits=splits, steps=steps))
    assert refused.returncode == 1
    assert complaint in refused.stderr
