"""Pages that read well on the repository and serve as pages of the site: what differs stands in HTML comments.

- A directive in a comment, as `<!-- {toctree} ... -->`, is one on the site.
- Text from `<!-- site: NAME -->` to `<!-- site: end -->` is what the repository shows; on the site stands what the
  code, or a file of the repository's root, says.
- A link to such a file, or to the card of a model that ships, leads to its place on the site.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from os.path import relpath
from pathlib import Path
from typing import Any

from command_reference import command_reference
from model_cards import model_cards
from python_reference import python_reference

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = {"README.md": "about/readme.md", "CHANGELOG.md": "about/changes.md", "CONTRIBUTING.md": "about/contributing.md"}
"""The page of the site that shows a file of the repository's root."""
CARDS = re.compile(r"src/ocuseg/models/([\w-]+)/README\.md")
CARDS_PAGE = "reference/models.md"
"""The page of the site that shows the cards of the models, each under its name."""
GENERATED: dict[str, Callable[[], str]] = {
    "commands": command_reference,
    "python": python_reference,
    "models": model_cards,
}

_DIRECTIVE = re.compile(r"^<!-- (\{\w+\}.*?)\n?-->$", re.M | re.S)
_PLACE = re.compile(r"^<!-- site: ([\w.]+) -->$.*?^<!-- site: end -->$", re.M | re.S)
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def site_text(text: str, folder: Path) -> str:
    """Return the Markdown of the site for that of a page in `folder`, as it is in the repository."""
    text = _rebased(text, folder, folder)
    text = _PLACE.sub(lambda place: _content(place[1], folder), text)
    return _DIRECTIVE.sub(lambda comment: f"```{comment[1]}\n```", text)


def _content(name: str, folder: Path) -> str:
    if name in GENERATED:
        return GENERATED[name]()
    _, _, body = (ROOT / name).read_text(encoding="utf-8").partition("\n")  # the page has a heading of its own
    return _rebased(body, ROOT, folder)


def _rebased(text: str, source: Path, folder: Path) -> str:
    """Return `text` with its links from `source` as links from `folder`, to pages of the site where there are such."""

    def link(found: re.Match[str]) -> str:
        target = (source / found[0]).resolve()
        name = target.relative_to(ROOT).as_posix() if target.is_relative_to(ROOT) else ""
        if card := CARDS.fullmatch(name):
            return f"{Path(relpath(DOCS / CARDS_PAGE, folder)).as_posix()}#{card[1]}"
        return Path(relpath(DOCS / PAGES[name] if name in PAGES else target, folder)).as_posix()

    return _LINK.sub(link, text)


def _read(app: Any, docname: str, source: list[str]) -> None:
    source[0] = site_text(source[0], Path(app.env.doc2path(docname)).parent)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True}
