"""What is in the repository: nothing large, nothing of one machine, the licence, the pinned versions."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODELS = ROOT / "src" / "ocuseg" / "models"
MOST_BYTES = 2 << 20
MOST_MODEL_BYTES = 40 << 20
# Folders of one machine or person; a bare `/tmp/` or `/home/` names none.
MACHINE = re.compile(rb"(?<![\w.])/(?:home|Users|work|root|mnt|media)/[\w.-]+|/tmp/[\w.-]+/|[A-Z]:\\\\?Users\\\\?\w")
# What a Colab notebook says of Colab's own file system.
COLAB = re.compile(rb"/content/[\w./-]+")


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Every file that is tracked, or would be by `git add --all`."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no clone of the repository")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).is_file()]


def test_there_are_files_to_look_at(files: list[Path]) -> None:
    assert ROOT / "pyproject.toml" in files
    assert len(files) > 100


def test_no_file_is_large(files: list[Path]) -> None:
    large = [
        path.relative_to(ROOT) for path in files if path.stat().st_size > MOST_BYTES and MODELS not in path.parents
    ]
    assert large == []


def test_all_models_together_are_small() -> None:
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) < MOST_MODEL_BYTES


def test_no_file_names_a_folder_of_one_machine(files: list[Path]) -> None:
    own = str(ROOT).encode() + b"/"
    found = {}
    for path in files:
        content = COLAB.sub(b"", path.read_bytes())
        if match := MACHINE.search(content):
            found[path.relative_to(ROOT).as_posix()] = match[0]
        elif own in content:
            found[path.relative_to(ROOT).as_posix()] = own
    assert found == {}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (b"see /" + b"home/ada/data", True),
        (b"C:" + b"\\Users\\ada", True),
        (b'"/' + b'tmp/run-7/mask.png"', True),
        (b'for word in ("/home/", "/tmp/", "/Users/")', False),
        (b"a relative path such as data/eyes/home/images", False),
    ],
)
def test_what_counts_as_a_folder_of_one_machine(text: bytes, is_one: bool) -> None:
    assert (MACHINE.search(text) is not None) is is_one


def test_nothing_is_kept_that_a_run_makes(files: list[Path]) -> None:
    names = {path.relative_to(ROOT).parts[0] for path in files}
    assert not names & {"runs", "demo", "build", "dist", ".venv", ".pytest_cache", ".mypy_cache", ".ruff_cache"}
    assert [path for path in files if "__pycache__" in path.parts or path.suffix in (".pyc", ".ckpt")] == []


def test_the_licence_is_apache() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert re.match(r"\s*Apache License\s+Version 2\.0, January 2004", text)
    assert "END OF TERMS AND CONDITIONS" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["license"] == "Apache-2.0"
    assert project["license-files"] == ["LICENSE"]


def test_torch_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert "torch==2.13.0" in lines
    assert all(re.fullmatch(r"#.*|[A-Za-z0-9_.-]+==[\w.]+|", line) for line in lines)
