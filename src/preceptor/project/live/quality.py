"""How good the answers are that programs get: from those drawn by chance, which people looked at, with an interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.project.live.kept import AnswersKept, Kept
from preceptor.project.live.questions import group_of
from preceptor.project.live.stream import Verdict, verdicts
from preceptor.statistics import ppi_mean
from preceptor.statistics.clusters import cluster_totals
from preceptor.statistics.intervals import clustered_proportion
from preceptor.store import deferrals, feedback

if TYPE_CHECKING:
    from preceptor.project.project import Project

NOTHING = 0.5  # what is guessed of an answer of which nothing is known
EVEN = 1.0001  # of the largest to the smallest weight, up to which all are the same


@dataclass(frozen=True)
class Quality:
    """good: the share of answers that people call good, among all that the model gave itself; None while they have judged none.

    alone: the same from people's verdicts without what was guessed of the other answers. drawn, judged: how many answers.
    """

    good: Estimate | None
    alone: Estimate | None
    drawn: int
    judged: int


def live_quality(project: Project, name: str = "", *, since: float = 0.0) -> Quality:
    """The quality of answers from a moment on (Unix time), of a model or an alias, or of all; drafts that were left to people, which
    nobody got, and pieces of answers whose caller hung up are none.

    Each verdict counts by the inverse of the probability with which its answer was drawn (Hájek 1971). Where that was the same for
    all, what is guessed of every answer kept makes the interval narrower (prediction-powered inference): what customers said of it,
    else its confidence; the verdicts keep the figure honest, whatever the guesses are worth.
    """
    with project.database.reading() as connection:
        left = deferrals.answers_left(connection, since)
    drawn_ones = [each for each in verdicts(project) if each.inclusion > 0 and each.created >= since]
    judged = [each for each in drawn_ones if is_of(each, name) and each.answer not in left]
    kept = [each for each in AnswersKept(project).since(since) if is_of(each, name) and each.whole and each.id not in left]
    drawn = len({each.answer for each in judged} | {each.id for each in kept if each.inclusion > 0})
    if not judged:
        return Quality(None, None, drawn, 0)
    good, alone = estimated(judged, kept, _said(project, since))
    return Quality(good, alone, drawn, len(judged))


def estimated(judged: Sequence[Verdict], kept: Sequence[Kept], said: Mapping[str, float]) -> tuple[Estimate, Estimate]:
    """The share of good answers among all that were served, with guesses of those not judged and without.

    judged: of answers that were drawn. kept: all, as far as they are kept. said: by answer, what customers said, 0 to 1.
    """
    alone = _weighed(judged)
    chances = [each.inclusion for each in judged]
    return (alone if max(chances) > EVEN * min(chances) else _with_guesses(judged, kept, said)), alone


def is_of(answer: Kept | Verdict, name: str) -> bool:
    """Whether an answer is a model's, or was asked for by an alias; any is where no name is given."""
    return name in ("", answer.model) or name == answer.alias


def _weighed(judged: Sequence[Verdict]) -> Estimate:
    weights = np.array([1 / each.inclusion for each in judged])
    weights /= weights.mean()
    codes = np.unique([each.group for each in judged], return_inverse=True)[1]
    totals, _ = cluster_totals(weights * np.array([each.good for each in judged]), codes)
    found = clustered_proportion(totals, cluster_totals(weights, codes)[0])
    return replace(found, method=f"inverse probabilities, {found.method}")


def _with_guesses(judged: Sequence[Verdict], kept: Sequence[Kept], said: Mapping[str, float]) -> Estimate:
    """Those not judged: all that were kept up to the newest that was, since later ones hadn't their turn."""
    known, last = {each.answer for each in judged}, max(each.created for each in judged)
    rest = [each for each in kept if each.id not in known and each.created <= last]
    good: FloatArray = np.array([each.good for each in judged])
    here = np.array([_guess(each.answer, each.confidence, said) for each in judged])
    there = np.array([_guess(each.id, each.confidence, said) for each in rest])
    groups = [each.group for each in judged], [group_of(each.turns) for each in rest]
    return ppi_mean(good, here, there, clusters_on_human=groups[0], clusters_on_rest=groups[1] or None)


def _guess(answer: str, confidence: float | None, said: Mapping[str, float]) -> float:
    return said.get(answer, NOTHING if confidence is None else confidence)


def _said(project: Project, since: float) -> dict[str, float]:
    """What customers said of answers, 0 to 1; the last word counts."""
    with project.database.reading() as connection:
        rows: Sequence[Mapping[Any, Any]] = feedback.since(connection, since)
    found = {}
    for row in rows:
        if row["kind"] == "thumb":
            found[row["answer"]] = float(row["document"]["thumb"] == "up")
        elif row["kind"] == "stars":
            found[row["answer"]] = (row["document"]["stars"] - 1) / 4
    return found
