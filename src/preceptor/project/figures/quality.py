"""How well each person answers one question, with what that rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from preceptor.domain import Annotator, Composed, Estimate, Question
from preceptor.domain.items import text_of
from preceptor.guidance import Flag, Pool, Work, flags
from preceptor.project.figures.landscape import Landscape
from preceptor.project.guiding.handing import is_right
from preceptor.questions import kinds
from preceptor.statistics.intervals import proportion
from preceptor.statistics.sequential import confidence_sequence_path
from preceptor.store import people, tallies

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

POOL = 5_000  # newest judgments that say how people work
RECENT = 50  # a person's newest judgments that are looked at
MANY_OTHERS = 1_000  # judgments of a pool in which one person's own weigh little
MOST_WATCHED = 2_000  # people with the newest judgments; the others have done nothing lately


@dataclass(frozen=True)
class Bias:
    """The answer that somebody gives most beyond what the consensus says of their items, by how much (a difference of shares)."""

    answer: Any
    excess: Estimate


@dataclass(frozen=True)
class Person:
    """One person and one question. gold: right or not, in the order in which they answered; share: of those right.

    compared: whether others have answered enough for flags to be raised by comparison with them.
    """

    who: Annotator
    judgments: int = 0
    accuracy: Estimate | None = None
    bias: Bias | None = None
    seconds: float | None = None
    gold: Sequence[bool] = ()
    share: Estimate | None = None
    flags: Sequence[Flag] = field(default=())
    compared: bool = True

    def curve(self) -> list[tuple[int, float, float, float]]:
        """(gold answers so far, share right, low, high) after each: bounds that hold at every look."""
        right = np.asarray(self.gold, dtype=np.float64)
        if not len(right):
            return []
        low, high = confidence_sequence_path(right)
        share = np.cumsum(right) / np.arange(1, len(right) + 1)
        rows = zip(share.tolist(), low.tolist(), high.tolist(), strict=True)
        return [(n, at, min(one, at), max(other, at)) for n, (at, one, other) in enumerate(rows, start=1)]


def quality(project: Project, found: Landscape) -> dict[str, Person]:
    """Everyone by name, in order of arrival, also who has answered nothing."""
    key, question = found.standing.key, found.standing.question
    with project.database.reading() as connection:
        everyone = people.everyone(connection)
        seconds = {name: float(np.median(taken)) for name, taken in tallies.seconds(connection, key).items()}
        gold = tallies.on_gold(connection, key)
        raised = _flags(connection, key, question, found)
    biases = _biases(found)
    return {each.id: _person(each, found, question, biases, seconds, gold, raised) for each in everyone}


def _person(
    who: Annotator,
    found: Landscape,
    question: Question,
    biases: Mapping[str, Bias],
    seconds: Mapping[str, float],
    gold: Mapping[str, list[tuple[Any, Any]]],
    raised: Mapping[str, list[Flag] | None],
) -> Person:
    their = found.fitted.annotators.get(who.id)
    right = tuple(is_right(question, said, known) for said, known in gold.get(who.id, ()))
    share = proportion(sum(right), len(right)) if right else None
    accuracy, count = (their.accuracy, their.judgments) if their else (None, 0)
    if who.kind == "import":  # many people may stand behind the name
        accuracy = None
    seen = raised.get(who.id, [])
    return Person(who, count, accuracy, biases.get(who.id), seconds.get(who.id), right, share, tuple(seen or ()), seen is not None)


def _biases(found: Landscape) -> dict[str, Bias]:
    """Of each person the answer with the greatest mean of (they said it) − (its probability); t intervals, shared among the answers.

    Nothing for kinds whose consensus isn't over the answers that people give.
    """
    j, fitted = found.judgments, found.fitted
    place = {answer: k for k, answer in enumerate(fitted.answers)}
    if isinstance(fitted, Composed) or not set(j.answers) <= set(place) or len(place) > 100 or fitted.items != j.items:
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
        name: Bias(
            fitted.answers[most[w]], Estimate(float(value[w]), float(value[w] - half[w]), float(value[w] + half[w]), int(count[w]), "t")
        )
        for w, name in enumerate(j.annotators)
        if count[w] >= 2
    }


def _flags(connection: Connection, key: int, question: Question, found: Landscape) -> dict[str, list[Flag] | None]:
    """What looks unlike honest work in people's newest judgments, by name; None where others are too few to compare with."""
    known = [_work(question, row) for row in tallies.last_work(connection, key, limit=POOL)]
    pool = Pool.of(known)
    newest: dict[str, int] = {}
    for name, number in zip(found.standing.columns[1], found.standing.columns[3], strict=True):
        newest[name] = number
    watched = sorted(newest, key=lambda name: -newest[name])[:MOST_WATCHED]
    places = people.keys(connection, watched)
    raised = dict[str, list[Flag] | None]()
    for name in watched:
        others = pool if len(known) >= MANY_OTHERS else Pool.of(work for work in known if work.annotator != name)
        rows = tallies.last_work(connection, key, limit=RECENT, annotator=places[name])
        seen = flags([_work(question, row) for row in rows], others)
        raised[name] = seen if seen or others.is_large_enough else None
    return raised


def _work(question: Question, row: Mapping[str, Any]) -> Work:
    """One judgment as the flags take it; a written text is no answer that could repeat by chance."""
    shown, answer = text_of(row["content"]), row["answer"]
    written = answer.get("text") if isinstance(answer, Mapping) and question.kind == "write" else None
    vote = None if written is not None else kinds.get(question.kind).vote(question, answer)
    return Work(
        row["annotator"], row["item"], row["seconds"], len(shown.split()), vote, written or "", shown if written else "", row["created"]
    )
