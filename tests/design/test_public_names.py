"""What the package offers, and the habits that hold in all of its modules."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import ocuseg

SOURCE = Path(ocuseg.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 300
# Nothing here yet: a module that must be longer is listed with the reason.
LONGER: dict[str, str] = {}

PUBLIC = {
    "Classes", "Evaluation", "Finding", "Findings", "Predictor", "Result", "__version__", "cache", "check", "compare",
    "demo", "doctor", "errors", "evaluate", "export", "get_public_set", "import_annotations", "load", "models",
    "predict", "predict_collection", "public_sets", "recipes", "serve", "train",
}  # fmt: skip
ERRORS = {
    "CheckError", "DataError", "DeadNetworkError", "ExportError", "ImageError", "LossError", "ModelError",
    "OcusegError", "OutputError", "RecipeError", "ResumeError", "TrainingError", "UsageError",
}  # fmt: skip


def _shown(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def _module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.fixture(params=MODULES, ids=_shown)
def path(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_the_names_of_the_package() -> None:
    assert set(ocuseg.__all__) == PUBLIC
    assert len(ocuseg.__all__) == len(PUBLIC)
    assert sorted(PUBLIC) == dir(ocuseg)
    for name in PUBLIC:
        assert getattr(ocuseg, name) is not None


def test_the_errors_a_user_can_meet() -> None:
    assert set(ocuseg.errors.__all__) == ERRORS
    for name in ERRORS:
        error = getattr(ocuseg.errors, name)
        assert issubclass(error, ocuseg.errors.OcusegError)
        assert error.exit_status == (2 if issubclass(error, ocuseg.errors.UsageError) else 1)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ocuseg' has no attribute 'chekc'"):
        _ = ocuseg.chekc  # type: ignore[attr-defined]


def test_functions_and_not_modules_have_the_names_of_the_commands() -> None:
    # Importing these must not hide the functions.
    import ocuseg.checking
    import ocuseg.evaluation.comparison
    import ocuseg.prediction
    import ocuseg.training.export

    for name in ("check", "compare", "demo", "evaluate", "export", "load", "predict", "train"):
        assert inspect.isfunction(getattr(ocuseg, name))


def test_a_module_says_what_it_is_for_and_what_it_offers(path: Path) -> None:
    module = importlib.import_module(_module_name(path))
    first = inspect.getdoc(module).splitlines()[0]  # type: ignore[union-attr]
    assert 10 < len(first) <= 120
    assert first.endswith((".", "`."))
    for name in getattr(module, "__all__", ()):
        offered = getattr(module, name)
        if inspect.isfunction(offered) or inspect.isclass(offered):
            assert _has_docstring(offered), name


def _has_docstring(offered: object) -> bool:
    # A dataclass gets its signature as a docstring where it has none.
    text = inspect.getdoc(offered) or ""
    return len(text) > 20 and not text.startswith(f"{getattr(offered, '__name__', '')}(")


def test_public_functions_classes_and_methods_have_docstrings(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    without = []
    waiting: list[ast.AST] = [tree]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                if ast.get_docstring(node) is None:
                    without.append(node.name)
                if isinstance(node, ast.ClassDef):
                    waiting.append(node)
    assert without == []


def test_modules_are_of_a_size_that_can_be_read(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES or _shown(path) in LONGER


def test_only_the_command_line_prints(path: Path) -> None:
    if _shown(path) in ("terminal.py", "__main__.py") or path.parent.name == "cli":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert not {"print", "typer.echo", "sys.stdout.write", "sys.stderr.write"} & set(calls)


def test_no_module_reads_the_environment(path: Path) -> None:
    if _shown(path) == "training/assembly.py":  # it is there that torchrun says which process it has started
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute | ast.Name)}
    used |= {
        f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert not {"os.environ", "os.environb", "os.getenv", "os.putenv"} & used
