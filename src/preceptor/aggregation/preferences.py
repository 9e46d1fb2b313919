"""What comparisons say: strengths, win rates and reliabilities, each with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import expit, logit
from scipy.stats import beta

from preceptor.aggregation.comparisons import Comparisons
from preceptor.aggregation.davidson import Davidson
from preceptor.aggregation.judgments import Floats
from preceptor.aggregation.sandwich import Sandwich
from preceptor.domain import Estimate
from preceptor.errors import UserError


@dataclass(frozen=True, eq=False)
class Preferences:
    """The fitted model of `davidson` at its most probable parameters, as figures with intervals.

    Strengths are log-odds, of mean 0 within each component; a difference of 1 between two options means odds of
    e to 1 where there is no tie. notes: what a reader must know; converged: whether the fit did.
    """

    comparisons: Comparisons
    model: Davidson
    parameters: Floats
    spread: Sandwich
    confidence: float
    converged: bool
    notes: tuple[str, ...]

    @cached_property
    def strengths(self) -> Mapping[Any, Estimate]:
        """Option -> its strength, in the order of options' ids."""
        parts = self.comparisons.parts
        same = parts[:, None] == parts
        contrasts = np.zeros((len(parts), self.model.size))
        contrasts[:, : len(parts)] = np.eye(len(parts)) - same / same.sum(axis=1)
        values = contrasts @ self.parameters
        half = self.spread.half_widths(contrasts, self.confidence)
        return {
            option: self._estimate(*row)
            for option, *row in zip(self.comparisons.options, values, values - half, values + half, strict=True)
        }

    @property
    def ranking(self) -> tuple[Any, ...]:
        """Options from the strongest down; a tie goes to the earlier id."""
        strengths = self.strengths
        return tuple(sorted(strengths, key=lambda option: -strengths[option].value))

    @cached_property
    def components(self) -> tuple[tuple[Any, ...], ...]:
        """Groups of options that no chain of comparisons joins, the largest first; one when all can be compared."""
        groups: dict[int, list[Any]] = {}
        for option, part in zip(self.comparisons.options, self.comparisons.parts.tolist(), strict=True):
            groups.setdefault(part, []).append(option)
        return tuple(sorted(map(tuple, groups.values()), key=len, reverse=True))

    def difference(self, first: Any, second: Any) -> Estimate:
        """Strength of `first` less that of `second`; infinite bounds when they can't be compared."""
        if not self._joined(first, second):
            return Estimate(0.0, -np.inf, np.inf, 0, "no interval: never compared, not even by way of others", self.confidence)
        return self._linear(self._contrast(first, second))

    def win_rate(self, first: Any, second: Any) -> Estimate:
        """P(first is preferred) + ½ P(tie) when neither side has the better place, by the average of people, or of reliable ones.

        The interval is the delta method's on the log-odds. Options that can't be compared get 0.5 [0, 1].
        """
        if not self._joined(first, second):
            return Estimate(0.5, 0.0, 1.0, 0, "no interval: never compared, not even by way of others", self.confidence)
        contrast = self._contrast(first, second)
        delta, tau = float(contrast @ self.parameters), self.parameters[self.model.n_options + 1]
        value, by_delta, by_tau = _win_rate(delta, tau)
        contrast *= by_delta
        contrast[self.model.n_options + 1] = by_tau
        odds = logit(value)
        half = float(self.spread.half_widths(contrast[None, :] / (value * (1 - value)), self.confidence)[0])
        return self._estimate(value, float(expit(odds - half)), float(expit(odds + half)))

    @cached_property
    def win_matrix(self) -> Floats:
        """`win_rate` of each row's option against each column's, values only; NaN where they can't be compared."""
        theta = self.parameters[: self.model.n_options]
        rates, *_ = _win_rate(theta[:, None] - theta, self.parameters[self.model.n_options + 1])
        parts = self.comparisons.parts
        return np.asarray(np.where(parts[:, None] == parts, rates, np.nan))

    @property
    def order_bias(self) -> Estimate | None:
        """Log-odds that standing left adds; None where it wasn't fitted."""
        return self._linear(self._unit(self.model.n_options)) if self.model.has_order else None

    @property
    def tie_rate(self) -> Estimate | None:
        """How often two options of equal strength tie; None when no ties were given."""
        if not self.model.has_ties:
            return None
        tau = self._linear(self._unit(self.model.n_options + 1))
        value, low, high = (float(expit(bound - np.log(2))) for bound in (tau.value, tau.low, tau.high))
        return Estimate(value, low, high, tau.n, tau.method, tau.confidence)

    @cached_property
    def annotators(self) -> Mapping[Any, Estimate]:
        """Annotator -> probability that a report is what they saw (0.5: guessing), computed when asked for; empty if not fitted."""
        nodes = self.model.nodes
        known = self.comparisons.annotators if len(nodes) > 1 else ()
        posterior, _ = self.model.infer(self.parameters, self.model.rows(self.parameters))
        mean = posterior @ nodes
        return Reliability(known, mean, posterior @ nodes**2 - mean**2, np.bincount(self.comparisons.annotator), self.confidence)

    def _joined(self, first: Any, second: Any) -> bool:
        a, b = self._code(first), self._code(second)
        return bool(self.comparisons.parts[a] == self.comparisons.parts[b])

    def _code(self, option: Any) -> int:
        try:
            return self.comparisons.options.index(option)
        except ValueError:
            raise UserError(f"option {option!r} was not compared", "give an id from the columns left and right") from None

    def _unit(self, index: int) -> Floats:
        return np.asarray(np.eye(1, self.model.size, index)[0])

    def _contrast(self, first: Any, second: Any) -> Floats:
        return self._unit(self._code(first)) - self._unit(self._code(second))

    def _linear(self, contrast: Floats) -> Estimate:
        value, half = float(contrast @ self.parameters), float(self.spread.half_widths(contrast[None, :], self.confidence)[0])
        return self._estimate(value, value - half, value + half)

    def _estimate(self, value: float, low: float, high: float) -> Estimate:
        return Estimate(float(value), float(low), float(high), self.spread.n, self.spread.method, self.confidence)


class Reliability(Mapping[Any, Estimate]):
    """Annotator -> Estimate from the posterior's mean and variance over reliabilities, as a Beta's interval."""

    def __init__(self, annotators: tuple[Any, ...], mean: Floats, variance: Floats, counts: np.ndarray, confidence: float) -> None:
        self._place = {annotator: code for code, annotator in enumerate(annotators)}
        self._mean, self._variance, self._counts, self._confidence = mean, variance, counts, confidence

    def __getitem__(self, annotator: Any) -> Estimate:
        w = self._place[annotator]
        mean = float(np.clip(self._mean[w], 1e-6, 1 - 1e-6))
        size = mean * (1 - mean) / max(float(self._variance[w]), 1e-6) - 1
        tail = (1 - self._confidence) / 2
        low, high = (float(beta.ppf(p, mean * max(size, 1e-2), (1 - mean) * max(size, 1e-2))) for p in (tail, 1 - tail))
        return Estimate(mean, min(low, mean), max(high, mean), int(self._counts[w]), "beta with the posterior's moments", self._confidence)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._place)

    def __len__(self) -> int:
        return len(self._place)


def _win_rate(delta: Any, tau: float) -> tuple[Any, Any, Any]:
    """(e^{δ/2} + ½e^τ) / (e^{δ/2} + e^{−δ/2} + e^τ), and its derivatives by δ and τ."""
    odds, tie = expit(delta), np.exp(tau) / (2 * np.cosh(np.asarray(delta) / 2))  # tie: against either winning
    share = tie / (1 + tie)
    value = odds * (1 - share) + share / 2
    by_delta = odds * (1 - odds) * (1 - share) + (odds - 0.5) * share * (1 - share) * np.tanh(np.asarray(delta) / 2) / 2
    return value, by_delta, (0.5 - odds) * share * (1 - share)
