"""Facts of this machine: versions and processor, as written into runs and shown by `doctor`."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from typing import Any

__all__ = ["describe_machine", "package_versions", "usable_cores"]

_PACKAGES = (
    "ocuseg", "numpy", "pillow", "scipy", "scikit-image", "pydantic", "onnxruntime", "openvino", "torch",
    "pytorch-lightning", "monai", "onnx", "safetensors",
)  # fmt: skip


def package_versions() -> dict[str, str | None]:
    """Return the version of each package that matters to a result, None where it is not installed."""
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def describe_machine() -> dict[str, Any]:
    """Return system, Python, processor, usable cores and package versions as plain types; no names or addresses."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "processor": _processor(),
        "usable_cores": usable_cores(),
        "packages": package_versions(),
    }


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    affinity = getattr(os, "sched_getaffinity", None)  # on some systems only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _processor() -> str:
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - not a file of the user's
                for line in file:
                    if line.startswith("model name"):
                        return line.split(":", 1)[1].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()
