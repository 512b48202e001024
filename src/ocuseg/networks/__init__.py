"""Networks that turn images into logits; they know nothing of files, classes' names or training.

Every network is a plain `torch.nn.Module` of the shape `encoder` -> `decoder` -> `head`; see
`ocuseg.networks.network.SegmentationNetwork`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocuseg.errors import UsageError
from ocuseg.networks.ensemble import Ensemble
from ocuseg.networks.hrnet import HRNet, HRNetSettings
from ocuseg.networks.network import SegmentationNetwork, WithoutPadding
from ocuseg.networks.settings import NetworkSettings, read_settings, unknown
from ocuseg.networks.unet import SmallUNetSettings, UNet, UNetSettings
from ocuseg.networks.unet256 import UNet256, UNet256Settings
from ocuseg.networks.wnet import WNet, WNetSettings

__all__ = ["Ensemble", "SegmentationNetwork", "WithoutPadding", "build_network", "network_names", "resolve_network"]

_NETWORKS: dict[str, tuple[type[SegmentationNetwork], type[NetworkSettings]]] = {
    "unet": (UNet, UNetSettings),
    "unet-small": (UNet, SmallUNetSettings),
    "unet-256": (UNet256, UNet256Settings),
    "wnet": (WNet, WNetSettings),
    "hrnet": (HRNet, HRNetSettings),
}


def network_names() -> tuple[str, ...]:
    """Return the names that `build_network` knows."""
    return tuple(_NETWORKS)


def build_network(settings: Mapping[str, Any]) -> SegmentationNetwork:
    """Return the network that `settings` describe, freshly initialised from torch's global generator.

    `settings` are plain JSON types: `name` and whatever that network accepts beside it, of which anything may be
    left out. The name `ensemble`, which no recipe has, goes with `members`, the settings of each of its networks.
    Raises UsageError on an unknown name, key or value, with what is accepted.
    """
    if settings.get("name") == "ensemble":
        return _build_ensemble(settings)
    network, values = _read(settings)
    return network(values)


def resolve_network(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return `settings` with every key that was left out at its default, as plain JSON types.

    What a run folder and a bundle keep: a later change of a default leaves them as they were.
    Raises UsageError as `build_network` does.
    """
    _, values = _read(settings)
    return {"name": settings["name"], **values.model_dump(mode="json")}


def _build_ensemble(settings: Mapping[str, Any]) -> Ensemble:
    members = settings.get("members")
    if not isinstance(members, list) or not members or not all(isinstance(each, Mapping) for each in members):
        raise UsageError(f"network ensemble: members is {members!r}; give a list of the settings of each network")
    return Ensemble([build_network(each) for each in members])


def _read(settings: Mapping[str, Any]) -> tuple[type[SegmentationNetwork], NetworkSettings]:
    values = dict(settings)
    name = values.pop("name", None)
    if not isinstance(name, str) or name not in _NETWORKS:
        raise UsageError(f"network: {unknown('name', name, _NETWORKS)}")
    network, kind = _NETWORKS[name]
    return network, read_settings(kind, values, where=f"network {name}")
