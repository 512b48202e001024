"""What holds for all tests: the same numbers on every machine, and nothing left in the folders of its user."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# What a change breaks, it breaks in every run; `pytest --hypothesis-profile default` searches anew each time.
settings.register_profile("the same each time", derandomize=True, deadline=None)
settings.load_profile("the same each time")


@pytest.fixture(scope="session", autouse=True)
def _same_arithmetic_everywhere() -> Iterator[None]:
    """`runtime: auto` is ONNX Runtime in fp32, whatever processor, GPU and packages are here.

    A test that is about the choice itself puts back what it needs.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ocuseg.runtime.choice.cuda_gpu", _nothing)
        patch.setattr("ocuseg.runtime.choice.openvino_bf16", _nothing)
        yield


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images are kept in a folder of the tests, also by the processes that they start."""
    folder = str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv({"win32": "LOCALAPPDATA", "darwin": "HOME"}.get(sys.platform, "XDG_CACHE_HOME"), folder)
        yield


def _nothing() -> None:
    """Stand for hardware that is not here."""
