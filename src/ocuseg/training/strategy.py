"""Lightning's DDP for a team: which process this is, and nothing to start."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from lightning_fabric.plugins import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

if TYPE_CHECKING:
    from ocuseg.training.team import Team

__all__ = ["Together"]


class Together(DDPStrategy):
    """DDP among the processes of a team, which have met; also in a notebook, where Lightning would start none."""

    def __init__(self, team: Team) -> None:
        # Without broadcasts of buffers: the processes validate different numbers of images, and nobody would answer.
        super().__init__(cluster_environment=_Place(team), broadcast_buffers=False, gradient_as_bucket_view=True)

    def _configure_launcher(self) -> None:
        self._launcher = None

    def on_train_start(self) -> None:
        """Let SIGTERM end this process: Lightning's handler would first wait for the others, in whatever they do."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


class _Place(ClusterEnvironment):
    """Tells Lightning which process this is."""

    def __init__(self, team: Team) -> None:
        self._team = team

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        raise NotImplementedError("the processes have met")

    @property
    def main_port(self) -> int:
        raise NotImplementedError("the processes have met")

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._team.size

    def set_world_size(self, size: int) -> None:
        """Nothing: it is known."""

    def global_rank(self) -> int:
        return self._team.rank

    def set_global_rank(self, rank: int) -> None:
        """Nothing: it is known."""

    def local_rank(self) -> int:
        return self._team.local_rank

    def node_rank(self) -> int:
        return (self._team.rank - self._team.local_rank) // self._team.local_size
