"""Write the notebooks from the scripts beside this one; with `--execute`, run them and keep their outputs.

    python notebooks/make_notebooks.py [--execute] [NAME ...]

In a script, `# %% [markdown]` opens a cell of text and `# %%` one of code; the cell `# %% parameters` holds what a
reader may change. Notebooks are run in an empty temporary folder, on drawn data only.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

FOLDER = Path(__file__).parent
NAMES = ("retina_unet256", "cataract_hrnet")
PARAMETERS = "parameters"
MOST_BYTES = 1_500_000

_OPENING = "# %%"


def build_notebook(name: str) -> Any:
    """Return a notebook without outputs; cell ids are stable, so that a rebuild changes nothing that is the same."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    cells = []
    for number, part in enumerate(("\n" + text).split(f"\n{_OPENING}")[1:], start=1):
        kind, _, content = part.partition("\n")
        if kind.strip() == "[markdown]":
            lines = (line.removeprefix("#").removeprefix(" ") for line in content.strip().split("\n"))
            cell = new_markdown_cell("\n".join(lines))
        else:
            tags = {"metadata": {"tags": [PARAMETERS]}} if kind.strip() == PARAMETERS else {}
            cell = new_code_cell(content.strip(), **tags)
        cell["id"] = f"cell-{number:02d}"
        cells.append(cell)
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return new_notebook(cells=cells, metadata=metadata)


def execute(notebook: Any, folder: Path | str, timeout_s: int = 900) -> Any:
    """Return the notebook run in `folder`, with its outputs. Raises CellExecutionError where a cell fails."""
    from nbclient import NotebookClient

    resources = {"metadata": {"path": str(folder)}}
    settings = {"kernel_name": "python3", "record_timing": False, "coalesce_streams": True}
    NotebookClient(notebook, timeout=timeout_s, resources=resources, **settings).execute()
    return notebook


def main() -> None:
    """Write the notebooks beside this script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--execute", action="store_true", help="run them and keep the outputs (minutes)")
    options = parser.parse_args()
    for name in options.names or NAMES:
        notebook = build_notebook(name)
        if options.execute:
            with tempfile.TemporaryDirectory() as folder:
                execute(notebook, folder)
            # What the kernel adds differs between machines and says nothing to a reader.
            notebook["metadata"]["language_info"] = {"name": "python"}
        text = nbformat.writes(notebook) + "\n"
        if len(text) > MOST_BYTES:
            raise SystemExit(f"{name}: would be {len(text)} bytes; keep its figures smaller")
        path = FOLDER / f"{name}.ipynb"
        path.write_text(text, encoding="utf-8", newline="\n")
        print(f"wrote {path} ({len(text)} bytes)")


if __name__ == "__main__":
    main()
