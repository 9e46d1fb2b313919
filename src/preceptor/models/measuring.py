"""A language model's answers and what it says of reference answers: written as in serving, rendered as in training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preceptor.domain.results import FloatArray
from preceptor.models.chat import ChatModel, ChatTokenizer
from preceptor.models.completion import completion_log_probabilities
from preceptor.models.generation import Request, answers
from preceptor.models.sampling import Sampling
from preceptor.models.template import Rendered, Turn, Unfit, render

GREEDY = Sampling(temperature=0.0)


@dataclass(frozen=True)
class Measured:
    """Of the same rows: answers, how many of them ran into the limit, and log p of each reference's tokens in nats, (tokens,)."""

    answers: list[str]
    cut: int
    log_probabilities: list[FloatArray]


def readable(chat: ChatTokenizer, conversations: Mapping[str, Sequence[Turn]]) -> tuple[dict[str, Rendered], dict[str, str]]:
    """By id: conversations that end with a reference answer as tokens; and the reasons (see `REASONS`) of those that can't be read."""
    fit: dict[str, Rendered] = {}
    unfit: dict[str, str] = {}
    for id_, turns in conversations.items():
        try:
            fit[id_] = render(chat.tokenizer, turns, chat.limit)
        except Unfit as refused:
            unfit[id_] = refused.reason
    return fit, unfit


def measure(chat: ChatModel, rows: Sequence[Rendered], max_tokens: int) -> Measured:
    """Greedy answers of at most so many tokens (fewer where the model reads no more), and what it says of the references."""
    requests = [Request(row.tokens[: row.prompt], min(max_tokens, chat.limit - row.prompt), GREEDY) for row in rows]
    written = [answer for (answer,) in answers(chat, requests)]
    masks = [[at >= row.prompt and learnt for at, learnt in enumerate(row.supervised)] for row in rows]
    said = completion_log_probabilities(chat.model, [row.tokens for row in rows], masks, chat.tokenizer.pad_token_id)
    return Measured([answer.text for answer in written], sum(answer.finish == "length" for answer in written), said)


def longest_reference(rows: Sequence[Rendered]) -> int:
    """Tokens of the longest reference answer, its end included."""
    return max(len(row.tokens) - row.prompt for row in rows)
