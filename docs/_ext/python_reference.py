"""The reference of the public Python names, as Markdown around autodoc's directives."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import ocuseg
import ocuseg.phantom

_ARRAY = re.compile(r"~?numpy\.ndarray\[tuple\[~?(?:typing\.)?Any, \.\.\.\], ~?numpy\.dtype\[~?numpy\.(\w+)\]\]")
_CLASS = (":members:", ":special-members: __call__")


def python_reference() -> str:
    """Return a section for functions, classes, what functions return, drawn images, the version and errors."""
    offered = {name: getattr(ocuseg, name) for name in sorted(ocuseg.__all__)}
    functions = {name: value for name, value in offered.items() if inspect.isfunction(value)}
    classes = [name for name, value in offered.items() if inspect.isclass(value)]
    returned = sorted({home for function in functions.values() for home in _returned(function)} - _homes(classes))
    drawn = ocuseg.phantom.__all__
    return "\n".join(
        [
            "## Functions\n",
            *(_directive("autofunction", f"ocuseg.{name}") for name in functions),
            "## Classes\n",
            *(_directive("autoclass", f"ocuseg.{name}", *_CLASS) for name in classes),
            "## What functions return\n",
            *(_directive("autoclass", home, *_CLASS) for home in returned),
            "## Drawn images\n",
            *(_directive("autofunction", f"ocuseg.phantom.{name}") for name in drawn if name[0].islower()),
            *(_directive("autoclass", f"ocuseg.phantom.{name}", *_CLASS) for name in drawn if name[0].isupper()),
            "## The version\n",
            _directive("py:data", "ocuseg.__version__", ":type: str", f":value: {ocuseg.__version__!r}"),
            "## Errors\n",
            _directive("automodule", "ocuseg.errors"),
            *(
                _directive("autoexception", f"ocuseg.errors.{name}", ":show-inheritance:")
                for name in sorted(ocuseg.errors.__all__, key=_depth)
            ),
        ]
    )


def _directive(kind: str, name: str, *options: str) -> str:
    lines = "".join(f"\n   {option}" for option in options)
    return f"```{{eval-rst}}\n.. {kind}:: {name}{lines}\n```\n"


def _homes(classes: list[str]) -> set[str]:
    return {f"{value.__module__}.{value.__name__}" for value in (getattr(ocuseg, name) for name in classes)}


def _returned(function: Any) -> set[str]:
    """Return the full names of this package's classes in the annotation of what a function returns."""
    words = set(re.findall(r"\w+", str(function.__annotations__.get("return", ""))))
    tree = ast.parse(Path(inspect.getfile(function)).read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ocuseg"):
            for name in words & {alias.name for alias in node.names}:
                found |= _full_name(getattr(__import__(str(node.module), fromlist=[name]), name))
    own = getattr(sys.modules[function.__module__], "__dict__", {})
    for name in words & set(own):
        found |= _full_name(own[name])
    return found


def _full_name(value: Any) -> set[str]:
    ours = inspect.isclass(value) and value.__module__.startswith("ocuseg")
    return {f"{value.__module__}.{value.__qualname__}"} if ours else set()


def _depth(name: str) -> int:
    """Return how far an error stands from the root of the tree, so that it follows what it derives from."""
    return len(getattr(ocuseg.errors, name).__mro__)


def _shorten(*found: Any) -> tuple[str | None, str | None]:
    """Return a signature and what is returned, with arrays as the code writes them: NDArray[uint8]."""
    signature, returned = (text and _ARRAY.sub(r"NDArray[\1]", text) for text in found[-2:])
    return signature, returned


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", _shorten)
    return {"parallel_read_safe": True}
