"""The report's section of a knowing suite: errors by how sure the model is, what its certainty is worth, and whether it says
that it doesn't know."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from preceptor.curation.folding import plain
from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.suites.knowing.selective import Ranked, RiskPoint
from preceptor.evaluation.suites.slicing import by_slice
from preceptor.evaluation.suites.unknowing import says_unknown
from preceptor.evaluation.wording import spread, whole_percent
from preceptor.statistics import brier, calibration_estimates, mean

BoolArray = NDArray[np.bool_]

COVERAGES = (0.8, 0.5, 0.9)
CURVE = tuple(share / 20 for share in range(2, 21))  # below a tenth of the answers there is little to see but the interval
WORST = 10
ANSWERABLE = "answerable"  # metadata of a prompt; false where the right answer is that nobody can know


def knowing_section(
    answers: Answers,
    right: ArrayLike,
    confidence: ArrayLike,
    *,
    title: str,
    coverages: Sequence[float] = COVERAGES,
    slices: Sequence[str] = (),
    seed: int = 0,
) -> dict[str, Any]:
    """right: 1 where an answer is right, 0 where it is wrong, (n,); of a prompt that can't be answered (its metadata say
    `answerable = false`) it is right to say so, whatever is passed. confidence: how sure the model was, (n,): a classifier's top
    probability, a writer's mean log-probability of its own tokens, a judge's score.

    figures: `selective_risk` at the first coverage, `aurc`, `error` (all answered); `ece` and `brier` where all confidences lie
    in 0 to 1; where prompts are marked, `says_unknown` (of what can't be answered, the share that says so) and `needless_unknown`
    (of what can, the share that says it doesn't know). curve: the risk from a tenth of the answers to all.
    slices: what is known of prompts and tells where errors are more frequent.
    """
    rows = len(answers.texts)
    judged, sure = np.array(right, dtype=np.float64), np.array(confidence, dtype=np.float64)
    if judged.shape != (rows,) or sure.shape != (rows,):
        raise UserError(f"{judged.size} verdicts and {sure.size} confidences for {rows} answers", "pass one of each an answer")
    groups = [asked.group for asked in answers.asked]
    unanswerable = np.array([is_unanswerable(asked.metadata) for asked in answers.asked])
    unknown = np.array([says_unknown(plain(text).text) for text in answers.texts])
    judged[unanswerable] = unknown[unanswerable]
    ranked = Ranked(judged, sure, groups)
    points = {coverage: ranked.point(coverage) for coverage in sorted({*CURVE, *coverages})}
    main = points[coverages[0]]
    figures = {
        "selective_risk": main.risk,
        "aurc": ranked.area_estimate(),
        "error": mean(1 - judged, clusters=groups),
        **_calibration(judged, sure, groups, seed),
        **_in_words(unknown, unanswerable, groups),
    }
    return {
        "kind": "knowing",
        "title": title,
        "words": _words([points[coverage] for coverage in coverages], figures),
        "figures": figures,
        "rows": rows,
        "groups": len(set(groups)),
        "curve": [point.to_dict() for point in points.values()],
        "examples": _surest_errors(answers, judged, sure),
        **by_slice(answers, slices, 1 - judged, figure="error", better="lower"),
    }


def is_unanswerable(metadata: Any) -> bool:
    """Whether a prompt is marked as one that nobody can answer: `answerable` is false, or says no."""
    said = metadata.get(ANSWERABLE, True)
    return said is False or (isinstance(said, str) and said.strip().lower() in ("false", "no", "0")) or (said == 0 and said is not True)


def _calibration(right: FloatArray, sure: FloatArray, groups: Sequence[str], seed: int) -> dict[str, Estimate]:
    """Whether confidences that look like probabilities are; nothing for other scales, and for verdicts between right and wrong."""
    if not (((sure >= 0) & (sure <= 1)).all() and np.isin(right, (0, 1)).all()):
        return {}
    table = np.stack([sure, 1 - sure], axis=1)
    wrong = (1 - right).astype(np.int64)
    return {"ece": calibration_estimates(table, wrong, groups, seed=seed), "brier": _share(mean(brier(table, wrong) / 2, clusters=groups))}


def _share(found: Estimate) -> Estimate:
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 1.0))


def _in_words(unknown: BoolArray, unanswerable: BoolArray, groups: Sequence[str]) -> dict[str, Estimate]:
    """Of prompts that can't be answered and of those that can, the share whose answer says that it doesn't know."""
    if not unanswerable.any():
        return {}
    names = np.asarray(groups)
    sides = {"says_unknown": unanswerable, "needless_unknown": ~unanswerable}
    return {name: mean(unknown[rows].astype(np.float64), clusters=names[rows]) for name, rows in sides.items() if rows.any()}


def _words(points: Sequence[RiskPoint], figures: dict[str, Estimate]) -> list[str]:
    told = [f"Were only the surest {whole_percent(point.coverage)} answered, {spread(point.risk)} would be wrong." for point in points]
    words = [*told, f"Were all answered, {spread(figures['error'])} would be wrong."]
    if "says_unknown" in figures:
        words.append(f"Of prompts that can't be answered, it says so in {spread(figures['says_unknown'])}.")
    if "needless_unknown" in figures:
        words.append(f"Of prompts that can be, it says that it doesn't know in {spread(figures['needless_unknown'])}.")
    return words


def _surest_errors(answers: Answers, right: FloatArray, sure: FloatArray) -> list[dict[str, Any]]:
    """Wrong answers, the surest first."""
    order = [row for row in np.argsort(-sure, kind="stable").tolist() if right[row] < 0.5][:WORST]
    return [
        {
            "id": answers.asked[row].id,
            "prompt": answers.asked[row].prompt,
            "reference": answers.asked[row].reference,
            "answer": answers.texts[row],
            "confidence": float(sure[row]),
            "answerable": not is_unanswerable(answers.asked[row].metadata),
        }
        for row in order
    ]
