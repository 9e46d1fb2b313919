"""Find likely label errors by confident learning (Northcutt, Jiang & Chuang 2021, JAIR 70), with stratified group folds.

A model that has not seen a row's group predicts the probability of each answer. A row is counted as really another answer where the model
is at least as confident of that one as it is on average of the rows labelled so (section 3.1). Where texts truly allow two answers, such
doubt counts as well. The result is a queue for people to review and an estimate of how many labels are wrong, never a correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import UserError
from preceptor.quality.significance import format_percent
from preceptor.statistics import compare_paired
from preceptor.statistics.inputs import as_clusters, as_probabilities, as_targets, check_confidence
from preceptor.statistics.intervals import cluster_totals, estimate_clustered_proportion
from preceptor.types import Estimate, FloatArray, IntArray


def stratified_group_folds(groups: Sequence[str] | None, labels: IntArray, *, count: int = 5, seed: int = 0) -> IntArray:
    """Return the fold of each row, 0 … count−1, (n,): a group is in one fold, and each label is spread over all as its groups allow.

    Groups of a label are assigned from the largest to the smallest, back and forth over the folds, so that folds are of about one size; a
    group of several labels counts as one of its most frequent. The same seed gives the same folds. Raises UserError for fewer groups than
    folds.
    """
    code = as_clusters(groups, len(labels))
    group_count = int(code.max()) + 1 if len(code) else 0
    if not 2 <= count <= group_count:
        raise UserError(
            f"{count} folds need at least two, and as many groups of rows; there are {group_count:,} groups",
            "add rows of more groups, for a group stays in one fold",
            where="folds",
        )
    size, common = np.bincount(code), _most_common_labels(code, labels)
    chance = np.random.default_rng(seed).permutation(group_count)
    order = np.lexsort((chance, -size, common))
    turn, place = np.divmod(np.arange(group_count), count)
    dealt = np.empty(group_count, np.int64)
    dealt[order] = np.where(turn % 2, count - 1 - place, place)
    return dealt[code]


def _most_common_labels(code: IntArray, labels: IntArray) -> IntArray:
    """Return the most frequent label of each group, the first of equals."""
    width = int(labels.max()) + 1
    cells, counts = np.unique(code * width + labels, return_counts=True)
    group, label = np.divmod(cells, width)
    order = np.lexsort((label, -counts, group))
    first = np.unique(group[order], return_index=True)[1]
    return np.asarray(label[order][first], dtype=np.int64)


_UNINFORMATIVE = "the model tells these answers no better than always saying the commonest one: which labels are wrong, it can't say"
_EASIEST_SHARE = 0.2  # of the rows predicted as an answer: with more, the model's own mistakes count; with fewer, few rows are left
RankMethod = Literal["margin", "self_confidence"]


@dataclass(frozen=True, slots=True)
class SuspectLabel:
    """A row whose label is doubtful.

    score: 0 to 1, from agreement to a confident contradiction. given_label, given_probability: people's answer and their posterior.
    predicted_label, predicted_probability: the model's. reason: this in words.
    """

    row: int
    score: float
    given_label: str
    predicted_label: str
    given_probability: float
    predicted_probability: float
    reason: str


@dataclass(frozen=True, slots=True)
class LabelConfusion:
    """Rows labelled `given_label` that are likely `likely_label`. share: of the rows labelled so."""

    given_label: str
    likely_label: str
    count: int
    share: Estimate
    summary: str


@dataclass(frozen=True)
class LabelErrors:
    """The result of confident learning on a set.

    score: of each row, 0 to 1, (n,); see `suspicion_scores`. order: all rows, the most suspicious first, (n,). error_rate: the share of
    rows whose most probable answer is wrong, see `estimate_error_rate`. joint: share of rows, (k, k), by given label (rows) and likely
    label (columns); its rows sum to the shares of answers. confusions: which answers are mistaken for which, the most frequent first.
    confident_labels: the likely label of each row, −1 for none. accuracy_gain: how much more often the model agrees with people than the
    most frequent answer would; unless that is shown to be above 0, its doubts mean nothing.
    """

    answers: tuple[str, ...]
    score: FloatArray
    order: IntArray
    error_rate: Estimate
    joint: FloatArray
    confusions: tuple[LabelConfusion, ...]
    summary: str
    confident_labels: IntArray
    accuracy_gain: Estimate
    _people: FloatArray
    _model: FloatArray

    @property
    def informative(self) -> bool:
        """Whether the model predicts these answers well enough for its doubts to mean something."""
        return self.accuracy_gain.low > 0

    @cached_property
    def suspects(self) -> tuple[SuspectLabel, ...]:
        """The rows counted as wrong, the most suspicious first; none where the model is uninformative."""
        if not self.informative:
            return ()
        said = self._people.argmax(axis=1)
        wrong = (self.confident_labels >= 0) & (self.confident_labels != said)
        return tuple(self.suspect_at(int(row)) for row in self.order[wrong[self.order]])

    def suspect_at(self, row: int) -> SuspectLabel:
        """Return any row with the reason for its place in `order`."""
        people, model = self._people[row], self._model[row]
        said, thought = int(people.argmax()), int(model.argmax())
        told = f"people say {self.answers[said]!r} ({format_percent(people[said])})"
        if said == thought:
            reason = f"{told}, and the model agrees ({format_percent(model[said])})"
        else:
            reason = (
                f"{told}, the model {self.answers[thought]!r} ({format_percent(model[thought])}; "
                f"{self.answers[said]!r} {format_percent(model[said])})"
            )
        return SuspectLabel(
            row, float(self.score[row]), self.answers[said], self.answers[thought], float(people[said]), float(model[thought]), reason
        )


def find_label_errors(
    targets: ArrayLike,
    probabilities: ArrayLike,
    answers: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    known: ArrayLike | None = None,
    folds: ArrayLike | None = None,
    rank: RankMethod = "margin",
    confidence: float = 0.95,
) -> LabelErrors:
    """Estimate which labels are likely wrong, how many, and which answers are mistaken for which.

    targets: the people's posterior (n, k), or the answers' numbers (n,). probabilities: a model's for the same rows, (n, k), each predicted
    without the row's group. groups: each row's, for intervals. known: whether the model had seen the row's answer at all, (n,) bool; other
    rows are ignored. folds: of the model that predicted each row. rank: see `suspicion_scores`. Raises UserError where shapes don't fit or
    a row isn't a distribution.
    """
    model = as_probabilities(probabilities)
    people = as_targets(targets, len(model), model.shape[1])
    if len(answers) != model.shape[1]:
        raise UserError(f"{len(answers)} answers for probabilities of {model.shape[1]}", "name each column", where="answers")
    seen = np.ones(len(model), bool) if known is None else np.asarray(known, dtype=bool)
    if not seen.any():
        raise UserError("the model had seen the answer of no row", "give each answer rows of two groups at least", where="known")
    fold = as_clusters(np.zeros(len(model), np.int64) if folds is None else folds, len(model))
    said, counted = people.argmax(axis=1), np.where(seen, assign_confident_labels(people, model), -1)
    score = np.where(seen, suspicion_scores(people, model, rank), 0.0)
    joint = confident_joint(said, counted, len(answers))
    units = as_clusters(groups, len(said))
    better = _accuracy_gain(said[seen], model[seen].argmax(axis=1), units[seen], confidence)
    wrong = estimate_error_rate(said[seen], model[seen], units[seen], fold[seen], confidence=confidence)
    pairs = _label_confusions(said, counted, answers, units, confidence)
    order = np.argsort(-score, kind="stable")
    if better.low <= 0:
        wrong, pairs = replace(wrong, low=0.0, high=1.0, method="no interval: the model tells answers no better than the commonest one"), ()
    words = _summary(wrong, len(said), int(((counted >= 0) & (counted != said)).sum()), pairs) if better.low > 0 else _UNINFORMATIVE
    return LabelErrors(tuple(answers), score, order, wrong, joint, pairs, words, counted, better, people, model)


def suspicion_scores(people: FloatArray, model: FloatArray, rank: RankMethod = "margin") -> FloatArray:
    """Return how far the model is from people's answer, weighted by their certainty; both (n, k), result (n,) in 0 … 1.

    "margin": of what the model gives the label and its strongest rival, the rival's share; where people are undecided, an answer that they
    lean to is no full rival, and the label's share is the model's for all their answers. "self_confidence": max q − Σ q p, with q the
    people's posterior, which is 1 − p of the label where they are certain. Raises UserError for another rank.
    """
    most = people.max(axis=1)
    own = (people * model).sum(axis=1)
    if rank == "self_confidence":
        return np.asarray(np.clip(most - own, 0.0, 1.0), dtype=np.float64)
    if rank != "margin":
        raise UserError(f"no ranking is called {rank!r}", "known: margin, self_confidence", where="rank")
    rival = (model * (1 - people / most[:, None])).max(axis=1)
    return np.asarray(rival / np.maximum(rival + own / most, 1e-300))


def class_thresholds(people: FloatArray, model: FloatArray) -> FloatArray:
    """Return the model's average confidence in the rows of each answer, (k,) (eq. 2); above 1 for an answer without rows."""
    borne = people.sum(axis=0)
    return np.where(borne > 0, (people * model).sum(axis=0) / np.maximum(borne, 1e-12), 2.0)


def assign_confident_labels(people: FloatArray, model: FloatArray) -> IntArray:
    """Return each row's likely label, (n,): the most probable of the answers that reach their threshold, −1 where none does (eq. 1)."""
    reach = model >= class_thresholds(people, model) - 1e-12
    best = np.where(reach, model, -1.0).argmax(axis=1)
    return np.where(reach.any(axis=1), best, -1).astype(np.int64)


def confident_joint(said: IntArray, counted: IntArray, answers: int) -> FloatArray:
    """Return the share of all rows, (k, k), by given and likely label, each row scaled to how often the label is given (eq. 3)."""
    table = np.zeros((answers, answers))
    sure = counted >= 0
    np.add.at(table, (said[sure], counted[sure]), 1.0)
    unseen = table.sum(axis=1) == 0
    table[unseen, unseen] = 1.0  # none of its rows has a likely label: taken as right
    share = np.bincount(said, minlength=answers) / len(said)
    return np.asarray(table / table.sum(axis=1, keepdims=True) * share[:, None])


def estimate_error_rate(said: IntArray, model: FloatArray, groups: IntArray, fold: IntArray, *, confidence: float = 0.95) -> Estimate:
    """Estimate the share of wrong labels from the easiest texts: of each answer the fifth in which the model is most confident.

    There a label that contradicts the model is wrong rather than the model (anchor points: Liu & Tao 2016; Patrini et al. 2017), while the
    confident joint counts a weak model's own mistakes. Labels of hard texts are assumed to be wrong as often as those of easy ones; where
    they are wrong more often, this is too low. said (n,), model (n, k), groups and fold (n,) of rows predicted without their fold: the
    fifth is taken within each fold, since where a fold holds more wrong labels than the others, the model trained on those is more
    confident.
    """
    thought, sure = model.argmax(axis=1), model.max(axis=1)
    cell = fold * model.shape[1] + thought
    order = np.lexsort((-sure, cell))
    size = np.bincount(cell)
    place = np.arange(len(order)) - (np.cumsum(size) - size)[cell[order]]
    easiest = order[place < np.maximum(np.rint(_EASIEST_SHARE * size), 1)[cell[order]]]
    wrong = (said[easiest] != thought[easiest]).astype(np.float64)
    unit = np.unique(groups[easiest], return_inverse=True)[1]
    found = estimate_clustered_proportion(*cluster_totals(wrong, unit), confidence=check_confidence(confidence))
    return replace(found, method=f"labels of the easiest fifth of each answer; {found.method}")


def _label_confusions(
    said: IntArray, counted: IntArray, answers: Sequence[str], groups: IntArray, confidence: float
) -> tuple[LabelConfusion, ...]:
    """Return the answers mistaken for each other at least twice, with intervals for the share of the rows that have a likely label."""
    found: list[LabelConfusion] = []
    for one in np.unique(said[(counted >= 0) & (counted != said)]).tolist():
        rows = np.flatnonzero((counted >= 0) & (said == one))
        seems, unit = counted[rows], np.unique(groups[rows], return_inverse=True)[1]
        counts = np.bincount(seems, minlength=len(answers))
        for other in np.flatnonzero((counts >= 2) & (np.arange(len(answers)) != one)).tolist():
            share = estimate_clustered_proportion(*cluster_totals((seems == other).astype(np.float64), unit), confidence=confidence)
            found.append(_label_confusion(answers[one], answers[other], int(counts[other]), share))
    return tuple(sorted(found, key=lambda pair: -pair.count))


def _label_confusion(said: str, really: str, count: int, share: Estimate) -> LabelConfusion:
    words = f"{count:,} rows are called {said!r} and look like {really!r} ({format_percent(share.value)} of {said!r})"
    return LabelConfusion(said, really, count, share, words)


def _accuracy_gain(said: IntArray, thought: IntArray, groups: IntArray, confidence: float) -> Estimate:
    """Estimate how much more often the model gives people's answer than the most frequent answer would."""
    right, common = said == thought, said == np.bincount(said).argmax()
    return compare_paired(right.astype(np.float64), common.astype(np.float64), clusters=groups, confidence=confidence)


def _summary(wrong: Estimate, rows: int, named: int, pairs: Sequence[LabelConfusion]) -> str:
    span = f"{round(wrong.low * rows):,} to {round(wrong.high * rows):,}"
    told = f"about {round(wrong.value * rows):,} of {rows:,} labels seem wrong ({span}, by the texts that are easiest to tell)"
    told += f"; {named:,} rows are named, where texts allow two answers some are only hard"
    return f"{told}; most often {pairs[0].given_label!r} that looks like {pairs[0].likely_label!r}" if pairs else told
