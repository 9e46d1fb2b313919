"""Measures models and says what was found: figures with intervals clustered by group, the release gate, the report.

Nothing here trains or asks people; it takes probabilities and truths, and gives Estimates, a Decision and a page.
"""

from preceptor.evaluation.gate import Bound, Decision, decide
from preceptor.evaluation.metrics import classification_estimates, confusion, paired, reliability
from preceptor.evaluation.report import Report

__all__ = ["Bound", "Decision", "Report", "classification_estimates", "confusion", "decide", "paired", "reliability"]
