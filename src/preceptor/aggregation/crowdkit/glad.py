"""GLAD as crowd-kit fits it: abilities of workers, difficulties of tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from preceptor.aggregation.crowdkit.frames import BadValue, Floats, Frame, Series, Table, normalise, pandas


@dataclass
class GLAD:
    """P(right) = σ(α_worker · exp(β_task)), any other label equally likely (Whitehill et al. 2009), by EM.

    The M-step maximises α and β by conjugate gradients (m_step_max_iter, m_step_tol) under normal priors of variance 1;
    alphas_priors_mean, betas_priors_mean: their means by worker and task (1 when not given). labels_priors: a Series of
    probabilities by label (equal when not given). silent is accepted for crowd-kit's sake; nothing is printed.
    """

    n_iter: int = 100
    tol: float = 1e-5
    silent: bool = True
    labels_priors: Series | None = None
    alphas_priors_mean: Series | None = None
    betas_priors_mean: Series | None = None
    m_step_max_iter: int = 25
    m_step_tol: float = 1e-2
    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    priors_: Series = field(init=False, repr=False, default=None)
    alphas_: Series = field(init=False, repr=False, default=None)
    betas_: Series = field(init=False, repr=False, default=None)
    loss_history_: list[float] = field(init=False, repr=False, default_factory=list)

    def fit(self, data: Frame) -> GLAD:
        table = Table.of(data)
        labels = table.labels if self.labels_priors is None else self.labels_priors.index
        label = labels.get_indexer(table.labels)
        if (label < 0).any():
            raise BadValue(f"label {table.labels[label < 0][0]!r} is not in labels_priors", "give a prior for each label")
        shares = (
            np.full(len(labels), 1 / max(len(labels), 1)) if self.labels_priors is None else self.labels_priors.to_numpy(dtype=np.float64)
        )
        model = _Model(table, label[table.label] if len(table) else table.label, np.log(shares), self._means(table))
        x, probas = self._climb(model)
        pd = pandas()
        self.priors_ = pd.Series(shares, index=labels, name="prior")
        self.alphas_ = pd.Series(x[: len(table.workers)], index=table.workers, name="alpha")
        self.betas_ = pd.Series(x[len(table.workers) :], index=table.tasks, name="beta")
        self.probas_ = pd.DataFrame(probas, index=table.tasks, columns=labels)
        empty = pd.Series([], dtype=float, name="agg_label")
        self.labels_ = pd.Series(labels.take(probas.argmax(axis=1)), index=table.tasks, name="agg_label") if len(table) else empty
        return self

    def fit_predict(self, data: Frame) -> Series:
        return self.fit(data).labels_

    def fit_predict_proba(self, data: Frame) -> Frame:
        return self.fit(data).probas_

    def _means(self, table: Table) -> Floats:
        means = [(self.alphas_priors_mean, table.workers), (self.betas_priors_mean, table.tasks)]
        return np.concatenate(
            [np.ones(len(index)) if given is None else given.reindex(index).to_numpy(dtype=np.float64) for given, index in means]
        )

    def _climb(self, model: _Model) -> tuple[Floats, Floats]:
        x = np.ones(len(model.mean))
        probas = model.posterior(x)
        self.loss_history_, before = [], -model.loss(x, probas)[0]
        for _ in range(self.n_iter if len(model.task) else 0):
            probas = model.posterior(x)
            x = minimize(
                model.loss, x, args=(probas,), jac=True, method="CG", tol=self.m_step_tol, options={"maxiter": self.m_step_max_iter}
            ).x
            self.loss_history_.append(-model.loss(x, probas)[0] / (len(model.task) * probas.shape[1]))
            if self.loss_history_[-1] - before < self.tol:
                break
            before = self.loss_history_[-1]
        return x, probas


class _Model:
    """The parameters are α by worker, then β by task; `label` codes labels as the prior does."""

    def __init__(self, table: Table, label: np.ndarray, log_prior: Floats, mean: Floats) -> None:
        self.table, self.task, self.worker, self.label = table, table.task, table.worker, label
        self.log_prior, self.mean = log_prior, mean
        self.others = np.log(max(len(log_prior) - 1, 1))

    def posterior(self, x: Floats) -> Floats:
        """E-step, shape (tasks, labels): each answer adds log σ to its label and log(1 − σ) − log(labels − 1) to the others."""
        ability, easiness = x[: len(self.table.workers)][self.worker], np.exp(x[len(self.table.workers) :])[self.task]
        right, wrong = -np.logaddexp(0, -ability * easiness), -np.logaddexp(0, ability * easiness) - self.others
        size = (len(self.table.tasks), len(self.log_prior))
        scores = np.bincount(self.task * size[1] + self.label, right - wrong, size[0] * size[1]).reshape(size) + self.log_prior
        scores = scores + np.bincount(self.task, wrong, size[0])[:, None]
        return normalise(np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf)))

    def loss(self, x: Floats, probas: Floats) -> tuple[float, Floats]:
        """−Q, the expected log-likelihood with the priors of α and β, and its gradient."""
        workers = len(self.table.workers)
        ability, easiness = x[:workers][self.worker], np.exp(x[workers:])[self.task]
        product = ability * easiness
        sure = probas[self.task, self.label]
        log_right = -np.logaddexp(0, -product)
        value = (sure * log_right + (1 - sure) * (log_right - product - self.others)).sum()
        value -= 0.5 * ((x - self.mean) ** 2 + np.log(2 * np.pi)).sum()
        slope = (sure - expit(product)) * easiness
        gradient = np.concatenate(
            [np.bincount(self.worker, slope, workers), np.bincount(self.task, slope * ability, len(self.table.tasks))]
        )
        return -float(value), self.mean * 0 + (x - self.mean) - gradient
