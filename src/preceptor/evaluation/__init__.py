"""Evaluate models: figures with intervals clustered by group, judges, suites, policies and the release gate.

Nothing here trains, generates or queues anything for annotation: functions take probabilities or texts and their reference answers, and
return Estimates and a GateDecision.
"""

from __future__ import annotations

from preceptor.evaluation.classification_metrics import (
    classification_estimates,
    confusion_matrix,
    label_estimates,
    label_reliability,
    paired_classification_estimates,
    reliability_points,
)
from preceptor.evaluation.generation_metrics import GeneratedAnswers, detect_labels, generation_estimates, paired_generation_estimates
from preceptor.evaluation.release_bounds import GateDecision, ParityCheck, ReleaseBound, decide_release

__all__ = [
    "GateDecision",
    "GeneratedAnswers",
    "ParityCheck",
    "ReleaseBound",
    "classification_estimates",
    "confusion_matrix",
    "decide_release",
    "detect_labels",
    "generation_estimates",
    "label_estimates",
    "label_reliability",
    "paired_classification_estimates",
    "paired_generation_estimates",
    "reliability_points",
]
