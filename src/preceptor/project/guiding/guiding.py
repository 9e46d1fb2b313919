"""Guidance at work: which items are asked about again, and which climb to reviewers and experts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from preceptor.domain import Annotator, Consensus
from preceptor.guidance import StopRule, escalates, full_redundancy, is_audited, worth_asking
from preceptor.project.config import Cost
from preceptor.project.guiding.agreeing import Standing
from preceptor.project.guiding.auditing import mended
from preceptor.store import items, people, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

Decide = Callable[[Consensus, Mapping[str, int], StopRule], Mapping[str, int]]


def guide(project: Project, question: str, decide: Decide) -> int | None:
    """Ask again about items whose answer isn't certain; how many judgments that adds, None while slots wait to be taken.

    Slots that somebody holds or that are audited hold nobody up: they may wait long. An item in doubt that has all
    the judgments it may get climbs to reviewers, then to experts, as far as there are any. What is asked for a purpose is left
    alone: its design says how many people answer.
    """
    rule = project.config.guidance
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        if asked.follows or asked.purpose or slots.open_beyond(connection, key, 2 * rule.audit * items.last(connection) + 10):
            return None  # which an index tells at once; the totals below read every slot
        progress = slots.progress(connection, key)
        # far more open slots than an audit has: no need to look at each
        most = 2 * rule.audit * progress["slots"] + 10 * (rule.audit > 0)
        if not progress["given"] or slots.open_beyond(connection, key, most):
            return None
        counts = slots.counts(connection, key)
        if _waits(counts, rule):
            return None
        standing = Standing.of(connection, question)
        everyone = people.everyone(connection)
    fitted, rule = standing.fit(), mended(standing, rule)
    wants = decide(fitted, {item: count.given for item, count in counts.items()}, rule)
    more = {item: count for item, count in wants.items() if count > counts[item].wanted}
    tiers = _climbing(fitted, counts, rule, slots.highest_tier(everyone))
    tiers |= _worth_more(fitted, more, standing, everyone, project.config.cost)
    more = {item: count for item, count in more.items() if item not in tiers}
    with project.database.writing() as connection:
        slots.want(connection, key, more)
        slots.climb(connection, key, tiers)
    return sum(count - counts[item].given for item, count in more.items()) + len(tiers)


def _waits(counts: Mapping[str, slots.Count], rule: StopRule) -> bool:
    return any(
        count.open and not count.tier and (count.given < rule.least or not is_audited(item, rule.audit)) for item, count in counts.items()
    )


def _climbing(fitted: Consensus, counts: Mapping[str, slots.Count], rule: StopRule, top: int) -> dict[str, int]:
    """The next tier of each item that is in doubt although nobody on its own tier is left to ask."""
    if not top:
        return {}
    reachable = rule.model_copy(update={"maximum": full_redundancy(rule, len(fitted.annotators))})
    return {
        item: min(counts[item].tier + 1, top)
        for item, certainty in zip(fitted.items, fitted.certainty.tolist(), strict=True)
        if escalates(certainty, counts[item].given, reachable) and counts[item].given >= counts[item].wanted and counts[item].tier < top
    }


def _worth_more(fitted: Consensus, more: Collection[str], standing: Standing, everyone: Sequence[Annotator], cost: Cost) -> dict[str, int]:
    """The tier of each item about which people of a higher one tell more for their own price than who is left below."""
    tier = {person.id: slots.TIERS[person.role] for person in everyone}
    tables = {name: quality.confusion for name, quality in fitted.annotators.items() if quality.confusion is not None and name in tier}
    known = [name for name in tables if not tier[name] or name in cost.people]
    rows = [row for row, item in enumerate(fitted.items) if item in more]
    if not rows or not any(tier[name] for name in known):
        return {}
    what, who, _, _ = standing.columns
    answered = set(zip(what, who, strict=True))
    may = np.array([[(fitted.items[row], name) not in answered for name in known] for row in rows])
    prices = np.array([cost.price(name, standing.question.kind) for name in known])
    asks = worth_asking(fitted.posterior[rows], np.array([tables[name] for name in known]), prices, budget=float("inf"), may=may)
    return {fitted.items[rows[ask.item]]: tier[known[ask.person]] for ask in asks if tier[known[ask.person]]}
