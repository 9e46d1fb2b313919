"""Turn rows into tokenized pairs of a chosen and a rejected answer, with losses by the margin of a pair.

A comparison gives the posterior over which response is best; a correction means that what a person wrote is better than the draft that they
were shown. A pair is one prompt and two answers, each whole and up to its end-of-turn token; else it is left out and counted.

The losses are functions of the margin h, how much more the model than its reference prefers the chosen answer, and of people's posterior p.
h = β[(log π − log π_ref)(chosen) − (log π − log π_ref)(rejected)], log-probabilities summed over an answer's tokens (Rafailov et al. 2023,
"Direct Preference Optimization"), so that σ(h) is the model's probability that the chosen answer is better.

  soft       −p log σ(h) − (1−p) log σ(−h) (Mitchell 2023, cDPO, with p of each pair): lowest at σ(h) = p, a bounded target
  hard       the same with p = 1: what people more probably prefer, as if they were certain
  smoothing  the same with p = 1 − ε, one ε for all pairs (cDPO as published; TRL 1.16 smooths its `robust` loss only)
  robust     [−p log σ(h) + (1−p) log σ(−h)] / (2p − 1) (Chowdhury, Kini, Natarajan 2024, with ε = 1 − p of each pair): unbiased
             where labels were flipped by chance, but without a lower bound, so that pairs with p < 0.7 are left out
  geometric  −log σ((2p − 1) h) (Furuta et al. 2024): pairs that people are uncertain of hardly count
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from torch.nn.functional import logsigmoid

from preceptor.errors import UserError
from preceptor.models.chat_template import RENDER_ERROR_REASONS as UNFIT
from preceptor.models.chat_template import RenderError, build_conversation, render_conversation
from preceptor.models.completion_scoring import AnswerPair
from preceptor.training.examples import TrainingExamples, format_exclusion_reasons, top_answer
from preceptor.training.recipe import TrainingRow
from preceptor.types import FloatArray

TIE = "tie"
TIE_WEIGHT = 0.25  # of a pair that people call equal: it keeps both answers together and teaches no order
MIN_PAIR_PROBABILITY = 0.02  # probability that either is best of several; below it a pair is skipped
PAIR_EXCLUSION_REASONS = {
    "no pair": "the row holds no two answers to compare: neither two responses nor a draft and its correction",
    "the same twice": "both answers are the same text, or the correction changed nothing",
    "undecided": "people are as good as undecided, so that the pair says nothing",
    "tie": "people call both answers equal, which only loss_type=soft learns from",
    "too noisy": "the preference is less certain than 70 %, where loss_type=robust grows without bound",
}


@dataclass(frozen=True, slots=True)
class ResponsePair:
    """Two answers to one content (`prompt` or `messages`).

    id, content, weight, group: the row's, the weight shared among its pairs. probability: that `chosen` is better, from 0.5 to 1, including
    half of `tie_probability`. tie: people call them equal. corrected: `chosen` is a person's correction of `rejected`, an answer to be
    learnt for its own sake. chosen_first: `chosen` was shown before `rejected`. tie_probability: that both are equal.
    """

    id: str
    content: Mapping[str, Any]
    chosen: str
    rejected: str
    probability: float
    weight: float
    group: str
    tie: bool = False
    corrected: bool = False
    chosen_first: bool = False
    tie_probability: float = 0.0


def extract_pairs(row: TrainingRow) -> list[ResponsePair]:
    """Return the row's pairs, of several those of the best answer first; empty where it doesn't hold two answers.

    Of two responses, half of the tie's probability goes to each. Of more, p_i is the probability that i is best, and by Luce's choice axiom
    (1959) i is better than j with p_i / (p_i + p_j); the pair weighs (p_i + p_j) / (k − 1), so that all pairs of a row together weigh what
    the row does.
    """
    responses = row.content.get("responses", ())
    if len(responses) > 1 and all(answer == TIE or answer.isdecimal() for answer in row.target):
        return _comparison_pairs(row, [str(response) for response in responses])
    if (draft := corrected_draft(row.content)) is not None:
        return [ResponsePair(row.id, row.content, top_answer(row), draft, 1.0, row.weight, row.group, corrected=True)]
    return []


def corrected_draft(content: Mapping[str, Any]) -> str | None:
    """Return the draft that a person was shown to correct: the item's only response, or what a snapshot kept of it."""
    responses = content.get("responses", ())
    return str(responses[0]) if len(responses) == 1 else content.get("draft")


def pair_answers(row: TrainingRow) -> list[str]:
    """Return the answers that a row's pairs are made of, each once, in their order."""
    return list(dict.fromkeys(side for pair in extract_pairs(row) for side in (pair.chosen, pair.rejected)))


def preferred_answer(row: TrainingRow) -> str:
    """Return the row's best answer as a text: the response that people prefer, or else the answer itself."""
    pairs = extract_pairs(row)
    return pairs[0].chosen if pairs else top_answer(row)


def _comparison_pairs(row: TrainingRow, responses: Sequence[str]) -> list[ResponsePair]:
    count, tie = len(responses), row.target.get(TIE, 0.0)
    shares = [row.target.get(str(place), 0.0) + tie / count for place in range(count)]
    if tie > 0 and top_answer(row) == TIE:
        shares = [1 / count] * count
    places = sorted(range(count), key=lambda place: -shares[place])  # of equals the earlier is chosen
    pairs = []
    for at, better in enumerate(places):
        for worse in places[at + 1 :]:
            both = shares[better] + shares[worse]
            if both < MIN_PAIR_PROBABILITY:
                continue
            found = ResponsePair(
                row.id, row.content, responses[better], responses[worse], shares[better] / both, row.weight * both / (count - 1), row.group,
                tie=top_answer(row) == TIE, chosen_first=better < worse, tie_probability=2 * tie / count / both,
            )  # fmt: skip
            pairs.append(found)
    return pairs


PreferenceLoss = Literal["soft", "hard", "smoothing", "robust", "geometric"]
MAX_CERTAINTY = 0.95  # posteriors are clipped here, since judgments are few
MIN_DECISION_MARGIN = 0.1  # nearer than this to one half a pair is undecided
MAX_FLIP_PROBABILITY = 0.3  # chance of a flipped label up to which robust may be used: its variance grows with (1 − 2ε)^−2


def exclusion_reason(pair: ResponsePair, loss: PreferenceLoss) -> str:
    """Return why a pair can't be learnt by this loss (a key of `PAIR_EXCLUSION_REASONS`), or ""."""
    if pair.tie:
        return "" if loss == "soft" else "tie"
    if abs(pair.probability - 0.5) < MIN_DECISION_MARGIN:
        return "undecided"
    return "too noisy" if loss == "robust" and 1 - pair.probability > MAX_FLIP_PROBABILITY else ""


def loss_target(pair: ResponsePair, loss: PreferenceLoss, smoothing: float) -> float:
    """Return the p that the loss uses for a pair."""
    if loss == "hard":
        return 1.0
    return 1.0 - smoothing if loss == "smoothing" else clipped_posterior(pair)


def clipped_posterior(pair: ResponsePair) -> float:
    """Return people's probability that the chosen answer is better, clipped at `MAX_CERTAINTY`."""
    return min(pair.probability, MAX_CERTAINTY)


def preference_losses(margins: Any, targets: Any, loss: PreferenceLoss) -> Any:
    """Return the loss of each pair in nats, (pairs,), from margins h and targets p, (pairs,)."""
    if loss == "geometric":
        return -logsigmoid((2 * targets - 1) * margins)
    right, wrong = -logsigmoid(margins), -logsigmoid(-margins)
    if loss == "robust":
        return (targets * right - (1 - targets) * wrong) / (2 * targets - 1)
    return targets * right + (1 - targets) * wrong


def margin_cross_entropy(margins: Any, targets: Any) -> FloatArray:
    """Return −p log σ(h) − (1−p) log σ(−h), (pairs,), a proper score by which validation measures whatever the loss."""
    return np.asarray(targets * np.logaddexp(0, -margins) + (1 - targets) * np.logaddexp(0, margins), dtype=np.float64)


TOKENIZED_PAIR_EXCLUSION_REASONS = {**UNFIT, **PAIR_EXCLUSION_REASONS}  # why a pair, or either of its answers, is left out
CORRECTION_NLL_WEIGHT = 1.0  # weight of the cross-entropy of a person's correction, added to the preference loss of its pair


@dataclass(frozen=True, slots=True)
class TokenizedPair:
    """What is learnt of a pair.

    fork: its prompt and both answers. target: the loss's p. posterior: people's, used by validation. tie: people call both equal.
    nll_weight: weight of the chosen answer's own cross-entropy. supervised: mask of the supervised tokens of prompt and chosen answer read
    alone, as parity renders it. characters: lengths of both answers. chosen_first: the chosen answer was shown first. best: it is the best
    of all responses. reference: summed log-probability of both answers under the base, in nats.
    """

    fork: AnswerPair
    target: float
    posterior: float
    tie: bool
    nll_weight: float
    supervised: Sequence[bool]
    characters: tuple[int, int]
    chosen_first: bool
    best: bool = True
    reference: tuple[float, float] = (0.0, 0.0)


ExcludedPair = tuple[str, str]  # a row's id and why a pair of it is left out


@dataclass(frozen=True)
class TokenizedSplit:
    """A split's pairs as tokens, and those that are left out."""

    pairs: Sequence[tuple[ResponsePair, TokenizedPair]]
    excluded: Sequence[ExcludedPair]

    @property
    def exclusion_counts(self) -> dict[str, int]:
        """Number of pairs that are left out, by reason."""
        return dict(Counter(reason for _, reason in self.excluded))


def tokenize_pairs(
    rows: Sequence[TrainingRow], tokenizer: Any, max_tokens: int, *, loss: PreferenceLoss, smoothing: float, nll: float | None
) -> TokenizedSplit:
    """Return all pairs of the rows as tokens.

    nll: weight of the chosen answer's cross-entropy; None: of corrections only.
    """
    found: list[tuple[ResponsePair, TokenizedPair]] = []
    left_out: list[ExcludedPair] = []
    for row in rows:
        pairs = extract_pairs(row)
        if not pairs:
            left_out.append((row.id, "no pair"))
        for pair in pairs:
            written = (CORRECTION_NLL_WEIGHT if pair.corrected else 0.0) if nll is None else nll
            try:
                fork, supervised = _fork_pair(pair, tokenizer, max_tokens, loss)
            except RenderError as unfit:
                left_out.append((row.id, unfit.reason))
                continue
            characters = len(pair.chosen), len(pair.rejected)
            target = 0.5 if pair.tie else loss_target(pair, loss, smoothing)
            found.append(
                (
                    pair,
                    TokenizedPair(
                        fork,
                        target,
                        clipped_posterior(pair),
                        pair.tie,
                        written,
                        supervised,
                        characters,
                        pair.chosen_first,
                        best=pair.chosen == pairs[0].chosen,
                    ),
                )
            )
    return TokenizedSplit(found, left_out)


def build_pair_examples(cut: TokenizedSplit, split: str, tie_weight: float) -> TrainingExamples:
    """Return the pairs as rows to train on.

    Raises UserError, with the counts by reason, when no pair is left or none has a better answer.
    """
    if not any(not pair.tie for pair, _ in cut.pairs):
        if set(cut.exclusion_counts) == {"no pair"}:
            raise UserError(
                f"no row of the {split} split holds two answers to compare",
                "freeze a question of kind compare, or one of kind write whose items have a draft that people corrected",
            )
        ties = f"{len(cut.pairs):,} × {PAIR_EXCLUSION_REASONS['tie']}" if cut.pairs else ""
        told = "; ".join(filter(None, [format_exclusion_reasons(cut.exclusion_counts, TOKENIZED_PAIR_EXCLUSION_REASONS), ties]))
        raise UserError(f"no pair of the {split} split says which answer is better: {told}", "preceptor train … --dry-run shows the rows")
    sides = [each for _, each in cut.pairs]
    return TrainingExamples(
        tokens=[each.fork.joined_tokens for each in sides],
        targets=sides,
        weights=np.array([pair.weight * (tie_weight if pair.tie else 1.0) for pair, _ in cut.pairs], dtype=np.float64),
        supervised_counts=np.ones(len(sides), dtype=np.int64),
        ids=[pair.id for pair, _ in cut.pairs],
        groups=[pair.group for pair, _ in cut.pairs],
        excluded=cut.exclusion_counts,
    )


def _fork_pair(pair: ResponsePair, tokenizer: Any, max_tokens: int, loss: PreferenceLoss) -> tuple[AnswerPair, Sequence[bool]]:
    """Return a pair as tokens, and the mask of its chosen answer read alone; raises RenderError for a pair that can't be learnt."""
    if pair.weight <= 0:
        raise RenderError("weight")
    if pair.chosen.strip() == pair.rejected.strip():
        raise _PairExcluded("the same twice")
    if reason := exclusion_reason(pair, loss):
        raise _PairExcluded(reason)
    chosen, rejected = (
        render_conversation(tokenizer, build_conversation(pair.content, text), max_tokens) for text in (pair.chosen, pair.rejected)
    )
    prompt = chosen.tokens[: chosen.prompt_length]
    if rejected.tokens[: rejected.prompt_length] != prompt:
        raise RenderError("template")
    answers = [each.tokens[each.prompt_length :] for each in (chosen, rejected)]
    if answers[0] == answers[1]:  # the tokenizer makes no difference
        raise _PairExcluded("the same twice")
    learnt = [each.supervised[each.prompt_length :] for each in (chosen, rejected)]
    return AnswerPair(prompt, (answers[0], answers[1]), (learnt[0], learnt[1])), chosen.supervised


class _PairExcluded(RenderError):
    """A pair that teaches nothing."""

    def __init__(self, reason: str) -> None:
        Exception.__init__(self, PAIR_EXCLUSION_REASONS[reason])
        self.reason = reason


SELECTION_BIAS_NOTE = "Validation rows chose these weights, which flatters what they say of them: go by the report on test rows."
