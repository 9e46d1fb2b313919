"""When validation has stopped getting better: by more than chance, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray

_FILE = "yardstick.npy"


class Yardstick:
    """The validation losses of each row when they last were clearly better than those before; later ones are held against them.

    Clearly: by more than the standard error of the paired difference, clustered by group. Progress in small steps adds up,
    since the yardstick stays until they are clear; which weights are kept doesn't depend on it.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.groups, self.shares = groups, np.zeros(0)

    def hold(self, shares: FloatArray) -> dict[str, float]:
        """Change of the mean loss since the yardstick, in nats, and its standard error; nothing for the first. Moves the yardstick."""
        if not len(self.shares):
            self.shares = shares
            return {}
        groups = self.groups if len(self.groups) == len(shares) else range(len(shares))  # an objective may look at a sample only
        change = {"change": float(np.mean(shares - self.shares)), "change_error": clustered_error(shares - self.shares, groups)}
        if clearly_better(change):
            self.shares = shares
        return change

    def save(self, folder: Path) -> None:
        """Beside a checkpoint, which is resumed with it."""
        np.save(folder / _FILE, self.shares)

    def load(self, folder: Path) -> None:
        """As it was when the checkpoint was written."""
        self.shares = np.load(folder / _FILE)


def clearly_better(change: Mapping[str, Any]) -> bool:
    """Whether an evaluation moved the yardstick; the first always does."""
    return bool("change" not in change or change["change"] < -change["change_error"])


def clearly_worse(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a model's history is above the yardstick by more than the standard error."""
    return bool(entry.get("validation_change", 0.0) > entry.get("validation_change_error", 0.0))


def out_of_patience(log: Sequence[Mapping[str, Any]], patience: int) -> bool:
    """Whether none of the last `patience` evaluations was clearly better. Read from the history, which checkpoints hold."""
    seen = [{name.removeprefix("eval_"): value for name, value in entry.items()} for entry in log if "eval_loss" in entry]
    return len(seen) >= patience and not any(clearly_better(entry) for entry in seen[-patience:])


def clustered_error(values: FloatArray, groups: Sequence[Any]) -> float:
    """Standard error of the mean of `values` when rows of one group go together."""
    _, codes = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(codes, weights=values - values.mean())
    return float(np.sqrt((sums**2).sum()) / len(values))
