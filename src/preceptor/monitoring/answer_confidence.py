"""Calibrate a model's confidence on people's verdicts, and set the threshold below which answers are deferred to people.

Confidence is the calibrated probability that an answer is right, predicted from the log-probabilities of its tokens. It is fitted to
people's verdicts on rows that the model never saw, or on answers that it has served.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from preceptor.errors import NotFoundError, UserError
from preceptor.evaluation.generation_metrics import normalize_spaces
from preceptor.evaluation.suites.selective_prediction import RankedAnswers
from preceptor.models.base_models import CHAT_BASES, find_base_folder
from preceptor.monitoring.live_quality import list_verdicts
from preceptor.release.model_aliases import resolve_alias
from preceptor.runs import evaluation, prediction
from preceptor.statistics import (
    calibration_estimates,
    cross_fit_token_confidence,
    estimate_mean,
    fit_token_confidence,
    predict_token_confidence,
    token_features,
)
from preceptor.storage import events, gold, model_settings, questions
from preceptor.storage.connection import now
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.types import Estimate, FloatArray, Model

if TYPE_CHECKING:
    from preceptor.project import Project


CALIBRATION_SETTING, THRESHOLD_SETTING = "calibration", "threshold"
_CHANCE_CONCORDANCE = 0.5  # AUROC where confidence carries no information
_CALIBRATE_HINT = "calibrate it first: preceptor calibrate MODEL"


def estimate_confidence(project: Project, model: str, log_probabilities: Sequence[float]) -> float | None:
    """Estimate the probability that an answer is right, from the log-probabilities (nats) of its own tokens as they were sampled.

    For a classification model, from the one log-probability of its choice. None where the model isn't calibrated (`preceptor calibrate
    MODEL` does that), or there is no token: a call that asks for a `min_confidence` is then refused (409), since nobody knows what it would
    let through.
    """
    if not len(log_probabilities):
        return None
    with project.database.reading() as connection:
        kept = model_settings.get_setting(connection, CALIBRATION_SETTING, model)
    return None if kept is None else float(predict_token_confidence(kept["coefficients"], token_features(log_probabilities)[None])[0])


def find_temperature_mismatch(project: Project, model: str, temperature: float) -> list[float] | None:
    """Return the lowest and highest sampling temperature of the calibration data where `temperature` lies outside them, else None.

    Answers sampled at another temperature are right at another rate, so that a caller must be warned.
    """
    with project.database.reading() as connection:
        kept = model_settings.get_setting(connection, CALIBRATION_SETTING, model)
    drawn: list[float] | None = None if kept is None else kept["temperatures"]
    return None if drawn is None or drawn[0] <= temperature <= drawn[1] else drawn


def get_threshold(project: Project, model: str, alias: str = "") -> float | None:
    """Return the confidence below which people answer in a model's place, as a manager chose it: for the alias called, else for the model.

    None where nobody chose one: then no answer is deferred unless the call asks for it. A threshold stays when its alias moves. No answer
    of a model without calibration is known to be above it, so that people answer all of them.
    """
    with project.database.reading() as connection:
        for name in filter(None, (alias, model)):
            if (found := model_settings.get_setting(connection, THRESHOLD_SETTING, name)) is not None:
                return float(found["threshold"])
    return None


def store_calibration(
    project: Project,
    model: str,
    features: ArrayLike,
    right: Sequence[float],
    groups: Sequence[str],
    source: str,
    *,
    temperatures: Sequence[float] = (),
) -> dict[str, Any]:
    """Fit a model's calibration on answers that people judged and store it; return what `load_calibration` returns.

    features: `token_features` of each answer, (n, 3). right: 0 to 1. groups: of answers that depend on each other. source: where the
    verdicts come from, as text. temperatures: at which the answers were sampled; none for a classification model. Raises UserError where
    the answers are too few.
    """
    coefficients = fit_token_confidence(features, right)
    held = cross_fit_token_confidence(features, right, groups)
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
        model_settings.put_setting(connection, CALIBRATION_SETTING, model, kept)
        events.record_event(connection, "model calibrated", {"model": model, "source": source, "verdicts": len(codes), "digest": digest})
    return load_calibration(project, model)


def load_calibration(project: Project, model: str) -> dict[str, Any]:
    """Load what is known of a model's confidence, cross-fitted over folds that didn't see the verdict.

    source, temperatures, created; right: the share of right answers; ece: the expected calibration error; apart: the AUROC, how often the
    right one of a right and a wrong answer has the higher confidence (0.5 where confidence carries no information); ranked: the answers for
    the risk-coverage curve. Raises NotFoundError where the model isn't calibrated.
    """
    with project.database.reading() as connection:
        kept = model_settings.get_setting(connection, CALIBRATION_SETTING, model)
    if kept is None:
        raise NotFoundError(f"nothing says how sure {model} is of its answers", _CALIBRATE_HINT, where="model")
    document = json.loads(project.objects.get(kept["digest"]))
    right, sure, groups = (np.asarray(document[name]) for name in ("right", "confidence", "groups"))
    table = np.stack([1 - sure, sure], axis=1)
    ranked = RankedAnswers(right, sure, [str(group) for group in groups])
    return {
        "model": model,
        "source": document["source"],
        "temperatures": document["temperatures"],
        "created": document["created"],
        "digest": kept["digest"],
        "right": estimate_mean(right, clusters=groups),
        "ece": calibration_estimates(table, np.stack([1 - right, right], axis=1), groups),
        "apart": ranked.concordance(),
        "ranked": ranked,
    }


def uninformative_warning(apart: Estimate | Mapping[str, Any]) -> str:
    """Return a warning, with the AUROC's interval, where confidence may not tell right answers from wrong ones; else an empty string."""
    value, low, high = (apart[name] if isinstance(apart, Mapping) else getattr(apart, name) for name in ("value", "low", "high"))
    if low > _CHANCE_CONCORDANCE:
        return ""
    return (
        f"its confidence may say nothing: of a right and a wrong answer the right one is the surer in {value:.2f} [{low:.2f}, {high:.2f}] "
        "of cases, where 0.50 is chance, so that sending the least sure ones to people may spare no errors"
    )


def set_threshold(
    project: Project, name: str, model: str, *, share: float | None = None, threshold: float | None = None, by: str
) -> dict[str, Any]:
    """Set the confidence below which people answer in a model's place, for an alias or the model itself (`name`).

    A call may override it. share: of the calls that shall go to people, which gives the threshold; or the threshold itself. Returns the
    choice, with the expected error rate of the answers that the model still gives. Raises UserError for an invalid share, and without a
    calibration.
    """
    if not by.strip():
        raise UserError("a threshold needs the name of the person who chooses it", "--by NAME")
    given = [value for value in (share, threshold) if value is not None]
    if len(given) != 1 or not 0 <= given[0] <= 1:
        raise UserError("choose the share of calls that go to people, or the confidence below which they do, each 0 to 1", "--share 0.1")
    ranked: RankedAnswers = load_calibration(project, model)["ranked"]
    least = threshold if threshold is not None else ranked.point(1 - given[0]).threshold if 0 < given[0] < 1 else given[0]
    chosen = {"threshold": float(least), "model": model, "by": by, "created": now()}
    with project.database.writing() as connection:
        model_settings.put_setting(connection, THRESHOLD_SETTING, name, chosen)
        events.record_event(connection, "threshold chosen", {"name": name, **chosen}, actor=by)
    return {"name": name, **chosen, **operating_point(ranked, float(least))}


def operating_point(ranked: RankedAnswers, threshold: float) -> dict[str, Any]:
    """Return the effect of a threshold: the share of calls that go to people, and the error rate among the others.

    The error rate is estimated on the calibration data; None where every call goes to people.
    """
    answered = int((ranked.confidence >= threshold).sum())
    share = 1 - answered / len(ranked)
    return {"share": share, "risk": ranked.point(answered / len(ranked)).risk.to_dict() if answered else None}


def risk_coverage_curve(ranked: RankedAnswers, shares: Sequence[float]) -> list[dict[str, Any]]:
    """Return for each share of calls that go to people (below 1) the threshold and the error rate among the others.

    `overall` is the error rate among all calls, if people never err.
    """
    found = []
    for share in shares:
        point = ranked.point(1 - share)
        found.append(
            {
                "share": share,
                "threshold": point.threshold,
                "risk": point.risk.to_dict(),
                "overall": _scale_estimate(point.risk, 1 - share).to_dict(),
            }
        )
    return found


def load_settings(project: Project, kind: str) -> Mapping[str, dict[str, Any]]:
    """Load all calibrations or all thresholds, by the names of models and aliases."""
    with project.database.reading() as connection:
        return model_settings.list_settings(connection, kind)


def _scale_estimate(risk: Estimate, share: float) -> Estimate:
    return Estimate(risk.value * share, risk.low * share, risk.high * share, risk.n, risk.method, risk.confidence)


_LENGTH_FACTOR = 2  # the longest answer, as a multiple of the longest reference
_MAX_CALIBRATION_ROWS = 500  # answers that are generated; more hardly improve the fit


class _CalibrationData(NamedTuple):
    """For each answer its `token_features`, whether it is right, and its group; the temperatures at which the answers were sampled."""

    features: list[FloatArray]
    right: list[float]
    groups: list[str]
    temperatures: list[float]


def calibrate_confidence(
    project: Project, model: str, *, snapshot: str = "", live: bool = False, temperature: float = 0.0
) -> dict[str, Any]:
    """Calibrate a model's confidence; return what `load_calibration` returns, without the ranked answers.

    model: its id, a chat base model, or an alias of either. By default on the validation rows of its own snapshot, or of the one named: the
    model answers at a temperature, and is right where it gives the people's answer. live: on answers that it has served, at the
    temperatures of those calls, and that people have judged. A calibration holds at the temperature of its data
    (`find_temperature_mismatch`). Raises UserError where the verdicts are too few, or all alike.
    """
    model = resolve_alias(project, model)
    named = None if model in CHAT_BASES else project.model(model)
    id_ = model if named is None else named.id
    if live:
        judged, source = _collect_served(project, id_), "answers that it served, as people found them"
    else:
        if named is None and not snapshot:
            raise UserError(f"{model} is a base, which was trained on no snapshot of yours", "--snapshot NAME, or --live")
        rows_of = project.load_snapshot(snapshot or str(named.manifest["snapshot"] if named else ""))
        rows = _exclude_trained_rows(project, named, evaluation.load_split(rows_of, "validation"))[:_MAX_CALIBRATION_ROWS]
        folder = find_base_folder(model) if named is None else named.path
        judged = _collect_on_rows(project, named, folder, rows_of, rows, temperature)
        source = f"validation rows of snapshot {rows_of.digest[:12]}"
    drawn = judged.temperatures
    kept = store_calibration(project, id_, judged.features, judged.right, judged.groups, source, temperatures=drawn)
    return {name: value for name, value in kept.items() if name != "ranked"}


def _exclude_trained_rows(project: Project, model: Model | None, rows: Sequence[SnapshotRow]) -> Sequence[SnapshotRow]:
    """Leave out rows that the model was trained on, and their groups: another snapshot may have put them in its validation split."""
    own = None if model is None else model.manifest.get("snapshot")
    trained = {row.group for row in project.load_snapshot(own).rows("train")} if own else set[str]()
    unseen = [row for row in rows if row.group not in trained]
    if not unseen:
        raise UserError("the model was trained on all validation rows of this snapshot", "take its own, or a snapshot with new rows")
    return unseen


def _collect_served(project: Project, model: str) -> _CalibrationData:
    found = [each for each in list_verdicts(project) if each.model == model and each.features and each.inclusion > 0]
    if not found:
        raise UserError(f"people have judged no answer that {model} served", "preceptor monitor says how many wait for them")
    temperatures = [each.temperature for each in found if each.temperature is not None]
    return _CalibrationData(
        [np.array(each.features) for each in found], [each.good_share for each in found], [each.group for each in found], temperatures
    )


def _collect_on_rows(
    project: Project, model: Model | None, folder: Path, snapshot: Snapshot, rows: Sequence[SnapshotRow], temperature: float
) -> _CalibrationData:
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = gold.list_answers(connection, key)
    groups = [row.group for row in rows]
    wanted = [_answer_text(known.get(row.id, row.answer)) for row in rows]
    if model is not None and not prediction.is_generative(model):
        table = prediction.predict_probabilities(project, model, [row.text for row in rows])
        top = table.argmax(axis=1)
        right = [float(snapshot.answers[code] == truth) for code, truth in zip(top, wanted, strict=True)]
        return _CalibrationData([token_features([chance]) for chance in np.log(np.maximum(table.max(axis=1), 1e-12))], right, groups, [])
    return _collect_generated(folder, rows, wanted, temperature)


def _collect_generated(folder: Path, rows: Sequence[SnapshotRow], wanted: Sequence[str], temperature: float) -> _CalibrationData:
    """Generate the model's answers to the rows that it can read, as it is served at a temperature, and compare them with the references."""
    from preceptor.generation.offline import count_longest_reference, generate_answers, render_references
    from preceptor.generation.sampling import GenerationRequest, SamplingParams
    from preceptor.models.causal_lm import ChatModel
    from preceptor.models.chat_template import build_conversation

    chat = ChatModel(folder)
    conversations = {row.id: build_conversation(row.content, reference) for row, reference in zip(rows, wanted, strict=True)}
    fit, _ = render_references(chat, conversations)
    pairs = [(row, reference) for row, reference in zip(rows, wanted, strict=True) if row.id in fit]
    if not pairs:
        raise UserError("the model can read none of the validation rows", "see why: preceptor evaluate MODEL")
    tokens = [fit[row.id] for row, _ in pairs]
    longest = _LENGTH_FACTOR * count_longest_reference(tokens)
    drawn = [SamplingParams(temperature, seed=number) for number in range(len(tokens))]
    asked = [
        GenerationRequest(row.tokens[: row.prompt_length], min(longest, chat.limit - row.prompt_length), how, top_logprobs=0)
        for row, how in zip(tokens, drawn, strict=True)
    ]
    written = zip(pairs, (answer for (answer,) in generate_answers(chat, asked)), strict=True)
    told = [(row, reference, answer) for (row, reference), answer in written if answer.logprobs]  # an empty answer has no features
    return _CalibrationData(
        [token_features([token.log_probability for token in answer.logprobs]) for _, _, answer in told],
        [float(normalize_spaces(answer.text) == normalize_spaces(reference)) for _, reference, answer in told],
        [row.group for row, _, _ in told],
        [temperature],
    )


def _answer_text(answer: Any) -> str:
    return str(answer["text"] if isinstance(answer, Mapping) else answer)
