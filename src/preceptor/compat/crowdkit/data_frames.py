"""Convert between crowd-kit's DataFrames (columns task, worker, label) and arrays of codes, and compute accuracies.

pandas is imported when a call needs it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from preceptor.errors import UserError

Frame = Any  # pandas.DataFrame: naming the type would import pandas
Series = Any
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


class MissingColumnError(UserError, KeyError):
    """A DataFrame lacks a column; also a KeyError, as in crowd-kit."""


class CrowdkitValueError(UserError, ValueError):
    """An argument doesn't fit; also a ValueError, as in crowd-kit."""


class NotFittedError(UserError, AttributeError):
    """`predict` was called before `fit`; also an AttributeError."""


def import_pandas() -> Any:
    """Import and return pandas; raise UserError where it isn't installed."""
    try:
        return import_module("pandas")
    except ImportError:
        raise UserError("crowd-kit's interface works on DataFrames, and pandas isn't installed", "pip install pandas") from None


@dataclass(frozen=True, eq=False)
class CrowdTable:
    """A DataFrame of labels as codes.

    tasks, workers, labels: sorted distinct values (pandas Index). task, worker, label: the codes of each row, (rows,).
    """

    tasks: Any
    workers: Any
    labels: Any
    task: Codes
    worker: Codes
    label: Codes

    @classmethod
    def from_frame(cls, data: Frame) -> CrowdTable:
        """Convert a DataFrame; raise MissingColumnError unless it has the columns task, worker and label."""
        pd = import_pandas()
        coded = {}
        for name in ("task", "worker", "label"):
            if name not in data.columns:
                raise MissingColumnError(f"there is no column {name!r}", f"the columns are {', '.join(map(str, data.columns))}")
            coded[name] = pd.factorize(data[name], sort=True)
        (task, tasks), (worker, workers), (label, labels) = coded.values()
        names = {"task": tasks, "worker": workers, "label": labels}
        tasks, workers, labels = (pd.Index(values, name=name) for name, values in names.items())
        return cls(tasks, workers, labels, *(codes.astype(np.int64) for codes in (task, worker, label)))

    def __len__(self) -> int:
        return len(self.task)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of tasks and number of labels."""
        return len(self.tasks), len(self.labels)

    def votes(self, weight: Floats | None = None) -> Floats:
        """Sum weights (1 a row when none are given) by task and label, (tasks, labels)."""
        size = int(np.prod(self.shape))
        return np.asarray(np.bincount(self.task * self.shape[1] + self.label, weight, size), dtype=np.float64).reshape(self.shape)

    @cached_property
    def distinct(self) -> Codes:
        """Rows that come first of each (task, worker, label): a repeated answer counts once in a worker's accuracy."""
        key = (self.task * len(self.workers) + self.worker) * len(self.labels) + self.label
        return np.asarray(np.sort(np.unique(key, return_index=True)[1]))

    def accuracy(self, best: Codes) -> Floats:
        """Return the share of each worker's distinct answers that equal the best label of the task, (workers,)."""
        rows = self.distinct
        right = best[self.task[rows]] == self.label[rows]
        given = np.bincount(self.worker[rows], minlength=len(self.workers))
        return np.bincount(self.worker[rows], right, len(self.workers)) / given

    def probas(self, values: Floats) -> Frame:
        """Return values, (tasks, labels), as a DataFrame of tasks × labels."""
        return import_pandas().DataFrame(values, index=self.tasks, columns=self.labels)

    def best(self, values: Floats) -> Series:
        """Return the label with the largest value for each task as a Series; ties go to the first in order."""
        if not len(self):
            return import_pandas().Series([], dtype=float, name="agg_label")
        return import_pandas().Series(self.labels.take(values.argmax(axis=1)), index=self.tasks, name="agg_label")

    def by_worker(self, values: Floats, name: str) -> Series:
        """Return values, (workers,), as a Series by worker with this name."""
        return import_pandas().Series(values, index=self.workers, name=name)

    def worker_values(self, series: Series) -> Floats:
        """Convert a Series by worker to an array in the order of `workers`, NaN where it has no value."""
        return np.asarray(series.reindex(self.workers), dtype=np.float64)


class WorkerLabelPairs:
    """The (worker, label) pairs that occur, sorted, with the sparse matrix of how often each was given to each task.

    worker, label: the codes of each pair. first: the row in which each pair occurs first. starts: the first pair of each worker. matrix:
    (pairs, tasks); transposed: (tasks, pairs).
    """

    def __init__(self, table: CrowdTable) -> None:
        labels = len(table.labels)
        cells, self.first, of_row = np.unique(table.worker * labels + table.label, return_index=True, return_inverse=True)
        self.worker, self.label = np.divmod(cells, labels)
        shape = (len(cells), len(table.tasks))
        self.matrix = sparse.csr_array((np.ones(len(table)), (of_row, table.task)), shape=shape)
        self.transposed = self.matrix.T.tocsr()
        self.starts = np.flatnonzero(np.diff(self.worker, prepend=-1))

    def normalize_by_worker(self, values: Floats) -> Floats:
        """Scale each worker's rows so that every column sums to 1."""
        total = np.add.reduceat(values, self.starts, axis=0)
        return np.asarray(values / total[self.worker])


def normalize_shares(scores: Floats) -> Floats:
    """Scale rows to sum to 1; NaN where a row is all 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def get_accuracy(data: Frame, true_labels: Series, by: str | None = None) -> Any:
    """Return the share of answers that are right, over all (a float) or by "worker", "task" or "true_label" (a Series).

    Tasks without a true label are left out; a column `weight` weights the answers; a repeated answer of one worker to one task counts
    once.
    """
    pd = import_pandas()
    for name in ("task", "worker", "label"):
        if name not in data.columns:
            raise MissingColumnError(f"there is no column {name!r}", f"the columns are {', '.join(map(str, data.columns))}")
    known = data[["task", "worker", "label"]].assign(weight=data["weight"] if "weight" in data.columns else 1)
    known = known.join(pd.Series(true_labels, name="true_label"), on="task") if len(known) else known.assign(true_label=[])
    known = known[known["true_label"].notna()]
    known = known.assign(score=known["weight"] * (known["label"] == known["true_label"]))
    known = known.sort_values("score").drop_duplicates(["task", "worker", "label"], keep="last")
    if by is None:
        return known["score"].sum() / known["weight"].sum()
    sums = known.groupby(by)[["score", "weight"]].sum()
    return (sums["score"] / sums["weight"]).rename(None)


def get_most_probable_labels(proba: Frame) -> Series:
    """Return the label with the largest probability in each row."""
    return proba.idxmax(axis="columns") if proba.size else import_pandas().Series([], dtype=object)


def normalize_rows(scores: Frame) -> Frame:
    """Scale the rows of a DataFrame to sum to 1; raise CrowdkitValueError where it is empty."""
    if not scores.size:
        raise CrowdkitValueError("there are no scores to scale")
    return scores.div(scores.sum(axis=1), axis=0)
