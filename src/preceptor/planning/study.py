"""Design of a study before its first judgment, on simulated crowds: judgments, annotators and cost for a target accuracy.

The crowd's accuracy is a guess or comes from a pilot. Every design is tried on the same simulated crowds, with annotators' accuracy
learnt from their answers as it would be live.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from preceptor.consensus import Judgments, aggregate
from preceptor.errors import UserError
from preceptor.types import Consensus, Estimate, FloatArray, IntArray


@dataclass(frozen=True)
class CrowdModel:
    """The assumptions about annotators and items.

    accuracy: mean share of right answers. spread: its standard deviation across annotators. guessing: share of annotators who
    answer at random. hard: share of items on which everyone is half as far above chance.
    """

    accuracy: float = 0.75
    spread: float = 0.1
    guessing: float = 0.0
    hard: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.accuracy < 1:
            raise UserError(f"accuracy is a share between 0 and 1, not {self.accuracy!r}", "a guess: 0.75")
        for name in ("guessing", "hard"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} is a share from 0 to 1, not {getattr(self, name)!r}")
        most = (self.accuracy * (1 - self.accuracy)) ** 0.5
        if not 0 <= self.spread < most:
            raise UserError(f"a spread of {self.spread!r} doesn't go with an accuracy of {self.accuracy!r}", f"from 0 to below {most:.2f}")

    @classmethod
    def from_pilot(cls, pilot: Consensus, *, hard: float = 0.0) -> Self:
        """Build the crowd from a pilot's annotators; their spread is what chance alone doesn't explain (method of moments).

        Raises UserError for a pilot without accuracies.
        """
        known = [(quality.judgments, quality.accuracy.value) for quality in pilot.annotators.values() if quality.accuracy]
        if not known:
            raise UserError("the pilot says nothing about its people's accuracy", 'fit it with method="auto" or "dawid_skene"')
        counts, right = (np.array(column, dtype=np.float64) for column in zip(*known, strict=True))
        mean = float(np.clip(np.average(right, weights=counts), 0.02, 0.98))
        by_chance = float((mean * (1 - mean) / counts).mean())
        beyond = max(float(right.var()) - by_chance, 0.0)
        return cls(mean, min(beyond**0.5, 0.9 * (mean * (1 - mean)) ** 0.5), 0.0, hard)

    def simulate(
        self, *, items: int, options: int, people: int, each: int, rng: np.random.Generator
    ) -> tuple[IntArray, IntArray, IntArray]:
        """Simulate (truth (items,), who (items, each), said (items, each)): `each` different people about every item, in random order."""
        truth = rng.integers(options, size=items)
        able = self._draw_accuracies(people, options, rng)
        who = rng.random((items, people)).argsort(axis=1)[:, :each]
        hard = rng.random(items) < self.hard
        right = able[who]
        right = np.where(hard[:, None], (right + 1 / options) / 2, right)
        wrong = (truth[:, None] + rng.integers(1, options, size=who.shape)) % options
        return truth, who, np.where(rng.random(who.shape) < right, truth[:, None], wrong)

    def _draw_accuracies(self, people: int, options: int, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        if self.spread:
            size = self.accuracy * (1 - self.accuracy) / self.spread**2 - 1
            able = rng.beta(self.accuracy * size, (1 - self.accuracy) * size, people)
        else:
            able = np.full(people, self.accuracy)
        able[: round(self.guessing * people)] = 1 / options
        return able


MAX_JUDGMENTS = 9  # judgments an item
STOP_CERTAINTIES = (0.8, 0.9, 0.95, 0.98, 0.99)
SIMULATED_ITEMS = 600  # most items of one simulated study; the judgments per item of a larger one are taken to be the same
FIRST_JUDGMENTS = 2  # judgments of each item before an adaptive study first checks its certainty


@dataclass(frozen=True)
class StudyDesign:
    """One way to run the study: `each` judgments an item, or until an item's answer reaches `certainty`.

    accuracy: share of right answers; claimed: mean certainty of the answers. Intervals cover 95 % of the simulated studies.
    """

    each: int | None
    certainty: float | None
    judgments_per_item: float
    accuracy: Estimate
    claimed: float
    judgments: int
    people: int
    cost: float

    @property
    def summary(self) -> str:
        """The design in words."""
        return f"{self.each} an item" if self.each else f"until {self.certainty:.0%} certain, at most {MAX_JUDGMENTS}"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {"design": self.summary, **asdict(self)}


@dataclass(frozen=True)
class StudyPlan:
    """All designs that were tried; `fixed` and `adaptive` are the cheapest that reach the target, None where none does."""

    target: float
    crowd: CrowdModel
    designs: tuple[StudyDesign, ...]

    @property
    def fixed(self) -> StudyDesign | None:
        """The design with the fewest judgments an item, the same for each, that reaches the target on average."""
        return self._cheapest(adaptive=False)

    @property
    def adaptive(self) -> StudyDesign | None:
        """The design with the loosest stop rule that reaches the target on average."""
        return self._cheapest(adaptive=True)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        best = {name: design.to_dict() if (design := getattr(self, name)) else None for name in ("fixed", "adaptive")}
        return {"target": self.target, "crowd": asdict(self.crowd), **best, "designs": [design.to_dict() for design in self.designs]}

    def _cheapest(self, *, adaptive: bool) -> StudyDesign | None:
        good = [each for each in self.designs if (each.each is None) is adaptive and each.accuracy.value >= self.target]
        return min(good, key=lambda design: design.judgments, default=None)


def design_study(
    *,
    items: int,
    options: int = 2,
    crowd: CrowdModel | Consensus | None = None,
    target: float = 0.95,
    price: float = 0.05,
    per_person: int = 100,
    draws: int = 20,
    seed: int = 0,
) -> StudyPlan:
    """Design a study of `items` items with `options` answers for a share `target` of right answers.

    crowd: a guess, or a pilot's Consensus. price: of one judgment. per_person: judgments that one person will give.
    draws: simulated studies; the same seed gives the same ones. Raises UserError for sizes, target or price out of range.
    """
    _check_study(items, options, target, price, per_person, draws)
    believed = CrowdModel.from_pilot(crowd) if isinstance(crowd, Consensus) else crowd or CrowdModel()
    tried = [
        _simulate_designs(believed, min(items, SIMULATED_ITEMS), options, per_person, np.random.default_rng([seed, draw]))
        for draw in range(draws)
    ]
    designs = (
        _build_design(name, np.array([each[name] for each in tried]), items=items, price=price, per_person=per_person) for name in tried[0]
    )
    return StudyPlan(target, believed, tuple(designs))


def _check_study(items: int, options: int, target: float, price: float, per_person: int, draws: int) -> None:
    for name, value, least in (("items", items, 1), ("options", options, 2), ("per_person", per_person, 1), ("draws", draws, 2)):
        if value < least:
            raise UserError(f"{name} must be at least {least}, not {value!r}")
    if not 1 / options < target < 1:
        raise UserError(f"target is a share of right answers above chance and below 1, not {target!r}", "target=0.95")
    if not price >= 0:
        raise UserError(f"a price isn't {price!r}")


DesignKey = tuple[int | None, float | None]


def _simulate_designs(
    crowd: CrowdModel, items: int, options: int, per_person: int, rng: np.random.Generator
) -> dict[DesignKey, FloatArray]:
    """Return (judgments an item, accuracy, claimed certainty) of every design on one simulated crowd."""
    people = max(MAX_JUDGMENTS, -(-5 * items // per_person))
    truth, who, said = crowd.simulate(items=items, options=options, people=people, each=MAX_JUDGMENTS, rng=rng)
    found: dict[DesignKey, FloatArray] = {}
    for each in range(1, MAX_JUDGMENTS + 1):
        posterior = _fit_posterior(who, said, np.full(items, each), options)
        found[each, None] = _score_design(posterior, truth, each)
    for certainty in STOP_CERTAINTIES:
        given = np.full(items, FIRST_JUDGMENTS)
        while True:
            posterior = _fit_posterior(who, said, given, options)
            more = (posterior.max(axis=1) < certainty) & (given < MAX_JUDGMENTS)
            if not more.any():
                break
            given = given + more
        found[None, certainty] = _score_design(posterior, truth, float(given.mean()))
    return found


def _fit_posterior(who: IntArray, said: IntArray, given: IntArray, options: int) -> FloatArray:
    item = np.repeat(np.arange(len(given)), given)
    place = np.concatenate([np.arange(count) for count in given])
    judgments = Judgments.from_columns(item=item, annotator=who[item, place], answer=said[item, place], answers=range(options))
    return aggregate(judgments, "one_coin").posterior


def _score_design(posterior: FloatArray, truth: IntArray, per_item: float) -> FloatArray:
    return np.array([per_item, (posterior.argmax(axis=1) == truth).mean(), posterior.max(axis=1).mean()])


def _build_design(name: DesignKey, scores: FloatArray, *, items: int, price: float, per_person: int) -> StudyDesign:
    per_item, accuracy, claimed = scores.mean(axis=0).tolist()
    low, high = np.quantile(scores[:, 1], [0.025, 0.975]).tolist()
    judgments = round(per_item * items)
    people = max(name[0] or MAX_JUDGMENTS, -(-judgments // per_person))
    estimate = Estimate(accuracy, low, high, len(scores), "simulated studies")
    return StudyDesign(*name, per_item, estimate, claimed, judgments, people, round(judgments * price, 2))
