"""What happens around the epochs of a run: checkpoints, averages, history, schedule, pictures, progress."""

from ocuseg.training.callbacks.averaging import FreshStatistics, WarmedAveraging
from ocuseg.training.callbacks.checkpoints import BestAndLast, EpochWeights, WholeCheckpoints, read_checkpoint
from ocuseg.training.callbacks.pictures import SamplePictures
from ocuseg.training.callbacks.plateau import ReduceOnPlateau
from ocuseg.training.callbacks.progress import History, ProgressLines

__all__ = [
    "BestAndLast",
    "EpochWeights",
    "FreshStatistics",
    "History",
    "ProgressLines",
    "ReduceOnPlateau",
    "SamplePictures",
    "WarmedAveraging",
    "WholeCheckpoints",
    "read_checkpoint",
]
