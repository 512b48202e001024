"""The settings of a network, validated, with an answer that helps where they are wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocuseg.errors import UsageError
from ocuseg.wording import meant

__all__ = ["NetworkSettings", "read_settings", "unknown"]

Settings = TypeVar("Settings", bound=BaseModel)


class NetworkSettings(BaseModel):
    """What every network is told: how many channels come in, and how many logits per pixel go out."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    in_channels: int = Field(default=3, ge=1)
    out_channels: int = Field(default=1, ge=1)


def read_settings(kind: type[Settings], values: Mapping[str, Any], where: str) -> Settings:
    """Return `values` as settings of `kind`; `where` opens the message if they are not accepted.

    Raises UsageError with one line that names the first wrong key, what is accepted and what was probably meant.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        message = unknown("key", key, kind.model_fields)
    elif fault["type"] == "literal_error":
        message = unknown(f"value of {key},", fault["input"], re.findall(r"'([^']*)'", fault["ctx"]["expected"]))
    else:
        found = "" if isinstance(fault["input"], Mapping) else f" {fault['input']!r}"
        message = f"{key or 'settings'}{found} is not accepted; {fault['msg'][:1].lower()}{fault['msg'][1:]}"
    raise UsageError(f"{where}: {message}")


def unknown(what: str, given: object, accepted: Iterable[str]) -> str:
    """Return half a sentence: what is unknown, what was probably meant, and everything that is accepted."""
    names = list(accepted)
    return f"unknown {what} {given!r}; {meant(str(given), names)}accepted: {', '.join(names)}"
