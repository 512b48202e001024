"""The documentation site: it builds without a warning, names every command and public name, fetches nothing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import ocuseg

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("sphinx", "myst_parser", "furo"):
        if find_spec(package) is None:
            pytest.skip(f"{package} is not installed: pip install 'ocuseg[docs]'")
    folder = tmp_path_factory.mktemp("site")
    words = ["--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", str(folder / "trees")]
    built = subprocess.run(
        [sys.executable, "-B", "-m", "sphinx", *words, str(DOCS), str(folder / "html")],
        capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return folder / "html"


class Page(HTMLParser):
    """What a page links to, what it loads, and the anchors it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.text = path.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attributes}
        self.anchors |= {found[key] for key in ("id", "name") if key in found}
        if tag == "a":
            self.links.append(found.get("href", ""))
        elif tag != "link" or set(found["rel"].split()) & {"stylesheet", "icon", "preload", "preconnect"}:
            self.loaded += [found[key] for key in ("src", "href", "srcset", "data", "poster") if key in found]


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path) for path in site.rglob("*.html")}


def _words(html: str) -> str:
    """Return the text of a page or a part of it as a reader sees it, spaces as one."""
    return " ".join(unescape(re.sub(r"<[^>]+>", "", html)).split())


def test_every_document_is_a_page_of_the_navigation(site: Path, pages: dict[Path, Page]) -> None:
    linked = {(site / link.partition("#")[0]).resolve() for link in pages[site / "index.html"].links}
    documents = [path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")]
    assert len(documents) > 20
    assert [name for name in documents if name.name != "index.html" and site / name not in linked] == []


def test_the_reference_has_every_command_argument_and_option(site: Path, pages: dict[Path, Page]) -> None:
    from typer.main import get_command

    from ocuseg.cli import app

    page = pages[site / "reference" / "commands.html"]
    sections = {_heading(one): _words(one) for one in page.text.split("<section id=")[2:]}
    commands = dict(_commands("ocuseg", get_command(app)))
    assert sections.keys() == commands.keys()
    assert len(commands) > 15
    for path, command in commands.items():
        assert _sentence(command.help) in sections[path] or path == "ocuseg"
        for parameter in command.params:
            assert _sentence(parameter.help) in sections[path], f"{path} {parameter.name}"
            names = [*parameter.opts, *parameter.secondary_opts] if parameter.param_type_name == "option" else []
            assert set(names) <= set(sections[path].replace(",", " ").split()), f"{path} {parameter.name}"


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield every command by what is typed for it; a group of commands is none, but `ocuseg` has options of its own."""
    inner = getattr(command, "commands", {})
    if not inner or path == "ocuseg":
        yield path, command
    for name, one in inner.items():
        yield from _commands(f"{path} {name}", one)


def _heading(section: str) -> str:
    return _words(section[section.index("<h") : section.index('<a class="headerlink"')])


def _sentence(text: str | None) -> str:
    assert text
    return " ".join(text.split())


def test_the_reference_has_every_public_name(site: Path, pages: dict[Path, Page]) -> None:
    anchors = pages[site / "reference" / "python.html"].anchors
    names = ["module-ocuseg.errors" if name == "errors" else f"ocuseg.{name}" for name in ocuseg.__all__]
    names += [f"ocuseg.errors.{name}" for name in ocuseg.errors.__all__]
    for name in ocuseg.__all__:
        value = getattr(ocuseg, name)
        members = vars(value) if inspect.isclass(value) else {}
        names += [
            f"ocuseg.{name}.{member}"
            for member, one in members.items()
            if not member.startswith("_") and (inspect.isfunction(one) or isinstance(one, property))
        ]
    assert len(names) > 50
    assert [name for name in names if name not in anchors] == []
    for home in ("ocuseg.training.run.Run", "ocuseg.prediction.results.FileOutcome", "ocuseg.bundle.Bundle"):
        assert home in anchors  # what functions return


def test_the_cards_are_those_of_the_models_that_are_there(site: Path, pages: dict[Path, Page]) -> None:
    words = _words(pages[site / "reference" / "models.html"].text)
    models = sorted(path.parent.name for path in (Path(ocuseg.__file__).parent / "models").glob("*/README.md"))
    assert ("No model ships with this version" in words) is (models == [])
    for name in models:
        assert re.search(rf"\b{re.escape(name)}\b", words)


def test_a_card_becomes_a_section_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "_ext")
    from model_cards import NONE, model_cards

    assert model_cards(tmp_path) == NONE
    (tmp_path / "vessels").mkdir()
    card = "# vessels\n\nA model.\n\n## Use\n\n```sh\n# a comment\nocuseg models\n```\n"
    (tmp_path / "vessels" / "README.md").write_text(card, encoding="utf-8")
    lowered = "## vessels\n\nA model.\n\n### Use\n\n```sh\n# a comment\nocuseg models\n```"
    assert model_cards(tmp_path) == lowered


def test_a_page_of_the_repository_becomes_one_of_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "_ext")
    from repository_pages import site_text

    folder = DOCS / "howto"
    assert site_text("[a](../data.md#masks), [b](#here), [c](https://d.e/f.md)", folder) == (
        "[a](../data.md#masks), [b](#here), [c](https://d.e/f.md)"
    )
    assert site_text("[limits](../../README.md#limits)", folder) == "[limits](../about/readme.md#limits)"
    assert site_text("<!-- {toctree}\n:hidden:\n\ndata\n-->\n", DOCS) == "```{toctree}\n:hidden:\n\ndata\n```\n"
    contributing = site_text("# Ours\n\n<!-- site: CONTRIBUTING.md -->\nfor now\n<!-- site: end -->\n", DOCS / "about")
    assert contributing.startswith("# Ours\n\n\nThree commands")
    assert "[docs/keras.md](../keras.md)" in contributing
    assert "for now" not in contributing


def test_links_within_the_site_lead_somewhere(site: Path, pages: dict[Path, Page]) -> None:
    astray = []
    seen = 0
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            name, _, anchor = unescape(link).partition("#")
            target = (path.parent / name).resolve() if name else path
            there = target.is_file() and (not anchor or target.suffix != ".html" or anchor in pages[target].anchors)
            seen += 1
            if not there:
                astray.append(f"{path.relative_to(site)}: {link}")
    assert astray == []
    assert seen > 1000


def test_no_link_of_the_site_leads_to_markdown(pages: dict[Path, Page]) -> None:
    assert [link for page in pages.values() for link in page.links if re.search(r"^(?!https?:).*\.md\b", link)] == []


def test_pages_and_styles_request_nothing_from_elsewhere(site: Path, pages: dict[Path, Page]) -> None:
    loaded = {address for page in pages.values() for address in page.loaded}
    assert any(address.endswith(".css") or ".css?" in address for address in loaded)
    assert [address for address in loaded if re.match(r"(https?:)?//", address)] == []
    for path in site.rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import)\s*[\"']?\s*(?:https?:)?//[^)\"']*", text) == [], path.name
    fonts = [path for path in site.rglob("*") if path.suffix in (".woff", ".woff2", ".ttf", ".otf", ".eot")]
    assert fonts == []


def test_what_the_repository_shows_gives_way_to_what_is_generated(pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        assert "<!-- site:" not in page.text, path.name
        assert "The site, which" not in page.text, path.name
