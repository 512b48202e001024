"""Optional packages, imported when they are needed, with the command that installs them where they are missing."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

from ocuseg.errors import UsageError

__all__ = ["import_openvino", "require"]


def require(module: str, package: str) -> ModuleType:
    """Return `module`, or raise UsageError with the command that installs the `package` it comes with."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{module.partition('.')[0]} is not installed; run: pip install '{package}'") from error


def import_openvino() -> ModuleType:
    """Return OpenVINO without its telemetry, which would otherwise report the import itself over the network."""
    silenced = "openvino_telemetry"
    before = sys.modules.get(silenced)
    # None makes an import fail, and OpenVINO then takes its own silent stub.
    sys.modules[silenced] = None  # type: ignore[assignment]
    try:
        return require("openvino", "ocuseg[openvino]")
    finally:
        if before is None:
            del sys.modules[silenced]
        else:
            sys.modules[silenced] = before
