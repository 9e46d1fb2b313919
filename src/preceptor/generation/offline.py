"""Generate whole answers to many prompts, score reference answers, and have a base model generate its own texts.

Prompts are batched by length; answers are generated as in serving, and references rendered as in training. Self-generated texts serve where
no general texts are available: a base model with a chat template generates the user's turn after the template's own beginning, and then the
answer (Xu et al. 2024, Magpie); one without continues from the beginning of a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from preceptor.errors import UserError
from preceptor.generation.continuous_batch import ContinuousBatch, RequestFailure
from preceptor.generation.recurrent_batch import create_batch
from preceptor.generation.sampling import FinishReason, GenerationChunk, GenerationRequest, SamplingParams, TokenLogprob
from preceptor.models.causal_lm import ChatModel, ChatTokenizer
from preceptor.models.chat_template import (
    ChatMessage,
    RenderedConversation,
    RenderError,
    render_chat_text,
    render_conversation,
    uses_plain_template,
)
from preceptor.models.completion_scoring import completion_log_probabilities
from preceptor.types import FloatArray

__all__ = ["ContinuousBatch", "GeneratedAnswer", "GenerationChunk", "GenerationRequest", "TokenLogprob", "generate_answers", "join_chunks"]

BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """A whole answer. logprobs: of its tokens, where requested. token_count: tokens generated. finish: why it ended."""

    text: str
    logprobs: tuple[TokenLogprob, ...]
    token_count: int
    finish: FinishReason


def generate_answers(
    chat: ChatModel,
    requests: Sequence[GenerationRequest],
    *,
    batch_tokens: int = BATCH_TOKENS,
    progress: Callable[[int], None] | None = None,
) -> list[list[GeneratedAnswer]]:
    """Generate all answers to each request, in order, batched by length.

    progress: called with the number of requests answered. Raises the error of the first request that fails.
    """
    found: list[list[GeneratedAnswer]] = [[] for _ in requests]
    ready = 0
    for rows in _batch_requests(requests, batch_tokens):
        batch = create_batch(chat, [requests[row] for row in rows])
        kept: dict[tuple[int, int], list[GenerationChunk]] = {}
        while not batch.done:
            for piece in batch.step():
                if isinstance(piece, RequestFailure):
                    raise piece.error
                kept.setdefault((piece.request, piece.choice), []).append(piece)
        for (request, _), pieces in sorted(kept.items()):
            found[rows[request]].append(join_chunks(pieces))
        ready += len(rows)
        if progress is not None:
            progress(ready)
    return found


def join_chunks(pieces: Sequence[GenerationChunk]) -> GeneratedAnswer:
    """Join the chunks of one answer."""
    told = tuple(each for piece in pieces for each in piece.logprobs)
    return GeneratedAnswer("".join(piece.text for piece in pieces), told, sum(piece.token_count for piece in pieces), pieces[-1].finish)


def _batch_requests(requests: Sequence[GenerationRequest], batch_tokens: int) -> Iterator[list[int]]:
    """Yield requests of similar length, together at most `batch_tokens` tokens with padding and answers."""
    order = sorted(range(len(requests)), key=lambda row: (-len(requests[row].prompt), row))
    batch: list[int] = []
    cost = 0
    for row in order:
        each = (len(requests[(batch or [row])[0]].prompt) + requests[row].max_tokens) * requests[row].choices
        if batch and cost + each > batch_tokens:
            yield batch
            batch, cost = [], 0
            each = (len(requests[row].prompt) + requests[row].max_tokens) * requests[row].choices
        batch.append(row)
        cost += each
    if batch:
        yield batch


GREEDY = SamplingParams(temperature=0.0)


@dataclass(frozen=True)
class ReferenceScores:
    """Results on rows with reference answers.

    answers: what the model generated. truncated_count: how many of them reached the token limit. log_probabilities: of each reference's
    tokens in nats, (tokens,).
    """

    answers: list[str]
    truncated_count: int
    log_probabilities: list[FloatArray]


def render_references(
    chat: ChatTokenizer, conversations: Mapping[str, Sequence[ChatMessage]]
) -> tuple[dict[str, RenderedConversation], dict[str, str]]:
    """Render conversations that end with a reference answer; by id, the tokens of each, and the reasons of those that can't be rendered.

    The reasons are keys of `RENDER_ERROR_REASONS`.
    """
    fit: dict[str, RenderedConversation] = {}
    unfit: dict[str, str] = {}
    for id_, turns in conversations.items():
        try:
            fit[id_] = render_conversation(chat.tokenizer, turns, chat.limit)
        except RenderError as refused:
            unfit[id_] = refused.reason
    return fit, unfit


def score_references(chat: ChatModel, rows: Sequence[RenderedConversation], max_tokens: int) -> ReferenceScores:
    """Generate greedy answers of at most `max_tokens` tokens and score the references.

    Answers are shorter where the model's context is.
    """
    requests = [GenerationRequest(row.tokens[: row.prompt_length], min(max_tokens, chat.limit - row.prompt_length), GREEDY) for row in rows]
    written = [answer for (answer,) in generate_answers(chat, requests)]
    masks = [[at >= row.prompt_length and learnt for at, learnt in enumerate(row.supervised)] for row in rows]
    said = completion_log_probabilities(chat.model, [row.tokens for row in rows], masks, chat.tokenizer.pad_token_id)
    return ReferenceScores([answer.text for answer in written], sum(answer.finish == "length" for answer in written), said)


def count_longest_reference(rows: Sequence[RenderedConversation]) -> int:
    """Return the number of tokens of the longest reference answer, its end included."""
    return max(len(row.tokens) - row.prompt_length for row in rows)


_CONTENT_MARK = "\N{OBJECT REPLACEMENT CHARACTER}"
MAX_QUESTION_TOKENS, MAX_ANSWER_TOKENS = 48, 96
MIN_ANSWER_TOKENS = 8  # tokens that the context must have left for an answer


def generate_conversations(
    chat: ChatModel, count: int, *, seed: int = 0, progress: Callable[[int], None] | None = None
) -> list[list[ChatMessage]]:
    """Generate at most `count` conversations of a user's turn and an answer, sampled by seed; those with an empty turn are left out."""
    opening = _opening_tokens(chat)
    asked = [GenerationRequest(opening, MAX_QUESTION_TOKENS, _sampling_params(seed * count + number)) for number in range(count)]
    turns = [{"role": "user", "content": answer.text.strip()} for (answer,) in generate_answers(chat, asked)]
    prompts = [(turn, prompt) for turn in turns if turn["content"] and (prompt := _encode_answerable_prompt(chat, turn))]
    requests = [
        GenerationRequest(prompt, min(MAX_ANSWER_TOKENS, chat.limit - len(prompt)), _sampling_params(seed)) for _, prompt in prompts
    ]
    said = generate_answers(chat, requests, progress=progress)
    written = [(turn, answer.text.strip()) for (turn, _), (answer,) in zip(prompts, said, strict=True)]
    return [[turn, {"role": "assistant", "content": text}] for turn, text in written if text]


def _sampling_params(seed: int) -> SamplingParams:
    """Return sampling parameters without the last tail of the distribution, where a small model becomes incoherent."""
    return SamplingParams(temperature=0.8, top_p=0.95, seed=seed)


def _encode_answerable_prompt(chat: ChatModel, turn: ChatMessage) -> list[int]:
    """Return the turn's tokens; an empty list where it holds marks of the template or leaves no room for an answer."""
    try:
        prompt = chat.encode_prompt([turn])
    except UserError:
        return []
    return prompt if len(prompt) + MIN_ANSWER_TOKENS <= chat.limit else []


def _opening_tokens(chat: ChatModel) -> list[int]:
    """Return the tokens before a user's first word; for a base model without a template, those that begin a text."""
    text = render_chat_text(chat.tokenizer, [{"role": "user", "content": _CONTENT_MARK}], answering=False).split(_CONTENT_MARK)[0]
    if uses_plain_template(chat.tokenizer) and not text:
        return [chat.tokenizer.bos_token_id or chat.tokenizer.eos_token_id]
    return list(chat.tokenizer(text, add_special_tokens=False)["input_ids"])
