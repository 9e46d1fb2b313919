"""Measure a model with evaluation suites.

Everything here is a function of answers already obtained from a model: nothing is generated, stored or released.
"""

from __future__ import annotations

from preceptor.evaluation.suites.generation import generation_section
from preceptor.evaluation.suites.selective_prediction import selective_prediction_section
from preceptor.evaluation.suites.suite import EvaluationSuite, read_suite

__all__ = ["EvaluationSuite", "generation_section", "read_suite", "selective_prediction_section"]
