"""Strengths of options from pairwise comparisons: Bradley–Terry with ties and order bias, with cluster-robust intervals.

Rows come in clusters (one annotator's, one prompt's), and every interval accounts for that. The model itself is in `davidson`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.special import expit, logit
from scipy.stats import beta

from preceptor.consensus.comparisons import PairwiseComparisons
from preceptor.consensus.davidson import PSEUDO_ANNOTATORS, RELIABILITY_NODES, DavidsonModel
from preceptor.consensus.judgments import Codes, Floats
from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.statistics.intervals import cluster_df, t_quantile
from preceptor.types import Estimate

FEW_CLUSTERS = 15  # clusters below which t intervals are too narrow
WILD_DRAWS = 4999
VARIANCE_FLOOR = 0.5  # of the model-based variance: a sandwich collapses where an option won always, or clusters are few
WEBB_WEIGHTS = np.sqrt([0.5, 1.0, 1.5])  # six-point weights (Webb 2023): with five clusters, signs alone have 16 distinct draws


@dataclass(frozen=True, eq=False)
class ScoreClustering:
    """One clustering of the rows.

    scores: (clusters, parameters) gradients, each divided by 1 − the cluster's share of rows (as the jackknife does); df: degrees of
    freedom, fewer where a few clusters hold most rows.
    """

    name: str
    scores: sparse.csr_array
    df: float

    @classmethod
    def from_gradients(cls, name: str, gradients: sparse.csr_array, clusters: Codes) -> ScoreClustering:
        """Build the clustering from each cluster's gradient, (clusters, parameters), and the cluster code of each row."""
        sizes = np.bincount(clusters).astype(np.float64)
        return cls(name, sparse.diags_array(1 / (1 - sizes / sizes.sum())) @ gradients, cluster_df(sizes))

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    def covariance(self, inverse: Floats) -> Floats:
        """Return H⁻¹ (Σ_c g_c g_cᵀ) H⁻¹ (1 − 1/G), the cluster sandwich with jackknife scaling."""
        meat = (self.scores.T @ self.scores).toarray()
        return np.asarray(inverse @ meat @ inverse) * (1 - 1 / len(self))


class SandwichCovariance:
    """Standard errors and critical values of contrasts of the parameters.

    inverse: the inverse of the information, (parameters, parameters). ways: one or more clusterings. crossed: the clustering by
    all of them at once, when there are two: V = V_1 + V_2 − V_12 (Cameron, Gelbach & Miller 2011). A contrast's
    variance is the largest of that, of each clustering's own (V may be negative), and of half the model-based variance. With a single
    row there are no clusterings, and the model-based variance is used, with one degree of freedom.
    """

    def __init__(self, inverse: Floats, ways: list[ScoreClustering], crossed: ScoreClustering | None = None) -> None:
        self._inverse, self.clusterings = inverse, ways
        self._candidates = [way.covariance(inverse) for way in ways] + [inverse * (VARIANCE_FLOOR if ways else 1.0)]
        if crossed is not None:
            self._candidates.append(self._candidates[0] + self._candidates[1] - crossed.covariance(inverse))

    @property
    def n(self) -> int:
        """The smallest number of clusters of any clustering: the independent units."""
        return min(map(len, self.clusterings), default=1)

    @property
    def small_clusterings(self) -> list[ScoreClustering]:
        return [way for way in self.clusterings if len(way) < FEW_CLUSTERS]

    @property
    def method(self) -> str:
        clusters = " and ".join(way.name for way in self.clusterings)
        if not clusters:
            return "the model's own variance: one comparison"
        return f"sandwich over {clusters}, {'wild bootstrap' if self.small_clusterings else 't'}"

    def standard_errors(self, contrasts: Floats) -> Floats:
        """Return the standard error of each row of `contrasts` (contrasts, parameters)."""
        variances = [((contrasts @ covariance) * contrasts).sum(axis=1) for covariance in self._candidates]
        return np.asarray(np.sqrt(np.max(variances, axis=0)))

    def half_widths(self, contrasts: Floats, confidence: float) -> Floats:
        """Return half the width of the interval of each contrast."""
        return self.standard_errors(contrasts) * self._critical(contrasts, confidence)

    def _critical(self, contrasts: Floats, confidence: float) -> Floats:
        critical = np.full(len(contrasts), t_quantile(min((way.df for way in self.clusterings), default=1.0), confidence))
        for way in self.small_clusterings:
            influence = np.asarray(way.scores @ (self._inverse @ contrasts.T)).T
            critical = np.maximum(critical, [_wild_bootstrap(row, confidence) for row in influence])
        return critical


def _wild_bootstrap(influence: Floats, confidence: float) -> float:
    """Return the quantile of |t| when each cluster's influence is multiplied at random (score bootstrap, Kline & Santos 2012)."""
    rng = np.random.default_rng(0)
    groups = len(influence)
    weights = rng.choice(WEBB_WEIGHTS, size=(WILD_DRAWS, groups)) * rng.choice([-1.0, 1.0], size=(WILD_DRAWS, groups))
    drawn = weights * influence
    spread = drawn.std(axis=1, ddof=1) * np.sqrt(groups)
    ratio = np.divide(np.abs(drawn.sum(axis=1)), spread, out=np.zeros(WILD_DRAWS), where=spread > 0)
    return float(np.quantile(ratio, confidence))


@dataclass(frozen=True, eq=False)
class PairwisePreferences:
    """The fitted model of `davidson` at its most probable parameters, reported as estimates with intervals.

    Strengths are log-odds, of mean 0 within each component; a difference of 1 between two options means odds of
    e to 1 where there is no tie. notes: what a reader must know; converged: whether the fit did.
    """

    comparisons: PairwiseComparisons
    model: DavidsonModel
    parameters: Floats
    covariance: SandwichCovariance
    confidence: float
    converged: bool
    notes: tuple[str, ...]

    @cached_property
    def strengths(self) -> Mapping[Any, Estimate]:
        """Option -> its strength, in the order of options' ids."""
        parts = self.comparisons.component_codes
        same = parts[:, None] == parts
        contrasts = np.zeros((len(parts), self.model.size))
        contrasts[:, : len(parts)] = np.eye(len(parts)) - same / same.sum(axis=1)
        values = contrasts @ self.parameters
        half = self.covariance.half_widths(contrasts, self.confidence)
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
        """Groups of options that no chain of comparisons connects, the largest first; one when all can be compared."""
        groups: dict[int, list[Any]] = {}
        for option, part in zip(self.comparisons.options, self.comparisons.component_codes.tolist(), strict=True):
            groups.setdefault(part, []).append(option)
        return tuple(sorted(map(tuple, groups.values()), key=len, reverse=True))

    def difference(self, first: Any, second: Any) -> Estimate:
        """Return the strength of `first` minus that of `second`; infinite bounds when they can't be compared.

        Raises UserError for an option that was not compared.
        """
        if not self._comparable(first, second):
            return Estimate(0.0, -np.inf, np.inf, 0, "no interval: never compared, not even by way of others", self.confidence)
        return self._linear(self._contrast(first, second))

    def win_rate(self, first: Any, second: Any) -> Estimate:
        """Return P(first is preferred) + ½ P(tie) without order bias, as judged by the average annotator, or by the reliable ones.

        The interval is the delta method's on the log-odds. Options that can't be compared get 0.5 [0, 1].
        Raises UserError for an option that was not compared.
        """
        if not self._comparable(first, second):
            return Estimate(0.5, 0.0, 1.0, 0, "no interval: never compared, not even by way of others", self.confidence)
        contrast = self._contrast(first, second)
        delta, tau = float(contrast @ self.parameters), self.parameters[self.model.n_options + 1]
        value, by_delta, by_tau = _compute_win_rate(delta, tau)
        contrast *= by_delta
        contrast[self.model.n_options + 1] = by_tau
        odds = logit(value)
        half = float(self.covariance.half_widths(contrast[None, :] / (value * (1 - value)), self.confidence)[0])
        return self._estimate(value, float(expit(odds - half)), float(expit(odds + half)))

    @cached_property
    def win_matrix(self) -> Floats:
        """`win_rate` of each row's option against each column's, values only; NaN where they can't be compared."""
        theta = self.parameters[: self.model.n_options]
        rates, *_ = _compute_win_rate(theta[:, None] - theta, self.parameters[self.model.n_options + 1])
        parts = self.comparisons.component_codes
        return np.asarray(np.where(parts[:, None] == parts, rates, np.nan))

    @property
    def order_bias(self) -> Estimate | None:
        """Log-odds added by being shown left; None where it wasn't fitted."""
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
        """Annotator -> probability that a report is what they saw (0.5: guessing), a lazy mapping; empty if not fitted."""
        nodes = self.model.nodes
        known = self.comparisons.annotators if len(nodes) > 1 else ()
        posterior, _ = self.model.infer(self.parameters, self.model.rows(self.parameters))
        mean = posterior @ nodes
        return AnnotatorReliabilities(known, mean, posterior @ nodes**2 - mean**2, np.bincount(self.comparisons.annotator), self.confidence)

    def _comparable(self, first: Any, second: Any) -> bool:
        a, b = self._code(first), self._code(second)
        return bool(self.comparisons.component_codes[a] == self.comparisons.component_codes[b])

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
        value, half = float(contrast @ self.parameters), float(self.covariance.half_widths(contrast[None, :], self.confidence)[0])
        return self._estimate(value, value - half, value + half)

    def _estimate(self, value: float, low: float, high: float) -> Estimate:
        return Estimate(float(value), float(low), float(high), self.covariance.n, self.covariance.method, self.confidence)


class AnnotatorReliabilities(Mapping[Any, Estimate]):
    """A lazy mapping of annotator -> Estimate of their reliability: a Beta interval from the posterior's mean and variance."""

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


def _compute_win_rate(delta: Any, tau: float) -> tuple[Any, Any, Any]:
    """Return (e^{δ/2} + ½e^τ) / (e^{δ/2} + e^{−δ/2} + e^τ), and its derivatives by δ and τ."""
    odds, tie = expit(delta), np.exp(tau) / (2 * np.cosh(np.asarray(delta) / 2))  # tie: against either winning
    share = tie / (1 + tie)
    value = odds * (1 - share) + share / 2
    by_delta = odds * (1 - odds) * (1 - share) + (odds - 0.5) * share * (1 - share) * np.tanh(np.asarray(delta) / 2) / 2
    return value, by_delta, (0.5 - odds) * share * (1 - share)


class PairwiseOptions(OptionsBase):
    """How comparisons are turned into strengths."""

    shrinkage: float = Field(0.1, gt=0, description="1 / variance of the normal prior on strengths, in log-odds")
    order_bias: bool = Field(True, description="learn how much standing left helps")
    reliability: bool = Field(False, description="weigh people by how reliable they seem, where all see one truth and none has a taste")
    confidence: float = Field(0.95, gt=0, lt=1, description="of all intervals")
    iterations: int = Field(500, ge=1, description="most L-BFGS steps")


def fit_pairwise(*, left: Any, right: Any, winner: Any, annotator: Any = None, prompt: Any = None, **options: Any) -> PairwisePreferences:
    """Estimate the strengths of options from comparisons, one row a comparison (lists, arrays or pandas Series of equal length).

    left, right: ids of the options shown. winner: "left", "right" or "tie"; None or NaN is a comparison without an
    answer, and left out. annotator, prompt: the annotator, and what both options respond to; rows of one
    annotator, and of one prompt, are treated as dependent in all intervals. options: see PairwiseOptions.

    Strengths are those of the average annotator, careless ones included, and intervals cover what other annotators of the same
    population would answer. With `reliability`, annotators who seem to guess count for less. That is right where all see one truth (which
    of two weights is heavier), and wrong where they differ by taste: annotators who differ from the others are then taken for careless,
    equal options are reported as different in two of three studies, and a small lead is trebled.

    The model and its equations are in `davidson`, the intervals in `SandwichCovariance`. Raises UserError for unequal lengths,
    missing ids, an unknown winner, an option compared with itself, and more than MAX_OPTIONS options.
    """
    chosen = PairwiseOptions.parse(options, of="pairwise")
    comparisons = PairwiseComparisons.from_columns(left, right, winner, annotator, prompt)
    separable = comparisons.order_is_separable() if chosen.order_bias else False
    model, x, converged = _fit_davidson(comparisons, chosen, has_order=separable)
    spread = _fit_sandwich(model, x, comparisons)
    notes = comparisons.notes() + _annotator_notes(model, x, comparisons, spread)
    if chosen.order_bias and not separable:
        notes.append("order bias can't be told from strength here and is taken as none: show pairs in both orders")
    if not converged:
        notes.append("the fit did not converge: allow more `iterations`")
    return PairwisePreferences(comparisons, model, x, spread, chosen.confidence, converged, tuple(notes))


def _fit_davidson(comparisons: PairwiseComparisons, chosen: PairwiseOptions, *, has_order: bool) -> tuple[DavidsonModel, Floats, bool]:
    """Fit the model without reliabilities on comparisons merged by pair and outcome, then from there with annotators' reliabilities."""
    rows = comparisons
    has_ties = bool((rows.sign == 0).any())
    model = DavidsonModel(
        rows.left, rows.right, rows.sign, rows.annotator, np.ones(len(rows)), len(rows.options), chosen.shrinkage, has_order, has_ties
    )  # fmt: skip
    left, right, sign, count = rows.cells
    alike = replace(model, left=left, right=right, sign=sign, count=count, annotator=np.zeros(len(sign), dtype=np.int32))
    x, converged = alike.fit(alike.initial_params(), limit=chosen.iterations)
    if chosen.reliability and len(rows.annotators) > 1:
        model = replace(model, nodes=RELIABILITY_NODES, pseudo=PSEUDO_ANNOTATORS)
        x, converged = model.fit(np.concatenate([x, model.initial_params()[len(x) :]]), limit=chosen.iterations)
    return model, x, converged


def _annotator_notes(model: DavidsonModel, x: Floats, comparisons: PairwiseComparisons, spread: SandwichCovariance) -> list[str]:
    """Return notes on the annotators that a reader must know."""
    said = [
        f"few {way.name} ({len(way)}, fewer than {FEW_CLUSTERS}): intervals are by wild bootstrap, and may still be too narrow"
        for way in spread.small_clusterings
    ]
    if len(comparisons.annotators) == 1:
        said.append("there is one annotator: intervals say nothing of other people")
    against = model.contrary_annotators(x)
    if len(model.nodes) > 1 and len(against):
        shown = ", ".join(repr(comparisons.annotators[w]) for w in against[:5])
        said.append(
            f"{len(against)} annotators choose consistently against the others ({shown}) and count for little; "
            "if that is taste and no mistake, leave `reliability` off: the average of all is then given"
        )
    return said


def _fit_sandwich(model: DavidsonModel, x: Floats, comparisons: PairwiseComparisons) -> SandwichCovariance:
    inverse = np.asarray(np.linalg.inv(model.information(x)))
    ways = [ScoreClustering.from_gradients(name, model.scores(x, code), code) for name, code in comparisons.clusters.items()]
    crossed = None
    if len(ways) == 2:
        first, second = comparisons.clusters.values()
        both = np.unique(first.astype(np.int64) * (1 + int(second.max())) + second, return_inverse=True)[1].astype(np.int32)
        crossed = ScoreClustering.from_gradients("annotators within prompts", model.scores(x, both), both)
    return SandwichCovariance(inverse, ways, crossed)
