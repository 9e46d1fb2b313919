"""Adaptive redundancy: stop asking about an item once its answer is certain enough, spend what is saved on the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pydantic import Field

from preceptor.domain import Consensus
from preceptor.registry import OptionsBase


class StopRule(OptionsBase):
    """When an item has judgments enough.

    The certainty is the posterior's: it has seen what was bought and nothing else. It is a target in OR form
    (buy on while it isn't reached) because the expected gain in 0/1 risk of one more judgment is zero as soon as
    a single answer can't turn the majority, which would stop at any certainty.
    """

    certainty: float = Field(0.95, gt=0.5, lt=1, description="probability of the top answer at which an item has enough")
    minimum: int = Field(2, ge=1, description="judgments that every item gets")
    maximum: int = Field(7, ge=1, description="judgments after which an item is left as it is")
    audit: float = Field(0.04, ge=0, le=1, description="share of items that go on to the maximum, to check what the certainty is worth")

    @property
    def least(self) -> int:
        """Judgments that each item is asked for to begin with: the minimum, were the maximum not lower."""
        return min(self.minimum, self.maximum)


def wanted(consensus: Consensus, given: Mapping[str, int], rule: StopRule) -> dict[str, int]:
    """How many judgments each item shall have, given how many it has: one more where the answer isn't certain enough.

    Items that the consensus doesn't know get the minimum. Asking for one at a time is what makes each answer
    count before the next is bought; calling this after each round keeps people busy on many items at once.
    Audited items go on to `maximum`, as far as there are people to ask.
    """
    certainty = dict(zip(consensus.items, consensus.certainty.tolist(), strict=True))
    full = full_redundancy(rule, len(consensus.annotators))
    return {item: max(_wanted(certainty.get(item, 0.0), count, rule), _audited(item, count, rule, full)) for item, count in given.items()}


def is_audited(item: str, share: float) -> bool:
    """Whether an item is one of the `share` that goes on to full redundancy: a hash of its id decides."""
    place = int.from_bytes(hashlib.sha256(f"audit\n{item}".encode()).digest()[:8], "big")
    return place < share * 2**64


def full_redundancy(rule: StopRule, people: int) -> int:
    """The most judgments that an item can get: `maximum`, or everybody's; a person answers once."""
    return min(rule.maximum, people)


def _audited(item: str, count: int, rule: StopRule, full: int) -> int:
    return full if count >= rule.least and is_audited(item, rule.audit) else 0


def _wanted(certainty: float, count: int, rule: StopRule) -> int:
    if count < rule.least:
        return rule.least
    return count if certainty >= rule.certainty or count >= rule.maximum else count + 1
