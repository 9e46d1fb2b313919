"""Decide which items get more judgments or are escalated, and audit the stop rule against full redundancy.

The audit compares the certainty that the stop rule claimed with what came true, and adjusts the rule by it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.judgment_set import JudgmentSet
from preceptor.config import CostOptions
from preceptor.planning import StopRule, StopRuleAudit, allocate_judgments, audit_stop_rule, full_redundancy, is_audited, should_escalate
from preceptor.storage import items, people, questions, slots
from preceptor.types import Annotator, Consensus

if TYPE_CHECKING:
    from preceptor.project import Project


def _audit_stop_rule(standing: JudgmentSet, rule: StopRule) -> StopRuleAudit:
    """Replay the audited items that have full redundancy, in the order in which their judgments arrived.

    Items with a gold answer are left out: their certainty isn't the crowd's.
    """
    what, who, _, _ = standing.columns
    full = full_redundancy(rule, len(set(who)))
    done = [
        item for item, count in Counter(what).items() if count >= full and is_audited(item, rule.audit_share) and item not in standing.gold
    ]
    return audit_stop_rule(lambda limits: _limit_judgments(standing, limits).fit(), done, rule)


def _adjust_stop_rule(standing: JudgmentSet, rule: StopRule) -> StopRule:
    """Return the rule with the certainty threshold at which the requested certainty comes true."""
    return (
        rule.model_copy(update={"confidence_threshold": _audit_stop_rule(standing, rule).threshold(rule.confidence_threshold)})
        if rule.audit_share
        else rule
    )


def summarize_audit(standing: JudgmentSet, rule: StopRule) -> dict[str, Any] | None:
    """Return claimed and realised certainty, and the threshold at which items stop now; None before any item is complete."""
    found = _audit_stop_rule(standing, rule)
    if not len(found.kept):
        return None
    return {
        "items": len(found.kept),
        "claimed": float(found.claimed.mean()),
        "realised": found.realised.to_dict(),
        "is_off": found.is_miscalibrated,
        "stops_at": found.threshold(rule.confidence_threshold),
    }


def _limit_judgments(standing: JudgmentSet, limits: Mapping[str, int]) -> JudgmentSet:
    """Return the set with only so many judgments of each item of `limits`, the first that arrived."""
    seen: Counter[str] = Counter()
    kept = []
    for row, item in enumerate(standing.columns[0]):
        seen[item] += 1
        if item not in limits or seen[item] <= limits[item]:
            kept.append(row)
    what, who, said, numbers = standing.columns
    columns = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
    return replace(standing, columns=columns)


StopDecision = Callable[[Consensus, Mapping[str, int], StopRule], Mapping[str, int]]


def update_redundancy(project: Project, question: str, decide: StopDecision) -> int | None:
    """Request more judgments of items whose answer isn't certain; return how many, or None while slots wait to be taken.

    Slots that somebody holds or that are audited delay nothing: they may wait long. A disputed item that has all
    the judgments it may get is escalated to reviewers, then to experts, where there are any. Questions with a purpose are left
    alone: their design says how many people answer.
    """
    rule = project.config.redundancy
    with project.database.reading() as connection:
        key, asked = questions.get(connection, question)
        if (
            asked.follows
            or asked.purpose
            or slots.has_more_open_than(connection, key, 2 * rule.audit_share * items.last_key(connection) + 10)
        ):
            return None  # an index tells this at once; the totals below read every slot
        progress = slots.question_progress(connection, key)
        # far more open slots than an audit has: no need to look at each
        most = 2 * rule.audit_share * progress["slots"] + 10 * (rule.audit_share > 0)
        if not progress["judgment_count"] or slots.has_more_open_than(connection, key, most):
            return None
        counts = slots.counts_by_item(connection, key)
        if _has_waiting_slots(counts, rule):
            return None
        standing = JudgmentSet.load(connection, question)
        everyone = people.list_annotators(connection)
    fitted, rule = standing.fit(), _adjust_stop_rule(standing, rule)
    wants = decide(fitted, {item: count.judgment_count for item, count in counts.items()}, rule)
    more = {item: count for item, count in wants.items() if count > counts[item].target_count}
    tiers = _find_escalations(fitted, counts, rule, slots.highest_tier(everyone))
    tiers |= _find_worthwhile_escalations(fitted, more, standing, everyone, project.config.cost)
    more = {item: count for item, count in more.items() if item not in tiers}
    with project.database.writing() as connection:
        slots.set_target_counts(connection, key, more)
        slots.escalate(connection, key, tiers)
    return sum(count - counts[item].judgment_count for item, count in more.items()) + len(tiers)


def _has_waiting_slots(counts: Mapping[str, slots.SlotCounts], rule: StopRule) -> bool:
    return any(
        count.open and not count.tier and (count.judgment_count < rule.initial_judgments or not is_audited(item, rule.audit_share))
        for item, count in counts.items()
    )


def _find_escalations(fitted: Consensus, counts: Mapping[str, slots.SlotCounts], rule: StopRule, top: int) -> dict[str, int]:
    """Return the next tier of each disputed item for which nobody on its own tier is left to ask."""
    if not top:
        return {}
    reachable = rule.model_copy(update={"max_judgments": full_redundancy(rule, len(fitted.annotators))})
    return {
        item: min(counts[item].tier + 1, top)
        for item, certainty in zip(fitted.items, fitted.certainty.tolist(), strict=True)
        if should_escalate(certainty, counts[item].judgment_count, reachable)
        and counts[item].judgment_count >= counts[item].target_count
        and counts[item].tier < top
    }


def _find_worthwhile_escalations(
    fitted: Consensus, more: Collection[str], standing: JudgmentSet, everyone: Sequence[Annotator], cost: CostOptions
) -> dict[str, int]:
    """Return the tier of each item about which people of a higher tier tell more for their price than those left below."""
    tier = {person.id: slots.TIERS[person.role] for person in everyone}
    tables = {name: quality.confusion for name, quality in fitted.annotators.items() if quality.confusion is not None and name in tier}
    known = [name for name in tables if not tier[name] or name in cost.annotators]
    rows = [row for row, item in enumerate(fitted.items) if item in more]
    if not rows or not any(tier[name] for name in known):
        return {}
    what, who, _, _ = standing.columns
    answered = set(zip(what, who, strict=True))
    may = np.array([[(fitted.items[row], name) not in answered for name in known] for row in rows])
    prices = np.array([cost.judgment_price(name, standing.question.kind) for name in known])
    asks = allocate_judgments(fitted.posterior[rows], np.array([tables[name] for name in known]), prices, budget=float("inf"), may=may)
    return {fitted.items[rows[ask.item]]: tier[known[ask.person]] for ask in asks if tier[known[ask.person]]}
