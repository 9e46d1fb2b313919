"""Agreement, consistency and uncertainty of a crowd, with crowd-kit's names."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from preceptor.compat.crowdkit.data_frames import CrowdkitValueError, CrowdTable, Floats, Frame, Series, get_accuracy, import_pandas
from preceptor.compat.crowdkit.label_aggregation import MajorityVote


class MissingSkillError(CrowdkitValueError, AssertionError):
    """A worker has no skill; also an AssertionError, as in crowd-kit."""


def binary_distance(one: Any, other: Any) -> float:
    """Return 0 for equal labels, else 1."""
    return 0.0 if one == other else 1.0


def alpha_krippendorff(answers: Frame, distance: Callable[[Any, Any], float] = binary_distance) -> float:
    """Return Krippendorff's alpha with any distance between labels; 1 where only one label occurs.

    Tasks with one answer are left out. For intervals see `preceptor.consensus.agreement`.
    """
    table = CrowdTable.from_frame(answers)
    votes = table.votes()
    votes = votes[votes.sum(axis=1) > 1]
    margin = votes.sum(axis=0)
    used = np.flatnonzero(margin)
    if len(used) == 1:
        return 1.0
    votes, margin, labels = votes[:, used], margin[used], [table.labels[k] for k in used]
    apart = np.array([[0.0 if a == b else distance(labels[a], labels[b]) for b in range(len(labels))] for a in range(len(labels))])
    size, n = votes.sum(axis=1), margin.sum()
    observed = (((votes @ apart) * votes).sum(axis=1) / (size - 1)).sum() / n
    return float(1.0 - observed / (margin @ apart @ margin / (n * (n - 1))))


def accuracy_on_aggregates(answers: Frame, aggregator: Any = None, aggregates: Series | None = None, by: str | None = None) -> Any:
    """Return the agreement with aggregated labels: those given, else those of the aggregator (majority vote by default).

    by: "worker" or "task" for a Series, None for the share over all.
    """
    if aggregates is None:
        aggregates = (MajorityVote() if aggregator is None else aggregator).fit_predict(answers)
    return get_accuracy(answers, aggregates, by=by)


def consistency(answers: Frame, workers_skills: Series | None = None, aggregator: Any = None, by_task: bool = False) -> Any:
    """Return P(aggregated label) of each task, if workers are right with their skill: the mean, or a Series by task."""
    table = CrowdTable.from_frame(answers)
    aggregator = MajorityVote() if aggregator is None else aggregator
    best = table.labels.get_indexer(aggregator.fit_predict(answers).reindex(table.tasks))
    skills = _aggregator_skills(aggregator) if workers_skills is None else workers_skills
    with np.errstate(divide="ignore"):
        right, wrong = (np.log(part) for part in _answer_probabilities(table, skills))
    total = (
        table.votes(right - np.where(np.isneginf(wrong), 0.0, wrong))
        + np.bincount(table.task, np.where(np.isneginf(wrong), 0.0, wrong))[:, None]
    )
    ruled_out = (
        np.bincount(table.task, np.isneginf(wrong), len(table.tasks))[:, None] - table.votes(np.isneginf(wrong).astype(np.float64)) > 0
    )
    chance = np.where(ruled_out, 0.0, np.exp(total))
    denominator = chance.sum(axis=1)
    found = np.divide(chance[np.arange(len(best)), best], denominator, out=np.zeros(len(best)), where=denominator > 0)
    series = import_pandas().Series(found, index=table.tasks)
    return series if by_task else series.mean()


def uncertainty(
    answers: Frame, workers_skills: Series | None = None, aggregator: Any = None, compute_by: str = "task", aggregate: bool = True
) -> Any:
    """Return the entropy (nats) of the labels' shares by task or worker: the mean, or a Series where aggregate is false.

    Each answer is spread over the labels by its worker's skill (1 when none are given).
    """
    if compute_by not in answers.columns:
        raise KeyError(compute_by)
    table = CrowdTable.from_frame(answers)
    if workers_skills is None and aggregator is not None:
        workers_skills = _aggregator_skills(aggregator.fit(answers))
    right, wrong = _answer_probabilities(
        table, import_pandas().Series(1.0, index=table.workers) if workers_skills is None else workers_skills
    )
    group, names = (table.task, table.tasks) if compute_by == "task" else (table.worker, table.workers)
    k = len(table.labels)
    sums = np.bincount(group * k + table.label, right - wrong, len(names) * k).reshape(-1, k) + np.bincount(group, wrong)[:, None]
    series = import_pandas().Series(_row_entropy(np.asarray(sums, dtype=np.float64)), index=names)
    return series.mean() if aggregate else series


def entropy_threshold(answers: Frame, workers_skills: Series | None = None, percentile: int = 10, min_answers: int = 2) -> Frame:
    """Drop the answers of workers whose labels vary least: entropy at or below the percentile, of workers with min_answers or more."""
    counts = answers.groupby("worker")["label"].count()
    frequent = answers[answers["worker"].isin(counts[counts >= min_answers].index)]
    varied = uncertainty(frequent, workers_skills, compute_by="worker", aggregate=False)
    kept = answers[~answers["worker"].isin(varied[varied <= np.percentile(varied, percentile)].index)]
    if len(kept) <= len(answers) // 2:
        warnings.warn(
            "Removed >= 1/2 of answers with entropy_threshold. This might lead to poor annotation quality. "
            "Try decreasing percentile or min_answers.",
            stacklevel=2,
        )
    return kept


def _aggregator_skills(aggregator: Any) -> Series:
    if getattr(aggregator, "skills_", None) is None:
        raise MissingSkillError(f"{type(aggregator).__name__} finds no skills", "give workers_skills")
    return aggregator.skills_


def _answer_probabilities(table: CrowdTable, skills: Series) -> tuple[Floats, Floats]:
    """Return for each answer P(its label is right), and P(any one other label is)."""
    skill = table.worker_values(skills)
    if np.isnan(skill).any():
        raise MissingSkillError(
            f"workers without a skill: {', '.join(map(repr, table.workers[np.isnan(skill)][:5]))}", "give all workers' skills"
        )
    right = skill[table.worker]
    return right, (1 - right) / max(len(table.labels) - 1, 1)


def _row_entropy(sums: Floats) -> Floats:
    share = sums / sums.sum(axis=1, keepdims=True)
    return np.asarray(-np.where(share > 0, share * np.log(np.maximum(share, 1e-300)), 0.0).sum(axis=1))
