"""The reference of the command line, as Markdown, from the commands themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from ocuseg.cli import app

_NOTE = re.compile(r"\s*\[(?:default: )?(required|[^\]]*)\]$")


def command_reference() -> str:
    """Return a section for each command: what it does, how it is called, its arguments and its options."""
    program = get_command(app)
    context = program.make_context("ocuseg", [], resilient_parsing=True)
    return "\n".join(
        [
            "## ocuseg\n",
            "Options that stand before any command.\n",
            *_table("option", program, context),
            *_sections(program, context),
        ]
    )


def _sections(group: Any, parent: Any) -> Iterator[str]:
    for name, command in group.commands.items():
        context = command.make_context(name, [], parent=parent, resilient_parsing=True)
        if getattr(command, "commands", None):
            yield from _sections(command, context)
            continue
        pieces = " ".join(command.collect_usage_pieces(context))
        yield from (f"## {context.command_path}\n", f"{_plain(command.help)}\n")
        yield from (f"```\n{context.command_path} {pieces}\n```\n",)
        yield from _table("argument", command, context)
        yield from _table("option", command, context)


def _table(kind: str, command: Any, context: Any) -> list[str]:
    rows = [_row(each.get_help_record(context)) for each in command.params if each.param_type_name == kind]
    return [f"| {kind} | meaning | default |\n|---|---|---|", *rows, ""] if rows else []


def _row(record: tuple[str, str]) -> str:
    """Return the row of a parameter for the name and the text that `--help` shows."""
    called, text = record
    name, _, value = _cell(called).partition(" <")
    shown = f"`{name}` `<{value}`" if value else f"`{name}`"
    note = _NOTE.search(text)
    default = "" if note is None else note[1] if note[1] == "required" else f"`{note[1]}`"
    return f"| {shown} | {_plain(_NOTE.sub('', text))} | {_cell(default)} |"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def _plain(text: str | None) -> str:
    """Return a help text as Markdown that shows it as it is."""
    return re.sub(r"([<>|*_\[\]])", r"\\\1", " ".join((text or "").split()))
