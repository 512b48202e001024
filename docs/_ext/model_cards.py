"""The cards of the models that ship with the package, as one page of Markdown."""

from __future__ import annotations

import re
from pathlib import Path

import ocuseg

MODELS = Path(ocuseg.__file__).parent / "models"
NONE = "No model ships with this version. Train one, or use a bundle that somebody gave you."


def model_cards(folder: Path = MODELS) -> str:
    """Return the cards of all bundles in `folder`, each a section, or a sentence where there are none."""
    cards = [path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob("*/README.md"))]
    return "\n\n".join(map(_lowered, cards)) or NONE


def _lowered(card: str) -> str:
    """Return a card with each heading a level further down, but for lines that look like one in a block of code."""
    blocks = re.split(r"(^```.*?^```$)", card, flags=re.M | re.S)
    return "".join(block if block.startswith("```") else re.sub(r"^#", "##", block, flags=re.M) for block in blocks)
