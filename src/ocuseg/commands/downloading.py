"""The commands around public sets: what there is, and getting one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ocuseg.commands.opening import Progress
from ocuseg.errors import UsageError

if TYPE_CHECKING:
    from ocuseg.catalogue import Got, PublicSet

__all__ = ["get_public_set", "public_sets"]


def public_sets(catalogue: str | Path | None = None) -> dict[str, PublicSet]:
    """Return the public sets by their names, of the shipped catalogue or of a file of your own. Nothing is fetched."""
    from ocuseg.catalogue import read_catalogue

    return read_catalogue(catalogue)


def get_public_set(
    name: str,
    *,
    out: str | Path,
    accept_licence: bool = False,
    archives: Sequence[str | Path] = (),
    catalogue: str | Path | None = None,
    progress: Progress | None = None,
) -> Got:
    """Return a public set as a data set in the folder `out`.

    It is fetched from its publisher only with `accept_licence`, and not at all where `archives` (files or folders) have
    it already. What is fetched counts only with the checksum of the catalogue; broken off, a later call goes on. Where
    the set is in `out`, nothing is done. Raises UsageError for an unknown set, one that has to be got by hand or a
    licence that was not accepted, DataError where it is not what the catalogue says, OutputError where `out` holds
    anything else.
    """
    from ocuseg.catalogue import find_set, get_set

    wanted = find_set(name, catalogue)
    if wanted.files and not archives and not accept_licence:
        raise UsageError(f"{name}: its licence is {wanted.licence!r}; nothing is fetched until you accept it (--yes)")
    return get_set(name, wanted, Path(out), archives=[Path(path) for path in archives], progress=progress)
