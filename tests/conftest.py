"""What holds for all tests: they compute the same numbers on every machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _same_arithmetic_everywhere() -> Iterator[None]:
    """`runtime: auto` is ONNX Runtime in fp32, whatever processor, GPU and packages are here.

    A test that is about the choice itself puts back what it needs.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ocuseg.runtime.choice.cuda_gpu", _nothing)
        patch.setattr("ocuseg.runtime.choice.openvino_bf16", _nothing)
        yield


def _nothing() -> None:
    """Stand for hardware that is not here."""
