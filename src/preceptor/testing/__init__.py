"""Test plug-ins: contracts that every registered class must keep, and simulated annotators to test them with."""

from __future__ import annotations

from preceptor.testing.aggregator_contracts import AGGREGATOR_CHECKS
from preceptor.testing.format_contracts import FORMAT_CHECKS
from preceptor.testing.metric_contracts import METRIC_CHECKS
from preceptor.testing.question_contracts import KIND_CHECKS
from preceptor.testing.simulated_annotators import (
    SimulatedCrowd,
    adversarial_annotators,
    constant_annotators,
    drifting_annotators,
    random_annotators,
    simulate_answers,
    simulate_crowd,
    simulate_misleading_crowd,
)

__all__ = [
    "AGGREGATOR_CHECKS",
    "FORMAT_CHECKS",
    "KIND_CHECKS",
    "METRIC_CHECKS",
    "SimulatedCrowd",
    "adversarial_annotators",
    "constant_annotators",
    "drifting_annotators",
    "random_annotators",
    "simulate_answers",
    "simulate_crowd",
    "simulate_misleading_crowd",
]
