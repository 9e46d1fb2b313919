"""A study before its first judgment: how many judgments and people a wanted accuracy takes, and what that costs.

Every design is tried on the same simulated crowds, with people's accuracy learnt from their answers as it would be live.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from preceptor.aggregation import Judgments, aggregate
from preceptor.domain import Consensus, Estimate
from preceptor.domain.results import FloatArray, IntArray
from preceptor.errors import UserError
from preceptor.planning.crowd import Crowd

MOST = 9  # judgments an item
STOPS = (0.8, 0.9, 0.95, 0.98, 0.99)
SIMULATED = 600  # items of one simulated study; a larger one is this many times as many, by the same people's effort
FIRST = 2  # judgments before an adaptive study looks


@dataclass(frozen=True)
class Design:
    """One way to run the study: `each` judgments an item, or until an item's answer is `certainty` sure.

    accuracy: share of right answers; claimed: mean certainty of the answers. Intervals hold 95 % of the simulated studies.
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
    def words(self) -> str:
        """The design in words."""
        return f"{self.each} an item" if self.each else f"until {self.certainty:.0%} certain, at most {MOST}"

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        return {"design": self.words, **asdict(self)}


@dataclass(frozen=True)
class Study:
    """All designs that were tried; `fixed` and `adaptive` are the cheapest that reach the target, None where none does."""

    target: float
    crowd: Crowd
    designs: tuple[Design, ...]

    @property
    def fixed(self) -> Design | None:
        """The fewest judgments an item, the same for each, that reach the target on average."""
        return self._cheapest(adaptive=False)

    @property
    def adaptive(self) -> Design | None:
        """The loosest stop rule that reaches the target on average."""
        return self._cheapest(adaptive=True)

    def to_dict(self) -> dict[str, Any]:
        """A JSON document."""
        best = {name: design.to_dict() if (design := getattr(self, name)) else None for name in ("fixed", "adaptive")}
        return {"target": self.target, "crowd": asdict(self.crowd), **best, "designs": [design.to_dict() for design in self.designs]}

    def _cheapest(self, *, adaptive: bool) -> Design | None:
        good = [each for each in self.designs if (each.each is None) is adaptive and each.accuracy.value >= self.target]
        return min(good, key=lambda design: design.judgments, default=None)


def design_study(
    *,
    items: int,
    options: int = 2,
    crowd: Crowd | Consensus | None = None,
    target: float = 0.95,
    price: float = 0.05,
    per_person: int = 100,
    draws: int = 20,
    seed: int = 0,
) -> Study:
    """What a study of `items` items with `options` answers takes for a share `target` of right answers.

    crowd: a guess, or a pilot's Consensus. price: of one judgment. per_person: judgments that one person will give.
    draws: simulated studies; the same seed gives the same ones.
    """
    _check(items, options, target, price, per_person, draws)
    believed = Crowd.from_pilot(crowd) if isinstance(crowd, Consensus) else crowd or Crowd()
    tried = [_try_all(believed, min(items, SIMULATED), options, per_person, np.random.default_rng([seed, draw])) for draw in range(draws)]
    designs = (
        _design(name, np.array([each[name] for each in tried]), items=items, price=price, per_person=per_person) for name in tried[0]
    )
    return Study(target, believed, tuple(designs))


def _check(items: int, options: int, target: float, price: float, per_person: int, draws: int) -> None:
    for name, value, least in (("items", items, 1), ("options", options, 2), ("per_person", per_person, 1), ("draws", draws, 2)):
        if value < least:
            raise UserError(f"{name} must be at least {least}, not {value!r}")
    if not 1 / options < target < 1:
        raise UserError(f"target is a share of right answers above chance and below 1, not {target!r}", "target=0.95")
    if not price >= 0:
        raise UserError(f"a price isn't {price!r}")


Name = tuple[int | None, float | None]


def _try_all(crowd: Crowd, items: int, options: int, per_person: int, rng: np.random.Generator) -> dict[Name, FloatArray]:
    """(judgments an item, accuracy, claimed certainty) of every design on one simulated crowd."""
    people = max(MOST, -(-5 * items // per_person))
    truth, who, said = crowd.draw(items=items, options=options, people=people, each=MOST, rng=rng)
    found: dict[Name, FloatArray] = {}
    for each in range(1, MOST + 1):
        posterior = _fit(who, said, np.full(items, each), options)
        found[each, None] = _scores(posterior, truth, each)
    for certainty in STOPS:
        given = np.full(items, FIRST)
        while True:
            posterior = _fit(who, said, given, options)
            more = (posterior.max(axis=1) < certainty) & (given < MOST)
            if not more.any():
                break
            given = given + more
        found[None, certainty] = _scores(posterior, truth, float(given.mean()))
    return found


def _fit(who: IntArray, said: IntArray, given: IntArray, options: int) -> FloatArray:
    item = np.repeat(np.arange(len(given)), given)
    place = np.concatenate([np.arange(count) for count in given])
    judgments = Judgments.from_columns(item=item, annotator=who[item, place], answer=said[item, place], answers=range(options))
    return aggregate(judgments, "one_coin").posterior


def _scores(posterior: FloatArray, truth: IntArray, per_item: float) -> FloatArray:
    return np.array([per_item, (posterior.argmax(axis=1) == truth).mean(), posterior.max(axis=1).mean()])


def _design(name: Name, scores: FloatArray, *, items: int, price: float, per_person: int) -> Design:
    per_item, accuracy, claimed = scores.mean(axis=0).tolist()
    low, high = np.quantile(scores[:, 1], [0.025, 0.975]).tolist()
    judgments = round(per_item * items)
    people = max(name[0] or MOST, -(-judgments // per_person))
    estimate = Estimate(accuracy, low, high, len(scores), "simulated studies")
    return Design(*name, per_item, estimate, claimed, judgments, people, round(judgments * price, 2))
