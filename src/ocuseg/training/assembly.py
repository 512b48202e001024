"""How the processes that train together are started and find one another."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from ocuseg.errors import TrainingError, UsageError
from ocuseg.machine import usable_cores
from ocuseg.training.precision import choose_precision
from ocuseg.training.team import ALONE, Team

__all__ = ["assembled", "meeting_place"]

_log = logging.getLogger("ocuseg")

_PATIENCE_TO_MEET = timedelta(minutes=30)
_END_S = 30.0
_ARRIVED = "arrived"


@contextmanager
def assembled(
    device: str = "auto",
    devices: int = 1,
    *,
    num_nodes: int = 1,
    node_rank: int = 0,
    main_address: str | None = None,
) -> Iterator[Team]:
    """Yield the team that trains: of the processes that torchrun started, or of `devices` on each of `num_nodes`.

    On one machine the others are started when they are first needed. On several, each is told its `node_rank` from 0
    and the `main_address` HOST:PORT of the first, and waits for the others. Whatever way the block ends, so do the
    processes that were started here.
    Raises UsageError where there are not as many GPUs or the numbers do not fit, and TrainingError where the others
    cannot be met.
    """
    started_by_torchrun = "TORCHELASTIC_RUN_ID" in os.environ
    if started_by_torchrun:
        if devices != 1 or num_nodes != 1:
            raise UsageError("torchrun has started the processes; leave out --devices and --num-nodes")
        team = _torchruns(device)
    else:
        team = _own(device, devices, num_nodes, node_rank, main_address)
    if team.size == 1:
        yield ALONE
        return
    helpers: list[subprocess.Popen[bytes]] = []
    scratch = Path(tempfile.mkdtemp(prefix="ocuseg-"))
    place = f"file://{scratch / 'meeting'}" if num_nodes == 1 else f"tcp://{main_address}"
    team.lost = lambda: _lost(helpers, team)

    def assemble() -> None:
        if not helpers:
            helpers.extend(_start_helper(team, rank, place) for rank in range(1, team.local_size))
            store = meeting_place(place, team)
            _await_arrival(helpers, store, team)
            team.connect(store)

    clean = False
    try:
        if started_by_torchrun:
            store, _, _ = next(distributed.rendezvous("env://"))  # type: ignore[attr-defined]
            team.connect(store)
        elif num_nodes > 1:
            assemble()
        else:
            team.assemble = assemble
        yield team
        clean = True
    finally:
        team.leave()
        _end(helpers, _END_S if clean else 0.0)
        shutil.rmtree(scratch, ignore_errors=True)


def meeting_place(place: str, team: Team) -> Any:
    """Return the store that all processes have, at `file://PATH` or at `tcp://HOST:PORT` of the leader."""
    kind, _, where = place.partition("://")
    if kind == "file":
        return distributed.FileStore(where, team.size)  # type: ignore[attr-defined]
    host, _, port = where.rpartition(":")
    try:
        return distributed.TCPStore(  # type: ignore[attr-defined]
            host, int(port), team.size, team.leads, timeout=_PATIENCE_TO_MEET, wait_for_workers=False
        )
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise TrainingError(
            f"{where}: the first machine cannot be met there ({reason}); start it with --node-rank 0, and see that the "
            "port is free and open"
        ) from error


def _torchruns(device: str) -> Team:
    rank, size, local_rank, local_size = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    return Team(rank, size, local_rank, local_size, _fitting_device(device, local_size, told=rank == 0))


def _own(device: str, devices: int, num_nodes: int, node_rank: int, main_address: str | None) -> Team:
    if devices < 1 or num_nodes < 1 or not 0 <= node_rank < num_nodes:
        raise UsageError(
            f"--devices {devices}, --num-nodes {num_nodes}, --node-rank {node_rank}: give numbers from 1 on, and for "
            "the rank one from 0 to the number of nodes less 1"
        )
    if num_nodes == 1 and main_address is not None:
        raise UsageError(f"--main-address {main_address} is of several machines; give --num-nodes and --node-rank too")
    if num_nodes > 1 and not (main_address or "").rpartition(":")[2].isdigit():
        raise UsageError(
            f"--num-nodes {num_nodes}: --main-address {main_address or '(not given)'} is not HOST:PORT of the first "
            "machine; give it on each machine, with its own --node-rank, or use torchrun"
        )
    team = Team(node_rank * devices, num_nodes * devices, 0, devices)
    team.can_import_main = False
    if team.size > 1:
        team.device = _fitting_device(device, devices, told=True)
    return team


def _fitting_device(device: str, processes: int, *, told: bool) -> str:
    kind = choose_precision("fp32", device).device
    if kind == "cuda" and processes > torch.cuda.device_count():
        raise UsageError(
            f"{processes} processes on this machine: PyTorch finds {torch.cuda.device_count()} GPUs; give one process "
            "for each, or device cpu"
        )
    if told and kind == "cpu" and processes > usable_cores():
        _log.warning("%d processes share %d cores; one for each core is faster", processes, usable_cores())
    return kind


def _start_helper(team: Team, local_rank: int, place: str) -> subprocess.Popen[bytes]:
    """Start a process that does as the leader says; it ends when its standard input does, so never outlives this one.

    Not by multiprocessing: that would run a user's script anew, and cannot do so with a notebook. Ctrl-C is not for it.
    """
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "ocuseg.training.helper"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": paths},
        start_new_session=True,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
    )
    seat: Mapping[str, Any] = {
        "rank": team.rank + local_rank,
        "size": team.size,
        "local_rank": local_rank,
        "local_size": team.local_size,
        "device": team.device,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps({"place": place, "seat": seat}).encode() + b"\n")
    process.stdin.flush()
    return process


def _await_arrival(helpers: list[subprocess.Popen[bytes]], store: Any, team: Team) -> None:
    """Return when all helpers of this machine are there; the wait for one that has died would never end."""
    names = [arrival(team.rank + local_rank) for local_rank in range(1, team.local_size)]
    while names and not store.check(names):
        if any(helper.poll() is not None for helper in helpers):
            raise TrainingError(_lost(helpers, team) or "a process could not be started; see what it says")
        time.sleep(0.02)


def arrival(rank: int) -> str:
    """Return under which name process `rank` says in the store that it is there."""
    return f"{_ARRIVED}/{rank}"


def _lost(helpers: list[subprocess.Popen[bytes]], team: Team) -> str | None:
    for local_rank, helper in enumerate(helpers, start=1):
        status = helper.poll()
        if status is not None and (status < 0 or status > 1):
            how = f"was killed (signal {-status}), by the system where memory ran out" if status < 0 else "crashed"
            return f"process {team.rank + local_rank} of {team.size} {how}; lower batch_size if so, then resume the run"
    return None


def _end(helpers: list[subprocess.Popen[bytes]], patience_s: float) -> None:
    end = time.monotonic() + patience_s
    for helper in helpers:
        with suppress(subprocess.TimeoutExpired):
            helper.wait(max(0.0, end - time.monotonic()))
        if helper.poll() is None:
            helper.kill()
        helper.wait()
        if helper.stdin is not None:
            with suppress(OSError):
                helper.stdin.close()
