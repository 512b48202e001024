"""Chunks on a Ray cluster: Ray Data gives them to a pool of workers, and to another one where a worker dies."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any

from ocuseg.errors import OcusegError, OutputError, UsageError
from ocuseg.machine import package_version, usable_cores
from ocuseg.scale.chunks import ChunkResult, ChunkWorker
from ocuseg.scale.collection import Chunk
from ocuseg.scale.job import Job
from ocuseg.scale.storage import reason_of

__all__ = ["run_chunks"]

# Images and masks do not pass through Ray's object store, only the model and the names of images.
_STORE_BYTES = 80_000_000
# Workers on one GPU: while one decodes or compresses, another has the network.
_WORKERS_PER_GPU = 4


def run_chunks(
    job: Job,
    bundle: Mapping[str, bytes],
    out: str,
    chunks: Sequence[Chunk],
    *,
    address: str | None = None,
    worker_cpus: int = 1,
) -> Iterator[ChunkResult]:
    """Yield each chunk once its rows are in `out`, in the order in which they become ready.

    `address` is that of a running cluster, or None for one that is started on this machine for as long as this runs.
    A chunk whose worker or node dies goes to another one. Raises UsageError where Ray does not answer or has no node
    with `worker_cpus`; OutputError or ModelError with what a worker raised.
    """
    import ray
    import ray.data

    with _cluster(ray, address, sum(map(len, bundle.values()))):
        workers, share_of_gpu = _workers(ray, worker_cpus, job.runtime)
        arguments = ray.put((job, dict(bundle), out, worker_cpus, package_version("ocuseg")))
        items = [{"number": chunk.number, "images": list(chunk.images)} for chunk in chunks]
        done = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
            _Worker,
            fn_constructor_args=(arguments,),
            batch_size=1,
            batch_format="pyarrow",
            # A chunk never waits behind another in one worker, which may take the later one first, or die of it.
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(items)), max_tasks_in_flight_per_actor=1),
            num_cpus=worker_cpus,
            num_gpus=share_of_gpu or None,
        )
        with _interruption() as require_none:
            try:
                for row in done.iter_rows():
                    require_none()
                    yield ChunkResult(row["number"], row["images"], row["lost"])
            except Exception as error:
                raise _meant(error) from error
            require_none()


class _Worker:
    """`ChunkWorker` as Ray Data calls it: with a table of one chunk."""

    def __init__(self, arguments: Any) -> None:
        import ray

        job, bundle, out, threads, asked_by = ray.get(arguments)
        self._work = ChunkWorker(job, bundle, out, threads=threads, asked_by=asked_by)

    def __call__(self, batch: Any) -> Any:
        import pyarrow

        results = [self._work(Chunk(row["number"], tuple(row["images"]))) for row in batch.to_pylist()]
        return pyarrow.table({name: [getattr(one, name) for one in results] for name in ("number", "images", "lost")})


@contextlib.contextmanager
def _interruption() -> Generator[Callable[[], None]]:
    """Yield what raises KeyboardInterrupt where Ctrl-C was pressed in this block, and whoever was at work swallowed it.

    Python raises it wherever the main thread is, which may be a callback of a library that lets nothing out.
    """
    pressed = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        pressed.set()
        before(number, frame)  # type: ignore[operator, misc]

    def require_none() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    # The main thread alone gets signals and may set handlers; and Ctrl-C may be ignored, as in a background job.
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield require_none
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield require_none
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _cluster(ray: Any, address: str | None, model_bytes: int) -> Generator[None]:
    """A connection to a cluster, which ends with the block; one that the caller's process has already stays."""
    if ray.is_initialized():
        yield
        return
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            # Without 'local' Ray would look for a cluster by itself. A release of Ray that is started in this way
            # reports no usage; of a running cluster its owner decides.
            store = _STORE_BYTES + 3 * model_bytes
            ray.init("local", num_cpus=usable_cores(), object_store_memory=store, include_dashboard=False, **quiet)
        else:
            ray.init(address, **quiet)
    except Exception as error:  # a start that takes too long is a plain Exception
        if address is None:
            raise OutputError(
                f"Ray does not start here ({reason_of(error)}); close other programs, run it again"
            ) from error
        raise UsageError(
            f"{address}: no Ray cluster answers ({reason_of(error)}); give HOST:PORT of its head"
        ) from error
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        yield
    finally:
        ray.shutdown()


def _workers(ray: Any, worker_cpus: int, runtime: str) -> tuple[int, float]:
    """How many workers the cluster has room for, and the share of a GPU that each gets."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(int(node.get("CPU", 0)) // worker_cpus for node in nodes)
    if not room:
        largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
        raise UsageError(f"no node of the cluster has {worker_cpus} CPUs; give --worker-cpus of at most {largest}")
    gpus = sum(int(node.get("GPU", 0)) for node in nodes) if runtime in ("auto", "pytorch") else 0
    if not gpus:
        return room, 0.0
    each = max(1, min(_WORKERS_PER_GPU, room // gpus))
    return gpus * each, 1 / each


def _meant(error: BaseException) -> OcusegError:
    """What a worker raised, out of what Ray wraps around it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OcusegError):
            return seen
        seen = getattr(seen, "cause", None) or seen.__cause__
    return OutputError(f"the Ray cluster failed ({reason_of(error)}); run this again: what is done is not done again")
