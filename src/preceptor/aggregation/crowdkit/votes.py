"""Weighted votes: majority, by agreement (Wawa), by zero-based skill, by gold; each label alone (binary relevance)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from preceptor.aggregation.crowdkit.accuracy import get_accuracy
from preceptor.aggregation.crowdkit.frames import BadValue, Floats, Frame, NotFitted, Series, Table, normalise, pandas


@dataclass
class MajorityVote:
    """Votes, or skills summed, as shares (`probas_`); the largest wins (`labels_`).

    skills_: each worker's agreement with the winners. on_missing_skill: what becomes of workers without a skill, where
    skills are given: "error", "ignore" (their answers are left out) or "value" (`default_skill` is theirs).
    """

    default_skill: float | None = None
    on_missing_skill: str = "error"
    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    skills_: Series = field(init=False, repr=False, default=None)

    def fit(self, data: Frame, skills: Series | None = None) -> MajorityVote:
        table = Table.of(data)
        if skills is not None:
            table, weight = self._weighted(data, table, skills)
            self._vote(table, weight[table.worker])
        else:
            self._vote(table, None)
        return self

    def fit_predict(self, data: Frame, skills: Series | None = None) -> Series:
        return self.fit(data, skills).labels_

    def fit_predict_proba(self, data: Frame, skills: Series | None = None) -> Frame:
        return self.fit(data, skills).probas_

    def _vote(self, table: Table, weight: Floats | None) -> None:
        shares = normalise(table.votes(weight))
        best = np.nan_to_num(shares, nan=0.0)
        self.probas_, self.labels_ = table.probas(shares), table.best(best)
        winner = best.argmax(axis=1) if len(table) else np.zeros(0, dtype=np.int64)
        self.skills_ = table.by_worker(table.accuracy(winner), "skill")

    def _weighted(self, data: Frame, table: Table, skills: Series) -> tuple[Table, Floats]:
        if self.on_missing_skill not in ("error", "ignore", "value"):
            raise BadValue(f"on_missing_skill={self.on_missing_skill!r} is unknown", "known: error, ignore, value")
        if (self.on_missing_skill == "value") == (self.default_skill is None):
            raise BadValue('default_skill and on_missing_skill="value" belong together', "give both, or neither")
        default = np.nan if self.default_skill is None else self.default_skill
        weight = table.of_workers(skills)
        absent = np.isnan(weight)
        if absent.any() and self.on_missing_skill == "error":
            raise BadValue(f"{absent.sum()} workers have no skill", 'give all, or on_missing_skill="ignore" or "value"')
        if self.on_missing_skill == "value":
            return table, np.where(absent, default, weight)
        if not absent.any():
            return table, weight
        kept = Table.of(data[~absent[table.worker]])
        if len(kept.tasks) < len(table.tasks):
            raise BadValue(
                f"{len(table.tasks) - len(kept.tasks)} tasks have no worker with a skill",
                'use on_missing_skill="value" with a default_skill',
            )
        return kept, kept.of_workers(skills)


@dataclass
class _BySkill:
    """Votes weighted by skills that `fit` finds."""

    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    skills_: Series = field(init=False, repr=False, default=None)

    def predict(self, data: Frame) -> Series:
        self._apply(data)
        return self.labels_

    def predict_proba(self, data: Frame) -> Frame:
        self._apply(data)
        return self.probas_

    def _apply(self, data: Frame) -> None:
        if self.skills_ is None:
            raise NotFitted("there are no skills yet", "call fit first")
        voted = MajorityVote().fit(data, self.skills_)
        self.labels_, self.probas_ = voted.labels_, voted.probas_


@dataclass
class Wawa(_BySkill):
    """Worker agreement with aggregate: votes weighted by agreement with the plain majority."""

    def fit(self, data: Frame) -> Wawa:
        self.skills_ = MajorityVote().fit(data).skills_
        return self

    def fit_predict(self, data: Frame) -> Series:
        return self.fit(data).predict(data)

    def fit_predict_proba(self, data: Frame) -> Frame:
        return self.fit(data).predict_proba(data)


@dataclass
class ZeroBasedSkill(_BySkill):
    """Skills moved towards agreement with the vote that they weight, in steps of a falling rate."""

    n_iter: int = 100
    lr_init: float = 1.0
    lr_steps_to_reduce: int = 20
    lr_reduce_factor: float = 0.5
    eps: float = 1e-5

    def fit(self, data: Frame) -> ZeroBasedSkill:
        table = Table.of(data)
        skills = np.full(len(table.workers), 1 / max(len(table.labels), 1) + self.eps)
        rate = self.lr_init
        for step in range(1, self.n_iter + 1):
            if step % self.lr_steps_to_reduce == 0:
                rate *= self.lr_reduce_factor
            best = table.votes(skills[table.worker]).argmax(axis=1)
            skills = skills + rate * (table.accuracy(best) - skills)
        self.skills_ = table.by_worker(skills, "skill")
        return self

    def fit_predict(self, data: Frame) -> Series:
        return self.fit(data).predict(data)

    def fit_predict_proba(self, data: Frame) -> Frame:
        return self.fit(data).predict_proba(data)


@dataclass
class GoldMajorityVote(_BySkill):
    """Votes weighted by accuracy on tasks with known labels."""

    def fit(self, data: Frame, true_labels: Series) -> GoldMajorityVote:
        Table.of(data)  # names a missing column
        self.skills_ = get_accuracy(data[["task", "worker", "label"]], true_labels, by="worker").rename("skill")
        return self

    def fit_predict(self, data: Frame, true_labels: Series) -> Series:
        return self.fit(data, true_labels).predict(data)

    def fit_predict_proba(self, data: Frame, true_labels: Series) -> Frame:
        return self.fit(data, true_labels).predict_proba(data)


@dataclass
class BinaryRelevance:
    """Lists of labels: the base aggregator on each label's yes or no; `labels_` has the list of each task."""

    base_aggregator: Any = field(default_factory=MajorityVote)
    aggregators_: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)
    labels_: Series = field(init=False, repr=False, default=None)

    def fit(self, data: Frame) -> BinaryRelevance:
        pd = pandas()
        self.aggregators_ = {}
        chosen: dict[Any, list[Any]] = {task: [] for task in pd.unique(data["task"])}
        for label in sorted({label for answer in data["label"] for label in answer}):
            one = data[["task", "worker"]].assign(label=[int(label in answer) for answer in data["label"]])
            self.aggregators_[label] = copy.deepcopy(self.base_aggregator)
            for task, applies in self.aggregators_[label].fit_predict(one).items():
                if applies:
                    chosen[task].append(label)
        if not chosen:
            self.labels_ = pd.Series([], dtype=float, name="agg_label")
        else:
            self.labels_ = pd.Series(list(chosen.values()), index=pd.Index(list(chosen), name="task"), name="agg_label")
        return self

    def fit_predict(self, data: Frame) -> Series:
        return self.fit(data).labels_
