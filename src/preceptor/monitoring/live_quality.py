"""Estimate the quality of served answers from a random sample that people judge, weighted by inclusion probability.

A share of the answers is sampled at random and queued for annotation. Customer feedback is no such measure, since those who complain aren't
like those who don't. So feedback changes nothing about the sampled items: all wait at the same priority, in an order that is a hash, and no
customer's rating replaces a person's verdict.
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
_SAMPLE_PRIORITY = 5  # the priority of all sampled answers
CUSTOMER_KIND = "customer"  # the kind of annotator that stands for the users of a program
_NON_PERSON_KINDS = ("application", CUSTOMER_KIND, "model")
_OVERLAP_SECONDS = 300.0  # seconds before the last call that are read again: a response may be logged so late


@dataclass(frozen=True, slots=True)
class ResponseVerdict:
    """People's verdict on a served answer. good_share: the share of them who call it good.

    group: of answers that depend on each other. inclusion: the probability with which it was sampled; 0 where it wasn't, but was judged
    because of feedback. features: see `token_features`; empty where its tokens weren't stored. created, judged_at: Unix times. temperature:
    at which it was sampled, where that is known.
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
    """Add the item that shows a logged response to its raters, and queue it for annotation if it was sampled; return (key, id)."""
    item = make_rating_item(f"rated-{kept.id}", kept.messages, kept.text, {}, _response_metadata(kept))
    question, _ = get_live_question(connection, project, _RATING_QUESTION)
    if kept.inclusion > 0:
        return open_item_slot(connection, question, item, target_count=1, priority=_SAMPLE_PRIORITY), item.id
    items.add(connection, [item])
    return items.keys(connection, [item.id])[item.id], item.id


def queue_sampled_responses(project: Project) -> int:
    """Queue for annotation the responses sampled since the last call; return their number. Safe at any time, also concurrently."""
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
    """List people's verdicts on served answers in the order of judgment, without those of customers and models."""
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
    """Return what an item keeps of its response for when that is deleted."""
    said = kept.document.get("log_probabilities") or ()
    features = token_features(said).round(6).tolist() if said else []
    named = {"answer": kept.id, "model": kept.model, "alias": kept.alias, "confidence": kept.confidence}
    drawn = {"temperature": kept.document.get("sampling", {}).get("temperature")}
    return {**named, **drawn, "inclusion": kept.inclusion, "created": kept.created, "features": features}


def _make_verdict(item: str, group: str, about: Mapping[str, Any], votes: list[tuple[float, float]]) -> ResponseVerdict:
    good = sum(vote for vote, _ in votes) / len(votes)
    numbers = about["inclusion"], about["confidence"], tuple(about["features"]), about["created"], votes[0][1], about["temperature"]
    return ResponseVerdict(item, about["answer"], about["model"], about["alias"], group, good, *numbers)


_UNKNOWN_GUESS = 0.5  # the prediction for an answer without rating or confidence
_EQUAL_WEIGHTS_RATIO = 1.0001  # largest to smallest weight, up to which they count as equal


@dataclass(frozen=True)
class LiveQuality:
    """The quality of a model's own served answers.

    good_share: the share of all its answers that people call good; None while they have judged none. good_share_judged_only: the same from
    people's verdicts alone, without predictions for the other answers. sampled_count, judged_count: numbers of answers.
    """

    good_share: Estimate | None
    good_share_judged_only: Estimate | None
    sampled_count: int
    judged_count: int


def measure_live_quality(project: Project, name: str = "", *, since: float = 0.0) -> LiveQuality:
    """Estimate the quality of answers since a moment (Unix time), for a model, an alias, or all.

    Drafts that were deferred to people, which nobody received, and partial answers whose caller disconnected are left out. Each verdict is
    weighted by the inverse of the probability with which its answer was sampled (Hájek 1971). Where that was the same for all, predictions
    for every logged answer narrow the interval (prediction-powered inference): the customer's rating, else the confidence; the verdicts
    keep the estimate unbiased, however poor the predictions are.
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
    """Estimate the share of good answers among all that were served, with predictions for the answers not judged, and without.

    judged: verdicts on sampled answers. kept: all logged answers. said: customers' ratings by answer, 0 to 1.
    """
    alone = _inverse_probability_estimate(judged)
    chances = [each.inclusion for each in judged]
    return (alone if max(chances) > _EQUAL_WEIGHTS_RATIO * min(chances) else _prediction_powered_estimate(judged, kept, said)), alone


def matches_model(answer: LoggedResponse | ResponseVerdict, name: str) -> bool:
    """Return whether an answer is a model's, or was requested by an alias; any answer is where the name is empty."""
    return name in ("", answer.model) or name == answer.alias


def _inverse_probability_estimate(judged: Sequence[ResponseVerdict]) -> Estimate:
    weights = np.array([1 / each.inclusion for each in judged])
    weights /= weights.mean()
    codes = np.unique([each.group for each in judged], return_inverse=True)[1]
    totals, _ = cluster_totals(weights * np.array([each.good_share for each in judged]), codes)
    found = estimate_clustered_proportion(totals, cluster_totals(weights, codes)[0])
    return replace(found, method=f"inverse probabilities, {found.method}")


def _prediction_powered_estimate(judged: Sequence[ResponseVerdict], kept: Sequence[LoggedResponse], said: Mapping[str, float]) -> Estimate:
    """Estimate with predictions for all logged answers up to the newest judged one, since later ones couldn't be judged yet."""
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
    """Return customers' ratings of answers, 0 to 1; the last one counts."""
    with project.database.reading() as connection:
        rows: Sequence[Mapping[Any, Any]] = feedback.list_since(connection, since)
    found = {}
    for row in rows:
        if row["kind"] == "thumb":
            found[row["answer"]] = float(row["document"]["thumb"] == "up")
        elif row["kind"] == "stars":
            found[row["answer"]] = (row["document"]["stars"] - 1) / 4
    return found
