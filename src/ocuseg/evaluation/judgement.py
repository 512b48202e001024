"""Whether a network learnt anything: sentences about dead classes, which no average may hide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ocuseg.metrics import counts_of, dice

__all__ = ["DEAD_REMEDY", "guess_dice", "judge_dead"]

DEAD_REMEDY = "look at masks and curves.png, then try more epochs, another learning_rate, a Dice loss or class_weights"
"""What to do about a dead class, for the end of a sentence."""

# An untrained network ranks pixels by brightness alone and can reach this on vessels, which are dark.
_NO_BETTER_AUC = 0.55


def guess_dice(share: float) -> float:
    """Return the best Dice that a guess without looking can reach for a class that holds `share` of the pixels.

    Marking a part q of all pixels blindly gives 2pq/(p+q) for the share p, which is highest, 2p/(1+p), at q = 1.
    """
    return 2 * share / (1 + share)


def judge_dead(confusion: NDArray[np.int64], names: Sequence[str], aucs: Sequence[float] | None = None) -> list[str]:
    """Return one sentence per foreground class that the network is dead for; empty if it learnt all of them.

    `confusion` (C, C) is that of all images, rows the reference; `aucs` are the pooled AUCs of classes 1 to C-1. A
    class is dead that is never predicted though it is in the reference, that is predicted everywhere, or whose
    pooled Dice is no better than `guess_dice` or whose AUC is no better than chance. A class that the reference
    lacks is not judged.
    """
    total = int(confusion.sum())
    if total == 0:
        return []
    scores = dice(counts_of(confusion))
    sentences = []
    for index in range(1, len(names)):
        true, found = int(confusion[index].sum()), int(confusion[:, index].sum())
        share, score = true / total, float(scores[index])
        auc = float("nan") if aucs is None else float(aucs[index - 1])
        if true in (0, total):
            continue
        if found == 0:
            reason = f"is never predicted, though it holds {100 * share:.3g} % of the reference"
        elif found == total:
            reason = f"is predicted everywhere, though it holds {100 * share:.3g} % of the reference"
        elif score <= guess_dice(share):
            reason = (
                f"has a pooled Dice of {score:.3f}, no better than {guess_dice(share):.3f} for marking every pixel "
                f"(it holds {100 * share:.3g} % of the reference)"
            )
        elif auc < _NO_BETTER_AUC:
            reason = f"has a pooled AUC of {auc:.3f}, no better than chance (0.5)"
        else:
            continue
        sentences.append(f"{names[index]} {reason}")
    if len(names) > 2 and np.count_nonzero(confusion.sum(axis=0)) == 1 and np.count_nonzero(confusion.sum(axis=1)) > 1:
        only = names[int(confusion.sum(axis=0).argmax())]
        sentences.insert(0, f"every pixel is predicted as {only}")
    return sentences
