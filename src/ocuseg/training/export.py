"""A trained network becomes a bundle, which is refused unless it agrees with PyTorch."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from ocuseg.bundle import Bundle, BundleInfo, load_bundle, write_bundle
from ocuseg.errors import ExportError
from ocuseg.images import read_image
from ocuseg.index import Record
from ocuseg.networks import SegmentationNetwork, WithoutPadding
from ocuseg.prediction import open_predictor
from ocuseg.training.halving import halved

__all__ = ["MAX_DISAGREEMENT", "export_bundle", "to_onnx"]

MAX_DISAGREEMENT = 0.001
"""The largest share of pixels in which the masks of PyTorch and of the ONNX file may differ."""

_log = logging.getLogger("ocuseg")


def export_bundle(
    network: SegmentationNetwork,
    info: BundleInfo,
    folder: Path,
    *,
    records: Sequence[Record],
    complete: Callable[[Bundle], BundleInfo] = lambda staged: staged.info,
) -> Bundle:
    """Return the bundle written to `folder` once real images went through PyTorch and the ONNX file alike.

    `records` are the images to compare on. `complete` gets the bundle while it is still in a scratch folder and
    returns its final description, with the threshold and the scores. Raises ExportError, and leaves what lay in
    `folder`, where the masks differ in more than `MAX_DISAGREEMENT` of the pixels.
    """
    from safetensors.torch import save

    network = network.eval().cpu()
    weights = save({name: value.contiguous() for name, value in network.state_dict().items()})
    onnx_model = to_onnx(network)
    with tempfile.TemporaryDirectory() as scratch:
        staged = load_bundle(write_bundle(Path(scratch) / "bundle", info, onnx_model=onnx_model, weights=weights))
        share = _disagreement(staged, records)
        if share > MAX_DISAGREEMENT:
            raise ExportError(
                f"{folder}: not written, the ONNX file and PyTorch differ in {share:.2%} of the pixels (accepted is "
                f"{MAX_DISAGREEMENT:.1%}); report the recipe with the versions that 'ocuseg doctor' prints"
            )
        _log.info(
            "PyTorch and the ONNX file agree on %.4f %% of the pixels of %d images", 100 - 100 * share, len(records)
        )
        final = complete(staged)
    return load_bundle(write_bundle(folder, final, onnx_model=onnx_model, weights=weights))


def to_onnx(network: SegmentationNetwork) -> bytes:
    """Return the network as an ONNX model: `images` (N, C, H, W) to `logits`, with N, H and W free.

    H and W are multiples of `network.multiple`; whoever runs the file pads, as `ocuseg.prediction` does. Weights that
    half precision holds exactly are stored so (`ocuseg.training.halving`). The same network gives the same bytes.
    """
    wrapped = WithoutPadding(network)
    with warnings.catch_warnings(), _silent(logging.getLogger("torch.onnx")):
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            wrapped,
            (wrapped.example(),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=wrapped.dynamic_shapes,
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    if program is None:
        raise ExportError("the network could not be turned into ONNX; report its settings")
    model = program.model_proto
    graph = model.graph
    # The exporter notes the source lines that each node came from, with their paths on this machine.
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
    weights = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    content: bytes = halved(model, weights).SerializeToString()
    return content


@contextmanager
def _silent(logger: logging.Logger) -> Iterator[None]:
    """Keep to itself what the exporter lacks and does not need, such as torchvision."""
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _disagreement(bundle: Bundle, records: Sequence[Record]) -> float:
    """Return the share of pixels, 0 to 1, in which PyTorch's masks and those of the ONNX file differ."""
    ours = open_predictor(bundle, "pytorch", precision="fp32")
    theirs = open_predictor(bundle, "onnxruntime")
    different = pixels = 0
    for record in records:
        image = read_image(record.image)
        first, second = ours(image).mask, theirs(image).mask
        different += int(np.count_nonzero(first != second))
        pixels += first.size
    return different / max(1, pixels)
