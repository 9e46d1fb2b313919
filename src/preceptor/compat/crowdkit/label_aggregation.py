"""crowd-kit's aggregators of labels: weighted votes, binary relevance, Dawid–Skene, GLAD and MACE, on arrays.

Each takes the same steps, from the same start to the same stop, as crowd-kit's. Dawid–Skene has no priors here: for posteriors that are
calibrated where there are few judgments, use `preceptor.consensus.aggregate`.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import digamma, expit

from preceptor.compat.crowdkit.data_frames import (
    Codes,
    CrowdkitValueError,
    CrowdTable,
    Floats,
    Frame,
    NotFittedError,
    Series,
    WorkerLabelPairs,
    get_accuracy,
    import_pandas,
    normalize_shares,
)


@dataclass
class MajorityVote:
    """Shares of votes, or of summed skills (`probas_`); the largest wins (`labels_`).

    skills_: each worker's agreement with the winners. on_missing_skill: what happens to workers without a skill, where skills are given:
    "error", "ignore" (their answers are left out) or "value" (they get `default_skill`).
    """

    default_skill: float | None = None
    on_missing_skill: str = "error"
    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    skills_: Series = field(init=False, repr=False, default=None)

    def fit(self, data: Frame, skills: Series | None = None) -> MajorityVote:
        """Fit labels_, probas_ and skills_; skills weight the votes, a Series by worker."""
        table = CrowdTable.from_frame(data)
        if skills is not None:
            table, weight = self._weighted(data, table, skills)
            self._vote(table, weight[table.worker])
        else:
            self._vote(table, None)
        return self

    def fit_predict(self, data: Frame, skills: Series | None = None) -> Series:
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data, skills).labels_

    def fit_predict_proba(self, data: Frame, skills: Series | None = None) -> Frame:
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data, skills).probas_

    def _vote(self, table: CrowdTable, weight: Floats | None) -> None:
        shares = normalize_shares(table.votes(weight))
        best = np.nan_to_num(shares, nan=0.0)
        self.probas_, self.labels_ = table.probas(shares), table.best(best)
        winner = best.argmax(axis=1) if len(table) else np.zeros(0, dtype=np.int64)
        self.skills_ = table.by_worker(table.accuracy(winner), "skill")

    def _weighted(self, data: Frame, table: CrowdTable, skills: Series) -> tuple[CrowdTable, Floats]:
        if self.on_missing_skill not in ("error", "ignore", "value"):
            raise CrowdkitValueError(f"on_missing_skill={self.on_missing_skill!r} is unknown", "known: error, ignore, value")
        if (self.on_missing_skill == "value") == (self.default_skill is None):
            raise CrowdkitValueError('default_skill and on_missing_skill="value" belong together', "give both, or neither")
        default = np.nan if self.default_skill is None else self.default_skill
        weight = table.worker_values(skills)
        absent = np.isnan(weight)
        if absent.any() and self.on_missing_skill == "error":
            raise CrowdkitValueError(f"{absent.sum()} workers have no skill", 'give all, or on_missing_skill="ignore" or "value"')
        if self.on_missing_skill == "value":
            return table, np.where(absent, default, weight)
        if not absent.any():
            return table, weight
        kept = CrowdTable.from_frame(data[~absent[table.worker]])
        if len(kept.tasks) < len(table.tasks):
            raise CrowdkitValueError(
                f"{len(table.tasks) - len(kept.tasks)} tasks have no worker with a skill",
                'use on_missing_skill="value" with a default_skill',
            )
        return kept, kept.worker_values(skills)


@dataclass
class _SkillWeightedVote:
    """Votes weighted by the skills that `fit` estimates."""

    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    skills_: Series = field(init=False, repr=False, default=None)

    def predict(self, data: Frame) -> Series:
        """Return the labels of tasks by the fitted skills; raise NotFittedError before `fit`."""
        self._apply(data)
        return self.labels_

    def predict_proba(self, data: Frame) -> Frame:
        """Return the shares of labels of tasks by the fitted skills; raise NotFittedError before `fit`."""
        self._apply(data)
        return self.probas_

    def _apply(self, data: Frame) -> None:
        if self.skills_ is None:
            raise NotFittedError("there are no skills yet", "call fit first")
        voted = MajorityVote().fit(data, self.skills_)
        self.labels_, self.probas_ = voted.labels_, voted.probas_


@dataclass
class Wawa(_SkillWeightedVote):
    """Worker agreement with aggregate: votes weighted by agreement with the plain majority."""

    def fit(self, data: Frame) -> Wawa:
        """Fit skills_: each worker's agreement with the majority vote."""
        self.skills_ = MajorityVote().fit(data).skills_
        return self

    def fit_predict(self, data: Frame) -> Series:
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data).predict(data)

    def fit_predict_proba(self, data: Frame) -> Frame:
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data).predict_proba(data)


@dataclass
class ZeroBasedSkill(_SkillWeightedVote):
    """Skills moved towards agreement with the vote that they weight, in steps of a decreasing learning rate."""

    n_iter: int = 100
    lr_init: float = 1.0
    lr_steps_to_reduce: int = 20
    lr_reduce_factor: float = 0.5
    eps: float = 1e-5

    def fit(self, data: Frame) -> ZeroBasedSkill:
        """Fit skills_ in n_iter steps."""
        table = CrowdTable.from_frame(data)
        skills = np.full(len(table.workers), 1 / max(len(table.labels), 1) + self.eps)
        rate = self.lr_init
        for step in range(1, self.n_iter + 1):
            if step % self.lr_steps_to_reduce == 0:
                rate *= self.lr_reduce_factor
            best = table.votes(skills[table.worker]).argmax(axis=1)
            skills = skills + rate * (table.accuracy(best) - skills)
        self.skills_ = table.by_worker(skills, "skill")
        return self

    def fit_predict(self, data: Frame) -> Series:
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data).predict(data)

    def fit_predict_proba(self, data: Frame) -> Frame:
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data).predict_proba(data)


@dataclass
class GoldMajorityVote(_SkillWeightedVote):
    """Votes weighted by accuracy on tasks with known labels."""

    def fit(self, data: Frame, true_labels: Series) -> GoldMajorityVote:
        """Fit skills_: each worker's accuracy on the tasks of true_labels, a Series by task."""
        CrowdTable.from_frame(data)  # names a missing column
        self.skills_ = get_accuracy(data[["task", "worker", "label"]], true_labels, by="worker").rename("skill")
        return self

    def fit_predict(self, data: Frame, true_labels: Series) -> Series:
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data, true_labels).predict(data)

    def fit_predict_proba(self, data: Frame, true_labels: Series) -> Frame:
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data, true_labels).predict_proba(data)


@dataclass
class BinaryRelevance:
    """Multilabel answers: the base aggregator decides yes or no for each label; `labels_` has the list of each task."""

    base_aggregator: Any = field(default_factory=MajorityVote)
    aggregators_: dict[Any, Any] = field(init=False, repr=False, default_factory=dict)
    labels_: Series = field(init=False, repr=False, default=None)

    def fit(self, data: Frame) -> BinaryRelevance:
        """Fit one copy of the base aggregator for each label (aggregators_); the column label holds lists of labels."""
        pd = import_pandas()
        self.aggregators_ = {}
        chosen: dict[Any, list[Any]] = {task: [] for task in pd.unique(data["task"])}
        for label in sorted({label for answer in data["label"] for label in answer}):
            one = data[["task", "worker"]].assign(label=[int(label in answer) for answer in data["label"]])
            self.aggregators_[label] = copy.deepcopy(self.base_aggregator)
            for task, applies in self.aggregators_[label].fit_predict(one).items():
                if applies:
                    chosen[task].append(label)
        if not chosen:
            self.labels_ = pd.Series([], dtype=float, name="agg_label")
        else:
            self.labels_ = pd.Series(list(chosen.values()), index=pd.Index(list(chosen), name="task"), name="agg_label")
        return self

    def fit_predict(self, data: Frame) -> Series:
        """Fit the answers and return labels_, a Series of lists by task."""
        return self.fit(data).labels_


MIN_PROBABILITY = 1e-10  # lower bound of probabilities in Dawid–Skene


@dataclass
class DawidSkene:
    """EM for errors_ (P(answered label | true label), rows worker and label, columns true label) and priors_ (Dawid & Skene 1979).

    Starts from shares of votes; stops after n_iter steps or when the evidence lower bound, divided by the number of answers, rises by
    less than tol. initial_error_strategy: whether an initial error, counts or probabilities, replaces ("assign") those of the first step
    or is added to them ("addition").
    """

    n_iter: int = 100
    tol: float = 1e-5
    initial_error_strategy: Literal["assign", "addition"] | None = None
    labels_: Series = field(init=False, repr=False, default=None)
    probas_: Frame = field(init=False, repr=False, default=None)
    priors_: Series = field(init=False, repr=False, default=None)
    errors_: Frame = field(init=False, repr=False, default=None)
    loss_history_: list[float] = field(init=False, repr=False, default_factory=list)

    def fit(self, data: Frame, true_labels: Series | None = None, initial_error: Frame | None = None) -> DawidSkene:
        """Fit labels_, probas_, priors_ and errors_ to answers.

        true_labels: a Series of labels by task; those tasks keep their label. initial_error: a DataFrame like errors_; see
        initial_error_strategy.
        """
        table = CrowdTable.from_frame(data)
        if not len(table):
            return self._store_empty()
        pairs, fixed = WorkerLabelPairs(table), _gold_setter(table, true_labels)
        probas = fixed(normalize_shares(table.votes()))
        first = _initial_error_setter(table, pairs, initial_error, self.initial_error_strategy)
        probas, errors = self._run_em(table, pairs, probas, first(pairs.matrix @ probas), fixed)
        return self._store_results(table, pairs, probas, errors)

    def fit_predict(self, data: Frame, true_labels: Series | None = None, initial_error: Frame | None = None) -> Series:
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data, true_labels, initial_error).labels_

    def fit_predict_proba(self, data: Frame, true_labels: Series | None = None, initial_error: Frame | None = None) -> Frame:
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data, true_labels, initial_error).probas_

    def _run_em(self, table: CrowdTable, pairs: WorkerLabelPairs, probas: Floats, counts: Floats, fixed: Any) -> tuple[Floats, Floats]:
        answers = np.bincount(table.task, minlength=len(table.tasks))[:, None]
        errors = self._maximize(table, pairs, probas, counts)
        self.loss_history_, before = [], -np.inf
        for _ in range(self.n_iter):
            priors = np.log(np.maximum(probas.mean(axis=0), MIN_PROBABILITY))
            scores = pairs.transposed @ np.log(errors) + priors
            probas = fixed(normalize_shares(np.exp(scores - scores.max(axis=1, keepdims=True))))
            errors = self._maximize(table, pairs, probas, pairs.matrix @ probas)
            priors = np.log(np.maximum(probas.mean(axis=0), MIN_PROBABILITY))
            joint = (probas * (pairs.transposed @ np.log(errors) + answers * priors)).sum()
            probas = np.maximum(probas, MIN_PROBABILITY)
            self.loss_history_.append(float(joint - (probas * np.log(probas)).sum()) / len(table))
            if self.loss_history_[-1] - before < self.tol:
                break
            before = self.loss_history_[-1]
        return probas, errors

    def _maximize(self, table: CrowdTable, pairs: WorkerLabelPairs, probas: Floats, counts: Floats) -> Floats:
        return pairs.normalize_by_worker(np.maximum(counts, MIN_PROBABILITY))

    def _store_results(self, table: CrowdTable, pairs: WorkerLabelPairs, probas: Floats, errors: Floats) -> DawidSkene:
        pd = import_pandas()
        seen = np.argsort(pairs.first)  # rows in the order in which the pairs occur
        names = [table.workers.take(pairs.worker[seen]), table.labels.take(pairs.label[seen])]
        rows = pd.MultiIndex.from_arrays(names, names=["worker", "label"])
        self.probas_, self.labels_ = table.probas(probas), table.best(probas)
        self.priors_ = pd.Series(probas.mean(axis=0), index=table.labels, name="prior")
        self.errors_ = pd.DataFrame(errors[seen], index=rows, columns=table.labels.rename(None))
        return self

    def _store_empty(self) -> DawidSkene:
        pd = import_pandas()
        self.probas_, self.errors_ = pd.DataFrame(), pd.DataFrame()
        self.priors_, self.labels_ = pd.Series(dtype=float, name="prior"), pd.Series(dtype=float, name="agg_label")
        return self


@dataclass
class OneCoinDawidSkene(DawidSkene):
    """Dawid–Skene with one skill for each worker (skills_): right with that probability, else any other label; errors_ follows from it."""

    skills_: Series = field(init=False, repr=False, default=None)

    def fit(self, data: Frame) -> OneCoinDawidSkene:  # type: ignore[override]  # crowd-kit's own signature
        """Fit skills_ and what DawidSkene fits."""
        super().fit(data)
        if len(self.probas_):
            table = CrowdTable.from_frame(data)
            self.skills_ = table.by_worker(_worker_skills(table, self.probas_.to_numpy()), "skill")
        return self

    def fit_predict(self, data: Frame) -> Series:  # type: ignore[override]
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data).labels_

    def fit_predict_proba(self, data: Frame) -> Frame:  # type: ignore[override]
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data).probas_

    def _maximize(self, table: CrowdTable, pairs: WorkerLabelPairs, probas: Floats, counts: Floats) -> Floats:
        skill = _worker_skills(table, probas)[pairs.worker][:, None]
        right = pairs.label[:, None] == np.arange(len(table.labels))
        return np.clip(np.where(right, skill, (1 - skill) / max(len(table.labels) - 1, 1)), MIN_PROBABILITY, 1 - MIN_PROBABILITY)


def _worker_skills(table: CrowdTable, probas: Floats) -> Floats:
    given = np.bincount(table.worker, minlength=len(table.workers))
    return np.asarray(np.bincount(table.worker, probas[table.task, table.label], len(table.workers)) / given)


def _gold_setter(table: CrowdTable, true_labels: Series | None) -> Any:
    """Return a function that puts the true labels into a posterior."""
    if true_labels is None:
        return lambda probas: probas
    task, label = table.tasks.get_indexer(true_labels.index), table.labels.get_indexer(true_labels)
    if (label[task >= 0] < 0).any():
        raise CrowdkitValueError("a true label is one that nobody gave", "leave it out, or add an answer with it")
    rows, columns = task[task >= 0], label[task >= 0]

    def put(probas: Floats) -> Floats:
        probas[rows] = 0.0
        probas[rows, columns] = 1.0
        return probas

    return put


def _initial_error_setter(table: CrowdTable, pairs: WorkerLabelPairs, initial_error: Frame | None, strategy: str | None) -> Any:
    """Return a function that combines the first step's counts with the initial error."""
    if initial_error is None or strategy is None:
        return lambda counts: counts
    if list(initial_error.index.names) != ["worker", "label"]:
        raise CrowdkitValueError(f"initial_error is indexed by {initial_error.index.names}", "index it by worker and label")
    if strategy not in ("assign", "addition"):
        raise CrowdkitValueError(f"initial_error_strategy={strategy!r} is unknown", "known: assign, addition")
    rows = import_pandas().MultiIndex.from_arrays([table.workers.take(pairs.worker), table.labels.take(pairs.label)])
    given = initial_error.reindex(index=rows, columns=table.labels).to_numpy(dtype=np.float64)
    if strategy == "addition":
        return lambda counts: counts + np.nan_to_num(given)
    if np.isnan(given).any():
        raise CrowdkitValueError("initial_error lacks a worker's answer that occurs", 'give all, or use the strategy "addition"')
    if (initial_error <= 1.0).all().all() and not np.allclose(initial_error.groupby("worker").sum(), 1.0):
        # the message is crowd-kit's, for code that matches on it
        raise CrowdkitValueError("The sum of each worker's error matrix in initial_error should be 1.0", "scale it, or give counts")
    return lambda counts: given


@dataclass
class GLAD:
    """P(right) = σ(α_worker · exp(β_task)), any other label equally likely (Whitehill et al. 2009), by EM.

    The M-step maximises over α and β by conjugate gradients (m_step_max_iter, m_step_tol) under normal priors of variance 1;
    alphas_priors_mean, betas_priors_mean: their means by worker and task (1 when not given). labels_priors: a Series of probabilities by
    label (equal when not given). silent is accepted as in crowd-kit; nothing is printed.
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
        """Fit labels_, probas_, priors_, alphas_ (by worker) and betas_ (by task) to answers."""
        table = CrowdTable.from_frame(data)
        labels = table.labels if self.labels_priors is None else self.labels_priors.index
        label = labels.get_indexer(table.labels)
        if (label < 0).any():
            raise CrowdkitValueError(f"label {table.labels[label < 0][0]!r} is not in labels_priors", "give a prior for each label")
        shares = (
            np.full(len(labels), 1 / max(len(labels), 1)) if self.labels_priors is None else self.labels_priors.to_numpy(dtype=np.float64)
        )
        model = _GladModel(table, label[table.label] if len(table) else table.label, np.log(shares), self._means(table))
        x, probas = self._run_em(model)
        pd = import_pandas()
        self.priors_ = pd.Series(shares, index=labels, name="prior")
        self.alphas_ = pd.Series(x[: len(table.workers)], index=table.workers, name="alpha")
        self.betas_ = pd.Series(x[len(table.workers) :], index=table.tasks, name="beta")
        self.probas_ = pd.DataFrame(probas, index=table.tasks, columns=labels)
        empty = pd.Series([], dtype=float, name="agg_label")
        self.labels_ = pd.Series(labels.take(probas.argmax(axis=1)), index=table.tasks, name="agg_label") if len(table) else empty
        return self

    def fit_predict(self, data: Frame) -> Series:
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data).labels_

    def fit_predict_proba(self, data: Frame) -> Frame:
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data).probas_

    def _means(self, table: CrowdTable) -> Floats:
        means = [(self.alphas_priors_mean, table.workers), (self.betas_priors_mean, table.tasks)]
        return np.concatenate(
            [np.ones(len(index)) if given is None else given.reindex(index).to_numpy(dtype=np.float64) for given, index in means]
        )

    def _run_em(self, model: _GladModel) -> tuple[Floats, Floats]:
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


class _GladModel:
    """The likelihood of GLAD; parameters are α by worker, then β by task; `label` codes labels in the order of the prior."""

    def __init__(self, table: CrowdTable, label: np.ndarray, log_prior: Floats, mean: Floats) -> None:
        self.table, self.task, self.worker, self.label = table, table.task, table.worker, label
        self.log_prior, self.mean = log_prior, mean
        self.others = np.log(max(len(log_prior) - 1, 1))

    def posterior(self, x: Floats) -> Floats:
        """Return the E-step's posterior, (tasks, labels).

        Each answer adds log σ to its label and log(1 − σ) − log(labels − 1) to the others.
        """
        ability, easiness = x[: len(self.table.workers)][self.worker], np.exp(x[len(self.table.workers) :])[self.task]
        right, wrong = -np.logaddexp(0, -ability * easiness), -np.logaddexp(0, ability * easiness) - self.others
        size = (len(self.table.tasks), len(self.log_prior))
        scores = np.bincount(self.task * size[1] + self.label, right - wrong, size[0] * size[1]).reshape(size) + self.log_prior
        scores = scores + np.bincount(self.task, wrong, size[0])[:, None]
        return normalize_shares(np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf)))

    def loss(self, x: Floats, probas: Floats) -> tuple[float, Floats]:
        """Return −Q, the negative expected log-likelihood with the priors of α and β, and its gradient."""
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


class _MaceExpectation(NamedTuple):
    """Result of an E-step: log_likelihood; marginals, P(label) of each task up to a factor, (tasks, labels); expected counts.

    strategy: of spamming by worker and label, (workers, labels). knowing: of spamming and of knowing by worker, (workers, 2).
    """

    log_likelihood: float
    marginals: Floats
    strategy: Floats
    knowing: Floats


@dataclass
class MACE:
    """A worker either knows, or samples from a strategy of their own (Hovy et al. 2013), by EM ("em") or variational Bayes ("vb").

    The best of n_restarts by likelihood. spamming_: (workers, 2), the probabilities of spamming and of knowing; thetas_: (workers,
    labels), strategies; both in order of first appearance. verbose is accepted as in crowd-kit.
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
        """Fit labels_, probas_, spamming_ and thetas_ to answers."""
        if self.method not in ("vb", "em"):
            raise CrowdkitValueError(f"method={self.method!r} is unknown", "known: vb, em")
        pd = import_pandas()
        (task, tasks), (worker, workers), (label, labels) = (pd.factorize(data[name]) for name in ("task", "worker", "label"))
        answers = _MaceAnswers(task, worker, label, (len(tasks), len(workers), len(labels)))
        best: tuple[float, Floats, Floats] | None = None
        for restart in range(self.n_restarts):
            spamming, thetas = self._initial_params(restart, len(workers), len(labels))
            expected = answers.expect(spamming, thetas)
            for _ in range(self.n_iter):
                spamming, thetas = self._maximize(expected)
                expected = answers.expect(spamming, thetas)
            if best is None or expected.log_likelihood > best[0]:
                best = expected.log_likelihood, spamming, thetas
        if best is None:
            raise CrowdkitValueError("n_restarts is 0", "give 1 or more")
        _, self.spamming_, self.thetas_ = best
        marginals = answers.expect(self.spamming_, self.thetas_).marginals
        probas = marginals / marginals.sum(axis=1, keepdims=True)
        self.probas_ = pd.DataFrame(probas, index=tasks, columns=labels)
        self.labels_ = pd.Series(labels.take(probas.argmax(axis=1)), index=pd.Index(tasks, name="task"), name="agg_label")
        return self

    def fit_predict(self, data: Frame) -> Series:
        """Fit the answers and return labels_, a Series by task."""
        return self.fit(data).labels_

    def fit_predict_proba(self, data: Frame) -> Frame:
        """Fit the answers and return probas_, a DataFrame of tasks × labels."""
        return self.fit(data).probas_

    def _initial_params(self, restart: int, workers: int, labels: int) -> tuple[Floats, Floats]:
        """Return random parameters: crowd-kit's own in the first restart; crowd-kit repeats them in each, here they differ."""
        drawn = (np.random.RandomState(self.random_state + restart).uniform(size=(workers, columns)) for columns in (2, labels))
        spamming, thetas = (_normalize_row_sums(1 + (1 + self.default_noise) * values) for values in drawn)
        return spamming, thetas

    def _maximize(self, expected: _MaceExpectation) -> tuple[Floats, Floats]:
        if self.method == "em":
            smoothing = 0.01 / expected.strategy.shape[1]
            return _normalize_row_sums(expected.knowing + smoothing), _normalize_row_sums(expected.strategy + smoothing)
        return _geometric_means(expected.knowing + np.array([self.alpha, self.beta])), _geometric_means(expected.strategy + 10.0)


class _MaceAnswers:
    """Answers as codes; sizes: numbers of tasks, workers and labels."""

    def __init__(self, task: Codes, worker: Codes, label: Codes, sizes: tuple[int, int, int]) -> None:
        self.task, self.worker, self.label, self.sizes = task, worker, label, sizes

    def expect(self, spamming: Floats, thetas: Floats) -> _MaceExpectation:
        """Return the E-step; products over a task's answers are sums of logs, so that many answers don't underflow."""
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
        return _MaceExpectation(log_likelihood, marginals, np.asarray(strategy, dtype=np.float64), np.asarray(knowing, dtype=np.float64))


def _normalize_row_sums(values: Floats) -> Floats:
    return np.asarray(values / values.sum(axis=1, keepdims=True))


def _geometric_means(values: Floats) -> Floats:
    """Return exp E[log p] of Dirichlet rows, which variational Bayes uses in place of p; rows sum to less than 1."""
    return np.asarray(np.exp(digamma(values) - digamma(values.sum(axis=1, keepdims=True))))
