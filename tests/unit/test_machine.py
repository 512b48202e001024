from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest

from ocuseg import machine

linux = pytest.mark.skipif(sys.platform != "linux", reason="control groups are a part of Linux")


@pytest.fixture
def system(tmp_path: Path):
    """A function that writes files of a made-up Linux and returns its root."""

    def write(**files: str) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


@linux
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        # The tightest of a group and those above it.
        (
            {
                "proc/self/cgroup": "0::/batch/job\n",
                "sys/fs/cgroup/batch/job/cpu.max": "400000 100000\n",
                "sys/fs/cgroup/batch/cpu.max": "300000 100000\n",
            },
            3.0,
        ),
        # Version 1: the path is the host's, the mount that of the container.
        (
            {
                "proc/self/cgroup": "5:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_the_quota_of_a_container(system, files, cores):
    assert machine.cpu_quota(system(**files)) == cores


@pytest.mark.parametrize(("quota", "cores"), [(None, 6), (0.5, 1), (1.5, 2), (64.0, 6)])
def test_no_more_cores_than_the_quota_pays_for(monkeypatch, quota, cores):
    monkeypatch.setattr(machine, "_bound_cores", lambda: 6)
    monkeypatch.setattr(machine, "cpu_quota", lambda: quota)
    assert machine.usable_cores() == cores


def test_there_is_at_least_one_core():
    assert machine.usable_cores() >= 1


@pytest.mark.parametrize(
    ("lines", "features", "bf16"),
    [
        (
            ["flags : avx2 avx512f avx512_bf16 amx_bf16"],
            ("AMX-BF16", "AVX512-BF16", "AVX512", "AVX2"),
            "AMX-BF16",
        ),
        (["processor\t: 0", "Features\t: fp asimd i8mm bf16"], ("Arm-BF16", "Arm-I8MM", "NEON"), "Arm-BF16"),
        (["flags : fpu sse2 avx2"], ("AVX2",), None),
        (["flags : fpu sse2"], (), None),
        ([], None, None),
    ],
)
def test_the_features_of_the_processor(monkeypatch, lines, features, bf16):
    monkeypatch.setattr(machine, "_cpuinfo", lambda: lines)
    assert machine.processor_features() == features
    assert machine.bf16_feature() == bf16


def test_the_driver_is_the_one_that_can_be_loaded(monkeypatch):
    def refuse(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    assert machine.has_nvidia_driver() is False
    monkeypatch.setattr(ctypes, "CDLL", lambda name: None)
    assert machine.has_nvidia_driver() is True


def test_what_is_installed_is_known_without_an_import(monkeypatch):
    assert machine.is_installed("numpy")
    assert not machine.is_installed("no_such_module")
    monkeypatch.setitem(sys.modules, "half_loaded", type(sys)("half_loaded"))
    assert not machine.is_installed("half_loaded")
