"""Suites: small readable files that say what a model is asked and what is measured in its answers, and the measuring itself.

Everything here is a function of answers that somebody else got from a model: nothing is generated, stored or released.
"""

from preceptor.evaluation.suites.knowing.section import knowing_section
from preceptor.evaluation.suites.metrics.metric import Measured, Metric, metrics
from preceptor.evaluation.suites.policy.file import Policy, read_policy
from preceptor.evaluation.suites.policy.section import policy_section
from preceptor.evaluation.suites.prompts import read_prompts
from preceptor.evaluation.suites.suite import Suite, read_suite
from preceptor.evaluation.suites.task import task_section

__all__ = [
    "Measured",
    "Metric",
    "Policy",
    "Suite",
    "knowing_section",
    "metrics",
    "policy_section",
    "read_policy",
    "read_prompts",
    "read_suite",
    "task_section",
]
