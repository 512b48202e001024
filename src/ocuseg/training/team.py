"""The processes that train together: which of them this is, and what they say to one another."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, distributed

from ocuseg import errors
from ocuseg.errors import OcusegError, TrainingError, UsageError
from ocuseg.machine import usable_cores

__all__ = ["ALONE", "Team"]

_Answer = TypeVar("_Answer")

_PATIENCE_IN_STEPS = timedelta(minutes=30)
_PATIENCE_BETWEEN = timedelta(days=7)  # others wait while one checks the data, scores and exports
_CAUSE_S = 3.0
_FAULT = "fault"


class Team:
    """The `size` processes that train one network, seen from one of them, number `rank`; by default one alone.

    Process 0 leads: it alone checks, writes and speaks, and hands the others what is to be fitted. `local_rank` and
    `local_size` count the processes of this machine alone. What is said of all processes has to be called in all of
    them, in the same order.
    """

    def __init__(
        self, rank: int = 0, size: int = 1, local_rank: int = 0, local_size: int = 1, device: str = "cpu"
    ) -> None:
        self.rank, self.size = rank, size
        self.local_rank, self.local_size = local_rank, local_size
        self.device = device
        self.assemble: Callable[[], None] = lambda: None
        """Starts the other processes, when there is first something for them to do."""
        self.lost: Callable[[], str | None] = lambda: None
        """Says which process ended by itself, as far as that can be known here."""
        self.can_import_main = True
        """Whether the other processes run the same program, and so know what it defines."""
        self._store: Any = None
        self._between: Any = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Team:
        """Return this team, as there is but one of it: a copy of the network, for its average, has the same."""
        return self

    @property
    def leads(self) -> bool:
        """Whether this process checks, writes and speaks for all."""
        return self.rank == 0

    @property
    def part(self) -> tuple[int, int]:
        """Which part of how many, from 0, is this process's."""
        return self.rank, self.size

    @property
    def threads(self) -> int:
        """How many threads this process computes with, where it is one of several: its share of the cores."""
        return max(1, usable_cores() // self.local_size)

    def connect(self, store: Any) -> None:
        """Meet the others, who have the same `torch.distributed` store, by NCCL on GPUs and gloo on CPUs."""
        self._store = store
        if self.device == "cuda":
            torch.cuda.set_device(self.local_rank)
        distributed.init_process_group(
            "nccl" if self.device == "cuda" else "gloo",
            store=distributed.PrefixStore("steps", store),  # type: ignore[attr-defined]
            rank=self.rank,
            world_size=self.size,
            timeout=_PATIENCE_IN_STEPS,
        )
        self._between = distributed.new_group(backend="gloo", timeout=_PATIENCE_BETWEEN)

    def require_portable(self, callbacks: Sequence[Any]) -> None:
        """Raise UsageError where the other processes could not have copies of these callbacks."""
        for callback in callbacks if self.size > 1 else ():
            kind = type(callback)
            if kind.__module__ == "__main__" and not self.can_import_main:
                raise UsageError(
                    f"{kind.__name__}: is defined in the script or notebook itself, where other processes cannot "
                    "import it; put it into a module of its own, or start the script with torchrun"
                )
            try:
                pickle.dumps(callback)
            except Exception as error:  # whatever the callback holds raises
                raise UsageError(
                    f"{kind.__name__}: cannot be handed to other processes ({error}); keep only plain values in it"
                ) from error

    def leave(self) -> None:
        """Part from the others; those who still wait for this process fail."""
        if self._store is not None and distributed.is_initialized():
            with suppress(RuntimeError):  # the others may be gone
                distributed.destroy_process_group()
        self._store = self._between = None

    def hand(self, **job: Any) -> None:
        """Give the followers what `receive` returns there; only the leader does."""
        if self.size > 1:
            self.assemble()
            with self._blaming():
                self._broadcast(("job", job))

    def dismiss(self, result: str) -> None:
        """Tell the followers that there is no more to do, and the result of all; only the leader does."""
        if self._store is not None:
            with self._blaming():
                self._broadcast(("end", result))

    def receive(self) -> tuple[Literal["job", "end"], Any]:
        """Return, in a follower, what the leader hands to it next: a job, or the result at the end."""
        word: tuple[Literal["job", "end"], Any] = self._broadcast(None)
        return word

    def told(self, ask: Callable[[], _Answer]) -> _Answer:
        """Return, in every process, what `ask` returned in the leader."""
        if self.size == 1:
            return ask()
        answer: _Answer = self._broadcast(ask() if self.leads else None)
        return answer

    def gathered(self, item: _Answer) -> list[_Answer]:
        """Return the `item` of each process to the leader, by rank, and nothing to the others."""
        if self.size == 1:
            return [item]
        items: list[Any] | None = [None] * self.size if self.leads else None
        distributed.gather_object(item, items, dst=0, group=self._between)
        return items or []

    @contextmanager
    def in_turn(self, wanted: bool) -> Iterator[None]:
        """Do what is inside in the first process of each machine, then in the others, if that is `wanted`."""
        waits = wanted and self.size > 1
        if waits and self.local_rank > 0:
            distributed.barrier(group=self._between)
        yield
        if waits and self.local_rank == 0:
            distributed.barrier(group=self._between)

    def total(self, sums: Tensor) -> Tensor:
        """Return the sum of what each process has."""
        if self.size == 1:
            return sums
        everyone = sums.detach().clone()
        of_gpu_team_on_cpu = self.device != everyone.device.type
        distributed.all_reduce(everyone, group=self._between if of_gpu_team_on_cpu else None)
        return everyone

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over the processes in the place of what each has in its `tensors`, of any shapes."""
        if self.size > 1:
            flat = self.total(torch.cat([each.flatten() for each in tensors])) / self.size
            for each, mean in zip(tensors, flat.split_with_sizes([each.numel() for each in tensors]), strict=True):
                each.copy_(mean.view_as(each))

    def pooled(self, sums: Tensor) -> Tensor:
        """Return the sum of what each process has, with this process's gradient times the number of processes.

        DDP divides the sum of the processes' gradients by their number. So multiplied, it comes to the gradient of the
        loss of all batches together, and nothing has to be exchanged on the way back.
        """
        if self.size == 1:
            return sums
        everyone = self.total(sums)
        return everyone + self.size * (sums - sums.detach()) if sums.requires_grad else everyone

    def strategy(self) -> Any:
        """Return the strategy for Lightning's trainer: its own choice for one process, DDP for several."""
        if self.size == 1:
            return "auto"
        from ocuseg.training.strategy import Together

        return Together(self)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Compute with this process's share of the cores, and raise what stopped another process, where that ends it.

        Raises the error of that process where a user can mend it, and TrainingError where it was lost.
        """
        before = torch.get_num_threads()
        # What was set for one process alone stays, but where a container may use fewer cores than it sees.
        torch.set_num_threads(min(before, self.threads) if self.size == 1 else self.threads)
        try:
            with nullcontext() if self.size == 1 else self._blaming():
                yield
        finally:
            torch.set_num_threads(before)

    def report(self, error: BaseException) -> bool:
        """Leave word of what stopped this process, for the leader to say; False where it was the end of another."""
        if isinstance(error, OcusegError):
            fault = {"kind": type(error).__name__, "message": str(error)}
        elif isinstance(error, Exception) and not _is_broken_connection(error):
            reason = str(error).partition("\n")[0]
            message = f"process {self.rank} of {self.size}: {type(error).__name__}: {reason}; see its traceback"
            fault = {"kind": TrainingError.__name__, "message": message}
        else:
            return False
        with suppress(RuntimeError):
            self._store.set(_FAULT, json.dumps(fault))
        return True

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if self.leads and (cause := self._cause(error)) is not None:
                raise cause from error
            raise

    def _cause(self, error: RuntimeError) -> OcusegError | None:
        end = time.monotonic() + _CAUSE_S
        while time.monotonic() < end:
            with suppress(RuntimeError):
                if self._store.check([_FAULT]):
                    fault = json.loads(self._store.get(_FAULT))
                    kind: type[OcusegError] = getattr(errors, fault["kind"], TrainingError)
                    return kind(fault["message"])
            if (lost := self.lost()) is not None:
                return TrainingError(lost)
            time.sleep(0.05)
        if _is_broken_connection(error):
            return TrainingError(
                f"one of the {self.size} processes was lost (killed, or its machine); see what it or the system says "
                "of it, then resume the run"
            )
        return None

    def _broadcast(self, content: Any) -> Any:
        box = [content]
        distributed.broadcast_object_list(box, src=0, group=self._between, device=torch.device("cpu"))
        return box[0]


ALONE = Team()


def _is_broken_connection(error: Exception) -> bool:
    """Whether an error says that another process does not answer; gloo says so in plain RuntimeErrors."""
    return isinstance(error, distributed.DistError) or (
        isinstance(error, RuntimeError) and ("gloo" in str(error) or "Connection" in str(error))
    )
