"""What the theme leaves out for people who use a keyboard or a screen reader."""

from __future__ import annotations

import re
from typing import Any

_SIGNATURE = re.compile(r"<dt class=\"sig.*?</dt>", re.S)
_LINES = {"<dl>": '<span class="sig-lines">', "</dl>": "</span>", "<dd>": '<span class="sig-line">', "</dd>": "</span>"}


def _mend(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Give headings of the navigation a level, what scrolls a place in the order of Tab, and signatures plain lines."""
    del app, page, template, doctree
    for key in ("furo_navigation_tree", "body"):
        text = str(context.get(key) or "")
        text = text.replace('role="heading">', 'role="heading" aria-level="2">')
        text = text.replace("<pre>", '<pre tabindex="0">').replace(
            '<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'
        )
        context[key] = _SIGNATURE.sub(_plain_lines, text)


def _plain_lines(signature: re.Match[str]) -> str:
    """Return a signature whose arguments are lines: Sphinx makes them a list of definitions without terms."""
    return re.sub("|".join(_LINES), lambda tag: _LINES[tag[0]], signature[0])


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx, after the theme."""
    app.connect("html-page-context", _mend, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
