"""A service of two tiny models, and pictures to send to it."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from ocuseg.phantom import write_fundus_set
from ocuseg.service.limits import Limits
from servers import running
from tiny_bundles import served_bundles

LIMITS = Limits(image_bytes=200_000, image_px=40_000, batch_images=3, upload_s=2.0, workers=1, waiting=2)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return served_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Drawn fundus photographs, 96 x 96."""
    data = write_fundus_set(tmp_path_factory.mktemp("drawn") / "set", {"train": 1, "test": 2}, seed=3, size=96)
    return sorted((data / "test" / "images").iterdir())


@pytest.fixture(scope="session")
def address(bundles: list[Path]) -> Iterator[str]:
    with running(bundles, limits=LIMITS) as found:
        yield found


@pytest.fixture
def client(address: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=address, timeout=120) as found:
        yield found


@pytest.fixture(scope="session")
def png() -> bytes:
    """A picture that is all noise, 20 x 30."""
    file = BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()
