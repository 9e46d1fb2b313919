"""Multilabel consensus: whether each label applies to each item, from annotators who tick the labels that apply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from preceptor.consensus.aggregators import aggregators
from preceptor.consensus.dawid_skene import DawidSkene
from preceptor.consensus.em import floored_log
from preceptor.consensus.judgments import Codes, Floats, GoldAnswers, Judgments, RepeatRule, encode_column
from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.types import Consensus

BASE_RATE_ROUNDS = 4  # rounds of learning how frequent each label is; the last changes little


@dataclass(frozen=True)
class MultilabelConsensus(Consensus):
    """A consensus on sets of labels, with the probability of each label, `applies`, shape (items, labels).

    The posterior is over the sets in `answers`: the product of the labels' probabilities, scaled to sum to 1.
    `top` is the most probable of all sets, whether or not anybody gave it, and `certainty` its probability.
    """

    labels: tuple[Any, ...] = ()
    applies: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def sets(self) -> tuple[tuple[Any, ...], ...]:
        """The labels of each item that more likely apply than not, whether or not anybody gave exactly this set."""
        return tuple(tuple(self.labels[k] for k in np.flatnonzero(row > 0.5)) for row in self.applies)

    @property
    def top(self) -> tuple[Any, ...]:
        """The most probable set of each item, in the form in which annotators gave it where they did."""
        given = {frozenset(_as_set(answer)): answer for answer in self.answers}
        return tuple(given.get(frozenset(found), found) for found in self.sets)

    @property
    def certainty(self) -> Floats:
        """The probability of `top`: that every label's yes or no is right."""
        return np.asarray(np.maximum(self.applies, 1 - self.applies).prod(axis=1), dtype=np.float64)


@aggregators.register("multilabel")
@dataclass(frozen=True)
class MultilabelAggregator:
    """Dawid & Skene's model of each label's yes or no; answers are tuples (or other collections) of labels, a lone label stands for itself.

    Each annotator has one table of yes and no for all labels, shrunk to the crowd's; each label has its own base rate, learnt.
    (A table for each label of each annotator, with the same prior, was less accurate in simulations, as most have too few
    judgments.) Labels are taken as independent. To give the labels that were shown, use `aggregate_multilabel`.
    """

    class Options(OptionsBase):
        labels: tuple[Any, ...] = Field((), description="all labels in their order, those that nobody chose too")
        smoothing: float = Field(2.0, ge=0, description="pseudo-items, at the mean rate of all labels, in a label's base rate")
        iterations: int = Field(500, ge=1, description="most EM steps for one set of base rates")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> MultilabelConsensus:
        """Fit the judgments and return their multilabel consensus.

        gold: item -> the labels that apply. Annotators' quality is over decisions, one for each label shown.
        """
        sets = [_as_set(answer) for answer in judgments.answers]
        labels, chosen = _membership_table(sets, self.options.labels)
        ticks = LabelTicks(
            judgments.items, judgments.annotators, labels, judgments.item_code, judgments.annotator_code,
            chosen[judgments.answer_code], np.ones((len(judgments), len(labels)), dtype=bool), judgments.repeats,
        )  # fmt: skip
        return self.decide(ticks, judgments.answers, chosen, judgments.counts, gold)

    def decide(
        self, ticks: LabelTicks, answers: tuple[Any, ...], members: NDArray[np.bool_], counts: NDArray[np.int64], gold: GoldAnswers | None
    ) -> MultilabelConsensus:
        """Decide each label of each item from ticks.

        answers: the sets of the posterior. members: (sets, labels), which labels are in them. counts: votes on each item.
        """
        width = len(ticks.labels)
        row, label = np.nonzero(ticks.shown)
        if not len(row):
            equal = np.full((len(ticks.items), len(answers)), 1 / len(answers))
            halves = np.full((len(ticks.items), width), 0.5)
            return MultilabelConsensus(ticks.items, answers, equal, counts, {}, "multilabel", labels=ticks.labels, applies=halves)
        decisions = Judgments.from_columns(
            item=ticks.item[row].astype(np.int64) * width + label, annotator=ticks.annotator[row],
            answer=ticks.chosen[row, label].astype(np.int64), answers=[0, 1], repeats=ticks.repeats,
        )  # fmt: skip
        told = fit_binary_decisions(
            decisions, np.asarray(decisions.items) % width, width, ticks.keys(gold),
            smoothing=self.options.smoothing, iterations=self.options.iterations,
        )  # fmt: skip
        applies = np.tile(told.rates, (len(ticks.items), 1))
        applies.flat[np.asarray(decisions.items)] = told.consensus.posterior[:, 1]
        scores = floored_log(applies) @ members.T + floored_log(1 - applies) @ ~members.T
        posterior = np.exp(scores - scores.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        annotators = {ticks.annotators[code]: told.consensus.annotators[code] for code in told.consensus.annotators}
        return MultilabelConsensus(
            ticks.items, answers, posterior, counts, annotators, "multilabel", converged=told.consensus.converged,
            iterations=told.consensus.iterations, notes=told.consensus.notes, labels=ticks.labels, applies=applies,
        )  # fmt: skip


def fit_binary_decisions(
    decisions: Judgments, group: NDArray[np.int64], groups: int, gold: GoldAnswers | None, *, smoothing: float, iterations: int
) -> DecisionFit:
    """Fit Dawid–Skene to answers 0 and 1, with tables shrunk to the crowd's; each group of decisions learns its own rate of 1.

    group: the group of each item of `decisions`, below `groups`. smoothing: pseudo-decisions, at the mean rate of all, in a group's
    rate.
    """
    shares = decisions.votes[:, 1] / decisions.votes.sum(axis=1)
    model = DawidSkene(DawidSkene.Options(prior="pooled", iterations=iterations))
    consensus = None
    for _ in range(BASE_RATE_ROUNDS):
        seen = np.bincount(group, minlength=groups)
        mean = (shares.sum() + 0.5) / (len(shares) + 1)
        rates = (np.bincount(group, shares, groups) + smoothing * mean) / np.maximum(seen + smoothing, 1e-12)
        prior = np.clip(rates, 1e-6, 1 - 1e-6)[group]
        consensus = model.fit(decisions, gold, start=consensus, item_prior=np.stack([1 - prior, prior], axis=1))
        shares = consensus.posterior[:, 1]
    assert consensus is not None
    return DecisionFit(consensus, rates)


class DecisionFit(NamedTuple):
    """A fit of yes-or-no decisions: the consensus on them, and the rate of yes of each group, (groups,)."""

    consensus: Consensus
    rates: Floats


@dataclass(frozen=True, eq=False)
class LabelTicks:
    """Rows of one annotator on one item: which labels were chosen, and which were shown; both (rows, labels).

    items, annotators, labels: ids. item, annotator: codes, (rows,). repeats: as in `Judgments`.
    """

    items: tuple[Any, ...]
    annotators: tuple[Any, ...]
    labels: tuple[Any, ...]
    item: Codes
    annotator: Codes
    chosen: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    repeats: RepeatRule

    def keys(self, gold: GoldAnswers | None) -> dict[int, int]:
        """Return gold as decision -> 0 or 1; items that nobody judged are left out. Raises UserError for an unknown label."""
        place = {item: code for code, item in enumerate(self.items)}
        keys: dict[int, int] = {}
        for item, answer in (gold or {}).items():
            right = _as_set(answer)
            if unknown := right - set(self.labels):
                raise UserError(f"the gold label {next(iter(unknown))!r} of item {item!r} is not among the labels", "correct the key")
            if item in place:
                keys |= {place[item] * len(self.labels) + k: int(label in right) for k, label in enumerate(self.labels)}
        return keys


def aggregate_multilabel(
    *, item: Any, annotator: Any, answer: Sequence[Iterable[Any] | None], shown: Sequence[Iterable[Any]] | None = None,
    labels: Sequence[Any] | None = None, gold: GoldAnswers | None = None, repeats: RepeatRule = "share", **options: Any,
) -> MultilabelConsensus:  # fmt: skip
    """Return the multilabel consensus from columns; a row holds one annotator's ticks on one item.

    answer: the labels that were ticked, empty for none of them; None is a missing answer, and left out. shown: the labels that
    this row could tick, all `labels` (or all that occur) when not given; a label that was not shown is no evidence. gold: item ->
    labels. Raises UserError for unequal lengths, missing ids, and a tick on a label that was not shown.
    """
    chosen_options = MultilabelAggregator.Options.parse(options, of="aggregator 'multilabel'")
    given = [row for row, ticked in enumerate(answer) if ticked is not None]
    items, item_code = encode_column(item, "item")
    annotators, annotator_code = encode_column(annotator, "annotator")
    if not len(item_code) == len(annotator_code) == len(answer) == len(answer if shown is None else shown):
        raise UserError("columns differ in length", "give one item, annotator and answer a row")
    if not given or min(item_code.min(), annotator_code.min()) < 0:
        raise UserError("an item or annotator is missing, or there are no answers", "every row needs its item and annotator")
    ticked = [_as_set(answer[row]) for row in given]
    known, chosen = _membership_table(ticked + [_as_set(key) for key in (gold or {}).values()], labels or ())
    chosen, keys = chosen[: len(given)], chosen[len(given) :]
    seen = np.ones_like(chosen) if shown is None else _membership_table([_as_set(shown[row]) for row in given], known)[1][:, : len(known)]
    if (chosen & ~seen).any():
        row = int(np.argmax((chosen & ~seen).any(axis=1)))
        raise UserError("a label was ticked that was not shown", "add it to `shown`, or take the tick out", where=f"row {given[row] + 1}")
    ticks = LabelTicks(items, annotators, known, item_code[given], annotator_code[given], chosen, seen, repeats)
    members = np.unique(np.concatenate([chosen, keys]), axis=0)
    answers = tuple(tuple(known[k] for k in np.flatnonzero(row)) for row in members)
    counts = np.bincount(np.unique(np.stack([ticks.item, ticks.annotator]), axis=1)[0], minlength=len(items))
    return MultilabelAggregator(chosen_options).decide(ticks, answers, members, counts, gold)


def _as_set(answer: Any) -> set[Any]:
    return set(answer) if isinstance(answer, Iterable) and not isinstance(answer, str | bytes) else {answer}


def _membership_table(sets: Sequence[set[Any]], labels: Sequence[Any]) -> tuple[tuple[Any, ...], NDArray[np.bool_]]:
    """Return all labels (those in `labels` first, in their order) and which of them are in each set, shape (sets, labels)."""
    more = sorted(set().union(*sets) - set(labels), key=lambda label: (type(label).__name__, label))
    place = {label: k for k, label in enumerate([*labels, *more])}
    table = np.zeros((len(sets), len(place)), dtype=bool)
    for row, members in enumerate(sets):
        table[row, [place[label] for label in members]] = True
    return tuple(place), table
