"""The three engines behind one face: ONNX Runtime, OpenVINO and PyTorch as functions from images to logits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ocuseg.bundle import Bundle
from ocuseg.errors import ModelError, OcusegError
from ocuseg.runtime.choice import Choice
from ocuseg.runtime.loading import import_openvino, require

__all__ = ["ENGINES", "Runtime"]


class Runtime(Protocol):
    """A function from images (N, 3, H, W) float32 to logits (N, C, H, W) float32.

    H and W are multiples of the network's own. It may be called from several threads.
    """

    @property
    def name(self) -> str:
        """What computes and in which precision, such as `onnxruntime fp32`."""

    @property
    def reason(self) -> str:
        """Why this and no other, as one short clause."""

    @property
    def threads(self) -> int:
        """How many threads of the processor compute."""

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits of `images`."""


class _OnnxRuntime:
    def __init__(self, bundle: Bundle, choice: Choice, threads: int | None, cores: int) -> None:
        onnxruntime = require("onnxruntime", "onnxruntime")
        self.name, self.reason = choice.name, choice.reason
        self.threads = threads or cores
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what matters is raised
        # The memory plan of one image size is useless for the next and would be kept beside it.
        options.enable_mem_pattern = False
        self._where = str(bundle.onnx_path)
        self._session = _opened(
            self._where,
            "onnxruntime",
            lambda: onnxruntime.InferenceSession(self._where, options, providers=["CPUExecutionProvider"]),
        )
        self._input = self._session.get_inputs()[0].name

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        return _computed(self._where, images, lambda: self._session.run(None, {self._input: images})[0])


class _OpenVino:
    def __init__(self, bundle: Bundle, choice: Choice, threads: int | None, cores: int) -> None:
        openvino = import_openvino()
        self.name, self.reason = choice.name, choice.reason
        self.threads = threads or cores
        config: dict[str, Any] = {
            "INFERENCE_NUM_THREADS": self.threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Of an int8 network, what was left in fp32 stays so.
            "INFERENCE_PRECISION_HINT": "bf16" if choice.precision == "bf16" else "f32",
        }
        self._where = str(bundle.onnx_path)
        core = openvino.Core()
        self._compiled = _opened(self._where, "openvino", lambda: core.compile_model(self._where, "CPU", config))
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        # One request holds one set of buffers, so that calls have to wait for each other.
        with self._lock:
            return _computed(self._where, images, lambda: self._request.infer([images])[0].copy())


class _PyTorch:
    def __init__(self, bundle: Bundle, choice: Choice, threads: int | None, cores: int) -> None:
        torch = require("torch", "ocuseg[train]")
        load_file = require("safetensors.torch", "ocuseg[train]").load_file
        from ocuseg.networks import build_network

        self.name, self.reason = choice.name, choice.reason
        self._where = str(bundle.weights_path)
        try:
            network: Any = build_network(bundle.info.network)
        except OcusegError as error:
            raise ModelError(f"{bundle.folder}: {error}; export the bundle again") from error
        _opened(self._where, "pytorch", lambda: network.load_state_dict(load_file(self._where, device="cpu")))
        self._torch = torch
        self._device = choice.device
        self._bf16 = choice.precision == "bf16"
        # PyTorch's number of threads belongs to the whole process, a training run among others; only a container's
        # quota, which PyTorch does not know, lowers it unasked.
        before = torch.get_num_threads()
        self.threads = threads or min(before, cores)
        if self.threads != before:
            torch.set_num_threads(self.threads)
        network = network.eval()
        if self._bf16:
            # What autocast would round at each call, once.
            for module in network.modules():
                if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
                    module.to(torch.bfloat16)
        self._network = _opened(
            self._where, self.name, lambda: network.to(self._device, memory_format=torch.channels_last)
        )
        # On a GPU one batch at a time: it is busy with one, and its memory is then that of one.
        self._turn = threading.Lock() if self._device == "cuda" else contextlib.nullcontext()

    def __call__(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._turn:
            return _computed(self._where, images, lambda: self._forward(images))

    def _forward(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        torch = self._torch
        # fp32 on a GPU is fp32: cuDNN would otherwise round to TF32, of 10 bits.
        exact = self._device == "cuda" and not self._bf16
        arithmetic = torch.backends.cudnn.flags(enabled=True, allow_tf32=False) if exact else contextlib.nullcontext()
        with arithmetic, torch.inference_mode(), torch.autocast(self._device, torch.bfloat16, enabled=self._bf16):
            batch = torch.from_numpy(np.ascontiguousarray(images)).to(self._device, memory_format=torch.channels_last)
            logits: NDArray[np.float32] = self._network(batch).float().contiguous().cpu().numpy()
        return logits


ENGINES: dict[str, Callable[[Bundle, Choice, int | None, int], Runtime]] = {
    "onnxruntime": _OnnxRuntime,
    "openvino": _OpenVino,
    "pytorch": _PyTorch,
}


def _opened(where: str, name: str, open_it: Callable[[], Any]) -> Any:
    # The three libraries raise types of their own without a common base.
    try:
        return open_it()
    except Exception as error:
        raise ModelError(f"{where}: {name} cannot open it ({_reason(error)}); export the bundle again") from error


def _computed(where: str, images: NDArray[np.float32], compute: Callable[[], Any]) -> NDArray[np.float32]:
    try:
        logits = np.asarray(compute(), np.float32)
    except MemoryError:
        raise
    except Exception as error:
        # ONNX Runtime and PyTorch report a refused allocation in words, as an error like any other.
        if "alloc" in str(error).lower():
            raise MemoryError from error
        size = " x ".join(map(str, images.shape))
        raise ModelError(
            f"{where}: the network fails on images of {size} ({_reason(error)}); give smaller images or tiles"
        ) from error
    if logits.ndim != 4 or logits.shape[::2] != (len(images), images.shape[2]) or logits.shape[3] != images.shape[3]:
        raise ModelError(
            f"{where}: gives logits of shape {logits.shape} for images {images.shape}; export the bundle again"
        )
    return logits


def _reason(error: Exception) -> str:
    """The last line of a message, where the libraries put the cause, in bounded length."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200].rstrip(".") if lines else type(error).__name__
