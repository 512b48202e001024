"""Facts of this machine: versions, processor, cores and GPU driver, as written into runs and shown by `doctor`."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = [
    "bf16_feature",
    "cpu_quota",
    "describe_machine",
    "has_nvidia_driver",
    "is_installed",
    "package_version",
    "package_versions",
    "processor_features",
    "usable_cores",
]

_PACKAGES = (
    "ocuseg", "numpy", "pillow", "scipy", "scikit-image", "pydantic", "onnxruntime", "openvino", "torch",
    "pytorch-lightning", "monai", "onnx", "safetensors",
)  # fmt: skip

# What matters to the speed of networks, by the names that Linux gives it; the first of bf16 is the fastest.
_FEATURES = {
    "amx_bf16": "AMX-BF16",
    "avx512_bf16": "AVX512-BF16",
    "bf16": "Arm-BF16",
    "amx_int8": "AMX-INT8",
    "avx512_vnni": "AVX512-VNNI",
    "avx_vnni": "AVX-VNNI",
    "i8mm": "Arm-I8MM",
    "avx512f": "AVX512",
    "avx2": "AVX2",
    "sve": "SVE",
    "asimd": "NEON",
}
_BF16 = ("AMX-BF16", "AVX512-BF16", "Arm-BF16")


def package_versions() -> dict[str, str | None]:
    """Return the version of each package that matters to a result, None where it is not installed."""
    return {package: package_version(package) for package in _PACKAGES}


def package_version(package: str) -> str | None:
    """Return the version of an installed package, None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def is_installed(module: str) -> bool:
    """Return whether `module` could be imported, without importing it."""
    try:
        return find_spec(module) is not None
    except ValueError:  # a module that stands in sys.modules without a spec
        return False


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
    """Return how many cores this process may use: those it may run on, or fewer where a container's quota is less."""
    cores, quota = _bound_cores(), cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota(root: Path = Path("/")) -> float | None:
    """Return how many cores' time the control groups leave this process, None where they set no limit.

    A container with `--cpus 2` sees all cores of its host, and has 2.0 of them. Linux only; `root` is where its `proc`
    and `sys` lie. Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#cpu and, for version 1,
    https://docs.kernel.org/scheduler/sched-bwc.html.
    """
    if sys.platform != "linux":
        return None
    lines = _read(root / "proc/self/cgroup").splitlines()
    quotas: list[float] = []
    for _, controllers, group in (line.split(":", 2) for line in lines if line.count(":") >= 2):
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        own = mount.joinpath(*Path(group).parts[1:])
        # Each group above has a say; inside a container the group's own path may not exist, and the mount is its top.
        for folder in (own, *own.parents):
            if folder.is_relative_to(mount):
                quotas += _quota_of(folder)
    return min(quotas, default=None)


def processor_features() -> tuple[str, ...] | None:
    """Return what the processor has of the features that make networks fast; None where the system does not say."""
    for line in _cpuinfo():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            present = set(value.split())
            return tuple(name for flag, name in _FEATURES.items() if flag in present)
    return None


def bf16_feature() -> str | None:
    """Return the feature with which the processor computes in bf16, None where it has none or the system is silent."""
    features = processor_features() or ()
    return next((name for name in _BF16 if name in features), None)


def has_nvidia_driver() -> bool:
    """Return whether NVIDIA's driver is here: a matter of milliseconds, where asking PyTorch takes a second."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True


def _bound_cores() -> int:
    if sys.version_info >= (3, 13):
        return os.process_cpu_count() or 1
    affinity = getattr(os, "sched_getaffinity", None)  # on some systems only
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _quota_of(folder: Path) -> list[float]:
    """The quota of one group in cores, of either version; none where it is not limited."""
    words = _read(folder / "cpu.max").split() or [
        _read(folder / "cpu.cfs_quota_us").strip(),
        _read(folder / "cpu.cfs_period_us").strip(),
    ]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:  # "max", or nothing to read
        return []
    return [quota / period] if quota > 0 and period > 0 else []


def _processor() -> str:
    for line in _cpuinfo():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cpuinfo() -> list[str]:
    return _read(Path("/proc/cpuinfo")).splitlines() if sys.platform == "linux" else []


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
