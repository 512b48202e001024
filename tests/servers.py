"""For the tests of the service and its page: tiny bundles without training, and a real server on this machine."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ocuseg.bundle import BundleInfo, load_bundle, write_bundle
from ocuseg.classes import parse_classes
from ocuseg.prediction import open_predictor


def dark_lines(folder: Path, **changes: Any) -> Path:
    """A bundle of one convolution that calls a pixel vessel where its green is below that of its surroundings."""
    kernel = np.zeros((1, 3, 7, 7))
    kernel[0, 1] = 1 / 49
    kernel[0, 1, 3, 3] -= 1
    rows = [{"id": 0, "name": "background"}, {"id": 1, "name": "vessel", "colour": "#56b4e9"}]
    words = {"threshold": 0.6, "threshold_chosen_on": "val", "measures": ["vessels"]} | changes
    return _bundle(folder, "dark-lines", rows, 30 * kernel, **words)


def bright_parts(folder: Path) -> Path:
    """A bundle of three classes, one a part of another, that are told apart, not very well, by red, green and blue."""
    kernel = np.array([[9, 0, 0], [0, 8, 0], [3, 3, 2]])[:, :, np.newaxis, np.newaxis]
    rows = [
        {"id": 0, "name": "background"}, {"id": 1, "name": "iris"}, {"id": 2, "name": "pupil", "parent": "iris"},
    ]  # fmt: skip
    return _bundle(folder, "bright-parts", rows, kernel, threshold=None, threshold_chosen_on=None)


def _bundle(folder: Path, name: str, rows: list[dict[str, Any]], kernel: np.ndarray, **words: Any) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    classes = parse_classes(rows)
    node = helper.make_node("Conv", ["images", "kernel"], ["logits"], pads=[kernel.shape[2] // 2] * 4)
    graph = helper.make_graph(
        [node],
        "convolution",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", kernel.shape[0], "h", "w"])],
        [numpy_helper.from_array(kernel.astype(np.float32), "kernel")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    info = BundleInfo(
        name=name,
        network={"name": "unet-small", "out_channels": classes.out_channels},
        classes=classes.to_list(),
        preprocessing={"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "multiple": 4},
        prediction={"tile_px": 128, "overlap_px": 16, "flips": False},
        trained_on={},
        scores={},
        licence="Apache-2.0",
        ocuseg_version="0.1.0",
        **words,
    )
    return write_bundle(folder, info, onnx_model=bytes(model.SerializeToString()), weights=b"none")


@contextlib.contextmanager
def running(folders: Sequence[Path | str], **words: Any) -> Iterator[str]:
    """Serve the bundles in these folders on a free port of this machine; yields the address. `words` as of the app."""
    import uvicorn

    from ocuseg.service.application import create_app
    from ocuseg.service.guards import LOOPBACK_HOSTS
    from ocuseg.service.running import address_of, configuration, listen

    opened = [(bundle, open_predictor(bundle, threads=1)) for bundle in map(load_bundle, folders)]
    listening = listen("127.0.0.1", 0)
    app = create_app(opened, **({"hosts": LOOPBACK_HOSTS} | words))
    server = uvicorn.Server(configuration(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield address_of(listening, "127.0.0.1")
    finally:
        server.should_exit = True
        thread.join(timeout=30)
        listening.close()
        assert not thread.is_alive()
