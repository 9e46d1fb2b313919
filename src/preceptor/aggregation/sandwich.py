"""How sure fitted parameters are when rows come in clusters: one annotator's, one prompt's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from preceptor.aggregation.judgments import Codes, Floats
from preceptor.statistics.clusters import cluster_df, t_quantile

FEW = 15  # clusters below which t with their number is too sure
DRAWS = 4999
FLOOR = 0.5  # of the model's own variance: a sandwich collapses where an option won always, or clusters are few
WEBB = np.sqrt([0.5, 1.0, 1.5])  # six-point weights (Webb 2023): with five clusters, signs alone have 16 distinct draws


@dataclass(frozen=True, eq=False)
class Clustering:
    """One way to cluster. scores: (clusters, parameters) gradients, each over 1 − the cluster's share of rows (as the
    jackknife does); df: degrees of freedom, fewer where a few clusters hold most rows."""

    name: str
    scores: sparse.csr_array
    df: float

    @classmethod
    def of(cls, name: str, gradients: sparse.csr_array, clusters: Codes) -> Clustering:
        sizes = np.bincount(clusters).astype(np.float64)
        return cls(name, sparse.diags_array(1 / (1 - sizes / sizes.sum())) @ gradients, cluster_df(sizes))

    def __len__(self) -> int:
        return int(self.scores.shape[0])

    def covariance(self, inverse: Floats) -> Floats:
        """H⁻¹ (Σ_c g_c g_cᵀ) H⁻¹ (1 − 1/G), the cluster sandwich with jackknife scaling."""
        meat = (self.scores.T @ self.scores).toarray()
        return np.asarray(inverse @ meat @ inverse) * (1 - 1 / len(self))


class Sandwich:
    """Standard errors and critical values of contrasts of the parameters.

    inverse: of the information, (parameters, parameters). ways: one or more clusterings. crossed: the clustering by
    all of them at once, when there are two: V = V_1 + V_2 − V_12 (Cameron, Gelbach & Miller 2011). A contrast's
    variance is the largest of that, of each way's own (V may be negative), and of half the model's. With a single
    row there are no ways, and the model's own variance has to do, with one degree of freedom.
    """

    def __init__(self, inverse: Floats, ways: list[Clustering], crossed: Clustering | None = None) -> None:
        self._inverse, self.ways = inverse, ways
        self._candidates = [way.covariance(inverse) for way in ways] + [inverse * (FLOOR if ways else 1.0)]
        if crossed is not None:
            self._candidates.append(self._candidates[0] + self._candidates[1] - crossed.covariance(inverse))

    @property
    def n(self) -> int:
        """The smaller number of clusters: the independent units."""
        return min(map(len, self.ways), default=1)

    @property
    def few(self) -> list[Clustering]:
        return [way for way in self.ways if len(way) < FEW]

    @property
    def method(self) -> str:
        clusters = " and ".join(way.name for way in self.ways)
        if not clusters:
            return "the model's own variance: one comparison"
        return f"sandwich over {clusters}, {'wild bootstrap' if self.few else 't'}"

    def errors(self, contrasts: Floats) -> Floats:
        """Standard error of each row of `contrasts` (contrasts, parameters)."""
        variances = [((contrasts @ covariance) * contrasts).sum(axis=1) for covariance in self._candidates]
        return np.asarray(np.sqrt(np.max(variances, axis=0)))

    def half_widths(self, contrasts: Floats, confidence: float) -> Floats:
        """Half the interval of each contrast."""
        return self.errors(contrasts) * self._critical(contrasts, confidence)

    def _critical(self, contrasts: Floats, confidence: float) -> Floats:
        critical = np.full(len(contrasts), t_quantile(min((way.df for way in self.ways), default=1.0), confidence))
        for way in self.few:
            influence = np.asarray(way.scores @ (self._inverse @ contrasts.T)).T
            critical = np.maximum(critical, [_wild(row, confidence) for row in influence])
        return critical


def _wild(influence: Floats, confidence: float) -> float:
    """Quantile of |t| when each cluster's influence is multiplied at random (score bootstrap, Kline & Santos 2012)."""
    rng = np.random.default_rng(0)
    groups = len(influence)
    weights = rng.choice(WEBB, size=(DRAWS, groups)) * rng.choice([-1.0, 1.0], size=(DRAWS, groups))
    drawn = weights * influence
    spread = drawn.std(axis=1, ddof=1) * np.sqrt(groups)
    ratio = np.divide(np.abs(drawn.sum(axis=1)), spread, out=np.zeros(DRAWS), where=spread > 0)
    return float(np.quantile(ratio, confidence))
