"""Whose turn it is among those who wait."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest

from preceptor.generation.engine import AdmissionDecision, FairQueue


@dataclass(eq=False)
class Asked:
    caller: str
    name: str
    turn: AdmissionDecision = AdmissionDecision.BEGIN
    is_cancelled: bool = False


def begun(waiting: FairQueue[Asked], under_way: Counter[str]) -> list[str]:
    """Who begins, in order, until nobody may."""
    found = []
    while (one := waiting.pop_next(lambda asked: asked.turn, under_way)) is not None:
        found.append(one.name)
    return found


def queue(*asked: Asked, most: int = 10) -> FairQueue[Asked]:
    waiting = FairQueue[Asked](most)
    for each in asked:
        assert waiting.add(each) is None
    return waiting


def test_callers_take_turns_those_with_the_least_under_way_first():
    asked = [Asked(caller, f"{caller}{number}") for caller in "abc" for number in range(2)]
    assert begun(queue(*asked), Counter()) == ["a0", "b0", "c0", "a1", "b1", "c1"]
    assert begun(queue(*asked), Counter(a=2, b=1)) == ["c0", "c1", "b0", "b1", "a0", "a1"]


@pytest.mark.parametrize(
    ("turn", "rest"), [(AdmissionDecision.PASS, ["b0", "a1"]), (AdmissionDecision.STAY, ["b0"]), (AdmissionDecision.HOLD, [])]
)
def test_who_may_not_begin_yet_lets_others_or_holds_them_up(turn, rest):
    waiting = queue(Asked("a", "a0", turn), Asked("a", "a1"), Asked("b", "b0"))
    assert begun(waiting, Counter(a=1 if turn is not AdmissionDecision.HOLD else 0)) == rest
    assert [each.name for each in waiting] == [name for name in ("a0", "a1", "b0") if name not in rest]


def test_when_too_many_wait_the_last_of_who_has_the_most_goes():
    waiting = queue(Asked("a", "a0"), Asked("a", "a1"), Asked("b", "gone", is_cancelled=True), most=2)
    assert waiting.add(more := Asked("a", "a2")) is more
    assert waiting.add(Asked("c", "c0")).name == "a1"
    waiting.put_back(Asked("a", "was paused"))  # who had begun is never refused, and comes first
    assert [each.name for each in waiting if each.caller == "a"] == ["was paused", "a0"]
