"""What is decided when a person asks for work: whether gold is due, whether the question is theirs, whether an item climbs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection

from preceptor.guidance.stopping import StopRule


def is_gold_turn(annotator: str, count: int | str, share: float, *, secret: str = "") -> bool:
    """Whether somebody's turn number `count` is one for gold: a hash decides, for `share` of the turns in the long run.

    The same turn decides the same way whenever it is looked at, so asking again isn't a way around it. Without a `secret`
    of the project, who knows this line can foresee their turns.
    """
    turn = "\n".join(("gold", secret, annotator, str(count)))
    place = int.from_bytes(hashlib.sha256(turn.encode()).digest()[:8], "big")
    return place < share * 2**64


def needs(question_skills: Collection[str], person_skills: Collection[str]) -> bool:
    """Whether a person has all the skills that a question needs; one that needs none is for everybody."""
    return set(question_skills) <= set(person_skills)


def escalates(certainty: float, given: int, rule: StopRule) -> bool:
    """Whether an item goes to the next tier: it has all the judgments it may get, and its answer still isn't certain enough."""
    return given >= rule.maximum and certainty < rule.certainty
