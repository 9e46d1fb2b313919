"""Dawid and Skene's model (1979): a confusion table for each annotator, fitted by MAP EM.

Tables are laid out [annotator, answer given, truth], as the matrix products need them; a truth is an answer and a kind
(see `LatentTruths`), with the kinds of an answer next to each other. A fit may resume from an earlier consensus: from its
parameters where they have the same form, else from its posterior.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field
from scipy.special import gammaln

from preceptor.consensus.aggregators import AnnotatorQualities, aggregators, chance_warnings
from preceptor.consensus.em import EMResult, EMStep, LatentTruths, build_truths, floored_log, run_squarem
from preceptor.consensus.judgments import Codes, Floats, GoldAnswers, Judgments
from preceptor.registry import OptionsBase
from preceptor.types import Consensus

PriorKind = Literal["ability", "pooled", "diagonal", "none"]

MAX_CELLS = 2**24  # the most numbers in all tables together (128 MB); beyond, the rarest annotators share one table
PRIOR_ROUNDS = 20  # the most times that the prior is estimated again
PRIOR_TOLERANCE = 2e-2  # the prior is fixed once none of its pseudo-judgments moves by more
STRENGTH_GRID = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0])
STRENGTH_ROUNDS = 3  # later estimates would only alternate between neighbours on the grid
CROWD_TRUST = 2.0  # prior right judgments of each answer by the crowd, so that a handful of answers can't contradict itself
ABILITY_STRENGTH = 4.0  # pseudo-judgments at the crowd's mean accuracy and habits in each annotator's own
HABIT_SHARE = 0.5  # share of the knowledge-and-habit table in the prior's mean; with 0 a constant answerer confirms themselves


class ConfusionPrior(NamedTuple):
    """The prior that pulls confusion tables together; see `ConfusionTables.pseudo_counts`.

    kind: ability, pooled, diagonal or none. strength: pseudo-judgments a row, estimated where None. off, diagonal: the pseudo-counts
    of kind diagonal.
    """

    kind: PriorKind = "ability"
    strength: float | None = None
    off: float = 0.5
    diagonal: float = 2.5


@dataclass(frozen=True, eq=False)
class FittedTables:
    """The fitted parameters, and what a later fit resumes from.

    annotators, answers, kinds: what the fit was made of. group: the table of each annotator, (annotators,). tables: P(answer given |
    truth), (groups, answers, truths). shares: see `LatentTruths`. counts: expected counts, of the tables' shape. alpha, strength: the
    prior's pseudo-counts and their strength.
    """

    annotators: tuple[Any, ...]
    answers: tuple[Any, ...]
    kinds: int
    group: Codes
    tables: Floats
    shares: Floats
    counts: Floats
    alpha: Floats
    strength: float

    def by_answer(self, tables: Floats) -> Floats:
        """Sum tables over truths to tables over answers, each kind weighted by its share; shape (groups, answers, answers)."""
        k = len(self.answers)
        return np.asarray((tables * self.shares[k:]).reshape(-1, k, k, self.kinds).sum(axis=3))

    def confusion(self, annotator: int) -> Floats:
        """Return P(annotator answers l | the answer is k), rows k, over all kinds; annotator by code."""
        return np.asarray(self.by_answer(self.tables[self.group[annotator]][None])[0].T)


class ConfusionTables:
    """The EM over the confusion tables of one set of judgments; its flat parameters are the tables, then the shares."""

    def __init__(self, truths: LatentTruths, prior: ConfusionPrior) -> None:
        j = truths.judgments
        self.truths, self.prior, self.k, self.columns = truths, prior, j.n_answers, truths.columns
        self.group, self.groups, self.n_sharing = _group_annotators(j, self.columns)
        self.matrix = j.incidence(self.group, self.groups)
        self.transposed = self.matrix.T
        self.right = np.repeat(np.eye(self.k), truths.kinds, axis=1)

    def counts(self, posterior: Floats) -> Floats:
        """Return the expected counts C[w, l, k] of judgments l by w where the truth is k."""
        return np.asarray(self.transposed @ posterior).reshape(self.groups, self.k, self.columns)

    def pseudo_counts(self, counts: Floats, strength: float | None = None) -> tuple[Floats, float]:
        """Return the Dirichlet prior's α (minus 1), broadcastable to the tables, and its strength.

        ability: strength × the mean of two tables. One has the annotator's own accuracy on the diagonal and the crowd's pattern of
        errors off it; the other is what they know beyond chance and, for the rest, the answers they habitually give. So an annotator
        with few judgments is a one-coin annotator, and one with many has a table of their own.
        pooled: strength × the crowd's table. diagonal: fixed, `off` everywhere and `diagonal` more where right.
        The strength, where neither given nor an option, maximises the Dirichlet-multinomial likelihood of the counts.
        """
        if self.prior.kind == "none":
            return np.zeros((1, self.k, self.columns)), 0.0
        if self.prior.kind == "diagonal":
            return np.asarray(self.prior.off + self.prior.diagonal * self.right)[None], 1.0
        crowd = counts.sum(axis=0) + 0.1 + CROWD_TRUST * self.right
        mean = (crowd / crowd.sum(axis=0))[None] if self.prior.kind == "pooled" else self._ability_tables(counts, crowd)
        strength = self.prior.strength or strength or _estimate_strength(counts, mean)
        return mean * strength, strength

    def _ability_tables(self, counts: Floats, crowd: Floats) -> Floats:
        """Return the mean of the ability prior, (groups, answers, truths).

        Accuracy alone would let an annotator who gives every item the same answer confirm themselves: each of their items drifts to that
        answer, which makes them right. Knowledge beyond chance (as κ; Cohen 1960) doesn't rise by that, since chance rises as much.
        """
        right, given = (counts * self.right).sum(axis=(1, 2)), counts.sum(axis=(1, 2))
        mean = (crowd * self.right).sum() / crowd.sum()
        ability = (right + ABILITY_STRENGTH * mean) / (given + ABILITY_STRENGTH)
        errors = crowd * (1 - self.right)
        errors /= np.maximum(errors.sum(axis=0), 1e-300)
        erring = ability[:, None, None] * self.right + (1 - ability)[:, None, None] * errors

        said, true = crowd.sum(axis=1) / crowd.sum(), crowd.sum(axis=0) / crowd.sum()
        weight = (given + ABILITY_STRENGTH)[:, None]
        habit = (counts.sum(axis=2) + ABILITY_STRENGTH * said) / weight
        chance = ((habit @ self.right) * (counts.sum(axis=1) + ABILITY_STRENGTH * true) / weight).sum(axis=1)
        luck = float((said @ self.right) @ true)
        common = max((mean - luck) / max(1 - luck, 1e-9), 0.0)
        beyond = (right - chance * given + ABILITY_STRENGTH * common) / ((1 - chance) * given + ABILITY_STRENGTH)
        knows = np.clip(beyond, 0.0, 1.0)[:, None, None]
        return np.asarray((1 - HABIT_SHARE) * erring + HABIT_SHARE * (knows * self.right + (1 - knows) * habit[:, :, None]))

    def fit(self, posterior: Floats, *, gain: float, limit: int) -> tuple[EMResult, FittedTables]:
        """Run EM from a posterior; the prior is estimated again every few steps until it settles, then fixed to the end.

        gain: stop when a step promises at most this, in nats. limit: most steps.
        """
        counts = self.counts(posterior)
        alpha, strength = self.pseudo_counts(counts)
        params, steps = self._maximise(counts, alpha, posterior), 0
        for turn in range(PRIOR_ROUNDS if self.prior.kind in ("ability", "pooled") else 0):
            climbed = run_squarem(partial(self.step, alpha=alpha), params, self.project, gain=gain, limit=min(limit, 3))
            steps, before = steps + climbed.iterations, alpha
            counts = self.counts(climbed.posterior)
            alpha, strength = self.pseudo_counts(counts, strength if turn >= STRENGTH_ROUNDS else None)
            params = self._maximise(counts, alpha, climbed.posterior)
            if steps >= limit or np.abs(alpha - before).max() < PRIOR_TOLERANCE:
                break
        return self._finish(params, alpha, strength, steps, gain=gain, limit=limit)

    def fit_from_params(self, params: Floats, strength: float, *, gain: float, limit: int) -> tuple[EMResult, FittedTables]:
        """Run EM from an earlier fit's parameters; the prior is estimated once, from their posterior of these judgments."""
        tables, shares = self.split(params)
        posterior, _ = self.truths.infer(self.scores(floored_log(tables)), shares)
        counts = self.counts(posterior)
        alpha, strength = self.pseudo_counts(counts, strength)
        return self._finish(self._maximise(counts, alpha, posterior), alpha, strength, 1, gain=gain, limit=limit)

    def _finish(
        self, params: Floats, alpha: Floats, strength: float, steps: int, *, gain: float, limit: int
    ) -> tuple[EMResult, FittedTables]:
        climbed = run_squarem(partial(self.step, alpha=alpha), params, self.project, gain=gain, limit=limit)
        tables, shares = self.split(climbed.params)
        j = self.truths.judgments
        counts = self.counts(climbed.posterior)
        climbed = climbed._replace(iterations=steps + climbed.iterations)
        return climbed, FittedTables(j.annotators, j.answers, self.truths.kinds, self.group, tables, shares, counts, alpha, strength)

    def step(self, params: Floats, alpha: Floats) -> EMStep:
        """Run one EM step under the prior `alpha`."""
        tables, shares = self.split(params)
        logs = floored_log(tables)
        posterior, value = self.truths.infer(self.scores(logs), shares)
        counts = self.counts(posterior)
        following = self._maximise(counts, alpha, posterior)
        after, shares_after = self.split(following)
        promise = float(((counts + alpha) * (floored_log(after) - logs)).sum()) + self.truths.expected_gain(posterior, shares, shares_after)
        return EMStep(value + float((alpha * logs).sum()), posterior, following, promise)

    def scores(self, logs: Floats) -> Floats:
        """Return the log-likelihood of each item's judgments under each truth, shape (items, truths)."""
        return np.asarray(self.matrix @ logs.reshape(-1, self.columns))

    def unclamped_posterior(self, params: Floats) -> Floats:
        """Return the posterior over answers as if there were no gold."""
        tables, shares = self.split(params)
        return self.truths.answer_posterior(self.truths.infer(self.scores(floored_log(tables)), shares, clamped=False)[0])

    def gold_posterior(self) -> Floats:
        """Return the posterior under the tables that the judgments of gold items alone lead to."""
        clamp, kinds = self.truths.clamp, self.truths.kinds
        known = np.zeros((self.truths.judgments.n_items, self.columns))
        known[clamp.item] = np.repeat(clamp.rows, kinds, axis=1) / kinds
        counts = self.counts(known)
        tables, _ = self.split(self._maximise(counts, self.pseudo_counts(counts)[0], known))
        equal = np.concatenate([np.full(self.k, 1 / self.k), np.full(self.columns, 1 / kinds)])
        return self.truths.infer(self.scores(floored_log(tables)), equal)[0]

    def split(self, params: Floats) -> tuple[Floats, Floats]:
        """Split flat parameters into tables and shares."""
        size = self.groups * self.k * self.columns
        return params[:size].reshape(self.groups, self.k, self.columns), params[size:]

    def project(self, params: Floats) -> Floats:
        """Project parameters back onto the simplices: raise negatives to (nearly) 0 and scale each distribution to sum to 1."""
        tables, shares = self.split(np.maximum(params, 1e-12))
        answer, kind = shares[: self.k], shares[self.k :].reshape(self.k, -1)
        parts = (tables / tables.sum(axis=1, keepdims=True), answer / answer.sum(), kind / kind.sum(axis=1, keepdims=True))
        return np.concatenate([part.ravel() for part in parts])

    def _maximise(self, counts: Floats, alpha: Floats, posterior: Floats) -> Floats:
        total = counts + alpha
        weight = total.sum(axis=1, keepdims=True)
        tables = np.divide(total, weight, out=np.full_like(total, 1 / self.k), where=weight > 0)
        return np.concatenate([tables.ravel(), self.truths.update_shares(posterior)])


def _group_annotators(judgments: Judgments, columns: int) -> tuple[Codes, int, int]:
    """Return each annotator's table, the number of tables, and how many annotators share the last one.

    Each annotator has a table of their own while all fit in MAX_CELLS; else those with the fewest judgments share one.
    """
    size, room = judgments.n_annotators, MAX_CELLS // (judgments.n_answers * columns)
    if size <= room:
        return np.arange(size, dtype=np.int32), size, 0
    given = np.bincount(judgments.annotator_code, minlength=size)
    own = given > np.sort(given)[::-1][max(room - 1, 0)]  # strictly: a tie at the cut must not be broken by name
    group = np.where(own, np.cumsum(own) - 1, own.sum()).astype(np.int32)
    return group, int(own.sum()) + 1, int((~own).sum())


def _estimate_strength(counts: Floats, mean: Floats) -> float:
    """Return the strength s for which rows from Dirichlet(s·mean) make the counts likeliest (Minka 2000), on a grid.

    About 20,000 cells are used, of the annotators with the most judgments, which are the most informative of how annotators differ.
    """
    given = counts.sum(axis=(1, 2))
    most = max(20_000 // (counts.shape[1] * counts.shape[2]), 50)
    told = given >= (np.sort(given)[-most] if len(given) > most else 0)
    rows, mean = counts[told], np.broadcast_to(mean, counts.shape)[told] + 1e-12
    total = rows.sum(axis=1)
    likelihood = [(gammaln(s) - gammaln(s + total)).sum() + (gammaln(s * mean + rows) - gammaln(s * mean)).sum() for s in STRENGTH_GRID]
    return float(STRENGTH_GRID[int(np.argmax(likelihood))])


def _resume_params(start: Consensus, tables: ConfusionTables) -> tuple[Floats, float] | None:
    """Return flat parameters and the prior's strength from an earlier fit of the same answers and kinds; None where its form differs.

    Annotators that the earlier fit didn't know start from the mean table.
    """
    model = start.annotators.model if isinstance(start.annotators, AnnotatorQualities) else None
    j = tables.truths.judgments
    if not isinstance(model, FittedTables) or (model.answers, model.kinds) != (j.answers, tables.truths.kinds):
        return None
    if model.annotators == j.annotators and np.array_equal(model.group, tables.group):
        return np.concatenate([model.tables.ravel(), model.shares]), model.strength
    place = {annotator: code for code, annotator in enumerate(model.annotators)}
    old = np.array([place.get(annotator, -1) for annotator in j.annotators])
    rows = np.repeat(model.tables.mean(axis=0, keepdims=True), tables.groups, axis=0)
    rows[tables.group[old >= 0]] = model.tables[model.group[old[old >= 0]]]
    return np.concatenate([rows.ravel(), model.shares]), model.strength


def _carry_posterior(start: Consensus, truths: LatentTruths) -> Floats:
    """Return an earlier posterior mapped to these judgments' items and answers; the initial posterior where it has none."""
    j, k = truths.judgments, truths.judgments.n_answers
    place = {answer: column for column, answer in enumerate(j.answers)}
    kept = [(old, place[answer]) for old, answer in enumerate(start.answers) if answer in place]
    moved = np.zeros((len(start.items), k))
    moved[:, [new for _, new in kept]] = start.posterior[:, [old for old, _ in kept]]
    row = np.fromiter((j.item_index.get(item, -1) for item in start.items), dtype=np.int64, count=len(start.items))
    first = truths.initial_posterior()
    joint = first.reshape(j.n_items, k, truths.kinds).copy()
    kinds = joint / np.maximum(joint.sum(axis=2, keepdims=True), 1e-300)
    joint[row[row >= 0]] = moved[row >= 0][:, :, None] * kinds[row[row >= 0]]
    posterior = joint.reshape(first.shape)
    posterior[truths.clamp.item] = first[truths.clamp.item]
    return posterior


@aggregators.register("dawid_skene")
@dataclass(frozen=True)
class DawidSkene:
    """MAP EM for tables θ_w[k, l] = P(w answers l | the answer is k) (Dawid & Skene 1979, eqs. 2.3 to 2.5).

    E: T_ik ∝ p_k Π_m θ_{w_m}[k, y_m], in logs. M: θ_w[k, l] ∝ C_w[k, l] + α_w[k, l] with C the expected counts, and
    p_k ∝ Σ_i T_ik + a. For a fixed prior, J = Σ_i log Σ_k (…) + Σ α log θ + a Σ log p never falls; α itself is estimated
    from the counts (`ConfusionTables.pseudo_counts`), again and again until it settles.

    kinds=2 lets the items of an answer come in two kinds, each with tables of its own, so that annotators err together on
    the harder ones (after Li, Rubinstein & Cohn 2019, "Exploiting Worker Correlation for Label Aggregation in
    Crowdsourcing"; here MAP, and started from how far the votes agree, where they start at random).
    """

    class Options(OptionsBase):
        kinds: int = Field(1, ge=1, le=5, description="kinds of item under each answer; 2 lets people err together")
        prior: PriorKind = Field("ability", description="what tables are drawn to: ability, pooled, diagonal or none")
        strength: float | None = Field(None, gt=0, description="judgments a row that the prior is worth; estimated when not given")
        off: float = Field(0.5, ge=0, description="prior diagonal: pseudo-judgments in each cell")
        diagonal: float = Field(2.5, ge=0, description="prior diagonal: pseudo-judgments more where the answer is right")
        class_prior: dict[Any, float] | None = Field(None, description="answer -> probability; learnt when not given")
        smoothing: float = Field(1.0, ge=0, description="pseudo-items of each answer in a learnt class prior")
        item_prior_weight: float = Field(1.0, ge=0, le=1, description="γ: how far an item's own prior is trusted")
        iterations: int = Field(500, ge=1, description="most EM steps")
        tolerance: float = Field(1e-9, gt=0, description="stop when a step promises less, in nats a judgment")

    options: Options = field(default_factory=Options)

    def fit(
        self, judgments: Judgments, gold: GoldAnswers | None = None, *, start: Consensus | None = None, item_prior: Floats | None = None
    ) -> Consensus:
        """Fit the judgments and return their consensus, with an annotator's confusion matrix in its quality.

        start: an earlier consensus on (nearly) the same judgments, to resume from.
        item_prior: probabilities (items, answers) in place of the class prior, such as a model's calibrated out-of-fold
        predictions; they enter as γ·log. To take a model as one more annotator instead, give its answers as judgments.
        """
        o = self.options
        truths = build_truths(
            judgments, gold, class_prior=o.class_prior, smoothing=o.smoothing, kinds=o.kinds,
            item_prior=item_prior, item_prior_weight=o.item_prior_weight,
        )  # fmt: skip
        tables = ConfusionTables(truths, ConfusionPrior(o.prior, o.strength, o.off, o.diagonal))
        climbed, fitted = self._run_em(tables, start)
        notes = [f"{tables.n_sharing} annotators with few judgments share one table"] if tables.n_sharing else []
        if len(truths.clamp):
            unclamped = tables.unclamped_posterior(climbed.params)[truths.clamp.item]
            if truths.clamp.denies_gold(unclamped):
                climbed, fitted, unclamped, told = self._refit_from_gold(tables, climbed, fitted, unclamped)
                notes.append(told)
            notes += truths.clamp.contradiction_notes(judgments, unclamped)
        posterior = truths.answer_posterior(climbed.posterior)
        right = (fitted.counts * tables.right).sum(axis=(1, 2))
        notes += chance_warnings(fitted.counts.sum(axis=(1, 2)), right, truths.clamp, judgments.n_answers)
        return Consensus(
            judgments.items, judgments.answers, posterior, judgments.counts, AnnotatorQualities(judgments, posterior, fitted),
            "dawid_skene",
            converged=climbed.converged, iterations=climbed.iterations, notes=tuple(notes),
        )  # fmt: skip

    def _run_em(self, tables: ConfusionTables, start: Consensus | None) -> tuple[EMResult, FittedTables]:
        gain, limit = self.options.tolerance * float(tables.truths.judgments.weight.sum()), self.options.iterations
        if start is None:
            return tables.fit(tables.truths.initial_posterior(), gain=gain, limit=limit)
        known = _resume_params(start, tables)
        if known is None:
            return tables.fit(_carry_posterior(start, tables.truths), gain=gain, limit=limit)
        return tables.fit_from_params(*known, gain=gain, limit=limit)

    def _refit_from_gold(
        self, tables: ConfusionTables, climbed: EMResult, fitted: FittedTables, unclamped: Floats
    ) -> tuple[EMResult, FittedTables, Floats, str]:
        """Refit from the tables of the gold items, where the votes lead to answers that gold denies, as with adversaries in the majority.

        Returns the fit, its tables, its unclamped posterior of the gold items, and a note; the old fit where the new misses no less gold.
        """
        clamp, o = tables.truths.clamp, self.options
        gain = o.tolerance * float(tables.truths.judgments.weight.sum())
        again, fitted_anew = tables.fit(tables.gold_posterior(), gain=gain, limit=o.iterations)
        anew = tables.unclamped_posterior(again.params)[clamp.item]
        if clamp.missed_share(anew) >= clamp.missed_share(unclamped):
            return climbed, fitted, unclamped, "the judgments deny most gold answers, however one reads them"
        return again, fitted_anew, anew, "most annotators contradict gold; the answers follow gold, against the majority"
