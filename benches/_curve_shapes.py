"""Learning curves that are known, of shapes that the fitted families mostly aren't, with runs measured on them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from preceptor.planning.learning_curves import MeasuredErrors
from preceptor.types import FloatArray

SIZES, SEEDS, HELD = (20, 40, 80, 160, 320), 3, 400
SPREAD, NOISY = 0.012, 0.035  # of the error between seeds
OWN_LUCK = 0.3  # share of the held-out rows' luck that differs from run to run

Shape = Callable[[FloatArray], FloatArray]
Make = Callable[[np.random.Generator], Shape]


def _power(random: np.random.Generator) -> Shape:
    scale, rate, floor = random.uniform(0.5, 1.2), random.uniform(0.1, 0.5), random.uniform(0, 0.2)
    return lambda n: scale * n**-rate + floor


def _hill(random: np.random.Generator, height: float, at: float, width: float) -> Shape:
    under = _power(random)
    return lambda n: under(n) + height * np.exp(-((np.log(n / at) / width) ** 2))


def _bump(random: np.random.Generator) -> Shape:
    return _hill(random, random.uniform(-0.05, 0.05), float(np.exp(random.uniform(2.5, 5.5))), 0.5)


def _double_descent(random: np.random.Generator) -> Shape:
    return _hill(random, 0.06, 150, 0.35)


def _fall(random: np.random.Generator, height: float, steepness: float) -> Shape:
    middle, floor = float(np.exp(random.uniform(2.5, 5.5))), random.uniform(0, 0.3)
    return lambda n: floor + height / (1 + (n / middle) ** steepness)


def _step(random: np.random.Generator) -> Shape:
    return _fall(random, 0.2, 3.0)


def _sigmoid(random: np.random.Generator) -> Shape:
    return _fall(random, 0.35, 1.2)


def _exponentials(random: np.random.Generator) -> Shape:
    floor, turn = random.uniform(0, 0.2), float(np.exp(random.uniform(4, 7)))
    return lambda n: floor + 0.2 * np.exp(-n / 30) + 0.15 * np.exp(-n / turn) + 0.05 * np.exp(-n / 3000)


def _stretched(random: np.random.Generator) -> Shape:
    floor, turn = random.uniform(0, 0.2), float(np.exp(random.uniform(4, 7)))
    return lambda n: floor + 0.4 * np.exp(-((n / turn) ** 0.4))


def _flat(random: np.random.Generator) -> Shape:
    floor = random.uniform(0.1, 0.5)
    return lambda n: np.full_like(n, floor)


def _broken(random: np.random.Generator) -> Shape:
    floor, turn = random.uniform(0, 0.1), float(np.exp(random.uniform(3.5, 5.5)))
    return lambda n: floor + 0.9 * np.minimum(n, turn) ** -0.15 * (np.maximum(n, turn) / turn) ** -0.45


SHAPES: dict[str, Make] = {
    "power law with a bump": _bump,
    "mild double descent": _double_descent,
    "step": _step,
    "sigmoid": _sigmoid,
    "mixture of exponentials": _exponentials,
    "stretched exponential": _stretched,
    "flat": _flat,
    "power law that breaks": _broken,
    "power law, noisy seeds": _power,
}


def measured_on(name: str, number: int) -> tuple[MeasuredErrors, Shape]:
    """The runs of one world of a shape, and the curve behind them. Most of the held-out rows' luck is common to all runs."""
    random = np.random.default_rng([sorted(SHAPES).index(name), number])
    drawn = SHAPES[name](random)

    def truth(size: FloatArray) -> FloatArray:
        return np.clip(drawn(np.asarray(size, dtype=np.float64)), 0.01, 0.9)

    size = np.repeat(SIZES, SEEDS)
    error, spread = truth(size), NOISY if "noisy" in name else SPREAD
    luck = error * (1 - error) / HELD
    common = random.normal() * np.sqrt((1 - OWN_LUCK) * luck)
    own = random.normal(size=len(size)) * np.sqrt(OWN_LUCK * luck + spread**2)
    return MeasuredErrors(size.astype(np.int64), np.clip(error + common + own, 0, 1), HELD), truth
