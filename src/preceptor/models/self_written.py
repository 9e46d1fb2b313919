"""Texts that a base model writes of itself: what it would be asked and would answer, where nobody has general texts at hand.

A base with a chat template writes the user's turn after the template's own beginning, and then the answer (Xu et al. 2024,
Magpie); one without writes on from the beginning of a text.
"""

from __future__ import annotations

from collections.abc import Callable

from preceptor.errors import UserError
from preceptor.models.chat import ChatModel
from preceptor.models.generation import Request, answers
from preceptor.models.sampling import Sampling
from preceptor.models.template import Turn, chat_text, is_plain

_MARK = "\N{OBJECT REPLACEMENT CHARACTER}"
ASKED, SAID = 48, 96  # tokens of a question and of an answer, at most
FEWEST = 8  # that an answer must have room for


def self_written(chat: ChatModel, count: int, *, seed: int = 0, progress: Callable[[int], None] | None = None) -> list[list[Turn]]:
    """At most `count` conversations of a user's turn and an answer, drawn by seed; those without words on a side are left out."""
    opening = _opening(chat)
    asked = [Request(opening, ASKED, _drawn(seed * count + number)) for number in range(count)]
    turns = [{"role": "user", "content": answer.text.strip()} for (answer,) in answers(chat, asked)]
    prompts = [(turn, prompt) for turn in turns if turn["content"] and (prompt := _prompt(chat, turn))]
    requests = [Request(prompt, min(SAID, chat.limit - len(prompt)), _drawn(seed)) for _, prompt in prompts]
    said = answers(chat, requests, progress=progress)
    written = [(turn, answer.text.strip()) for (turn, _), (answer,) in zip(prompts, said, strict=True)]
    return [[turn, {"role": "assistant", "content": text}] for turn, text in written if text]


def _drawn(seed: int) -> Sampling:
    """Not the last tail of the distribution: a small model loses its thread there."""
    return Sampling(temperature=0.8, top_p=0.95, seed=seed)


def _prompt(chat: ChatModel, turn: Turn) -> list[int]:
    """The turn's tokens; none where it holds marks of the template, or is too long to be answered."""
    try:
        prompt = chat.prompt([turn])
    except UserError:
        return []
    return prompt if len(prompt) + FEWEST <= chat.limit else []


def _opening(chat: ChatModel) -> list[int]:
    """The tokens before a user's first word; of a base without a template of its own, those that begin a text."""
    text = chat_text(chat.tokenizer, [{"role": "user", "content": _MARK}], answering=False).split(_MARK)[0]
    if is_plain(chat.tokenizer) and not text:
        return [chat.tokenizer.bos_token_id or chat.tokenizer.eos_token_id]
    return list(chat.tokenizer(text, add_special_tokens=False)["input_ids"])
