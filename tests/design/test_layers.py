"""Imports point one way only, and torch is known to two packages alone."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ocuseg"
TRAINING_ONLY = {"torch", "pytorch_lightning", "lightning_fabric", "monai", "safetensors", "onnx", "onnxscript"}
# Those that may, and those that load PyTorch inside the function that needs it.
KNOW_TORCH = {"networks", "training"}
LOAD_TORCH = {"runtime", "commands"}
# They stand above everything and so reach torch through the commands.
ABOVE = {"cli", "demonstration", "__main__"}


@pytest.fixture(autouse=True)
def _unchanged_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))  # import-linter adds the working folder
    monkeypatch.setattr("logging.config.dictConfig", lambda _: None)  # and switches off every logger there is


def _contracts() -> dict[str, dict[str, object]]:
    configuration = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["type"]: contract for contract in configuration["tool"]["importlinter"]["contracts"]}


def _rooms() -> set[str]:
    """The names of the modules and packages that lie directly in ocuseg."""
    return {path.stem for path in SOURCE.glob("*.py") if path.stem != "__init__"} | {
        path.parent.name for path in SOURCE.glob("*/__init__.py")
    }


def test_the_contracts_hold(capsys: pytest.CaptureFixture[str]) -> None:
    status = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert status == 0, capsys.readouterr().out


def test_the_linter_would_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upside_down = tmp_path / "importlinter.ini"
    upside_down.write_text(
        "[importlinter]\nroot_package = ocuseg\n"
        "[importlinter:contract:1]\nname = upside down\ntype = layers\ncontainers = ocuseg\n"
        "layers =\n    errors\n    evaluation\n    cli\n"
    )
    assert lint_imports(config_filename=str(upside_down), no_cache=True, no_logo=True) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_every_room_has_its_floor() -> None:
    layers = _contracts()["layers"]
    assert layers["exhaustive"] is True
    named = {room.strip() for floor in layers["layers"] for room in floor.split("|")}  # type: ignore[attr-defined]
    assert named == _rooms()


def test_every_room_but_those_of_training_is_kept_from_torch() -> None:
    contract = _contracts()["forbidden"]
    kept = {str(name).removeprefix("ocuseg.") for name in contract["source_modules"]}  # type: ignore[attr-defined]
    assert kept == _rooms() - KNOW_TORCH - LOAD_TORCH - ABOVE


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_what_only_training_needs_is_not_imported_with_a_module(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room in KNOW_TORCH:
        return
    found = {name.partition(".")[0] for name in _imported_with(ast.parse(path.read_text(encoding="utf-8")))}
    assert found & TRAINING_ONLY == set()


def _imported_with(tree: ast.Module) -> set[str]:
    """The modules that importing this one imports: not those inside functions, not those for type checkers."""
    names: set[str] = set()
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        is_for_types = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        if not is_for_types and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return names
