"""The look of the report, and the few pieces of HTML that it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from ocuseg.reporting.tables import shown

__all__ = ["STYLE", "Thumbnail", "boxed", "gallery", "table", "tile"]

STYLE = """
:root { color-scheme: light dark; --ink: #1d2430; --soft: #5b6675; --line: #dfe3e8; --page: #ffffff;
  --card: #f5f7f9; --red: #b3261e; --red-card: #fdecea; --amber: #8a5a00; --amber-card: #fdf3dc; --link: #005ea8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #a3adba; --line: #343b46; --page: #14181e;
  --card: #1d232b; --red: #ffb4ab; --red-card: #4a1713; --amber: #ffd58a; --amber-card: #3d2f10; --link: #8fc7ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 68rem; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p { margin: .4rem 0; max-width: 46rem; } p.wide { max-width: none; }
a { color: var(--link); }
.soft, figcaption, caption { color: var(--soft); }
.box { border-radius: .4rem; padding: .7rem 1rem; margin: .8rem 0; border-left: .3rem solid; overflow-wrap: anywhere; }
.box ul { margin: .3rem 0 0; padding-left: 1.2rem; }
.dead, .failed { color: var(--red); background: var(--red-card); border-color: var(--red); }
.warned { color: var(--amber); background: var(--amber-card); border-color: var(--amber); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .8rem; margin: 1.2rem 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.7rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile small { color: var(--soft); display: block; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .3rem; }
th, td { padding: .32rem .5rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; } tbody th { font-weight: 400; }
tr > :first-child { text-align: left; padding-left: 0; }
td small { display: block; color: var(--soft); }
td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: .15em; border: 1px solid #0008;
  vertical-align: -.05em; margin-right: .3em; }
figure { margin: 0; }
.plot img { max-width: 46rem; width: 100%; background: #fff; border: 1px solid var(--line); border-radius: .5rem; }
.plot.confusion img { width: auto; max-width: min(100%, 46rem); margin-top: .8rem; }
.key { white-space: nowrap; margin-right: .8em; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(15.5rem, 1fr)); gap: 1rem; }
.images img { width: 100%; display: block; border-radius: .3rem; background: #000; }
figcaption { display: flex; justify-content: space-between; gap: .6rem; padding-top: .25rem; font-size: .87rem; }
figcaption b { color: var(--ink); font-variant-numeric: tabular-nums; }
figcaption span { overflow-wrap: anywhere; }
details { margin: .8rem 0; } summary { cursor: pointer; font-weight: 600; }
footer { margin-top: 2.5rem; border-top: 1px solid var(--line); padding-top: .8rem; color: var(--soft); }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #ccc; --page: #fff; --card: #f6f6f6;
    --red: #a00; --red-card: #fff; --amber: #630; --amber-card: #fff; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  figure, tr, .tile, .box { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .images { grid-template-columns: repeat(3, 1fr); } .tiles { grid-template-columns: repeat(5, 1fr); gap: .4rem; }
  .tile { padding: .4rem .5rem; } .tile b { font-size: 1.2rem; }
  .scroll { overflow: visible; } table { font-size: 8.5pt; }
  th, td { padding: .2rem .35rem; } th { white-space: normal; }
  .plot img { max-width: 13cm; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A reduced overlay as a data URI, with the image's name and its mean foreground Dice (None if undefined)."""

    name: str
    dice: float | None
    data_uri: str


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
    top = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{top}<thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def gallery(thumbnails: Sequence[Thumbnail]) -> str:
    """Return pictures with their names and scores, each linked to its overlay beside the page."""
    figures = [
        f'<figure><a href="overlays/{quote(item.name)}.jpg"><img src="{item.data_uri}" '
        f'alt="overlay of {escape(item.name)}" loading="lazy"></a>'
        f"<figcaption><span>{escape(item.name)}</span><b>{shown(item.dice)}</b></figcaption></figure>"
        for item in thumbnails
    ]
    return f'<div class="images">{"".join(figures)}</div>'
