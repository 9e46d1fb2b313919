"""Few planned looks at a growing number of labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from preceptor.domain.results import Estimate
from preceptor.errors import UserError
from preceptor.statistics.inputs import check_confidence


def at_look(estimator: Callable[[float], Estimate], looks: int, *, confidence: float = 0.95) -> Estimate:
    """An interval that holds together with those of at most `looks` looks planned beforehand: one may stop at any of them.

    estimator: makes the estimate at a confidence, `lambda confidence: ppi_mean(…, confidence=confidence)`. Each look errs with
    (1 − confidence)/looks at most (Bonferroni). Let the number of labels double from look to look; who wants to look after each label
    takes a confidence sequence. The result's confidence is that of all looks together.
    """
    if looks < 1:
        raise UserError("at least one look must be planned", "pass how many looks there will be at most", where="looks")
    estimate = estimator(1 - (1 - check_confidence(confidence)) / looks)
    return replace(estimate, method=f"{estimate.method}; one of {looks} looks", confidence=confidence)
