"""The live audit of a question: what the stop rule claimed, what came true, and the rule that follows from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.guidance import Audit, StopRule, audit, full_redundancy, is_audited

if TYPE_CHECKING:
    from preceptor.project.guiding.agreeing import Standing


def audit_of(standing: Standing, rule: StopRule) -> Audit:
    """The audited items that have full redundancy, replayed in the order in which their judgments arrived.

    Items with a gold answer are left out: their certainty isn't the crowd's.
    """
    what, who, _, _ = standing.columns
    full = full_redundancy(rule, len(set(who)))
    done = [item for item, count in Counter(what).items() if count >= full and is_audited(item, rule.audit) and item not in standing.gold]
    return audit(lambda limits: _cut(standing, limits).fit(), done, rule)


def mended(standing: Standing, rule: StopRule) -> StopRule:
    """The rule with the certainty at which what is asked for comes true."""
    return rule.model_copy(update={"certainty": audit_of(standing, rule).threshold(rule.certainty)}) if rule.audit else rule


def audit_status(standing: Standing, rule: StopRule) -> dict[str, Any] | None:
    """Claimed against realised certainty, and the certainty at which items stop now; None before any item is through."""
    found = audit_of(standing, rule)
    if not len(found.kept):
        return None
    return {
        "items": len(found.kept),
        "claimed": float(found.claimed.mean()),
        "realised": found.realised.to_dict(),
        "is_off": found.is_off,
        "stops_at": found.threshold(rule.certainty),
    }


def _cut(standing: Standing, limits: Mapping[str, int]) -> Standing:
    """What stood when each item of `limits` had only so many judgments, the first that arrived."""
    seen: Counter[str] = Counter()
    kept = []
    for row, item in enumerate(standing.columns[0]):
        seen[item] += 1
        if item not in limits or seen[item] <= limits[item]:
            kept.append(row)
    what, who, said, numbers = standing.columns
    columns = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
    return replace(standing, columns=columns)
