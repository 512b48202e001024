"""The catalogue: what a set is, who may use it, where its files lie, and which of them are images, masks and views."""

from __future__ import annotations

import re
from importlib.resources import files as package_files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ocuseg.errors import DataError, UsageError
from ocuseg.wording import meant

__all__ = ["Layout", "PublicSet", "RemoteFile", "find_set", "read_catalogue"]

_LARGEST_BYTES = 100_000_000_000


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"{text!r} is no pattern ({error})") from error
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RemoteFile(_Strict):
    """One file of a set: its address, its name here, and its checksum, without which it is not fetched.

    `checksum_by` says who gives the checksum; `bytes` is the size, if known.
    """

    url: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    name: Annotated[str, Field(pattern=r"^[\w][\w.-]*$")]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")] | None = None
    checksum_by: str = ""
    bytes: Annotated[int, Field(gt=0, le=_LARGEST_BYTES)] | None = None

    @model_validator(mode="after")
    def _has_checksum(self) -> RemoteFile:
        if self.sha256 is None and self.md5 is None:
            raise ValueError("a file needs sha256, or md5 where no more is published")
        return self

    @property
    def checksum(self) -> tuple[str, str]:
        """The algorithm and the digest that the file must have; SHA-256 where there is one."""
        return ("sha256", self.sha256) if self.sha256 is not None else ("md5", str(self.md5))


class Layout(_Strict):
    """Which names in the archives are what: patterns of paths, whatever folders lie above them.

    The groups of a pattern, joined by `_`, name the image; they agree for an image and its masks. `group` finds the
    person or eye in that name; `splits` names splits by patterns of it, the first that fits, `lists` by files of names.
    `inflated_bytes` is the most that the archives may hold.
    """

    images: str
    masks: str
    masks_2nd: str | None = None
    field_of_view: str | None = None
    group: str | None = None
    splits: dict[Literal["train", "val", "test"], str] = {}
    lists: dict[Literal["train", "val", "test"], str] = {}
    classes: list[dict[str, Any]] = []
    inflated_bytes: Annotated[int, Field(gt=0, le=_LARGEST_BYTES)] = 10_000_000_000

    @field_validator("images", "masks", "masks_2nd", "field_of_view", "group")
    @classmethod
    def _is_pattern(cls, text: str | None) -> str | None:
        return text if text is None else _pattern(text)

    @field_validator("splits", "lists")
    @classmethod
    def _are_patterns(cls, patterns: dict[str, str]) -> dict[str, str]:
        return {split: _pattern(text) for split, text in patterns.items()}

    @property
    def roles(self) -> dict[str, str]:
        """The pattern of each folder of the data set that is made."""
        found = {name: getattr(self, name) for name in ("images", "masks", "masks_2nd", "field_of_view")}
        return {name: pattern for name, pattern in found.items() if pattern is not None}


class PublicSet(_Strict):
    """A public set. `files` are fetched; a set without them is got by hand, as `instructions` say.

    With a `layout` its archives, fetched or given, become a data set. `split` says in words what is published, `size`
    is the width and height of the images in pixels. What is not known of a set is left out.
    """

    title: str
    for_: Annotated[str, Field(alias="for")]
    licence: str
    citation: str
    doi: Annotated[str, Field(pattern=r"^10\.\d{4,}/\S+$")] | None = None
    home: Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
    images: Annotated[int, Field(gt=0)] | None = None
    size: str = ""
    split: str = ""
    note: str = ""
    instructions: str = ""
    files: list[RemoteFile] = []
    layout: Layout | None = None

    @model_validator(mode="after")
    def _can_be_got(self) -> PublicSet:
        if self.files and self.layout is None:
            raise ValueError("a set with files needs a layout")
        if self.layout is not None and self.images is None:
            raise ValueError("a set with a layout needs the number of its images")
        if not self.files and not self.instructions:
            raise ValueError("a set without files needs instructions")
        return self

    @property
    def bytes(self) -> int | None:
        """What is fetched in all, None where that is not known."""
        sizes = [file.bytes for file in self.files]
        return None if None in sizes or not sizes else sum(size for size in sizes if size is not None)


def read_catalogue(path: Path | str | None = None) -> dict[str, PublicSet]:
    """Return the sets by their names: of the file at `path`, else of the catalogue that ships with the package.

    Raises DataError where the file cannot be read or a set is not described as it has to be; it says which and where.
    """
    where = "the catalogue" if path is None else str(path)
    try:
        source = package_files("ocuseg.catalogue") / "sets.yaml" if path is None else Path(path)
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{where}: cannot be read ({reason}); give a catalogue in YAML") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the last two of dates and of depths that are none
        raise DataError(f"{where}: is no YAML; give a catalogue as docs/public_data.md shows it") from error
    if not isinstance(content, dict):
        raise DataError(f"{where}: is no table of sets by their names; see docs/public_data.md")
    sets = {}
    for name, described in content.items():
        try:
            if not re.fullmatch(r"[a-z0-9_-]+", str(name)):
                raise DataError(f"{where}: {name!r} is no name for a set; use small letters, digits, - and _")
            sets[str(name)] = PublicSet.model_validate(described)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            message = first["msg"].removeprefix("Value error, ").lower()
            raise DataError(f"{where}: {name}: {place or 'set'}: {message}; see docs/public_data.md") from error
    return sets


def find_set(name: str, path: Path | str | None = None) -> PublicSet:
    """Return the set of a name. Raises UsageError where there is none, DataError as `read_catalogue` does."""
    sets = read_catalogue(path)
    if name not in sets:
        raise UsageError(f"{name!r} is no set of the catalogue; {meant(name, sets)}see 'ocuseg data list'")
    return sets[name]
