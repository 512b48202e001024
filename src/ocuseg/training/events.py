"""The numbers of a run for TensorBoard, written as they come."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from ocuseg.errors import OutputError
from ocuseg.files import make_folder

__all__ = ["TensorBoardEvents"]

_log = logging.getLogger("ocuseg")


class TensorBoardEvents(Logger):
    """Writes what Lightning logs to a new event file in `folder`.

    Lightning's own logger hands the numbers to a thread. Where that cannot write, it dies, and the training waits for
    it for ever. Here a file that cannot be written is said once, and the run goes on: `history.csv` holds the same.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder
        self._writer: Any = None
        self._failed = False

    @property
    def name(self) -> str:
        """Nothing: a run is one experiment."""
        return ""

    @property
    def version(self) -> str:
        """Nothing, as `name`."""
        return ""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write numbers of one step."""
        if self._failed:
            return
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.record_writer import RecordWriter
        from tensorboardX.summary import scalar

        try:
            if self._writer is None:
                path = make_folder(self._folder) / f"events.out.tfevents.{time.time():.6f}"
                self._writer = RecordWriter(str(path))
                self._writer.write(Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString())
            for name, value in metrics.items():
                event = Event(wall_time=time.time(), step=step or 0, summary=scalar(name, value))
                self._writer.write(event.SerializeToString())
            self._writer.flush()
        except (OSError, OutputError) as error:
            self._failed = True
            self._close()
            _log.warning("%s: cannot be written (%s); history.csv holds the same numbers", self._folder, error)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the recipe is in the run folder."""

    def finalize(self, status: str) -> None:  # noqa: ARG002 - Lightning's signature
        """Close the file."""
        self._close()

    def _close(self) -> None:
        if self._writer is not None:
            with suppress(OSError):
                self._writer.close()
        self._writer = None
