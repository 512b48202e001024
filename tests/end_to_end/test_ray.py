"""Prediction on Ray: two nodes of which one is killed half-way, and an image that kills its worker."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import ocuseg
from ocuseg.bundle import write_bundle
from ocuseg.images import write_image
from tiny_bundles import convolution_as_onnx
from unit.conftest import bright_red_content

pytest.importorskip("ray", reason="Ray is not installed: pip install 'ocuseg[ray]'")
parquet = pytest.importorskip("pyarrow.parquet")

pytestmark = pytest.mark.slow

Start = Callable[..., subprocess.Popen[str]]

IMAGES = 40
CHUNK = 4
SIZE = (120, 160)
STORE_BYTES = 80_000_000

# Nodes of Ray that come and go as they are told to. They have a process of their own: Ray ends all processes of the
# group that it was started in, at a time of its own choosing.
NODES = """
import sys
from ray.cluster_utils import Cluster

words = {"num_cpus": 1, "object_store_memory": int(sys.argv[1])}
nodes = Cluster(initialize_head=True, head_node_args={**words, "include_dashboard": False})
print("@" + nodes.address, flush=True)
for order in sys.stdin:
    if order.strip() == "add":
        second = nodes.add_node(**words)
    else:
        nodes.remove_node(second, allow_graceful=False)
    print("@done", flush=True)
nodes.shutdown()
"""

# A worker that is killed by one image, as the system kills one that wants more memory than there is: once the other
# images are done (the job's folder is that after --out), so that it is known what an interruption leaves behind.
FRAGILE = """
import os, pathlib, signal, sys, time
from ocuseg.scale import cluster

DONE = pathlib.Path(sys.argv[sys.argv.index("--out") + 1]).resolve() / "rows" / "00000000.parquet"

class Fragile(cluster._Worker):
    def __init__(self, arguments, done=DONE):
        super().__init__(arguments)
        from ocuseg.scale import chunks
        predict_files = chunks.predict_files
        def fragile(predictor, images, folder):
            if images[0].name == "poison.png":
                while not done.exists():
                    time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
            return predict_files(predictor, images, folder)
        chunks.predict_files = fragile

cluster._Worker = Fragile
from ocuseg.cli import main
main()
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes its time over an image: one wide convolution, whose sum is that of the middle's red."""
    kernel = np.full((1, 3, 61, 61), 1e-6)
    kernel[0, 0, 30, 30] = 8
    info, _, weights = bright_red_content()
    folder = tmp_path_factory.mktemp("model") / "bundle"
    return write_bundle(folder, info, onnx_model=convolution_as_onnx(kernel, np.array([-4.0])), weights=weights)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder in it: pictures, one file that is none and one that is cut off."""
    folder = tmp_path_factory.mktemp("collection")
    (folder / "later").mkdir()
    random = np.random.default_rng(5)
    for number in range(IMAGES):
        picture = random.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        write_image(folder / ("later" if number % 2 else "") / f"{number:02d}.png", picture)
    (folder / "13b.png").write_text("no image")
    (folder / "21b.png").write_bytes((folder / "20.png").read_bytes()[:9000])
    return folder


class Nodes:
    """A Ray cluster on this machine: a head with one CPU, and a second node that can be added and killed."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", NODES, str(STORE_BYTES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.address = self._answer()

    def tell(self, order: str) -> None:
        """Say `add` or `kill`, and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def end(self) -> None:
        try:
            self._process.communicate(timeout=300)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return next(line[1:].strip() for line in self._process.stdout if line.startswith("@"))


@pytest.fixture
def cluster() -> Iterator[Nodes]:
    made = Nodes()
    yield made
    made.end()


@pytest.fixture
def start() -> Iterator[Start]:
    """A function that starts `ocuseg predict ARGUMENTS --engine ray`; what runs at the end of a test is killed."""
    started = []

    def begin(*arguments: object, code: str = "from ocuseg.cli import main; main()") -> subprocess.Popen[str]:
        words = ["--engine", "ray", "--runtime", "onnxruntime", "--chunk-images", str(CHUNK)]
        process = subprocess.Popen(
            [sys.executable, "-c", code, "predict", *map(str, arguments), *words],
            env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def _committed(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("rows/*.parquet")}


def _rows(out: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(out.glob("rows/*.parquet")) for row in parquet.read_table(path).to_pylist()]


def _wait_until(true: Any, process: subprocess.Popen[str], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_node_is_killed_half_way_and_nothing_is_lost_or_done_twice(
    start: Start, cluster: Nodes, bundle: Path, images: Path, tmp_path: Path
) -> None:
    cluster.tell("add")
    out = tmp_path / "out"
    process = start(bundle, images, "--out", out, "--address", cluster.address)
    # Two chunks at work at once are those of the two nodes, each of which has room for one worker.
    _wait_until(lambda: len(_committed(out)) > 2 and len(list(out.glob("attempts/0*"))) == 2, process)
    before = _committed(out)
    cluster.tell("kill")
    assert len(before) < IMAGES // CHUNK * 2 / 3, "the node was to be killed half-way"
    said, complained = process.communicate(timeout=400)

    assert process.returncode == 1, complained
    assert f"{IMAGES + 2} images: {IMAGES} done, 1 not an image, 1 unreadable" in said
    assert {name: changed for name, changed in _committed(out).items() if name in before} == before
    assert list(out.glob("attempts/*")) == []
    rows = _rows(out)
    _require_as_local(rows, bundle, images, tmp_path / "local")
    assert {row["error"].partition(";")[0] for row in rows if row["status"] == "not an image"} == {"is not an image"}
    assert {row["bytes"] for row in rows if row["status"] == "unreadable"} == {9000}


def _require_as_local(rows: list[dict[str, Any]], bundle: Path, images: Path, folder: Path) -> None:
    """One row for each image, with the mask and the areas that the local engine writes."""
    files = sorted(images.rglob("*.png"))
    assert sorted(row["image"] for row in rows) == sorted(map(str, files))
    outcomes = ocuseg.predict(bundle, files, out=folder, runtime="onnxruntime")
    found = {row["image"]: row for row in rows}
    agreed = 0
    for outcome in outcomes:
        row = found[str(outcome.image)]
        assert (row["status"] == "done") == (outcome.error is None)
        if outcome.error is None:
            assert row["mask"] == outcome.written[0].read_bytes()
            with Image.open(outcome.written[0]) as mask:
                assert 0 < np.count_nonzero(np.asarray(mask)) == row["foreground_pixels"] < mask.width * mask.height
            assert row["foreground_pixels"] == outcome.areas[0]["pixels"]
            assert row["foreground_share_of_image"] == outcome.areas[0]["share_of_image"]
            assert (row["height"], row["width"]) == SIZE
            agreed += 1
    assert agreed == IMAGES


def test_an_image_that_kills_its_worker_is_a_row_and_an_interrupted_job_goes_on(
    start: Start, bundle: Path, images: Path, tmp_path: Path
) -> None:
    poisoned = tmp_path / "images"
    poisoned.mkdir()
    for name in ("00.png", "02.png", "04.png", "06.png", "poison.png"):
        (poisoned / name).write_bytes((images / name.replace("poison", "08")).read_bytes())
    out = tmp_path / "out"

    first = start(bundle, poisoned, "--out", out, code=FRAGILE)
    _wait_until(lambda: len(_committed(out)) > 0, first)
    first.send_signal(signal.SIGINT)
    _, complained = first.communicate(timeout=300)
    assert first.returncode == 130, complained
    assert "interrupted" in complained
    assert "Traceback" not in complained
    before = _committed(out)
    assert list(before) == ["00000000.parquet"]

    again = start(bundle, poisoned, "--out", out, code=FRAGILE)
    said, complained = again.communicate(timeout=400)
    assert again.returncode == 1, complained
    assert "5 images: 4 done, 1 killed" in said
    assert f"{CHUNK} of them were done before" in said
    assert {name: changed for name, changed in _committed(out).items() if name in before} == before
    (row,) = [row for row in _rows(out) if row["status"] != "done"]
    assert row["image"] == str(poisoned / "poison.png")
    assert "killed the process that worked on it 2 times" in row["error"]
    assert row["mask"] is None
