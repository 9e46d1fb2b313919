"""Suites that need nobody's verdict: metrics, a policy's rules, and whether a model knows what it doesn't know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.answers import Answers
from preceptor.evaluation.judges import Judge
from preceptor.evaluation.suites import Suite, knowing_section, policy_section, read_policy, task_section
from preceptor.evaluation.suites.metrics.metric import named_metrics
from preceptor.evaluation.suites.task import measure_all
from preceptor.project.suites.subjects import Subject

CONFIDENCE = "confidence"  # metadata of a recorded answer: how sure its model was
_HINT = 'a "confidence" beside each answer, from 0 to 1 or a log-probability'


def task(suite: Suite, answers: Answers) -> dict[str, Any]:
    """A report's section of metrics."""
    return task_section(answers, named_metrics(suite.metrics), title=suite.title, slices=suite.slices)


def policy(suite: Suite, answers: Answers, judge_for: Callable[[str], Judge] | None) -> dict[str, Any]:
    """A report's section of a policy's violations."""
    assert suite.policy is not None
    section = policy_section(answers, read_policy(suite.policy), title=suite.title, judge_for=judge_for, slices=suite.slices)
    judged = [name for name, rule in section["rules"].items() if rule["kind"] == "judge"]
    if judged:
        section["words"].append(
            f"A judge decides {', '.join(judged)}. How far it agrees with people isn't measured here: take what it flags for what people "
            "should look at, and measure it (docs/judges.md) before a release rests on it."
        )
    return section


def knowing(suite: Suite, answers: Answers, subject: Subject | None) -> dict[str, Any]:
    """A report's section of errors by how sure the model is: by its first metric, and by its own log-probabilities or what was recorded."""
    metrics = named_metrics(suite.metrics)
    name, found = next(iter(measure_all(answers, metrics).items()))
    if found.figure is not None:
        raise UserError(f"{name} is a figure of all answers together, and says of none whether it is right", 'metrics = ["exact_match"]')
    sure = _recorded(answers) if subject is None else _own(answers, subject)
    return knowing_section(answers, found.columns[:, 0], sure, title=suite.title, coverages=suite.coverages, slices=suite.slices)


def _recorded(answers: Answers) -> FloatArray:
    sure = [each.metadata.get(CONFIDENCE) for each in answers.asked]
    if lacking := [each.id for each, value in zip(answers.asked, sure, strict=True) if not isinstance(value, int | float)]:
        raise UserError(f"the answer to {lacking[0]!r} doesn't say how sure its model was", _HINT)
    return np.array(sure, dtype=np.float64)


def _own(answers: Answers, subject: Subject) -> FloatArray:
    """Mean log-probability of each answer's tokens, in nats; an answer without any is as unsure as can be."""
    from preceptor.providers import LocalProvider

    provider = LocalProvider(subject.folder)
    said = {
        each.id: [*each.turns, {"role": "assistant", "content": text}]
        for each, text in zip(answers.asked, answers.texts, strict=True)
        if text.strip()
    }
    found = provider.say(said).log_probabilities
    values = [float(np.mean(found[each.id])) if each.id in found else np.nan for each in answers.asked]
    lowest = np.nanmin(values) if not np.isnan(values).all() else 0.0
    return np.where(np.isnan(values), lowest - 1.0, values)
