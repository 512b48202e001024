"""The documents say what the program does: commands, recipe keys, finding codes, Python names and links."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import ocuseg
from ocuseg.classes import parse_classes
from ocuseg.networks import network_names, resolve_network
from ocuseg.training.losses import LOSSES
from ocuseg.training.recipe import Recipe, load_recipe, recipe_names

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "ocuseg"
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LEVELS = ("error", "warning", "note")


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _doc(name: str) -> str:
    return _read(ROOT / "docs" / name)


def _blocks(text: str, *languages: str) -> list[str]:
    return [body for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S) if language in languages]


def _table_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of all rows of all Markdown tables."""
    for line in text.splitlines():
        if line.startswith("|") and not set(line) <= set("|-: "):
            yield [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _commands(text: str) -> list[tuple[str, bool]]:
    """Return the ocuseg commands of a document, and whether each is one to be typed as it stands."""
    typed = [line for block in _blocks(text, "sh") for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [(line.strip(), True) for line in typed if line.strip().startswith("ocuseg ")] + [
        (span, False) for span in spans if span.startswith("ocuseg ")
    ]


ALL_COMMANDS = [
    pytest.param(command, whole, id=f"{path.name}: {command}")
    for path in DOCUMENTS
    for command, whole in dict.fromkeys(_commands(_read(path)))
]


@pytest.fixture(scope="module")
def application() -> Any:
    from typer.main import get_command

    from ocuseg.cli import app

    return get_command(app)


def test_there_are_documents_and_commands_to_look_at() -> None:
    assert len(DOCUMENTS) >= 12
    assert len(ALL_COMMANDS) >= 30


@pytest.mark.parametrize(("command", "whole"), ALL_COMMANDS)
def test_a_documented_command_is_one_that_the_program_accepts(application: Any, command: str, whole: bool) -> None:
    words = shlex.split(command, comments=True)[1:]
    while words and words[0] in ("--debug", "--help", "--version"):
        words = words[1:]
    if not words or not words[0].islower():  # `ocuseg --help`, `ocuseg --debug COMMAND ...`
        return
    name, *rest = words
    assert name in application.commands, f"{command}: there is no such command"
    subcommand = application.commands[name]
    if getattr(subcommand, "commands", None):  # `ocuseg data get`: a command of a group
        if not rest:
            return
        name, rest = f"{name} {rest[0]}", rest[1:]
        assert name.split()[1] in subcommand.commands, f"{command}: there is no such command"
        subcommand = subcommand.commands[name.split()[1]]
    accepted = {option for parameter in subcommand.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        if word.startswith("--"):
            assert word.partition("=")[0] in accepted | {"--help"}, f"{command}: {name} has no {word}"
    if whole and "--help" not in rest:
        context = subcommand.make_context(name, list(rest))  # parses as the command line does, and runs nothing
        recipe = context.params.get("recipe")
        # Documents may name a reader's own file; its keys are checked all the same.
        known = recipe if recipe in recipe_names() else "retina-unet256"
        settings = load_recipe(known, context.params.get("overrides") or ())
        resolve_network(settings.network)


def test_every_command_is_documented(application: Any) -> None:
    text = _doc("index.md")
    assert [name for name in application.commands if f"`ocuseg {name}" not in text] == []


def test_every_option_is_documented(application: Any) -> None:
    text = "".join(map(_read, DOCUMENTS))
    commands = list(application.commands.values())
    commands += [inner for command in commands for inner in getattr(command, "commands", {}).values()]
    options = {option for command in commands for p in command.params for option in p.opts}
    assert [option for option in sorted(options) if option.startswith("--") and option not in text] == []


def _defaults(settings: Any, prefix: str = "") -> dict[str, Any]:
    """Return the default of each key of a model by its dotted name, in plain JSON types."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict) and key in ("preprocessing", "augmentation", "prediction"):
            found |= _defaults(value, f"{key}.")
        else:
            found[prefix + key] = value
    return found


def _documented(text: str, columns: int) -> dict[str, list[str]]:
    return {row[0].strip("`"): row[1:] for row in _table_rows(text) if row[0].startswith("`") and len(row) == columns}


def test_every_recipe_key_is_documented_with_its_default() -> None:
    expected = _defaults(json.loads(Recipe().model_dump_json()))
    text = _doc("recipes.md")
    text = text[text.index("## Keys: the data") : text.index("## Networks")]
    documented = {
        key: yaml.safe_load(cells[0].strip("`")) for key, cells in _documented(text, 3).items() if key != "key"
    }
    assert documented == expected


def test_every_setting_of_every_network_is_documented_with_its_default() -> None:
    text = _doc("recipes.md")
    tables = [
        dict(zip(header, column, strict=True))
        for header, column in _network_columns(text[text.index("## Networks") : text.index("## HRNet")])
    ]
    found = {
        table.pop("setting"): {key: yaml.safe_load(cell.strip("`")) for key, cell in table.items()} for table in tables
    }
    expected = {
        name: {
            k: v for k, v in resolve_network({"name": name}).items() if k not in ("name", "in_channels", "out_channels")
        }
        for name in network_names()
    }
    assert found == expected


def _network_columns(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield for each network its (setting names) and (values), out of tables with a column per network."""
    table: list[list[str]] = []
    for row in [*_table_rows(text), ["setting"]]:
        if row[0] == "setting":
            for column in range(1, len(table[0]) - 1 if table else 0):
                names = ["setting", *(each[0].strip("`") for each in table[1:])]
                yield names, [table[0][column].strip("`"), *(each[column] for each in table[1:])]
            table = []
        table.append(row)


def test_every_loss_is_documented() -> None:
    text = _doc("recipes.md")
    named = {row[0].strip("`") for row in _table_rows(text[text.index("## Losses") :]) if row[0].startswith("`")}
    assert named == set(LOSSES)


def test_every_shipped_recipe_is_documented() -> None:
    assert [name for name in recipe_names() if f"**`{name}`**" not in _doc("recipes.md")] == []


def _finding_codes() -> tuple[dict[str, set[str]], dict[str, set[str]], set[str]]:
    """Return the codes in the source: whole ones and those after `mask-` with their levels, and the f-strings."""
    whole: dict[str, set[str]] = {}
    parts: dict[str, set[str]] = {}
    patterns: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(_read(path))):
            if isinstance(node, ast.Call) and _called(node) in ("Finding", "finding", "add") and len(node.args) > 4:
                level, code = node.args[0], node.args[1]
                levels = {level.value} if isinstance(level, ast.Constant) else set()
                for name in _code_constants(code, path):
                    if isinstance(name, str):
                        whole.setdefault(name, set()).update(levels)
                if isinstance(code, ast.JoinedStr):
                    patterns.add(_pattern(code))
            elif isinstance(node, ast.Yield) and isinstance(node.value, ast.Tuple) and len(node.value.elts) > 1:
                level, code = node.value.elts[:2]
                if isinstance(level, ast.Constant) and level.value in LEVELS and isinstance(code, ast.Constant):
                    parts.setdefault(code.value, set()).add(level.value)
    return whole, parts, patterns


def _called(node: ast.Call) -> str:
    function = node.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _code_constants(code: ast.expr, path: Path) -> list[Any]:
    """Return what a code can be: itself, or everything that its variable is set to in the same file."""
    if isinstance(code, ast.Constant):
        return [code.value]
    if not isinstance(code, ast.Name):
        return []
    values = [
        node.value
        for node in ast.walk(ast.parse(_read(path)))
        if isinstance(node, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == code.id for target in node.targets)
    ]
    return [
        leaf.value
        for value in values
        for leaf in ([value.body, value.orelse] if isinstance(value, ast.IfExp) else [value])
        if isinstance(leaf, ast.Constant)
    ]


def _pattern(code: ast.JoinedStr) -> str:
    return "".join(part.value if isinstance(part, ast.Constant) else "*" for part in code.values)


# What stands for the star in the codes that are put together: `image-missing`, `second-mask-size`, ...
_PREFIXES = {
    "*-unreadable": ("image", "mask", "field-of-view", "second-mask"),
    "*-missing": ("image", "mask", "field-of-view", "second-mask"),
    "*-ambiguous": ("field-of-view", "second-mask"),
    "*-unpaired": ("field-of-view", "second-mask"),
}


def test_every_finding_is_documented_and_nothing_else_is() -> None:
    whole, parts, patterns = _finding_codes()
    assert len(whole) > 30
    assert {"size", "values"} <= set(parts)
    produced = whole | {
        f"{prefix}-{part}": levels for prefix in ("mask", "second-mask") for part, levels in parts.items()
    }
    for pattern in patterns - {"*-*"}:
        assert pattern in _PREFIXES, f"say in this test what {pattern} can be, and document it"
        for prefix in _PREFIXES[pattern]:
            produced.setdefault(pattern.replace("*", prefix), set())
    text = _doc("data.md")
    rows = _documented(text[text.index("## Findings") :], 4)
    assert sorted(rows) == sorted(produced)
    assert list(rows) == sorted(rows), "keep the table in order"
    for code, levels in produced.items():
        assert all(level in rows[code][0] for level in levels), f"{code}: the levels are {levels}"
    assert all(any(level in cells[0] for level in LEVELS) and cells[1] and cells[2] for cells in rows.values())


def test_the_yaml_in_the_documents_is_accepted() -> None:
    for path in DOCUMENTS:
        for block in _blocks(_read(path), "yaml"):
            content = yaml.safe_load(block)
            if isinstance(content, list):
                parse_classes(content, where=path.name)
            else:
                load_recipe(content)


def test_the_python_in_the_documents_compiles_and_names_what_there_is() -> None:
    for path in DOCUMENTS:
        text = _read(path)
        for block in _blocks(text, "python"):
            tree = ast.parse(block)
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ocuseg"):
                    module = __import__(node.module or "", fromlist=["x"])
                    assert all(hasattr(module, alias.name) for alias in node.names), f"{path.name}: {node.module}"
        for name in re.findall(r"`?\bocuseg\.([a-zA-Z_]\w*)", text):
            known = name in ocuseg.__all__ or importlib.util.find_spec(f"ocuseg.{name}") is not None
            assert known, f"{path.name}: there is no ocuseg.{name}"


def test_the_arguments_in_the_documented_python_exist() -> None:
    import inspect

    seen = 0
    for path in DOCUMENTS:
        for block in _blocks(_read(path), "python"):
            for node in ast.walk(ast.parse(block)):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                    continue
                if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "ocuseg"):
                    continue
                keywords = {keyword.arg: None for keyword in node.keywords if keyword.arg}
                signature = inspect.signature(getattr(ocuseg, node.func.attr))
                signature.bind(*(None for _ in node.args), **keywords)
                seen += 1
    assert seen > 20


def _slug(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"`|\*", "", heading).strip().lower())
    return kept.replace(" ", "-")


def _anchors(path: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", _read(path), flags=re.M | re.S)
    return {_slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", _read(path), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name) if name else path
        assert file.exists(), f"{path.name}: {target} leads nowhere"
        assert not anchor or anchor in _anchors(file), f"{path.name}: {target} has no such heading"


def test_every_document_is_reached_from_the_readme() -> None:
    text = _read(ROOT / "README.md")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"docs/{path.name}" not in text] == []
    further = [path.relative_to(ROOT / "docs").with_suffix("").as_posix() for path in (ROOT / "docs").glob("*/*.md")]
    assert [name for name in further if name not in _doc("index.md")] == []


def test_the_source_tree_in_the_readme_is_there() -> None:
    tree = next(block for block in _blocks(_read(ROOT / "README.md"), "") if block.startswith("src/ocuseg/"))
    folder = ROOT
    named = 0
    for line in tree.splitlines():
        entries = re.match(r"( *)((?:[\w./]+ )+)", line + " ")
        if entries is None or not entries[2].strip():
            continue
        if not entries[1]:
            folder = ROOT / entries[2].strip()
        for entry in entries[2].split():
            place = folder if not entries[1] else folder / entry
            assert place.exists(), f"README.md: there is no {place.relative_to(ROOT)}"
            named += 1
    assert named > 15


def test_the_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", _read(ROOT / "Makefile"), re.M))
    named = {
        word
        for path in DOCUMENTS
        for block in _blocks(_read(path), "sh")
        for word in re.findall(r"^make (\w+)", block, re.M)
    }
    assert named
    assert named <= targets


def test_no_document_names_a_machine() -> None:
    for path in DOCUMENTS:
        assert not re.search(r"(?<![\w.])/(home|tmp|work|root|Users)/", _read(path)), path.name
