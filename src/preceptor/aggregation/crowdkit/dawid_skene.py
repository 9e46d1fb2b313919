"""Dawid–Skene without priors, as crowd-kit fits it: the same steps, start and stop, on arrays.

For posteriors that are calibrated where people judged little, use `preceptor.aggregation.aggregate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from preceptor.aggregation.crowdkit.frames import BadValue, Floats, Frame, Pairs, Series, Table, normalise, pandas

TINY = 1e-10  # the least probability


@dataclass
class DawidSkene:
    """EM on errors_ (P(says label | truth), rows worker and label, columns truth) and priors_ (Dawid & Skene 1979).

    Starts from shares of votes; stops after n_iter steps or when the evidence bound, over the number of answers, rises by less than tol.
    initial_error: errors as counts or probabilities, which replace ("assign") or join ("addition") those of the first step.
    """

    n_iter: int = 100
    tol: float = 1e-5
    initial_error_strategy: Literal["assign", "addition"] | None = None
    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    priors_: Series = field(init=False, repr=False, default=None)
    errors_: Frame = field(init=False, repr=False, default=None)
    loss_history_: list[float] = field(init=False, repr=False, default_factory=list)

    def fit(self, data: Frame, true_labels: Series | None = None, initial_error: Frame | None = None) -> DawidSkene:
        """true_labels: a Series of labels by task; those tasks keep their label."""
        table = Table.of(data)
        if not len(table):
            return self._empty()
        pairs, fixed = Pairs(table), _fixed(table, true_labels)
        probas = fixed(normalise(table.votes()))
        first = _initial(table, pairs, initial_error, self.initial_error_strategy)
        probas, errors = self._climb(table, pairs, probas, first(pairs.matrix @ probas), fixed)
        return self._keep(table, pairs, probas, errors)

    def fit_predict(self, data: Frame, true_labels: Series | None = None, initial_error: Frame | None = None) -> Series:
        return self.fit(data, true_labels, initial_error).labels_

    def fit_predict_proba(self, data: Frame, true_labels: Series | None = None, initial_error: Frame | None = None) -> Frame:
        return self.fit(data, true_labels, initial_error).probas_

    def _climb(self, table: Table, pairs: Pairs, probas: Floats, counts: Floats, fixed: Any) -> tuple[Floats, Floats]:
        answers = np.bincount(table.task, minlength=len(table.tasks))[:, None]
        errors = self._maximise(table, pairs, probas, counts)
        self.loss_history_, before = [], -np.inf
        for _ in range(self.n_iter):
            priors = np.log(np.maximum(probas.mean(axis=0), TINY))
            scores = pairs.transposed @ np.log(errors) + priors
            probas = fixed(normalise(np.exp(scores - scores.max(axis=1, keepdims=True))))
            errors = self._maximise(table, pairs, probas, pairs.matrix @ probas)
            priors = np.log(np.maximum(probas.mean(axis=0), TINY))
            joint = (probas * (pairs.transposed @ np.log(errors) + answers * priors)).sum()
            probas = np.maximum(probas, TINY)
            self.loss_history_.append(float(joint - (probas * np.log(probas)).sum()) / len(table))
            if self.loss_history_[-1] - before < self.tol:
                break
            before = self.loss_history_[-1]
        return probas, errors

    def _maximise(self, table: Table, pairs: Pairs, probas: Floats, counts: Floats) -> Floats:
        return pairs.normalised(np.maximum(counts, TINY))

    def _keep(self, table: Table, pairs: Pairs, probas: Floats, errors: Floats) -> DawidSkene:
        pd = pandas()
        seen = np.argsort(pairs.first)  # rows in the order in which the pairs occur
        names = [table.workers.take(pairs.worker[seen]), table.labels.take(pairs.label[seen])]
        rows = pd.MultiIndex.from_arrays(names, names=["worker", "label"])
        self.probas_, self.labels_ = table.probas(probas), table.best(probas)
        self.priors_ = pd.Series(probas.mean(axis=0), index=table.labels, name="prior")
        self.errors_ = pd.DataFrame(errors[seen], index=rows, columns=table.labels.rename(None))
        return self

    def _empty(self) -> DawidSkene:
        pd = pandas()
        self.probas_, self.errors_ = pd.DataFrame(), pd.DataFrame()
        self.priors_, self.labels_ = pd.Series(dtype=float, name="prior"), pd.Series(dtype=float, name="agg_label")
        return self


@dataclass
class OneCoinDawidSkene(DawidSkene):
    """One skill a worker: right with that probability, else any other label (skills_; errors_ spells it out)."""

    skills_: Series = field(init=False, repr=False, default=None)

    def fit(self, data: Frame) -> OneCoinDawidSkene:  # type: ignore[override]  # crowd-kit's own signature
        super().fit(data)
        if len(self.probas_):
            table = Table.of(data)
            self.skills_ = table.by_worker(_skills(table, self.probas_.to_numpy()), "skill")
        return self

    def fit_predict(self, data: Frame) -> Series:  # type: ignore[override]
        return self.fit(data).labels_

    def fit_predict_proba(self, data: Frame) -> Frame:  # type: ignore[override]
        return self.fit(data).probas_

    def _maximise(self, table: Table, pairs: Pairs, probas: Floats, counts: Floats) -> Floats:
        skill = _skills(table, probas)[pairs.worker][:, None]
        right = pairs.label[:, None] == np.arange(len(table.labels))
        return np.clip(np.where(right, skill, (1 - skill) / max(len(table.labels) - 1, 1)), TINY, 1 - TINY)


def _skills(table: Table, probas: Floats) -> Floats:
    given = np.bincount(table.worker, minlength=len(table.workers))
    return np.asarray(np.bincount(table.worker, probas[table.task, table.label], len(table.workers)) / given)


def _fixed(table: Table, true_labels: Series | None) -> Any:
    """A function that puts gold's rows into a posterior."""
    if true_labels is None:
        return lambda probas: probas
    task, label = table.tasks.get_indexer(true_labels.index), table.labels.get_indexer(true_labels)
    if (label[task >= 0] < 0).any():
        raise BadValue("a true label is one that nobody gave", "leave it out, or add an answer with it")
    rows, columns = task[task >= 0], label[task >= 0]

    def put(probas: Floats) -> Floats:
        probas[rows] = 0.0
        probas[rows, columns] = 1.0
        return probas

    return put


def _initial(table: Table, pairs: Pairs, initial_error: Frame | None, strategy: str | None) -> Any:
    """A function from the first step's counts to those with the initial error."""
    if initial_error is None or strategy is None:
        return lambda counts: counts
    if list(initial_error.index.names) != ["worker", "label"]:
        raise BadValue(f"initial_error is indexed by {initial_error.index.names}", "index it by worker and label")
    if strategy not in ("assign", "addition"):
        raise BadValue(f"initial_error_strategy={strategy!r} is unknown", "known: assign, addition")
    rows = pandas().MultiIndex.from_arrays([table.workers.take(pairs.worker), table.labels.take(pairs.label)])
    given = initial_error.reindex(index=rows, columns=table.labels).to_numpy(dtype=np.float64)
    if strategy == "addition":
        return lambda counts: counts + np.nan_to_num(given)
    if np.isnan(given).any():
        raise BadValue("initial_error lacks a worker's answer that occurs", 'give all, or use the strategy "addition"')
    if (initial_error <= 1.0).all().all() and not np.allclose(initial_error.groupby("worker").sum(), 1.0):
        # the sentence is crowd-kit's, so that who matches on it still can
        raise BadValue("The sum of each worker's error matrix in initial_error should be 1.0", "scale it, or give counts")
    return lambda counts: given
