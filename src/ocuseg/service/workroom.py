"""A bounded number of images that are computed, in threads, and of requests that wait for it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ocuseg.service.limits import Limits
from ocuseg.service.refusals import busy

__all__ = ["Check", "Workroom"]

Check = Callable[[], None]
"""Raises Refusal where a piece of work may not go on."""

_Done = TypeVar("_Done")


class Workroom:
    """Threads for `limits.workers` images at a time, and places for as many requests and `limits.waiting` more."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.taken = 0
        self._threads = ThreadPoolExecutor(limits.workers, thread_name_prefix="ocuseg")
        self._stopping = threading.Event()
        self._usual_s = 1.0

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place for the length of the block. Raises Refusal, 503 with Retry-After, where all are taken."""
        self.require_place()
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    def require_place(self) -> None:
        """Raise the Refusal of `place` where there is none now."""
        if self.taken >= self.limits.workers + self.limits.waiting:
            wait_s = self._usual_s * self.limits.waiting / self.limits.workers
            raise busy(f"{self.taken} requests are computed or wait already; ask again in a moment", wait_s)

    async def do(self, work: Callable[[Check], _Done]) -> _Done:
        """Return what `work` returns in a thread of its own; it calls the `Check` that it gets every now and then.

        That raises Refusal when the work has taken `limits.compute_s`, and when the service stops.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._timed, work)

    def _timed(self, work: Callable[[Check], _Done]) -> _Done:
        start_s = time.monotonic()

        def check() -> None:
            if self._stopping.is_set():
                raise busy("the service is being stopped; ask again later", 10)
            if time.monotonic() - start_s > self.limits.compute_s:
                raise busy(f"it took more than {self.limits.compute_s:g} s; scale the image down", self._usual_s)

        check()
        done = work(check)
        # A moving average, from several threads: one that is lost does no harm.
        self._usual_s += 0.1 * (time.monotonic() - start_s - self._usual_s)
        return done

    def close(self) -> None:
        """Let what is computed come to its end soon, and start nothing more."""
        self._stopping.set()
        self._threads.shutdown(wait=True, cancel_futures=True)
