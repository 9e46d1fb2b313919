"""The default aggregator: Dawid-Skene with one or two kinds of item, tempered, pooled with the votes and corrected by gold.

Annotators who err together make any posterior that takes them for independent overconfident. Held-out judgments show a part of
it (answers vary more than the model predicts, so a flatter posterior predicts the next answer better): they set the temperature
and the number of kinds of item. Errors that everybody makes alike show only against gold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.optimize import minimize, minimize_scalar

from preceptor.consensus.aggregators import AnnotatorQualities, aggregate, aggregators
from preceptor.consensus.dawid_skene import ConfusionPrior, ConfusionTables, DawidSkene, FittedTables
from preceptor.consensus.em import build_truths, floored_log, normalize_scores, vote_prior
from preceptor.consensus.judgments import Floats, GoldAnswers, GoldClamp, Integers, Judgments
from preceptor.registry import OptionsBase
from preceptor.types import Consensus

TEMPERATURE_ROWS = 200_000  # most judgments used for the temperature; of more, those of every nth item
SPREAD_OF_SLOPE, SPREAD_OF_SHIFT = 0.5, 0.35  # prior standard deviations of log slope and shifts: 50 gold answers move them by half
MIN_PROBABILITY = 1e-6  # lower probabilities are raised to this one


def fit_heldout_temperature(judgments: Judgments, fitted: FittedTables, posterior: Floats) -> float:
    """Return the power t in (0, 1] for which T^t, computed without one annotator's judgment, best predicts it, on average over judgments.

    A judgment (or all that one annotator answered on one item) is held out by removing it from the item's posterior and from the
    annotator's table. Returns 1 where no item was judged by two annotators.
    """
    j = _thin_judgments(judgments)
    group = fitted.group[j.annotator_code]
    counts = fitted.by_answer(fitted.counts)
    table = counts + np.broadcast_to(fitted.by_answer(fitted.alpha), counts.shape)
    given = table.sum(axis=1)
    new = np.append(True, (j.item_code[1:] != j.item_code[:-1]) | (j.annotator_code[1:] != j.annotator_code[:-1]))[: len(j)]
    pair = np.cumsum(new) - 1
    people = np.bincount(j.item_code[new], minlength=j.n_items)[j.item_code]
    logs = j.weight[:, None] * floored_log(table / np.maximum(given[:, None, :], 1e-300))[group, j.answer_code]
    rest = _group_sums(logs, j.item_code) - _group_sums(logs, pair) + floored_log(fitted.shares[: j.n_answers])
    taken = j.weight[:, None] * posterior[j.item_code]
    same = np.maximum(table[group, j.answer_code] - _group_sums(taken, pair * j.n_answers + j.answer_code), 1e-6)
    left = same / np.maximum(given[group] - _group_sums(taken, pair), 2e-6)
    rest, left, weight = rest[people > 1], left[people > 1], j.weight[people > 1]
    if not len(rest):
        return 1.0

    def loss(t: float) -> float:
        scores = t * rest
        normalize_scores(scores)
        return -float(weight @ np.log(np.maximum((scores * left).sum(axis=1), 1e-12)) / weight.sum())

    found = minimize_scalar(loss, bounds=(0.05, 1.0), method="bounded", options={"xatol": 1e-3})
    return 1.0 if loss(1.0) <= found.fun else float(found.x)


def _group_sums(values: Floats, group: NDArray[Any]) -> Floats:
    """Return the sum of each row's group, of the shape of `values`."""
    return np.stack([np.bincount(group, column)[group] for column in values.T], axis=1)


def _thin_judgments(judgments: Judgments) -> Judgments:
    every = -(-len(judgments) // TEMPERATURE_ROWS)
    return judgments if every == 1 else judgments.select_rows(judgments.item_code % every == 0)


@dataclass(frozen=True, eq=False)
class GoldCorrection:
    """The map log T ↦ slope·log T + shift, then normalised (bias-corrected temperature scaling, Alexandari et al. 2020)."""

    slope: float
    shift: Floats

    @classmethod
    def fit(cls, rows: Floats, key: Integers) -> GoldCorrection:
        """Fit the most probable correction on gold, under N(0, spread²) on log slope and shifts.

        rows: the posterior of the gold items, computed without their keys, shape (gold items, answers). key: their answer codes.
        """
        logs = np.log(np.maximum(rows, MIN_PROBABILITY))
        hit = np.eye(rows.shape[1])[key]

        def loss(params: Floats) -> tuple[float, Floats]:
            slope, shift = np.exp(params[0]), params[1:]
            scores = slope * logs + shift
            value = -float((scores * hit).sum())
            value += float(normalize_scores(scores).sum())
            off = scores - hit
            prior = params / np.concatenate([[SPREAD_OF_SLOPE], np.full(len(shift), SPREAD_OF_SHIFT)]) ** 2
            return value + 0.5 * float(params @ prior), np.concatenate([[slope * (off * logs).sum()], off.sum(axis=0)]) + prior

        found = minimize(loss, np.zeros(1 + rows.shape[1]), jac=True, method="L-BFGS-B").x
        return cls(float(np.exp(found[0])), found[1:])

    def __call__(self, posterior: Floats) -> Floats:
        scores = self.slope * np.log(np.maximum(posterior, MIN_PROBABILITY)) + self.shift
        normalize_scores(scores)
        return scores


def apply_power(posterior: Floats, power: float) -> Floats:
    """Raise each row to a power and scale it to sum to 1."""
    if power == 1.0:
        return posterior
    scores = power * floored_log(posterior)
    normalize_scores(scores)
    return scores


def _apply_gold_correction(posterior: Floats, clamp: GoldClamp) -> Floats:
    """Return the posterior, computed without the keys, corrected by gold and with the gold rows clamped."""
    return clamp.clamp_rows(GoldCorrection.fit(posterior[clamp.item], clamp.key)(posterior))


KIND_SELECTION_VOTES = 20_000  # most judgments used; of more, those of every nth item
HELD_OUT_SHARE = 0.25  # share of the judgments that is held out of the fits
CLEAR_ERRORS = 3.0  # standard errors beyond which the better model is used alone
KIND_SELECTION_STEPS, KIND_SELECTION_TOLERANCE = 200, 1e-7  # most EM steps of each fit, and its tolerance in nats a judgment


def select_item_kinds(judgments: Judgments, most: int) -> tuple[int, ...]:
    """Select 1 and `most` kinds of item under each answer, or the one of them that predicts held-out judgments clearly better.

    A random quarter of the judgments is held out (with a fixed seed; all that an annotator answered on one item goes together), both
    models are fitted to the rest, and their log-likelihoods of the held-out part are compared as paired samples (Vuong 1989). Without
    a clear difference both are returned: items on which annotators err together, and confusions that overturn the vote, can look alike.
    """
    every = max(int(np.ceil(judgments.weight.sum() / KIND_SELECTION_VOTES - 1e-9)), 1)
    seen = judgments if every == 1 else judgments.select_rows(judgments.item_code % every == 0)
    pairs = seen.item_code.astype(np.int64) * seen.n_annotators + seen.annotator_code
    _, pair = np.unique(pairs, return_inverse=True)  # of an item and an annotator
    held = (np.random.default_rng(0).random(int(pair.max(initial=-1)) + 1) < HELD_OUT_SHARE)[pair]
    if most == 1 or held.all() or len(np.unique(pair[held])) < 2:
        return (most,)
    gain = np.bincount(
        pair[held], seen.weight[held] * (_heldout_log_likelihood(seen, held, most) - _heldout_log_likelihood(seen, held, 1))
    )[np.unique(pair[held])]
    error = float(gain.std(ddof=1)) / np.sqrt(len(gain))
    told = float(gain.mean())
    return (most,) if told > CLEAR_ERRORS * error else (1,) if told < -CLEAR_ERRORS * error else (1, most)


def _heldout_log_likelihood(judgments: Judgments, held: NDArray[np.bool_], kinds: int) -> Floats:
    """Return the log-likelihood of each held-out judgment, (held,), by a fit to the others."""
    rest = judgments.select_rows(~held)
    truths = build_truths(rest, None, class_prior=vote_prior(rest), kinds=kinds)
    climbed, fitted = ConfusionTables(truths, ConfusionPrior()).fit(
        truths.initial_posterior(), gain=KIND_SELECTION_TOLERANCE * float(rest.weight.sum()), limit=KIND_SELECTION_STEPS
    )
    said = fitted.tables[fitted.group[judgments.annotator_code[held]], judgments.answer_code[held]]
    return floored_log((climbed.posterior[judgments.item_code[held]] * said).sum(axis=1))


OTHER_METHODS = ("majority", "one_coin", "dawid_skene")
TOLERANCE = 1e-7  # where items are of one kind, the second has nothing to settle on, and finer steps only wander
ENOUGH_GOLD = 30  # gold answers from which on the correction outweighs its prior


@aggregators.register("auto")
@dataclass(frozen=True)
class AutoAggregator:
    """(1 − votes)·T^t + votes·(shares of votes), T from Dawid–Skene with one or two kinds of item; corrected by gold where there is some.

    Why: no single model wins on all crowds, and which one does can't be told from judgments where annotators share a bias.
    Two kinds of item under each answer let annotators err together; held-out judgments choose between two kinds and one, and without
    a clear difference T^t is the mean of both. The class prior is fixed at the shares of votes. t is the power that best predicts
    held-out judgments. The linear pool with the votes keeps a doubt that no model of these judgments can see. Gold, where given, is
    compared with this posterior (computed without it) and corrects its confidence and each answer's share; it should be a random
    sample of the items. Where the posterior misses most of gold, as with adversaries in the majority, the model is fitted to gold.
    """

    class Options(OptionsBase):
        votes: float = Field(0.2, ge=0, le=1, description="share of the plain votes in the pool")
        smoothing: float = Field(0.5, gt=0, description="pseudo-votes for each answer in the votes' shares")
        kinds: int = Field(
            2, ge=1, le=5, description="most kinds of item under each answer; held-out judgments choose between them and one"
        )

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None, *, start: Consensus | None = None) -> Consensus:
        """Fit the judgments and return the pooled, tempered and gold-corrected consensus.

        start: an earlier consensus by auto, to resume from with its kinds of item; the note on other methods' answers is then left out.
        """
        clamp = GoldClamp.from_gold(judgments, gold)
        pool = self._pool(judgments, None, start)
        notes = [f"Dawid-Skene, {pool.summary}; {self.options.votes:.0%} plain votes"]
        if clamp.denies_gold(pool.posterior[clamp.item]):
            pool = self._pool(judgments, gold, None)
            notes += ["the judgments alone miss most of gold: fitted to gold", *pool.notes]
        if len(clamp):
            notes += [f"corrected by {len(clamp)} gold answers", *clamp.contradiction_notes(judgments, pool.posterior[clamp.item])]
            posterior = _apply_gold_correction(pool.posterior, clamp)
        else:
            notes += [*pool.notes, *([] if start else [_disagreement_note(judgments, pool.posterior)])]
            posterior = pool.posterior
        if 0 < len(clamp) < ENOUGH_GOLD:
            notes.append(f"{len(clamp)} gold answers correct little; give {ENOUGH_GOLD} or more, drawn at random")
        fits = pool.mixture.fits
        return Consensus(
            judgments.items, judgments.answers, posterior, judgments.counts, AnnotatorQualities(judgments, posterior, pool.mixture), "auto",
            converged=all(fit.converged for fit in fits), iterations=sum(fit.iterations for fit in fits), notes=tuple(notes),
        )  # fmt: skip

    def _pool(self, judgments: Judgments, gold: GoldAnswers | None, start: Consensus | None) -> PooledFit:
        known = start.annotators.model if start is not None and isinstance(start.annotators, AnnotatorQualities) else None
        starts = {_fitted_tables(each).kinds: each for each in known.fits} if isinstance(known, DawidSkeneMixture) else {}
        fits, powers = [], []
        for kinds in tuple(starts) or select_item_kinds(judgments, self.options.kinds):
            # a class prior learnt from few judgments runs away: the most frequent answer takes over the items of the others
            options = DawidSkene.Options(kinds=kinds, tolerance=TOLERANCE, class_prior=vote_prior(judgments))
            fits.append(DawidSkene(options).fit(judgments, gold, start=starts.get(kinds, start)))
            powers.append(fit_heldout_temperature(judgments, _fitted_tables(fits[-1]), fits[-1].posterior))
        votes = judgments.votes + self.options.smoothing
        share = self.options.votes / votes.sum(axis=1, keepdims=True)
        models = np.mean([apply_power(fit.posterior, power) for fit, power in zip(fits, powers, strict=True)], axis=0)
        return PooledFit(DawidSkeneMixture(tuple(fits)), tuple(powers), (1 - self.options.votes) * models + share * votes)


@dataclass(frozen=True, eq=False)
class DawidSkeneMixture:
    """Dawid–Skene fits of equal weight; the confusion matrix of an annotator is the mean of theirs."""

    fits: tuple[Consensus, ...]

    def confusion(self, annotator: int) -> Floats:
        """Return P(annotator answers l | the answer is k), rows k; annotator by code."""
        return np.asarray(np.mean([_fitted_tables(fit).confusion(annotator) for fit in self.fits], axis=0))


class PooledFit(NamedTuple):
    """The fitted models, the power (inverse temperature) of each, and their mean posterior pooled with the votes, (items, answers)."""

    mixture: DawidSkeneMixture
    powers: tuple[float, ...]
    posterior: Floats

    @property
    def summary(self) -> str:
        """The number of kinds of item and the power of each model."""
        kinds = [_fitted_tables(fit).kinds for fit in self.mixture.fits]
        parts = [f"{n} kind{'s' * (n > 1)} of item, to the power {power:.2f}" for n, power in zip(kinds, self.powers, strict=True)]
        return " and ".join(parts)

    @property
    def notes(self) -> tuple[str, ...]:
        """The notes of all models, without repetitions."""
        return tuple(dict.fromkeys(note for fit in self.mixture.fits for note in fit.notes))


def _fitted_tables(fit: Consensus) -> FittedTables:
    fitted: FittedTables = fit.annotators.model  # type: ignore[attr-defined]
    return fitted


def _disagreement_note(judgments: Judgments, posterior: Floats) -> str:
    """Return a note on the share of items that other methods answer differently, which only gold can decide."""
    top = posterior.argmax(axis=1)
    told = []
    for name in OTHER_METHODS:
        other = aggregate(judgments, name).posterior
        # an item on which the other method is undecided is no disagreement
        told.append(f"{name} {np.mean(other.max(axis=1) - other[np.arange(len(top)), top] > 1e-9):.1%}")
    return f"no gold: other methods answer otherwise on {', '.join(told)} of the items; only known answers tell who is right (50 do)"
