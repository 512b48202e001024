"""Images with what was predicted of them, each with a slider between two of its views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

from ocuseg.reporting.layers import Painting
from ocuseg.reporting.markup import swatches

__all__ = ["Eye", "View", "gallery", "gallery_rules"]

Colour = tuple[int, int, int]


class View(NamedTuple):
    """What can be shown of each image: its name for the reader, and its pictures, the uppermost first."""

    name: str
    pictures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Eye:
    """An image in the gallery: its name, a score, a line below (HTML), and its pictures by the names in the views."""

    name: str
    score: str
    note: str
    painting: Painting


def gallery_rules(views: Mapping[str, View]) -> str:
    """Return the style rules by which one view lies left of the line and another one right of it."""
    rules = []
    for key, view in views.items():
        pane = f'.pane[data-view="{key}"]'
        left, right = (f'.gallery[data-{side}="{key}"]' for side in ("left", "right"))
        pictures = ", ".join(f"var(--{name})" for name in view.pictures)
        rules += [
            f"{pane} {{ background-image: {pictures}; }}",
            f"{left} {pane} {{ display: block; z-index: 1; }} {left} {pane} span {{ left: .4rem; }}",
            f"{right} {pane} {{ display: block; z-index: 2; clip-path: inset(0 0 0 var(--at)); }}",
            f"{right} {pane} span {{ left: auto; right: .4rem; }}",
            f"{left}{right[8:]} {pane} {{ clip-path: none; }}",
        ]
    return "\n".join(rules) + "\n"


def gallery(
    eyes: Sequence[Eye], views: Mapping[str, View], left: str, right: str, legends: Mapping[str, Mapping[str, Colour]]
) -> str:
    """Return the images in their order, below a bar that chooses the two views and says what the colours mean.

    `legends` name colours (RGB), by what they are the colours of. The images have the ids `image-1`, `image-2`, ...
    """
    choices = "".join(
        f'<label>{label}<select data-side="{side}">'
        + "".join(
            f'<option value="{key}"{" selected" if key == chosen else ""}>{escape(view.name)}</option>'
            for key, view in views.items()
        )
        + "</select></label>"
        for side, label, chosen in (("left", "Left of the line", left), ("right", "Right of the line", right))
    )
    keys = "".join(
        f'<p class="legend soft wide">{escape(name)}: {swatches(colours)}</p>' for name, colours in legends.items()
    )
    figures = "\n".join(_figure(number, eye, views) for number, eye in enumerate(eyes, start=1))
    return (
        f'<div class="toolbar"><div class="controls">{choices}</div>{keys}</div>\n'
        f'<div class="gallery" data-left="{left}" data-right="{right}">\n{figures}\n</div>'
    )


def _figure(number: int, eye: Eye, views: Mapping[str, View]) -> str:
    name = escape(eye.name)
    height, width = eye.painting.size
    pictures = "".join(f"--{key}:url({address});" for key, address in eye.painting.pictures.items())
    panes = "".join(
        f'<div class="pane" data-view="{key}" role="img" aria-label="{escape(view.name)} of {name}">'
        f"<span>{escape(view.name)}</span></div>"
        for key, view in views.items()
    )
    return (
        f'<article class="eye" id="image-{number}" data-name="{name}"><h3><span>{name}</span><b>{escape(eye.score)}</b>'
        f'</h3><div class="stack" style="--ratio:{width / height:.4f};--at:50%;{pictures}">{panes}'
        '<div class="divider"></div><input class="slider" type="range" min="0" max="100" value="50" '
        f'aria-label="Line between the two views of {name}"></div><p class="caption">{eye.note}</p></article>'
    )
