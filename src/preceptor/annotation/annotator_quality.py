"""Measure how well each annotator answers one question, and what that rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from preceptor.annotation.assignment import is_correct
from preceptor.annotation.consensus_index import ConsensusIndex
from preceptor.quality.careless_answers import AnswerBehavior, BehaviorFlag, BehaviorPool, flag_careless_answers
from preceptor.questions import kinds
from preceptor.statistics.intervals import estimate_proportion
from preceptor.statistics.sequential import confidence_sequence_path
from preceptor.storage import annotation_stats, people
from preceptor.types import Annotator, ComposedConsensus, Estimate, Question, render_content

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


_POOL_JUDGMENTS = 5_000  # newest judgments that show how people work
_RECENT_JUDGMENTS = 50  # an annotator's newest judgments that are examined
_LARGE_POOL_JUDGMENTS = 1_000  # size of a pool in which one annotator's own judgments weigh little
_MAX_FLAGGED_ANNOTATORS = 2_000  # annotators with the newest judgments; the others have done nothing lately


@dataclass(frozen=True)
class AnswerBias:
    """The answer that an annotator gives most in excess of the consensus on their items, and by how much (a difference of shares)."""

    answer: Any
    excess: Estimate


@dataclass(frozen=True)
class AnnotatorScorecard:
    """The quality of one annotator on one question.

    gold_results: right or not, in the order of their answers. gold_accuracy: the share of those right. is_compared: whether others have
    answered enough for flags to be raised by comparison with them.
    """

    annotator: Annotator
    judgments: int = 0
    accuracy: Estimate | None = None
    bias: AnswerBias | None = None
    seconds: float | None = None
    gold_results: Sequence[bool] = ()
    gold_accuracy: Estimate | None = None
    flags: Sequence[BehaviorFlag] = field(default=())
    is_compared: bool = True

    def gold_accuracy_curve(self) -> list[tuple[int, float, float, float]]:
        """Return (gold answers so far, share right, low, high) after each answer: bounds that are valid at every look."""
        right = np.asarray(self.gold_results, dtype=np.float64)
        if not len(right):
            return []
        low, high = confidence_sequence_path(right)
        share = np.cumsum(right) / np.arange(1, len(right) + 1)
        rows = zip(share.tolist(), low.tolist(), high.tolist(), strict=True)
        return [(n, at, min(one, at), max(other, at)) for n, (at, one, other) in enumerate(rows, start=1)]


def measure_annotators(project: Project, found: ConsensusIndex) -> dict[str, AnnotatorScorecard]:
    """Return the scorecards of all annotators by name, in order of arrival, also those who have answered nothing."""
    key, question = found.judgment_set.key, found.judgment_set.question
    with project.database.reading() as connection:
        everyone = people.list_annotators(connection)
        seconds = {name: float(np.median(taken)) for name, taken in annotation_stats.seconds_by_annotator(connection, key).items()}
        gold = annotation_stats.gold_answers_by_annotator(connection, key)
        raised = _find_careless_annotators(connection, key, question, found)
    biases = _measure_biases(found)
    return {each.id: _measure_annotator(each, found, question, biases, seconds, gold, raised) for each in everyone}


def _measure_annotator(
    who: Annotator,
    found: ConsensusIndex,
    question: Question,
    biases: Mapping[str, AnswerBias],
    seconds: Mapping[str, float],
    gold: Mapping[str, list[tuple[Any, Any]]],
    raised: Mapping[str, list[BehaviorFlag] | None],
) -> AnnotatorScorecard:
    their = found.consensus.annotators.get(who.id)
    right = tuple(is_correct(question, said, known) for said, known in gold.get(who.id, ()))
    share = estimate_proportion(sum(right), len(right)) if right else None
    accuracy, count = (their.accuracy, their.judgments) if their else (None, 0)
    if who.kind == "import":  # many people may stand behind one name
        accuracy = None
    seen = raised.get(who.id, [])
    return AnnotatorScorecard(
        who, count, accuracy, biases.get(who.id), seconds.get(who.id), right, share, tuple(seen or ()), seen is not None
    )


def _measure_biases(found: ConsensusIndex) -> dict[str, AnswerBias]:
    """Return for each annotator the answer with the greatest mean of (they gave it) − (its probability); t intervals, shared among answers.

    Empty for kinds whose consensus isn't over the answers that people give.
    """
    j, fitted = found.judgments, found.consensus
    place = {answer: k for k, answer in enumerate(fitted.answers)}
    if isinstance(fitted, ComposedConsensus) or not set(j.answers) <= set(place) or len(place) > 100 or fitted.items != j.items:
        return {}
    said = np.array([place[answer] for answer in j.answers])[j.answer_code]
    count = np.bincount(j.annotator_code, minlength=j.n_annotators).astype(np.float64)
    mean, square = (np.empty((j.n_annotators, len(place))) for _ in range(2))
    for k in range(len(place)):
        excess = (said == k) - fitted.posterior[j.item_code, k]
        mean[:, k] = np.bincount(j.annotator_code, excess, j.n_annotators) / count
        square[:, k] = np.bincount(j.annotator_code, excess**2, j.n_annotators) / count
    most = mean.argmax(axis=1)
    rows = np.arange(j.n_annotators)
    value, free = mean[rows, most], np.maximum(count - 1, 1)
    half = stdtrit(free, 1 - 0.025 / len(place)) * np.sqrt(np.maximum(square[rows, most] - value**2, 0) / free)
    return {
        name: AnswerBias(
            fitted.answers[most[w]], Estimate(float(value[w]), float(value[w] - half[w]), float(value[w] + half[w]), int(count[w]), "t")
        )
        for w, name in enumerate(j.annotators)
        if count[w] >= 2
    }


def _find_careless_annotators(
    connection: Connection, key: int, question: Question, found: ConsensusIndex
) -> dict[str, list[BehaviorFlag] | None]:
    """Return signs of careless work in annotators' newest judgments, by name; None where others are too few to compare with."""
    known = [_observed_answer(question, row) for row in annotation_stats.latest_judgments(connection, key, limit=_POOL_JUDGMENTS)]
    pool = BehaviorPool.from_behavior(known)
    newest: dict[str, int] = {}
    for name, number in zip(found.judgment_set.columns[1], found.judgment_set.columns[3], strict=True):
        newest[name] = number
    watched = sorted(newest, key=lambda name: -newest[name])[:_MAX_FLAGGED_ANNOTATORS]
    places = people.keys(connection, watched)
    raised = dict[str, list[BehaviorFlag] | None]()
    for name in watched:
        others = (
            pool if len(known) >= _LARGE_POOL_JUDGMENTS else BehaviorPool.from_behavior(work for work in known if work.annotator != name)
        )
        rows = annotation_stats.latest_judgments(connection, key, limit=_RECENT_JUDGMENTS, annotator=places[name])
        seen = flag_careless_answers([_observed_answer(question, row) for row in rows], others)
        raised[name] = seen if seen or others.is_large_enough else None
    return raised


def _observed_answer(question: Question, row: Mapping[str, Any]) -> AnswerBehavior:
    """Return a judgment in the form that the flags take; a written text is no answer that could repeat by chance."""
    shown, answer = render_content(row["content"]), row["answer"]
    written = answer.get("text") if isinstance(answer, Mapping) and question.kind == "write" else None
    vote = None if written is not None else kinds.get(question.kind).vote(question, answer)
    return AnswerBehavior(
        row["annotator"], row["item"], row["seconds"], len(shown.split()), vote, written or "", shown if written else "", row["created"]
    )
