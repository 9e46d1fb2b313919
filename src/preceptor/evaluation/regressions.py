"""Conditions of the gate on slices: none far behind the rest, none fallen behind the last release."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from preceptor.domain import Estimate
from preceptor.evaluation.gate import Condition, State, among_others, units_to_settle
from preceptor.evaluation.wording import figure_name, points

NO_LIMIT = 1.0  # of a difference of two shares: it can't be more


class _Gap(NamedTuple):
    """How much worse something is, as a figure of which less is better."""

    name: str
    estimate: Estimate
    share: float = 1.0


def slices_condition(limit: float, section: Mapping[str, Any], others: float = 0.0) -> Condition:
    """No slice may be worse than the rest by more than `limit`; section: `document["slices"]`, which may be empty.

    others: how many models the rows had judged before, see `among_others`. Met where each slice's interval shows it, missed
    where one shows the contrary. What is too small to be tested isn't covered.
    """
    gaps = list(_gaps(section, others))
    bound = f"at most {limit:g} worse than the rest"
    if not gaps:
        why = "no slice of the test rows is large enough to be tested" if section else "the report has no slices: evaluate the model anew"
        return Condition("slices", bound, "undecided", f"not enough evidence yet: {why}.")
    return _condition("slices", bound, limit, gaps, _small(section))


def regressions_condition(limit: float, section: Mapping[str, Any] | None, others: float = 0.0) -> Condition:
    """Neither the whole nor a slice may be worse than under the last release by more than `limit`; section: `document["previous"]`.

    others: how many models the rows had judged before, see `among_others`. Met where nothing was let out before. Undecided where the
    two can't be compared row by row.
    """
    bound = f"at most {limit:g} worse than the last release"
    if not section:
        return Condition("regressions", bound, "met", "met: no model has been let out before, so there is nothing to fall behind.")
    figures = section.get("figures") or {}
    if not figures:
        why = section.get("why") or f"{section.get('model')} was measured on none of these rows"
        return Condition("regressions", bound, "undecided", f"not enough evidence yet: {why}.")
    whole = Estimate.of(next(iter(figures.values()))["difference"])
    gaps = [_Gap("all rows", among_others(_negated(whole), others)), *_gaps(section.get("slices") or {}, others)]
    return _condition("regressions", bound, limit, gaps, _small(section.get("slices") or {}))


def outdated_condition(figure: str, bound: str, why: str) -> Condition:
    """A condition whose figures don't stand any more: open, whatever they said."""
    return Condition(figure, bound, "undecided", f"not enough evidence yet: {why}")


def _condition(figure: str, bound: str, limit: float, gaps: list[_Gap], small: str) -> Condition:
    by_doubt = sorted(gaps, key=lambda gap: gap.estimate.high, reverse=True)
    missed = [gap for gap in by_doubt if gap.estimate.low > limit]
    open_ = [gap for gap in by_doubt if not gap.estimate.high <= limit and gap not in missed]
    state: State = "missed" if missed else "undecided" if open_ else "met"
    worst = (missed or open_ or by_doubt)[0]
    more = units_to_settle(worst.estimate, limit) if state == "undecided" else None
    named = ", ".join(_told(gap) for gap in missed[:3])
    told = {
        "met": f"met: of {len(gaps)} compared none is worse by more than {limit:g}; {_told(worst)} is nearest to it.",
        "missed": f"missed: worse by more than {limit:g}{_others(missed[2:])}: {named}.",
        "undecided": f"not enough evidence yet: {_told(worst)} may be worse by more than {limit:g}{_others(open_)}.{_remedy(more)}",
    }
    about = worst.name if worst.share < 1 else ""
    return Condition(figure, bound, state, told[state] + small, worst.estimate, more, about, worst.share)


def _gaps(section: Mapping[str, Any], others: float) -> Iterator[_Gap]:
    for each in section.get("found") or ():
        difference = among_others(Estimate.of(each["difference"]), others)
        worse = _negated(difference) if section.get("better") != "lower" else difference
        share = min(1.0, each.get("rows", 0) / section["rows"]) if section.get("rows") and each.get("rows") else 1.0
        yield _Gap(f"{each['by']} {each['slice']}", worse, share)


def _negated(estimate: Estimate) -> Estimate:
    return Estimate(-estimate.value, -estimate.high, -estimate.low, estimate.n, estimate.method, estimate.confidence)


def _told(gap: _Gap) -> str:
    found = gap.estimate
    size = f"{abs(100 * found.value):.1f} points {'worse' if found.value >= 0 else 'better'}"
    bounded = math.isfinite(found.low) and math.isfinite(found.high)
    ends = f"plausibly {points(found.low)} to {points(found.high)}" if bounded else "no interval"
    return f"{figure_name(gap.name)} ({size}, {ends})"


def _others(open_: list[_Gap]) -> str:
    return f" (and {len(open_) - 1} more)" if len(open_) > 1 else ""


def _remedy(more: int | None) -> str:
    return f" About {more:,} more independent units of it would settle it, if it stays." if more is not None else ""


def _small(section: Mapping[str, Any]) -> str:
    left_out, least = section.get("left_out") or 0, section.get("least") or (30, 10)
    return f" {left_out} slices have fewer than {least[0]} rows or {least[1]} groups and aren't covered." if left_out else ""
