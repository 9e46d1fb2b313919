"""Measures models and says what was found: figures with intervals clustered by group, the release gate, the report.

Nothing here trains or asks people; it takes probabilities or texts and truths, and gives Estimates, a Decision and a page.
"""

from preceptor.evaluation.gate import Bound, Decision, Proof, decide
from preceptor.evaluation.labels import label_estimates, label_reliability
from preceptor.evaluation.metrics import classification_estimates, confusion, paired, reliability
from preceptor.evaluation.report import Report
from preceptor.evaluation.texts import Written, labels_of, paired_texts, text_estimates

__all__ = [
    "Bound",
    "Decision",
    "Proof",
    "Report",
    "Written",
    "classification_estimates",
    "confusion",
    "decide",
    "label_estimates",
    "label_reliability",
    "labels_of",
    "paired",
    "paired_texts",
    "reliability",
    "text_estimates",
]
