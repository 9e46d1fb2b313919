"""MACE as crowd-kit fits it: workers who know, and workers who spam."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import digamma

from preceptor.aggregation.crowdkit.frames import BadValue, Codes, Floats, Frame, Series, pandas


class _Expected(NamedTuple):
    """An E-step: log-likelihood, P(label) of each task up to a factor, expected counts of spamming by label and of either by worker."""

    log_likelihood: float
    marginals: Floats
    strategy: Floats
    knowing: Floats


@dataclass
class MACE:
    """A worker either knows, or draws from a strategy of their own (Hovy et al. 2013), by EM ("em") or variational Bayes ("vb").

    The best of n_restarts by likelihood. spamming_: (workers, 2), the chance to spam and to know; thetas_: (workers,
    labels), strategies; both in order of first appearance. verbose is accepted for crowd-kit's sake.
    """

    n_restarts: int = 10
    n_iter: int = 50
    method: str = "vb"
    smoothing: float = 0.1
    default_noise: float = 0.5
    alpha: float = 0.5
    beta: float = 0.5
    random_state: int = 0
    verbose: int = 0
    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    spamming_: Floats = field(init=False, repr=False, default_factory=lambda: np.zeros((0, 2)))
    thetas_: Floats = field(init=False, repr=False, default_factory=lambda: np.zeros((0, 0)))

    def fit(self, data: Frame) -> MACE:
        if self.method not in ("vb", "em"):
            raise BadValue(f"method={self.method!r} is unknown", "known: vb, em")
        pd = pandas()
        (task, tasks), (worker, workers), (label, labels) = (pd.factorize(data[name]) for name in ("task", "worker", "label"))
        answers = _Answers(task, worker, label, (len(tasks), len(workers), len(labels)))
        best: tuple[float, Floats, Floats] | None = None
        for restart in range(self.n_restarts):
            spamming, thetas = self._start(restart, len(workers), len(labels))
            expected = answers.expect(spamming, thetas)
            for _ in range(self.n_iter):
                spamming, thetas = self._maximise(expected)
                expected = answers.expect(spamming, thetas)
            if best is None or expected.log_likelihood > best[0]:
                best = expected.log_likelihood, spamming, thetas
        if best is None:
            raise BadValue("n_restarts is 0", "give 1 or more")
        _, self.spamming_, self.thetas_ = best
        marginals = answers.expect(self.spamming_, self.thetas_).marginals
        probas = marginals / marginals.sum(axis=1, keepdims=True)
        self.probas_ = pd.DataFrame(probas, index=tasks, columns=labels)
        self.labels_ = pd.Series(labels.take(probas.argmax(axis=1)), index=pd.Index(tasks, name="task"), name="agg_label")
        return self

    def fit_predict(self, data: Frame) -> Series:
        return self.fit(data).labels_

    def fit_predict_proba(self, data: Frame) -> Frame:
        return self.fit(data).probas_

    def _start(self, restart: int, workers: int, labels: int) -> tuple[Floats, Floats]:
        """crowd-kit's own numbers in the first restart; it repeats them in each, which here differ."""
        drawn = (np.random.RandomState(self.random_state + restart).uniform(size=(workers, columns)) for columns in (2, labels))
        spamming, thetas = (_scaled(1 + (1 + self.default_noise) * values) for values in drawn)
        return spamming, thetas

    def _maximise(self, expected: _Expected) -> tuple[Floats, Floats]:
        if self.method == "em":
            smoothing = 0.01 / expected.strategy.shape[1]
            return _scaled(expected.knowing + smoothing), _scaled(expected.strategy + smoothing)
        return _geometric(expected.knowing + np.array([self.alpha, self.beta])), _geometric(expected.strategy + 10.0)


class _Answers:
    """Answers as codes; sizes: tasks, workers, labels."""

    def __init__(self, task: Codes, worker: Codes, label: Codes, sizes: tuple[int, int, int]) -> None:
        self.task, self.worker, self.label, self.sizes = task, worker, label, sizes

    def expect(self, spamming: Floats, thetas: Floats) -> _Expected:
        """The E-step; products over a task's answers are sums of logs, so that many answers don't underflow."""
        tasks, workers, labels = self.sizes
        spam, know = spamming[self.worker, 0] * thetas[self.worker, self.label], spamming[self.worker, 1]
        log_spam = np.log(np.maximum(spam, 1e-300))
        gain = np.log(spam + know + 1e-300) - log_spam
        size = tasks * labels
        scores = np.bincount(self.task * labels + self.label, gain, size).reshape(tasks, labels)
        scores = scores + np.bincount(self.task, log_spam, tasks)[:, None] - np.log(labels)
        top = scores.max(axis=1, keepdims=True)
        marginals = np.exp(scores - top)
        total = marginals.sum(axis=1)
        log_likelihood = float(np.log(np.exp(top[:, 0]) * total + 1e-8).sum())
        said = marginals[self.task, self.label] / total[self.task]
        spammed = (1 - said) + said * spam / (spam + know + 1e-300)
        knew = said * know / (spam + know + 1e-300)
        strategy = np.bincount(self.worker * labels + self.label, spammed, workers * labels).reshape(workers, labels)
        knowing = np.stack([np.bincount(self.worker, part, workers) for part in (spammed, knew)], axis=1)
        return _Expected(log_likelihood, marginals, np.asarray(strategy, dtype=np.float64), np.asarray(knowing, dtype=np.float64))


def _scaled(values: Floats) -> Floats:
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def _geometric(values: Floats) -> Floats:
    """exp E[log p] of Dirichlet rows: what variational Bayes puts in place of p; rows sum to less than 1."""
    return np.asarray(np.exp(digamma(values) - digamma(values.sum(axis=1, keepdims=True))))
