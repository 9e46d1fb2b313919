"""Is a judge still the one that was measured? The same cases, scored again: other scores, less agreement with people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from preceptor.domain import Estimate
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.statistics import compare_paired, mean

SAME = 1e-3  # of a score; machines differ in the last digits


@dataclass(frozen=True, eq=False)
class Probe:
    """What a judge said of some cases when it was frozen, and what people say of them.

    judge: its digest. scores, human: (cases,) in [0, 1]; scores are NaN where there was no verdict. groups: of the cases.
    """

    judge: str
    scores: FloatArray
    human: FloatArray
    groups: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        scores = [None if np.isnan(score) else float(score) for score in self.scores]
        return {"judge": self.judge, "scores": scores, "human": self.human.tolist(), "groups": list(self.groups)}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` was made of."""
        scores = np.array([np.nan if score is None else score for score in value["scores"]], dtype=np.float64)
        return cls(value["judge"], scores, np.asarray(value["human"], dtype=np.float64), tuple(value["groups"]))


@dataclass(frozen=True, slots=True)
class Drift:
    """changed: share of cases whose score isn't what it was. agreement: of now less that of then, below zero where it has fallen.

    same: whether prompt, model and all scores are what they were. fallen: whether the agreement has, beyond chance.
    """

    same: bool
    changed: Estimate
    agreement: Estimate
    fallen: bool
    words: str


def drift(probe: Probe, scores: ArrayLike, judge: str) -> Drift:
    """probe: from when the judge was frozen. scores: what it says of the same cases now; judge: its digest now."""
    now = np.asarray(scores, dtype=np.float64)
    if now.shape != probe.scores.shape or not len(now):
        raise UserError(f"{now.size} scores now, and {probe.scores.size} then", "score the cases of the probe again", where="scores")
    gone = np.isnan(now) != np.isnan(probe.scores)
    moved = gone | (np.abs(np.nan_to_num(now) - np.nan_to_num(probe.scores)) > SAME)
    agrees = [(np.sign(each - 0.5) == np.sign(probe.human - 0.5)).astype(np.float64) for each in (now, probe.scores)]
    change = compare_paired(*agrees, clusters=np.array(probe.groups))
    other, fallen = judge != probe.judge, change.high < 0
    words = _words(other, int(moved.sum()), len(now), fallen)
    return Drift(not other and not moved.any(), mean(moved.astype(np.float64)), change, fallen, words)


def _words(other: bool, moved: int, cases: int, fallen: bool) -> str:
    if not other and not moved:
        return f"The judge says of all {cases} cases what it said when it was frozen."
    why = "Prompt or model of the judge have changed" if other else "The judge is the same by name, and no longer says the same"
    agrees = "agrees with people less than then" if fallen else "agrees with people no less than then, as far as that shows"
    return f"{why}: {moved} of {cases} scores differ, and it {agrees}."
