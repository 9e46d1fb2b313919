"""For authors of plug-ins and for tests: contracts that any registered thing must keep, and simulated people to keep them with."""

from preceptor.testing.annotators import Crowd, adversarial, answers_of, drifting, guessing, overturned_crowd, repeating, simulate_crowd
from preceptor.testing.contracts import AGGREGATOR_CHECKS, KIND_CHECKS
from preceptor.testing.format_contracts import FORMAT_CHECKS
from preceptor.testing.metric_contracts import METRIC_CHECKS

__all__ = [
    "AGGREGATOR_CHECKS",
    "FORMAT_CHECKS",
    "KIND_CHECKS",
    "METRIC_CHECKS",
    "Crowd",
    "adversarial",
    "answers_of",
    "drifting",
    "guessing",
    "overturned_crowd",
    "repeating",
    "simulate_crowd",
]
