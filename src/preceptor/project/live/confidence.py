"""How probably a model's answer is right, and from which answers on people give them in its place."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain.results import Estimate
from preceptor.errors import NotFound, UserError
from preceptor.evaluation.suites.knowing.selective import Ranked
from preceptor.statistics import calibration_estimates, cross_fitted_sureness, fit_sureness, mean, sureness, token_features
from preceptor.store import events, live_settings
from preceptor.store.connection import now

if TYPE_CHECKING:
    from preceptor.project.project import Project

CALIBRATION, THRESHOLD = "calibration", "threshold"
CHANCE = 0.5  # how often the right one of two answers is the surer where confidence says nothing
BEFORE = "calibrate it first: preceptor calibrate MODEL"


def confidence_of(project: Project, model: str, log_probabilities: Sequence[float]) -> float | None:
    """The calibrated probability that an answer is right, from the log-probabilities (nats) of its own tokens as they were drawn.

    Of a model that chooses among answers: from the one log-probability of its choice. None where nothing calibrates the model
    (`preceptor calibrate MODEL` does), or there is no token: a call that asks for a `min_confidence` is then refused (409), since
    nobody knows what it would let through.
    """
    if not len(log_probabilities):
        return None
    with project.database.reading() as connection:
        kept = live_settings.get(connection, CALIBRATION, model)
    return None if kept is None else float(sureness(kept["coefficients"], token_features(log_probabilities)[None])[0])


def learnt_at(project: Project, model: str, temperature: float) -> list[float] | None:
    """The lowest and the highest temperature at which the answers were drawn that a model's confidence was learnt from, where this one
    lies outside of them; else None. Answers drawn otherwise are right at another rate, so that a caller must be told."""
    with project.database.reading() as connection:
        kept = live_settings.get(connection, CALIBRATION, model)
    drawn: list[float] | None = None if kept is None else kept.get("temperatures")
    return None if drawn is None or drawn[0] <= temperature <= drawn[1] else drawn


def threshold_of(project: Project, model: str, alias: str = "") -> float | None:
    """The confidence below which people answer in a model's place, as a manager chose it: for the alias by which it was called, else
    for the model. None where nobody chose: then no answer is deferred unless the call says so. It stays when an alias moves: of a model
    that nothing calibrates no answer is known to be above it, so that people answer all."""
    with project.database.reading() as connection:
        for name in filter(None, (alias, model)):
            if (found := live_settings.get(connection, THRESHOLD, name)) is not None:
                return float(found["threshold"])
    return None


def keep_calibration(
    project: Project,
    model: str,
    features: ArrayLike,
    right: Sequence[float],
    groups: Sequence[str],
    source: str,
    *,
    temperatures: Sequence[float] = (),
) -> dict[str, Any]:
    """Fit what a model's words mean, on answers that people judged, and keep it beside the model; what `calibration_of` gives.

    features: `token_features` of each answer, (n, 3). right: 0 to 1. groups: whose answers depend on each other. source: where
    the verdicts come from, in words. temperatures: at which they were drawn, none of a model that chooses among answers. UserError where
    they are too few.
    """
    coefficients = fit_sureness(features, right)
    held = cross_fitted_sureness(features, right, groups)
    codes = np.unique(np.asarray(groups), return_inverse=True)[1]
    document = {
        "model": model,
        "source": source,
        "temperatures": [min(temperatures), max(temperatures)] if temperatures else None,
        "coefficients": coefficients.tolist(),
        "confidence": held.round(6).tolist(),
        "right": np.asarray(right, dtype=np.float64).tolist(),
        "groups": codes.tolist(),
        "created": now(),
    }
    digest = project.objects.put(json.dumps(document, sort_keys=True).encode())
    with project.database.writing() as connection:
        kept = {name: document[name] for name in ("coefficients", "source", "temperatures", "created")} | {"digest": digest}
        live_settings.put(connection, CALIBRATION, model, kept)
        events.record(connection, "model calibrated", {"model": model, "source": source, "verdicts": len(codes), "digest": digest})
    return calibration_of(project, model)


def calibration_of(project: Project, model: str) -> dict[str, Any]:
    """What is known of a model's confidence, by folds that didn't see the verdict. NotFound where nothing calibrates it.

    source, temperatures, created; right: how often it is; ece: how far off the confidence is; apart: how often the right one of a right
    and a wrong answer is the surer, 0.5 where confidence says nothing; ranked answers for the curve.
    """
    with project.database.reading() as connection:
        kept = live_settings.get(connection, CALIBRATION, model)
    if kept is None:
        raise NotFound(f"nothing says how sure {model} is of its answers", BEFORE, where="model")
    document = json.loads(project.objects.get(kept["digest"]))
    right, sure, groups = (np.asarray(document[name]) for name in ("right", "confidence", "groups"))
    table = np.stack([1 - sure, sure], axis=1)
    ranked = Ranked(right, sure, [str(group) for group in groups])
    return {
        "model": model,
        "source": document["source"],
        "temperatures": document.get("temperatures"),
        "created": document["created"],
        "digest": kept["digest"],
        "right": mean(right, clusters=groups),
        "ece": calibration_estimates(table, np.stack([1 - right, right], axis=1), groups),
        "apart": ranked.concordance(),
        "ranked": ranked,
    }


def says_nothing(apart: Estimate | Mapping[str, Any]) -> str:
    """A warning where confidence may say nothing about rightness, with the interval that shows it; empty where it says something."""
    value, low, high = (apart[name] if isinstance(apart, Mapping) else getattr(apart, name) for name in ("value", "low", "high"))
    if low > CHANCE:
        return ""
    return (
        f"its confidence may say nothing: of a right and a wrong answer the right one is the surer in {value:.2f} [{low:.2f}, {high:.2f}] "
        "of cases, where 0.50 is chance, so that sending the least sure ones to people may spare no errors"
    )


def choose_threshold(
    project: Project, name: str, model: str, *, share: float | None = None, threshold: float | None = None, by: str
) -> dict[str, Any]:
    """Have people answer in a model's place below a confidence, for an alias or the model itself (`name`), unless a call says otherwise.

    share: of the calls that shall go to people, which gives the threshold; or the threshold itself. What was chosen, with the expected
    error of what the model answers still. UserError for what is no share, and without a calibration.
    """
    if not by.strip():
        raise UserError("a threshold needs the name of the person who chooses it", "--by NAME")
    given = [value for value in (share, threshold) if value is not None]
    if len(given) != 1 or not 0 <= given[0] <= 1:
        raise UserError("choose the share of calls that go to people, or the confidence below which they do, each 0 to 1", "--share 0.1")
    ranked: Ranked = calibration_of(project, model)["ranked"]
    least = threshold if threshold is not None else ranked.point(1 - given[0]).threshold if 0 < given[0] < 1 else given[0]
    chosen = {"threshold": float(least), "model": model, "by": by, "created": now()}
    with project.database.writing() as connection:
        live_settings.put(connection, THRESHOLD, name, chosen)
        events.record(connection, "threshold chosen", {"name": name, **chosen}, actor=by)
    return {"name": name, **chosen, **point_at(ranked, float(least))}


def point_at(ranked: Ranked, threshold: float) -> dict[str, Any]:
    """What a threshold does: the share of calls that go to people, and the error among the others (None where there are none)."""
    answered = int((ranked.confidence >= threshold).sum())
    share = 1 - answered / len(ranked)
    return {"share": share, "risk": ranked.point(answered / len(ranked)).risk.to_dict() if answered else None}


def curve(ranked: Ranked, shares: Sequence[float]) -> list[dict[str, Any]]:
    """Of each share of calls that go to people (below 1): the threshold, the error among the others, and among all if people err never."""
    found = []
    for share in shares:
        point = ranked.point(1 - share)
        found.append(
            {"share": share, "threshold": point.threshold, "risk": point.risk.to_dict(), "overall": _part(point.risk, 1 - share).to_dict()}
        )
    return found


def settled(project: Project, kind: str) -> Mapping[str, dict[str, Any]]:
    """All calibrations or all thresholds, by the names of models and aliases."""
    with project.database.reading() as connection:
        return live_settings.every(connection, kind)


def _part(risk: Estimate, share: float) -> Estimate:
    return Estimate(risk.value * share, risk.low * share, risk.high * share, risk.n, risk.method, risk.confidence)
