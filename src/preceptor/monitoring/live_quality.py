"""Estimate the quality of served answers from a random sample that people judge, weighted by inclusion probability.

The answers by which live quality is measured: drawn by chance, put before people, and their verdicts read.

What customers say is no such measure: who complains isn't like who doesn't. So feedback changes nothing about these items: all wait
at the same level, in an order that is a hash, and no customer's word takes a person's place.

How good the answers are that programs get: from those drawn by chance, which people looked at, with an interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.monitoring.live_questions import GOOD_RATING, get_live_question, make_rating_item, open_item_slot, prompt_group
from preceptor.monitoring.response_log import LoggedResponse, ResponseLog
from preceptor.statistics import ppi_mean, token_features
from preceptor.statistics.intervals import cluster_totals, estimate_clustered_proportion
from preceptor.storage import Connection, deferrals, feedback, items, judgment_log, model_settings, people, questions
from preceptor.types import Estimate, FloatArray

if TYPE_CHECKING:
    from preceptor.project import Project


_RATING_QUESTION = "live-good"
_SAMPLE_PRIORITY = 5  # of priority, of all that was drawn
CUSTOMER_KIND = "customer"  # the kind of annotator that speaks for who uses a program
_NON_PERSON_KINDS = ("application", CUSTOMER_KIND, "model")
_OVERLAP_SECONDS = 300.0  # seconds before the last look that are looked at again: an answer may take so long to be kept


@dataclass(frozen=True, slots=True)
class ResponseVerdict:
    """What people found of a served answer. good: the share of them who call it good.

    group: whose answers depend on each other. inclusion: the probability with which it was drawn; 0 where it wasn't, but was judged
    because of what was said of it. features: see `token_features`; empty where its tokens weren't kept. created, judged: Unix times.
    temperature: at which it was drawn, where that is known.
    """

    item: str
    answer: str
    model: str
    alias: str
    group: str
    good_share: float
    inclusion: float
    confidence: float | None
    features: tuple[float, ...]
    created: float
    judged_at: float
    temperature: float | None = None


def open_rating_item(connection: Connection, project: Project, kept: LoggedResponse) -> tuple[int, str]:
    """(key, id) of the item that shows a kept answer to who rates it; people are asked whether it is good if it was drawn."""
    item = make_rating_item(f"rated-{kept.id}", kept.messages, kept.text, {}, _response_metadata(kept))
    question, _ = get_live_question(connection, project, _RATING_QUESTION)
    if kept.inclusion > 0:
        return open_item_slot(connection, question, item, wanted=1, priority=_SAMPLE_PRIORITY), item.id
    items.add(connection, [item])
    return items.keys(connection, [item.id])[item.id], item.id


def queue_sampled_responses(project: Project) -> int:
    """Put before people what was drawn since this was done last; how many answers. Safe at any time, and twice at once."""
    with project.database.reading() as connection:
        last = model_settings.get_setting(connection, "stream", "asked") or {"until": 0.0}
    drawn = ResponseLog(project).list_since(last["until"] - _OVERLAP_SECONDS, measured=True)
    with project.database.reading() as connection:
        there = items.keys(connection, [f"rated-{kept.id}" for kept in drawn])
    new = [kept for kept in drawn if f"rated-{kept.id}" not in there]
    if new:
        with project.database.writing() as connection:
            for kept in new:
                open_rating_item(connection, project, kept)
            model_settings.put_setting(connection, "stream", "asked", {"until": max(kept.created for kept in drawn)})
    return len(new)


def list_verdicts(project: Project) -> list[ResponseVerdict]:
    """What people found of served answers, in the order in which they were judged; customers' words and models' left out."""
    with project.database.reading() as connection:
        known = {each.name: key for key, each in questions.list_active(connection)}
        if _RATING_QUESTION not in known:
            return []
        what, who, said, numbers = judgment_log.judgment_columns(connection, known[_RATING_QUESTION])
        persons = {each.id for each in people.list_annotators(connection) if each.kind not in _NON_PERSON_KINDS}
        times = {each.id: each.created for each in judgment_log.stream_judgments(connection, numbers=numbers)}
        about = items.metadata(connection, dict.fromkeys(what))
        groups = items.groups(connection, dict.fromkeys(what))
    found: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for item, person, answer, number in zip(what, who, said, numbers, strict=True):
        if person in persons:
            found[item].append((float(answer == GOOD_RATING), times[number]))
    made = [_make_verdict(item, groups[item], about[item], votes) for item, votes in found.items()]
    return sorted(made, key=lambda each: (each.judged_at, each.item))


def _response_metadata(kept: LoggedResponse) -> dict[str, Any]:
    """What an item tells of its answer, when that is no longer kept."""
    said = kept.document.get("log_probabilities") or ()
    features = token_features(said).round(6).tolist() if said else []
    named = {"answer": kept.id, "model": kept.model, "alias": kept.alias, "confidence": kept.confidence}
    drawn = {"temperature": kept.document.get("sampling", {}).get("temperature")}
    return {**named, **drawn, "inclusion": kept.inclusion, "created": kept.created, "features": features}


def _make_verdict(item: str, group: str, about: Mapping[str, Any], votes: list[tuple[float, float]]) -> ResponseVerdict:
    good = sum(vote for vote, _ in votes) / len(votes)
    numbers = about["inclusion"], about["confidence"], tuple(about["features"]), about["created"], votes[0][1], about.get("temperature")
    return ResponseVerdict(item, about["answer"], about["model"], about["alias"], group, good, *numbers)


_UNKNOWN_GUESS = 0.5  # what is guessed of an answer of which nothing is known
_EQUAL_WEIGHTS_RATIO = 1.0001  # of the largest to the smallest weight, up to which all are the same


@dataclass(frozen=True)
class LiveQuality:
    """good: the share of answers that people call good, among all that the model gave itself; None while they have judged none.

    alone: the same from people's verdicts without what was guessed of the other answers. drawn, judged: how many answers.
    """

    good_share: Estimate | None
    good_share_judged_only: Estimate | None
    sampled_count: int
    judged_count: int


def measure_live_quality(project: Project, name: str = "", *, since: float = 0.0) -> LiveQuality:
    """The quality of answers from a moment on (Unix time), of a model or an alias, or of all; drafts that were left to people, which
    nobody got, and pieces of answers whose caller hung up are none.

    Each verdict counts by the inverse of the probability with which its answer was drawn (Hájek 1971). Where that was the same for
    all, what is guessed of every answer kept makes the interval narrower (prediction-powered inference): what customers said of it,
    else its confidence; the verdicts keep the figure honest, whatever the guesses are worth.
    """
    with project.database.reading() as connection:
        left = deferrals.list_deferred_answers(connection, since)
    drawn_ones = [each for each in list_verdicts(project) if each.inclusion > 0 and each.created >= since]
    judged = [each for each in drawn_ones if matches_model(each, name) and each.answer not in left]
    kept = [
        each for each in ResponseLog(project).list_since(since) if matches_model(each, name) and each.is_complete and each.id not in left
    ]
    drawn = len({each.answer for each in judged} | {each.id for each in kept if each.inclusion > 0})
    if not judged:
        return LiveQuality(None, None, drawn, 0)
    good, alone = estimate_good_share(judged, kept, _customer_ratings(project, since))
    return LiveQuality(good, alone, drawn, len(judged))


def estimate_good_share(
    judged: Sequence[ResponseVerdict], kept: Sequence[LoggedResponse], said: Mapping[str, float]
) -> tuple[Estimate, Estimate]:
    """The share of good answers among all that were served, with guesses of those not judged and without.

    judged: of answers that were drawn. kept: all, as far as they are kept. said: by answer, what customers said, 0 to 1.
    """
    alone = _inverse_probability_estimate(judged)
    chances = [each.inclusion for each in judged]
    return (alone if max(chances) > _EQUAL_WEIGHTS_RATIO * min(chances) else _prediction_powered_estimate(judged, kept, said)), alone


def matches_model(answer: LoggedResponse | ResponseVerdict, name: str) -> bool:
    """Whether an answer is a model's, or was asked for by an alias; any is where no name is given."""
    return name in ("", answer.model) or name == answer.alias


def _inverse_probability_estimate(judged: Sequence[ResponseVerdict]) -> Estimate:
    weights = np.array([1 / each.inclusion for each in judged])
    weights /= weights.mean()
    codes = np.unique([each.group for each in judged], return_inverse=True)[1]
    totals, _ = cluster_totals(weights * np.array([each.good_share for each in judged]), codes)
    found = estimate_clustered_proportion(totals, cluster_totals(weights, codes)[0])
    return replace(found, method=f"inverse probabilities, {found.method}")


def _prediction_powered_estimate(judged: Sequence[ResponseVerdict], kept: Sequence[LoggedResponse], said: Mapping[str, float]) -> Estimate:
    """Those not judged: all that were kept up to the newest that was, since later ones hadn't their turn."""
    known, last = {each.answer for each in judged}, max(each.created for each in judged)
    rest = [each for each in kept if each.id not in known and each.created <= last]
    good: FloatArray = np.array([each.good_share for each in judged])
    here = np.array([_guess_good(each.answer, each.confidence, said) for each in judged])
    there = np.array([_guess_good(each.id, each.confidence, said) for each in rest])
    groups = [each.group for each in judged], [prompt_group(each.messages) for each in rest]
    return ppi_mean(good, here, there, clusters_on_human=groups[0], clusters_on_rest=groups[1] or None)


def _guess_good(answer: str, confidence: float | None, said: Mapping[str, float]) -> float:
    return said.get(answer, _UNKNOWN_GUESS if confidence is None else confidence)


def _customer_ratings(project: Project, since: float) -> dict[str, float]:
    """What customers said of answers, 0 to 1; the last word counts."""
    with project.database.reading() as connection:
        rows: Sequence[Mapping[Any, Any]] = feedback.list_since(connection, since)
    found = {}
    for row in rows:
        if row["kind"] == "thumb":
            found[row["answer"]] = float(row["document"]["thumb"] == "up")
        elif row["kind"] == "stars":
            found[row["answer"]] = (row["document"]["stars"] - 1) / 4
    return found
