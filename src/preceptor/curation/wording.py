"""Figures in words for people."""

from __future__ import annotations

from preceptor.domain.results import Estimate


def percent(share: float) -> str:
    """A share as percent, without a false 0 or 100."""
    if 0 < share < 0.005:
        return "under 1 %"
    if 0.995 <= share < 1:
        return "over 99 %"
    return f"{share:.0%}".replace("%", " %")


def with_interval(share: Estimate) -> str:
    """A share with its interval: "78 %, 62 % to 88 %"."""
    return f"{percent(share.value)}, {percent(share.low)} to {percent(share.high)}"
