"""Bradley–Terry models with crowd-kit's interface. For ties, order bias and intervals, use `preceptor.consensus.pairwise`."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from preceptor.compat.crowdkit.data_frames import Codes, CrowdkitValueError, Floats, Frame, MissingColumnError, Series, import_pandas
from preceptor.consensus.comparisons import count_keys


@dataclass
class BradleyTerry:
    """Scores that sum to 1, P(i beats j) = p_i / (p_i + p_j), by minorisation–maximisation (Hunter 2004).

    Stops after n_iter steps or when the scores change by less than tol in total. (crowd-kit 1.4 compares the scores with themselves
    there, and so stops after two steps.)
    """

    n_iter: int
    tol: float = 1e-5
    scores_: Series = field(init=False, repr=False, default=None)
    loss_history_: list[float] = field(init=False, repr=False, default_factory=list)

    def fit(self, data: Frame) -> BradleyTerry:
        """Fit scores_ to comparisons: columns left, right and label, the winner."""
        labels, left, right, won = _comparison_codes(data)
        k, pd = len(labels), import_pandas()
        pairs, games = count_keys(np.minimum(left, right) * k + np.maximum(left, right), k * k)
        low, high = np.divmod(pairs, max(k, 1))
        wins = np.bincount(np.where(won, left, right), minlength=k)
        score, self.loss_history_ = np.full(k, 1 / max(k, 1)), []
        for _ in range(self.n_iter if k else 0):
            played = games / (score[low] + score[high])
            following = wins / (np.bincount(low, played, k) + np.bincount(high, played, k))
            following /= following.sum()
            self.loss_history_.append(float(np.abs(following - score).sum()))
            score = following
            if self.loss_history_[-1] < self.tol:
                break
        self.scores_ = pd.Series(score, index=labels if k else None, name="agg_score")
        return self

    def fit_predict(self, data: Frame) -> Series:
        """Fit the comparisons and return scores_, a Series by label."""
        return self.fit(data).scores_


@dataclass
class NoisyBradleyTerry:
    """Bradley–Terry with a skill (skills_) and a bias to the left (biases_: P(chooses left when not looking)) for each worker.

    P(left) = γ σ(s_left − s_right) + (1 − γ) σ(q); scores_ are σ(s). regularization_ratio shrinks scores towards each other, like games
    against one more option, won and lost. The gradient is exact here and starts from equal scores, so that results differ from crowd-kit
    1.4, whose gradient fails a finite-difference check. random_state is accepted and not needed.
    """

    n_iter: int = 100
    tol: float = 1e-5
    regularization_ratio: float = 1e-5
    random_state: int = 0
    scores_: Series = field(init=False, repr=False, default=None)
    skills_: Series = field(init=False, repr=False, default=None)
    biases_: Series = field(init=False, repr=False, default=None)

    def fit(self, data: Frame) -> NoisyBradleyTerry:
        """Fit scores_, skills_ and biases_ to comparisons: columns left, right, label (the winner) and worker."""
        labels, left, right, won = _comparison_codes(data)
        pd = import_pandas()
        if "worker" not in data.columns:
            raise MissingColumnError("there is no column 'worker'", f"the columns are {', '.join(map(str, data.columns))}")
        worker, workers = pd.factorize(data["worker"], sort=True)
        rows = _NoisyLikelihood(left, right, worker, np.where(won, 1.0, -1.0), len(labels), len(workers), self.regularization_ratio)
        start = np.concatenate([np.zeros(len(labels) + len(workers)), np.ones(len(workers))])
        if self.n_iter and len(labels):
            ftol = max(self.tol, 1e-12) * 1e-3
            start = minimize(rows.loss, start, jac=True, method="L-BFGS-B", options={"maxiter": self.n_iter, "ftol": ftol}).x
        score, bias, skill = np.split(expit(start), [len(labels), len(labels) + len(workers)])
        self.scores_ = pd.Series(score, index=pd.Index(labels, name="label"), name="agg_score")
        self.biases_, self.skills_ = (
            pd.Series(values, index=pd.Index(workers, name="worker"), name=name) for values, name in ((bias, "bias"), (skill, "skill"))
        )
        return self

    def fit_predict(self, data: Frame) -> Series:
        """Fit the comparisons and return scores_, a Series by label."""
        return self.fit(data).scores_


@dataclass(frozen=True, eq=False)
class _NoisyLikelihood:
    """The regularised likelihood of comparisons.

    The parameters are scores, biases and skills, all as log-odds. sign: +1 where left won, −1 where right won.
    """

    left: Codes
    right: Codes
    worker: Codes
    sign: Floats
    labels: int
    workers: int
    ratio: float

    def loss(self, x: Floats) -> tuple[float, Floats]:
        """Return −log-likelihood − ratio · Σ log σ(s)σ(−s), and its gradient."""
        score, bias, skill = np.split(x, [self.labels, self.labels + self.workers])
        looks, side = expit(skill)[self.worker], expit(self.sign * bias[self.worker])
        better = expit(self.sign * (score[self.left] - score[self.right]))
        total = looks * better + (1 - looks) * side
        by_score = self.sign * looks * better * (1 - better) / total
        by_bias = self.sign * (1 - looks) * side * (1 - side) / total
        by_skill = (better - side) * looks * (1 - looks) / total
        value = np.log(total).sum() - self.ratio * (np.logaddexp(0, score) + np.logaddexp(0, -score)).sum()
        scores = np.bincount(self.left, by_score, self.labels) - np.bincount(self.right, by_score, self.labels)
        people = [np.bincount(self.worker, part, self.workers) for part in (by_bias, by_skill)]
        return -float(value), -np.concatenate([scores - self.ratio * np.tanh(score / 2), *people])


def _comparison_codes(data: Frame) -> tuple[Codes, Codes, Codes, np.ndarray]:
    """Return the sorted labels, the codes of left and right, and whether left won; refuse a label that is neither side."""
    pd = import_pandas()
    for name in ("left", "right", "label"):
        if name not in data.columns:
            raise MissingColumnError(f"there is no column {name!r}", f"the columns are {', '.join(map(str, data.columns))}")
    code, labels = pd.factorize(pd.concat([data[name] for name in ("left", "right", "label")], ignore_index=True), sort=True)
    left, right, winner = code.reshape(3, -1).astype(np.int64)
    if ((winner != left) & (winner != right)).any():
        row = int(np.argmax((winner != left) & (winner != right)))
        raise CrowdkitValueError(f"the label of row {row + 1} is neither its left nor its right", "ties: use preceptor.consensus.pairwise")
    return labels, left, right, winner == left
