"""Krippendorff's alpha: agreement between annotators beyond chance, with missing answers, and its interval.

Alpha says whether a guideline is reproducible, not whether its answers are true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from preceptor.consensus.distances import DISTANCES
from preceptor.consensus.judgments import Codes, Floats, Integers, Judgments
from preceptor.errors import UserError
from preceptor.statistics.inputs import check_confidence
from preceptor.types import Estimate

AlphaFunction = Callable[[Floats], Floats]

RESAMPLE_BLOCK = 2**22  # numbers held at once while resampling (32 MB)
ROUNDING = 1e-12
MAX_RATIO_VALUES = 4096  # the ratio metric needs the full table of values × values
MAX_DISTANCE_VALUES = 1024  # so do distances between sets, spans, orders and texts, where nearly every judgment may be distinct


def agreement(j: Judgments, level: str = "nominal", *, confidence: float = 0.95, replicates: int = 1000, seed: int = 0) -> Estimate:
    """Return Krippendorff's alpha with an interval from `replicates` weightings of the units (items).

    α = 1 − Σ O δ² / Σ E δ² (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"); E is computed again for each
    weighting. Weights are uniform on the simplex (the Bayesian bootstrap, Rubin 1981) over the units seen and one unseen unit: for
    the lower limit a unit on which annotators disagree as far as possible, for the upper limit one on which they agree on the answer
    furthest from the most frequent. Resamples of the units alone show nothing of a rare answer that was seen once or twice: with ten
    items their interval covers the truth as seldom as one time in six. Items with fewer than two votes are left out; `n` counts the
    others. "ordinal" takes the order of `j.answers`; "interval" and "ratio" need numbers. "sets", "spans", "ranks", "claims" and
    "texts" take the distance of that name in `distances` for δ² (Passonneau 2006), on a random sample of items where there are more
    than 1,024 different answers. Repeats: under "share" and "last" an annotator has one vote an item, which is paired with other
    annotators' votes only; under "all" each answer is a vote of its own.

    Where alpha is undefined (nothing to pair, or one single value seen) value, low and high are NaN and `method` says why.
    Raises UserError for an unknown level, fewer than one replicate, and unfit answers.
    """
    check_confidence(confidence)
    if level not in (known := [*_LEVELS, *DISTANCES]):
        raise UserError(f"no level of measurement is called {level!r}", f"known: {', '.join(known)}", where="level")
    if replicates < 1:
        raise UserError(f"{replicates} replicates make no interval", "give 1000 or more", where="replicates")
    j = _sample_items(j, seed) if level in DISTANCES else j
    units = AgreementUnits.from_judgments(j)
    n = int(units.copies.sum())
    if not n:
        return _undefined_alpha("no item has two votes", n, confidence)

    def alpha_of(some: AgreementUnits) -> AlphaFunction:
        return _LEVELS[level](some, j) if level in _LEVELS else _distance_alpha(some, DISTANCES[level](j.answers))

    value = float(alpha_of(units)(units.copies[None, :].astype(np.float64))[0])
    if np.isnan(value):
        return _undefined_alpha("a single value was seen", n, confidence)
    tail, rng = (1 - confidence) / 2, np.random.default_rng(seed)
    common, far = _furthest_answers(units, j, level)
    size = max(round(float(units.copies @ units.size) / n), 2)
    with_split, with_agreed = (units.with_unit([(common, size - apart), (far, apart)], j.n_answers) for apart in (size // 2, size))
    low = float(np.quantile(_resampled_alpha(alpha_of(with_split), with_split.copies, replicates, rng), tail))
    high = float(np.quantile(_resampled_alpha(alpha_of(with_agreed), with_agreed.copies, replicates, rng), 1 - tail))
    method = f"alpha ({level}), Bayesian bootstrap of items and one unseen"
    return Estimate(value, min(low, value), min(max(high, value), 1.0), n, method, confidence)


@dataclass(frozen=True, eq=False)
class AgreementUnits:
    """Items with at least two votes; items with equal votes are merged into one row.

    votes: (units, values), votes on each value. size: votes of each unit. copies: how many items each row stands for.
    split: (split votes, values), votes that one annotator shared between answers, each row sums to 1. split_unit: the unit of each.
    """

    votes: sparse.csr_array
    size: Floats
    copies: Integers
    split: sparse.csr_array
    split_unit: Integers

    @classmethod
    def from_judgments(cls, j: Judgments) -> AgreementUnits:
        """Build the units from judgments."""
        vote, n_votes = _vote_of_row(j)
        weight = j.weight / np.bincount(vote, j.weight, n_votes)[vote]  # whole votes, also where `keep` took a part away
        size = np.rint(np.bincount(j.item_code, weight, j.n_items))
        whole = np.bincount(vote, minlength=n_votes)[vote] == 1
        key = _fingerprints(j, whole)
        pairable = np.flatnonzero(size >= 2)
        _, first, copies = np.unique(key[pairable], return_index=True, return_counts=True)
        shown = pairable[first]
        place = np.full(j.n_items, -1)
        place[shown] = np.arange(len(shown))
        rows = np.flatnonzero(place[j.item_code] >= 0)
        votes = _table(place[j.item_code[rows]], j.answer_code[rows], weight[rows], (len(shown), j.n_answers))
        parts = rows[~whole[rows]]
        names, split_vote = np.unique(vote[parts], return_inverse=True)
        split = _table(split_vote, j.answer_code[parts], weight[parts], (len(names), j.n_answers))
        owner = np.zeros(len(names), dtype=np.int64)
        owner[split_vote] = place[j.item_code[parts]]
        return cls(votes, size[shown], copies, split, owner)

    def with_unit(self, votes: list[tuple[int, int]], n_answers: int) -> AgreementUnits:
        """Return these units and one more, last, of whole votes: (answer code, how many) each."""
        answers, times = np.asarray(votes).T
        unit = _table(np.zeros(len(votes), dtype=np.int64), answers.astype(np.int32), times.astype(np.float64), (1, n_answers))
        return replace(
            self,
            votes=sparse.csr_array(sparse.vstack([self.votes, unit], format="csr")),
            size=np.append(self.size, float(times.sum())),
            copies=np.append(self.copies, 1),
        )

    def spread(self, values: Floats) -> Floats:
        """Return Σ over pairs of votes of (r_k − r_l)² / (size − 1) with r = `values`: (values,) or (values, resamples), a row a unit."""
        size = self.size.reshape((-1,) + (1,) * (values.ndim - 1))
        square, total = self.votes @ values**2, self.votes @ values
        within = self.split @ values**2 - (self.split @ values) ** 2  # a split vote has no pair with itself
        lost = sparse.csr_array(
            (np.ones(len(self.split_unit)), (self.split_unit, np.arange(len(self.split_unit)))), (len(size), len(within))
        )
        return np.asarray(np.maximum(2 * (size * square - total**2 - lost @ within) / (size - 1), 0.0))


def _vote_of_row(j: Judgments) -> tuple[Integers, int]:
    """Return the vote that each row belongs to, and the number of votes.

    Rows of one annotator on one item whose weights are parts of a vote belong together; any other row is a vote of its own.
    """
    with_last = (j.item_code[1:] == j.item_code[:-1]) & (j.annotator_code[1:] == j.annotator_code[:-1]) & (j.weight[1:] < 1)
    vote = np.concatenate([[0], np.cumsum(~with_last)])[: len(j)]
    return vote, int(vote[-1]) + 1 if len(j) else 0


def _fingerprints(j: Judgments, whole: np.ndarray) -> np.ndarray:
    """Return one number an item, equal for items with the same votes: a sum of 64 random bits a value (a clash in a million items: 3e-8).

    Items with a split vote are never merged: their rows get bits of their own.
    """
    rng = np.random.default_rng(0)
    bits = rng.integers(2**64, size=j.n_answers, dtype=np.uint64)[j.answer_code]
    bits[~whole] = rng.integers(2**64, size=int((~whole).sum()), dtype=np.uint64)
    running = np.concatenate([np.zeros(1, np.uint64), np.cumsum(bits, dtype=np.uint64)])  # wraps around, and so do the differences
    return np.asarray(running[j.item_start[1:]] - running[j.item_start[:-1]])


def _table(row: Integers, column: Codes, weight: Floats, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.csr_array((weight, (row, column)), shape=shape)


def _nominal_alpha(units: AgreementUnits, j: Judgments) -> AlphaFunction:
    square = np.asarray(units.votes.power(2).sum(axis=1)).ravel()
    lone = 1.0 - np.asarray(units.split.power(2).sum(axis=1)).ravel()
    itself = units.size - np.bincount(units.split_unit, lone, len(units.size))
    observed = units.size - (square - itself) / (units.size - 1)

    def alpha(weights: Floats) -> Floats:
        margin = _value_margins(units, weights)
        n = margin.sum(axis=1)
        return _compute_alpha(weights @ observed, (n**2 - (margin**2).sum(axis=1)) / (n - 1), n)

    return alpha


def _ordinal_alpha(units: AgreementUnits, j: Judgments) -> AlphaFunction:
    """Σ_{g=k}^{l} n_g − (n_k + n_l)/2 is the distance between the values' mid-ranks, so this is interval data on ranks over all items."""

    def alpha(weights: Floats) -> Floats:
        margin = _value_margins(units, weights)
        ranks = np.cumsum(margin, axis=1) - margin / 2
        n = margin.sum(axis=1, keepdims=True)
        ranks /= n  # so that the scale doesn't depend on the number of votes
        observed = np.einsum("ru,ur->r", weights, units.spread(ranks.T))
        return _compute_alpha(observed, _expected_spread(n[:, 0], (margin * ranks).sum(axis=1), (margin * ranks**2).sum(axis=1)), n[:, 0])

    return alpha


def _interval_alpha(units: AgreementUnits, j: Judgments) -> AlphaFunction:
    values = _numeric_answers(j, "interval")
    used = values[np.asarray(units.votes.sum(axis=0)).ravel() > 0]
    values = (values - used.min()) / (float(np.ptp(used)) or 1.0)  # sums of squares stay accurate, whatever the answers' scale
    parts = np.stack([units.size, units.votes @ values, units.votes @ values**2, units.spread(values)], axis=1)

    def alpha(weights: Floats) -> Floats:
        n, total, square, observed = (weights @ parts).T
        return _compute_alpha(observed, _expected_spread(n, total, square), n)

    return alpha


def _ratio_alpha(units: AgreementUnits, j: Judgments) -> AlphaFunction:
    values = _numeric_answers(j, "ratio")
    if values.min() < 0:
        raise UserError(f"level ratio needs answers from 0 up, not {values.min():g}", 'use level="interval"', where="answer")
    if len(values) > MAX_RATIO_VALUES:
        raise UserError(
            f"level ratio takes {MAX_RATIO_VALUES} distinct values at most, not {len(values)}", "round the answers", where="answer"
        )
    total = values[:, None] + values
    metric = ((values[:, None] - values) / np.where(total > 0, total, 1.0)) ** 2
    return _distance_alpha(units, metric)


def _distance_alpha(units: AgreementUnits, metric: Floats) -> AlphaFunction:
    """Return alpha under `metric`: δ² of each pair of values, (values, values)."""
    lone = units.split.multiply(units.split @ metric).sum(axis=1)
    pairs = np.asarray(units.votes.multiply(units.votes @ metric).sum(axis=1)).ravel()
    observed = (pairs - np.bincount(units.split_unit, np.asarray(lone).ravel(), len(pairs))) / (units.size - 1)

    def alpha(weights: Floats) -> Floats:
        margin = _value_margins(units, weights)
        n = margin.sum(axis=1)
        return _compute_alpha(weights @ observed, ((margin @ metric) * margin).sum(axis=1) / (n - 1), n)

    return alpha


_LEVELS: dict[str, Callable[[AgreementUnits, Judgments], AlphaFunction]] = {
    "nominal": _nominal_alpha,
    "ordinal": _ordinal_alpha,
    "interval": _interval_alpha,
    "ratio": _ratio_alpha,
}


def _sample_items(j: Judgments, seed: int) -> Judgments:
    """Return the judgments of a random sample of items, of few enough judgments; all of them where the different answers are few enough."""
    if j.n_answers <= MAX_DISTANCE_VALUES:
        return j
    size = np.diff(j.item_start)
    order = np.random.default_rng(seed).permutation(np.flatnonzero(size >= 2))
    chosen = np.zeros(j.n_items, dtype=bool)
    chosen[order[np.cumsum(size[order]) <= MAX_DISTANCE_VALUES]] = True
    few = j.select_rows(chosen[j.item_code])
    used, code = np.unique(few.answer_code, return_inverse=True)
    return replace(few, answers=tuple(j.answers[k] for k in used), answer_code=code.astype(np.int32))


def _numeric_answers(j: Judgments, level: str) -> Floats:
    try:
        return np.asarray([float(answer) for answer in j.answers])
    except (TypeError, ValueError):
        raise UserError(f"level {level} needs answers that are numbers", 'use level="nominal" or "ordinal"', where="answer") from None


def _value_margins(units: AgreementUnits, weights: Floats) -> Floats:
    """Return the votes on each value, a row a resample: n_k of the paper."""
    return np.asarray((units.votes.T @ weights.T).T)


def _expected_spread(n: Floats, total: Floats, square: Floats) -> Floats:
    return np.asarray(2 * (n * square - total**2) / (n - 1))


def _compute_alpha(observed: Floats, expected: Floats, n: Floats) -> Floats:
    """Return 1 − observed / expected; NaN where all n votes are on one value, so that only rounding is expected."""
    some = expected > ROUNDING * n
    return np.asarray(1 - np.divide(observed, expected, out=np.full_like(expected, np.nan), where=some))


def _furthest_answers(units: AgreementUnits, j: Judgments, level: str) -> tuple[int, int]:
    """Return the most frequent answer, and of the others the one furthest from it, or, for nominal answers, the rarest one seen."""
    votes = np.asarray(units.copies @ units.votes)
    common = int(votes.argmax())
    if level in DISTANCES:
        far = np.asarray(DISTANCES[level](j.answers))[common]
    elif level == "nominal":
        far = -votes
    else:
        far = (
            np.abs(np.arange(len(votes)) - common)
            if level == "ordinal"
            else np.abs(_numeric_answers(j, level) - _numeric_answers(j, level)[common])
        )
    others = np.where((votes > 0) & (np.arange(len(votes)) != common), far.astype(np.float64), -np.inf)
    return common, int(others.argmax())


def _resampled_alpha(alpha: AlphaFunction, copies: Integers, replicates: int, rng: np.random.Generator) -> Floats:
    """Return alpha of each weighting; a unit that stands for several items has the sum of their exponential weights."""
    rows, parts = max(RESAMPLE_BLOCK // len(copies), 1), []
    for start in range(0, replicates, rows):
        drawn = rng.standard_gamma(copies.astype(np.float64), size=(min(rows, replicates - start), len(copies)))
        parts.append(alpha(drawn / drawn.sum(axis=1, keepdims=True) * copies.sum()))
    found = np.concatenate(parts)
    return found[~np.isnan(found)]


def _undefined_alpha(reason: str, n: int, confidence: float) -> Estimate:
    return Estimate(float("nan"), float("nan"), float("nan"), n, f"alpha undefined: {reason}", confidence)
