"""What a budget buys most of: more rows, more judgments per row, or a training method that takes more machine time.

All three are compared by their gain in a model's accuracy, as far as it was measured. Rows move along the learning curve. Better answers
count as more rows: of answers that are right with probability q among K, N rows should teach as much as N·((Kq − 1)/(K − 1))² right
ones, in theory. On real tasks they mostly taught as much as that to a power from 0.6 to 4.5 (benches/forecasts.py), so the power is
sampled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.planning.data_scaling import MeasuredMethod
from preceptor.planning.learning_curves import CONFIDENCE, DRAWS, MAX_EXTRAPOLATION
from preceptor.types import Estimate, FloatArray

ROW_VALUE_POWERS = (0.6, 4.5)
MIN_GAIN = 0.001  # of accuracy: a smaller gain counts as none
MIN_PROBABILITY = 0.8  # probability of buying most from which on one option is recommended
GRID_SIZE = 17  # sizes at which a curve's draws are computed; between them they are interpolated
GAIN_METHOD = "learning curve, parametric bootstrap"


@dataclass(frozen=True)
class LabelState:
    """The state of the labels.

    options: number of answers K. share_right: share of answers that is right today. gain: what `affordable_judgments` more judgments of
    existing items add to it. affordable_judgments: judgments that the money buys. judgments_per_item: mean number an item has.
    train_share: share of judged items that are training rows. unjudged_items: items that nobody has judged.
    """

    options: int
    share_right: float
    gain: Estimate
    affordable_judgments: int
    judgments_per_item: float
    train_share: float
    unjudged_items: int


@dataclass(frozen=True)
class SpendingOption:
    """One use of the money. gain: in a model's accuracy, None where it isn't known; `summary` then says why."""

    name: str
    gain: Estimate | None
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        return {"name": self.name, "gain": None if self.gain is None else self.gain.to_dict(), "summary": self.summary}


@dataclass(frozen=True)
class BudgetAllocation:
    """The options for spending an amount.

    best: the option that buys most, None where that can't be told. chance: the probability that it buys most, and a gain at all.
    """

    cost: float
    options: tuple[SpendingOption, ...]
    best: str | None
    chance: float
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON document."""
        ways = [each.to_dict() for each in self.options]
        return {"cost": self.cost, "ways": ways, "best": self.best, "chance": round(self.chance, 3), "summary": self.summary}


GainDraws = tuple[str, FloatArray | None, str]  # name, sampled gains (DRAWS,) or None, summary


def compare_spending(
    cost: float, labels: LabelState, current: MeasuredMethod, others: Sequence[MeasuredMethod], *, machine_hour: float
) -> BudgetAllocation:
    """Compare the gains of each option for `cost`.

    current: the training method in use. others: methods measured on the same rows. machine_hour: price of an hour of the machine.
    """
    found = [_gain_of_rows(labels, current), _gain_of_judgments(labels, current), _gain_of_training(cost, current, others, machine_hour)]
    held = current.curve.measured.heldout_units
    ways = tuple(SpendingOption(name, None if gains is None else _estimate_gain(gains, held), words) for name, gains, words in found)
    known = [(name, gains) for name, gains, _ in found if gains is not None]
    if len(known) < 2:
        return BudgetAllocation(cost, ways, None, 0.0, "too little is known to say which buys most")
    drawn = np.stack([gains for _, gains in known])
    first = int(drawn.mean(axis=1).argmax())
    best, chance = known[first][0], float(((drawn.argmax(axis=0) == first) & (drawn[first] > MIN_GAIN)).mean())
    if drawn.mean(axis=1).max() <= MIN_GAIN:
        return BudgetAllocation(
            cost, ways, None, chance, "no use of it that is known would change a model's accuracy by a tenth of a point"
        )
    if chance < MIN_PROBABILITY:
        unsure = f"which buys most can't be told: {best} would, and would buy something, in {chance:.0%} of what may be"
        return BudgetAllocation(cost, ways, None, chance, unsure)
    return BudgetAllocation(cost, ways, best, chance, f"most would come of {best}, in {chance:.0%} of what may be")


def _gain_of_rows(labels: LabelState, current: MeasuredMethod) -> GainDraws:
    """Return the gain of new items, judged as often as the existing ones, of which a part are training rows."""
    name, now = "more rows", current.curve.measured.largest
    items = int(labels.affordable_judgments / labels.judgments_per_item)
    after = now + round(items * labels.train_share)
    if after == now:
        return name, None, f"{labels.affordable_judgments:,} judgments don't make one more training row"
    if not current.can_forecast(after):
        return name, None, _unreached_reason(current, after)
    wanting = items - labels.unjudged_items
    texts = f", for which {wanting:,} more texts must be imported" if wanting > 0 else ""
    return (
        name,
        current.curve.error_draws(now) - current.curve.error_draws(after),
        f"{items:,} more items, {after:,} training rows in all{texts}",
    )


def _gain_of_judgments(labels: LabelState, current: MeasuredMethod) -> GainDraws:
    """Return the gain of more judgments of the least certain items."""
    name, now, gain = "more judgments a row", current.curve.measured.largest, labels.gain
    if gain.high <= 0:
        return name, np.zeros(DRAWS), "no item can be asked about again"
    before = _row_value(labels.share_right, labels.options)
    if before <= 0:
        return name, None, "the answers are no better than chance yet"
    spread = (gain.high - gain.low) / 2 / 1.96
    random = np.random.default_rng(2)
    after = np.clip(labels.share_right + np.maximum(random.normal(gain.value, spread, DRAWS), 0), 0, 1)
    power = np.exp(random.uniform(np.log(ROW_VALUE_POWERS[0]), np.log(ROW_VALUE_POWERS[1]), size=DRAWS))
    sizes = now * (np.array([_row_value(float(each), labels.options) for each in after]) / before) ** power
    if not current.can_forecast(float(np.median(sizes))):
        return name, None, _unreached_reason(current, round(float(np.median(sizes))))
    grid = np.geomspace(now, MAX_EXTRAPOLATION * now, GRID_SIZE)
    errors = np.stack([current.curve.error_draws(size) for size in grid], axis=1)
    gains = errors[:, 0] - np.array([np.interp(size, grid, error) for size, error in zip(sizes, errors, strict=True)])
    share = f"{100 * labels.share_right:.1f} % of the answers right, then {100 * (labels.share_right + gain.value):.1f} %"
    return name, gains, f"{share}: as good as {np.median(sizes):,.0f} rows of today's"


def _gain_of_training(cost: float, current: MeasuredMethod, others: Sequence[MeasuredMethod], machine_hour: float) -> GainDraws:
    """Return the gain of the best other method of which the money pays one training run."""
    name, now = "more machine time", current.curve.measured.largest
    rivals = [each for each in others if each.name != current.name]
    able = [each for each in rivals if each.training_seconds(now) / 3600 * machine_hour <= cost]
    if not able:
        why = "the other measured ways cost more" if rivals else "no other way to learn is measured"
        return name, None, f"{why}; what a sweep or more epochs would buy isn't known either (preceptor learning-curve SNAPSHOT)"
    other = min(able, key=lambda each: each.curve.error(now))
    price = other.training_seconds(now) / 3600 * machine_hour
    return (
        name,
        current.curve.error_draws(now) - other.curve.error_draws(now),
        f"{other.name} in place of {current.name}: {other.training_seconds(now):,.0f} s, {price:.4f} a training",
    )


def _row_value(right: float, options: int) -> float:
    """Return the value of a row whose answer is right with probability `right`, relative to one that is surely right."""
    return max(0.0, (options * right - 1) / (options - 1)) ** 2


def _unreached_reason(learner: MeasuredMethod, size: int) -> str:
    largest = learner.curve.measured.largest
    if size > MAX_EXTRAPOLATION * largest:
        return f"that would be {size:,} rows, more than {MAX_EXTRAPOLATION} times the {largest:,} that were measured"
    return f"the forecast of {learner.name} would have missed its last point"


def _estimate_gain(gains: FloatArray, held: int) -> Estimate:
    low, high = np.quantile(gains, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    value = float(gains.mean())
    return Estimate(value, min(low, value), max(high, value), held, GAIN_METHOD, CONFIDENCE)
