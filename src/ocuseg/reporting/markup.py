"""The page around a report, and the few pieces of HTML that its text and tables are made of."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib import resources
from typing import Any

__all__ = ["SortableRow", "boxed", "document", "facts", "section", "sortable_table", "swatches", "table", "tile"]

_ASCENDING = ' aria-sort="ascending"'


@dataclass(frozen=True, slots=True)
class SortableRow:
    """A row about one image: its cells as text, and the class by which it can be chosen, if there are several."""

    image: str
    cells: Sequence[str]
    class_name: str = ""
    link: str = field(default="", kw_only=True)


def document(title: str, parts: Sequence[str], *, rules: str = "") -> str:
    """Return a whole page of HTML; `rules` are further style rules, empty parts are left out.

    The page holds its style and its script, and forbids the browser to load or to run anything else.
    """
    style = _own("page.css") + rules
    script = _own("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        f"form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n<footer>Made by ocuseg. For research; not a medical device.</footer>\n"
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def section(name: str, title: str, parts: Sequence[str]) -> str:
    """Return a section with a heading, to which `#name` leads; nothing without content."""
    content = "\n".join(part for part in parts if part)
    return f'<section aria-labelledby="{name}">\n<h2 id="{name}">{escape(title)}</h2>\n{content}\n</section>'


def boxed(kind: str, heading: str, lines: Sequence[str]) -> str:
    """Return a box of the kind `dead`, `failed` or `warned` with its lines as a list."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<div class="box {kind}"><strong>{escape(heading)}</strong><ul>{items}</ul></div>'


def tile(name: str, value: str, note: str) -> str:
    """Return a large number with its name above and a note below."""
    return f'<div class="tile"><small>{escape(name)}</small><b>{escape(value)}</b><small>{escape(note)}</small></div>'


def table(header: Sequence[str], body: Sequence[Sequence[Any]], *, caption: str = "", safe: bool = False) -> str:
    """Return a table that scrolls by itself; cells are escaped unless all but the first are `safe` HTML."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = [
        "<tr>" + f'<th scope="row">{escape(str(row[0]))}</th>'
        + "".join(f"<td>{cell if safe else escape(str(cell))}</td>" for cell in row[1:]) + "</tr>"
        for row in body
    ]  # fmt: skip
    top = f'<p class="soft wide">{escape(caption)}</p>' if caption else ""
    listed = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    return top + _scrolling(listed, caption or f"scores of {header[0]}")


def facts(values: Sequence[tuple[str, Any]]) -> str:
    """Return names and what they are, a line each; what is empty is left out."""
    cells = "".join(
        f'<tr><td>{escape(name)}</td><td class="text">{escape(str(value))}</td></tr>' for name, value in values if value
    )
    return f'<table class="facts">{cells}</table>'


def sortable_table(
    header: Sequence[str], rows: Sequence[SortableRow], *, texts: int, sorted_by: str, caption: str, limited: str
) -> str:
    """Return a table of images that sorts by a click on a heading, and filters by name, by class and below a number.

    The first `texts` columns are text, the others numbers. The rows come in the order of `sorted_by`, lowest first.
    The number is that of the column `limited`.
    """
    column = header.index(limited)
    head = "".join(
        f'<th scope="col" class="{_kind(index, texts)}"{_ASCENDING if name == sorted_by else ""}>'
        f'<button type="button">{escape(name)}</button></th>'
        for index, name in enumerate(header)
    )
    lines = "".join(_sortable_row(row, texts) for row in rows)
    classes = sorted({row.class_name for row in rows if row.class_name})
    options = "".join(f"<option>{escape(name)}</option>" for name in classes)
    chosen = (
        f'<label>Class<select name="class"><option value="">all</option>{options}</select></label>' if classes else ""
    )
    controls = (
        '<form class="controls" id="row-controls"><label>Name contains<input type="search" name="name"></label>'
        f'{chosen}<label>{escape(limited)} below<input type="number" name="below" step="any" data-column="{column}">'
        '</label><button type="reset">Show all</button><output></output></form>'
    )
    listed = (
        '<table class="sortable" data-controls="row-controls">'
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table>"
    )
    return f'{controls}<p class="soft wide">{escape(caption)}</p>{_scrolling(listed, "scores of each image")}'


def swatches(colours: Mapping[str, tuple[int, int, int]]) -> str:
    """Return what colours (RGB) mean, one after the other."""
    return "".join(
        f'<span class="key"><span class="swatch" style="background: rgb{colour}"></span>{escape(name)}</span>'
        for name, colour in colours.items()
    )


def _sortable_row(row: SortableRow, texts: int) -> str:
    name = escape(row.image)
    first = f'<a href="{escape(row.link)}">{name}</a>' if row.link else name
    cells = "".join(
        f'<td class="{_kind(index, texts)}">{escape(cell)}</td>' for index, cell in enumerate(row.cells, start=1)
    )
    data = f'data-name="{name}"' + (f' data-class="{escape(row.class_name)}"' if row.class_name else "")
    return f'<tr {data}><th scope="row">{first}</th>{cells}</tr>'


def _kind(column: int, texts: int) -> str:
    return "text" if column < texts else "number"


def _scrolling(content: str, name: str) -> str:
    """A wide table scrolls in a frame of its own, which the keyboard reaches."""
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(name)}">{content}</div>'


def _own(name: str) -> str:
    return (resources.files("ocuseg.reporting") / name).read_text(encoding="utf-8")
