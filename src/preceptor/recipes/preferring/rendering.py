"""Pairs as tokens: one prompt and two answers, each whole and up to its end-of-turn token, or the pair is left out and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.models.forked import Fork
from preceptor.models.template import REASONS as UNFIT
from preceptor.models.template import Unfit, render, turns_of
from preceptor.recipes.examples import Examples
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.preferring.losses import Loss, posterior, refused, target_of
from preceptor.recipes.preferring.pairs import REASONS, Pair, pairs_of
from preceptor.recipes.recipe import Row

WORDS = {**UNFIT, **REASONS}  # why a pair, or either of its answers, is left out
CORRECTED = 1.0  # weight of the cross-entropy of a person's correction beside the preference loss of its pair


@dataclass(frozen=True, slots=True)
class Sides:
    """What is learnt of a pair. target: the loss's p; posterior: people's, which validation measures by; written: the weight of the
    chosen answer's own cross-entropy; reference: summed log-probability of both answers under the base, in nats.

    supervised: which tokens of prompt and chosen answer are learnt when it is written alone, as parity renders it. first: of the
    item's responses the chosen one stands first. best: it is the best of all.
    """

    fork: Fork
    target: float
    posterior: float
    tie: bool
    written: float
    supervised: Sequence[bool]
    characters: tuple[int, int]
    first: bool
    best: bool = True
    reference: tuple[float, float] = (0.0, 0.0)


Left = tuple[str, str]  # a row's id and why a pair of it is left out


@dataclass(frozen=True)
class Cut:
    """A split's pairs as tokens, and those that are left out."""

    pairs: Sequence[tuple[Pair, Sides]]
    left_out: Sequence[Left]

    @property
    def reasons(self) -> dict[str, int]:
        """How many pairs are left out, by reason."""
        return dict(Counter(reason for _, reason in self.left_out))


def cut_pairs(rows: Sequence[Row], tokenizer: Any, max_tokens: int, *, loss: Loss, smoothing: float, nll: float | None) -> Cut:
    """All pairs of the rows. nll: weight of the chosen answer's cross-entropy; None: of corrections only."""
    found: list[tuple[Pair, Sides]] = []
    left_out: list[Left] = []
    for row in rows:
        pairs = pairs_of(row)
        if not pairs:
            left_out.append((row.id, "no pair"))
        for pair in pairs:
            written = (CORRECTED if pair.corrected else 0.0) if nll is None else nll
            try:
                fork, supervised = _fork(pair, tokenizer, max_tokens, loss)
            except Unfit as unfit:
                left_out.append((row.id, unfit.reason))
                continue
            characters = len(pair.chosen), len(pair.rejected)
            target = 0.5 if pair.tie else target_of(pair, loss, smoothing)
            found.append(
                (
                    pair,
                    Sides(
                        fork,
                        target,
                        posterior(pair),
                        pair.tie,
                        written,
                        supervised,
                        characters,
                        pair.first,
                        best=pair.chosen == pairs[0].chosen,
                    ),
                )
            )
    return Cut(found, left_out)


def to_pairs(cut: Cut, split: str, tie_weight: float) -> Examples:
    """The pairs as rows to train on; UserError, with the counts by reason, when no pair is left or none has a better side."""
    if not any(not pair.tie for pair, _ in cut.pairs):
        if set(cut.reasons) == {"no pair"}:
            raise UserError(
                f"no row of the {split} split holds two answers to compare",
                "freeze a question of kind compare, or one of kind write whose items have a draft that people corrected",
            )
        ties = f"{len(cut.pairs):,} × {REASONS['tie']}" if cut.pairs else ""
        told = "; ".join(filter(None, [told_reasons(cut.reasons, WORDS), ties]))
        raise UserError(f"no pair of the {split} split says which answer is better: {told}", "preceptor train … --dry-run shows the rows")
    sides = [each for _, each in cut.pairs]
    return Examples(
        tokens=[each.fork.joined for each in sides],
        targets=sides,
        weights=np.array([pair.weight * (tie_weight if pair.tie else 1.0) for pair, _ in cut.pairs], dtype=np.float64),
        learnt=np.ones(len(sides), dtype=np.int64),
        ids=[pair.id for pair, _ in cut.pairs],
        groups=[pair.group for pair, _ in cut.pairs],
        left_out=cut.reasons,
    )


def _fork(pair: Pair, tokenizer: Any, max_tokens: int, loss: Loss) -> tuple[Fork, Sequence[bool]]:
    """Unfit, with its reason, for a pair that can't be learnt."""
    if pair.weight <= 0:
        raise Unfit("weight")
    if pair.chosen.strip() == pair.rejected.strip():
        raise _Refused("the same twice")
    if reason := refused(pair, loss):
        raise _Refused(reason)
    chosen, rejected = (render(tokenizer, turns_of(pair.content, text), max_tokens) for text in (pair.chosen, pair.rejected))
    prompt = chosen.tokens[: chosen.prompt]
    if rejected.tokens[: rejected.prompt] != prompt:
        raise Unfit("template")
    answers = [each.tokens[each.prompt :] for each in (chosen, rejected)]
    if answers[0] == answers[1]:  # the tokenizer tells no difference
        raise _Refused("the same twice")
    learnt = [each.supervised[each.prompt :] for each in (chosen, rejected)]
    return Fork(prompt, (answers[0], answers[1]), (learnt[0], learnt[1])), chosen.supervised


class _Refused(Unfit):
    """A pair that teaches nothing."""

    def __init__(self, reason: str) -> None:
        Exception.__init__(self, REASONS[reason])
        self.reason = reason
