"""Measures models and says what was found: figures with intervals clustered by group, the release gate, the report.

Nothing here trains or asks people; it takes probabilities or texts and truths, and gives Estimates, a Decision and a page.
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
