"""A validation error as one line that a user of recipes understands."""

from __future__ import annotations

import re

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from ocuseg.wording import meant

__all__ = ["explain"]

# What pydantic puts into the place of an error for the kinds of value that a key takes.
_UNION_BRANCH = re.compile(
    r"(str|int|float|dict|tuple|list|literal|constrained-\w+|lax-or-strict|function-\w+)(\[.*)?$"
)


# What pydantic says in the words of Python's types.
_PLAINLY = {
    "model_type": "it must hold 'key: value' lines of its own",
    "dict_type": "it must hold 'key: value' lines of its own",
    "tuple_type": "it must be a list such as [256, 256]",
    "missing": "the list is too short",
}


def explain(error: ValidationError, root: type[BaseModel]) -> str:
    """Return what is wrong with the content of `root`: the key, what is accepted, what was probably meant."""
    first = _deepest(error)
    place = [str(part) for part in first["loc"] if not _UNION_BRANCH.match(str(part))]
    key = ".".join(place)
    if first["type"] == "extra_forbidden":
        owner = _owner(root, place[:-1])
        accepted = tuple(owner.model_fields)
        return f"unknown key '{key}'; {meant(place[-1], accepted)}accepted are {', '.join(accepted)}"
    message = first["msg"].removeprefix("Value error, ")
    if not key:
        return message
    message = _PLAINLY.get(first["type"], message[:1].lower() + message[1:])
    return f"'{key}' is {first['input']!r}: {message}; give an accepted value"


def _deepest(error: ValidationError) -> ErrorDetails:
    """Return the first error; of a key that takes several kinds of value, that of the kind which fits best."""
    errors = error.errors()
    return max((item for item in errors if item["loc"][:1] == errors[0]["loc"][:1]), key=lambda item: len(item["loc"]))


def _owner(root: type[BaseModel], place: list[str]) -> type[BaseModel]:
    owner = root
    for part in place:
        annotation = owner.model_fields[part].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            owner = annotation
    return owner
