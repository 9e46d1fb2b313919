"""A measurement model of ratings: everyone has a bias, a scale and a noise of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg

from preceptor.aggregation.judgments import Codes, Floats, Integers

TAILS = 8.0  # degrees of freedom of the noise: a slip counts for little, and an honest extreme for much
NOISE_WEIGHT = 10.0  # ratings that the common noise is worth in a person's own
FEW = 20  # ratings below which a person's scale is the common one
SCALE_SPREAD = 0.1  # prior standard deviation of scales around 1; a wider one was seen to hurt where most ratings are 0
LEAST_SCALE = 0.05  # of someone who turns the scale round: they count for nothing


@dataclass(frozen=True, eq=False)
class Ratings:
    """Standardised ratings as columns sorted by item: y, weight in votes, item and annotator codes, with the items whose value is known."""

    y: Floats
    weight: Floats
    item: Codes
    annotator: Codes
    n_items: int
    n_annotators: int
    known_item: Integers
    known_value: Floats

    def by_item(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.item, values, self.n_items))

    def by_annotator(self, values: Floats) -> Floats:
        return np.asarray(np.bincount(self.annotator, values, self.n_annotators))


@dataclass(frozen=True, eq=False)
class Fit:
    """Parameters and posteriors on the standardised scale.

    value, variance: of each item, shape (items,). bias, scale, noise: of each annotator (noise is a variance); bias_error
    and scale_error are standard errors. centre, prior: mean and variance of the items; bias_prior: variance of the biases.
    trust: of each rating, what it counts under heavy tails; 1 for one in the middle.
    """

    value: Floats
    variance: Floats
    bias: Floats
    scale: Floats
    noise: Floats
    bias_error: Floats
    scale_error: Floats
    centre: float
    prior: float
    bias_prior: float
    trust: Floats

    @classmethod
    def start(cls, ratings: Ratings) -> Fit:
        """Means of the ratings, and everyone alike."""
        one, zero = np.ones(ratings.n_annotators), np.zeros(ratings.n_annotators)
        votes = ratings.by_item(ratings.weight)
        value = np.divide(ratings.by_item(ratings.weight * ratings.y), votes, out=np.zeros(ratings.n_items), where=votes > 0)
        variance = 1 / (1 + votes)
        return cls(value, variance, zero, one, one, one, zero, 0.0, 1.0, 1.0, np.ones(len(ratings.y)))


def fit(ratings: Ratings, *, limit: int, tolerance: float) -> tuple[Fit, int, bool]:
    """EM for y_iw = μ + b_w + a_w (z_i − μ) + e, z_i ~ N(μ, τ²), b_w ~ N(0, β²), a_w ~ N(1, 0.1²), e ~ t_8(0, σ_w²).

    Raykar et al. 2010, "Learning From Crowds", with bias and scale; t noise as a scale mixture (Lange, Little & Taylor
    1989); β and the common noise are learnt. The biases come from differences within items, so that it doesn't matter
    who got which items. Without known values the biases have mean 0 over ratings and the scales
    geometric mean 1, as nothing else fixes the scale. Stops when no item moves by `tolerance` standard deviations.
    """
    state = Fit.start(ratings)
    if not len(ratings.y):
        return state, 0, True
    for step in range(1, limit + 1):
        following = _values(ratings, _annotators(ratings, state))
        moved = float(np.abs(following.value - state.value).max())
        state = following
        if moved < tolerance:
            return state, step, True
    return state, limit, False


def _annotators(r: Ratings, s: Fit) -> Fit:
    """The M-step, given posteriors of the items."""
    gap = s.value - s.centre
    trust = _trust(r, s, gap)
    precision = r.weight * trust / s.noise[r.annotator]
    bias, held = _biases(r, s, precision)
    n = r.by_annotator(r.weight)
    square = r.by_annotator(precision * (gap**2 + s.variance)[r.item]) + 1 / SCALE_SPREAD**2
    scale = (r.by_annotator(precision * (r.y - s.centre - bias[r.annotator]) * gap[r.item]) + 1 / SCALE_SPREAD**2) / square
    scale = np.where(n >= FEW, np.maximum(scale, LEAST_SCALE), 1.0)
    if not len(r.known_item):
        bias = bias - (n * bias).sum() / n.sum()
        scale = scale / np.exp((n * np.log(scale)).sum() / n.sum())
    residual = (r.y - s.centre - bias[r.annotator] - scale[r.annotator] * gap[r.item]) ** 2 + scale[r.annotator] ** 2 * s.variance[r.item]
    spent = r.by_annotator(r.weight * trust * residual)
    noise = (spent + NOISE_WEIGHT * spent.sum() / n.sum()) / (n + NOISE_WEIGHT)
    here = n > 0
    bias_prior = float(((bias**2 + 1 / held)[here].sum() + 0.1) / (here.sum() + 1))
    told = replace(s, bias_error=np.sqrt(1 / held), scale_error=np.where(n >= FEW, np.sqrt(1 / square), 0.0), trust=trust)
    return replace(told, bias=bias, scale=scale, noise=np.maximum(noise, 1e-8), bias_prior=bias_prior)


def _biases(r: Ratings, s: Fit, precision: Floats) -> tuple[Floats, Floats]:
    """Everyone's bias from differences within items only, and its posterior precision.

    The items' values are eliminated as if nothing were known of them: under their prior, people who get the low items
    would look severe. The equations are solved by conjugate gradients from the biases before.
    """
    scale = s.scale[r.annotator]
    start = np.append(0, np.cumsum(np.bincount(r.item, minlength=r.n_items)))
    cross = sparse.csr_array((precision * scale, r.annotator, start), shape=(r.n_items, r.n_annotators))
    crossed = cross.T.tocsr()
    square = r.by_item(precision * scale**2)
    inverse = np.divide(1.0, square, out=np.zeros_like(square), where=square > 0)
    inverse[r.known_item] = 0.0
    told = np.zeros(r.n_items)
    told[r.known_item] = r.known_value - s.centre
    rest = r.y - s.centre - scale * told[r.item]
    total = r.by_annotator(precision) + 1 / s.bias_prior
    wanted = r.by_annotator(precision * rest) - crossed @ (inverse * r.by_item(precision * scale * rest))
    system = LinearOperator(total.shape * 2, matvec=lambda b: total * b - crossed @ (inverse * (cross @ b)), dtype=np.float64)
    bias, _ = cg(system, wanted, x0=s.bias, rtol=1e-6, maxiter=50, M=LinearOperator(total.shape * 2, matvec=lambda b: b / total))
    return bias, total - r.by_annotator(precision**2 * scale**2 * inverse[r.item])


def _trust(r: Ratings, s: Fit, gap: Floats) -> Floats:
    error = r.y - s.centre - s.bias[r.annotator] - s.scale[r.annotator] * gap[r.item]
    spread = (error**2 + s.scale[r.annotator] ** 2 * s.variance[r.item]) / s.noise[r.annotator]
    return np.asarray((TAILS + 1) / (TAILS + spread))


def _values(r: Ratings, s: Fit) -> Fit:
    """The E-step: the items' posteriors, and their prior."""
    value, variance = posterior(r, s)
    value[r.known_item], variance[r.known_item] = r.known_value, 0.0
    seen = r.by_item(r.weight) > 0
    seen[r.known_item] = True
    centre = float(value[seen].mean())
    prior = float(((value[seen] - centre) ** 2 + variance[seen]).mean())
    return replace(s, value=value, variance=variance, centre=centre, prior=max(prior, 1e-8))


def posterior(r: Ratings, s: Fit) -> tuple[Floats, Floats]:
    """Mean and variance of each item as if no value were known."""
    scale = s.scale[r.annotator]
    precision = r.weight * s.trust * scale / s.noise[r.annotator]
    held = 1 / s.prior + r.by_item(precision * scale)
    return s.centre + r.by_item(precision * (r.y - s.centre - s.bias[r.annotator])) / held, 1 / held
