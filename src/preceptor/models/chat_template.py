"""Render conversations to tokens by the tokenizer's chat template, with a mask of the supervised tokens.

The text comes from the tokenizer's own chat template, the same that serving renders with. A base without one gets `PLAIN_TEMPLATE`, which
is saved with the model, so that it too is served as it was trained. The tokens before an answer are those that serving gets for the same
text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2.exceptions import TemplateError

from preceptor.types import CHAT_MARKUP, PROMPT_HEADINGS

ChatMessage = Mapping[str, Any]

# Turns one below the other; an answer begins on a new line unless the prompt ends in a space, newline or tab.
PLAIN_TEMPLATE = (
    "{%- for turn in messages -%}{{- turn['content'] -}}"
    "{%- if turn['role'] == 'assistant' -%}{{- eos_token -}}"
    "{%- elif not turn['content'] or not turn['content'][-1] in ' \\n\\t' -%}{{- '\\n' -}}{%- endif -%}{%- endfor -%}"
)
RENDER_ERROR_REASONS = {
    "empty": "the completion is empty",
    "user last": "the conversation ends with the user and has no completion",
    "weight": "the row has no weight, by itself or for doubt about its answer, so that it would train on zero tokens",
    "too long": "prompt and completion are longer than max_tokens: the answer would be cut",
    "no end": "the chat template puts no end-of-turn token after the answer: the model would never learn to stop",
    "tools": "a turn calls tools or comes in parts, which training can't render yet",
    "marks": "the text holds marks of a chat template or special tokens of its own",
    "template": "the chat template refuses it, or changes what came before an answer: training and serving would differ",
}


class RenderError(Exception):
    """Raised for a row that can't be trained on as it is; `reason` is a key of RENDER_ERROR_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(RENDER_ERROR_REASONS[reason])
        self.reason = reason


@dataclass(frozen=True, slots=True)
class RenderedConversation:
    """A conversation's tokens.

    supervised: which of them are supervised, of the same length. prompt_length: how many stand before the last answer. end_token: the token
    that ends the last answer's turn, at which serving stops.
    """

    tokens: list[int]
    supervised: list[bool]
    prompt_length: int
    end_token: int


def build_conversation(content: Mapping[str, Any], answer: str) -> list[dict[str, Any]]:
    """Build a conversation from an item's content and an answer to it, which replaces an earlier last answer."""
    if "messages" in content:
        before = [dict(turn) for turn in content["messages"]]
        while before and before[-1]["role"] == "assistant":
            before.pop()
    else:
        before = [{"role": "user", "content": str(content.get("prompt", content.get("text", "")))}]
    return [*before, {"role": "assistant", "content": answer}]


def render_chat_text(tokenizer: Any, turns: Sequence[ChatMessage], *, answering: bool) -> str:
    """Render a conversation as one text. Raises RenderError when the template refuses it.

    answering: up to where the model's turn begins.
    """
    _check_texts(turns)
    plain = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
    try:
        return str(tokenizer.apply_chat_template(plain, tokenize=False, add_generation_prompt=answering))
    except TemplateError as error:
        raise RenderError("template") from error


def render_conversation(tokenizer: Any, turns: Sequence[ChatMessage], max_tokens: int, *, standing: int = 0) -> RenderedConversation:
    """Tokenize a conversation that ends with an answer; supervised are that answer, and earlier ones marked with `weight` 1.

    standing: this many characters of the answer (without surrounding space) are read and not supervised, up to the first token that goes
    beyond them. Raises RenderError, with the reason, for a row that can't be trained on.
    """
    _check_conversation(tokenizer, turns)
    text = render_chat_text(tokenizer, turns, answering=False)
    learnt = [at for at, turn in enumerate(turns) if turn["role"] == "assistant" and (at == len(turns) - 1 or turn.get("weight") == 1)]
    spans = [_answer_span(tokenizer, turns, at, text) for at in learnt]
    start, stop = spans[-1]
    tokens, places, prompt = _tokenize_conversation(tokenizer, text, start)
    supervised = [any(first <= begin and end <= last for first, last in spans) and end > begin for begin, end in places]
    if standing:
        read = text.find(turns[-1]["content"].strip(), start) + standing
        supervised = [learn and not start < end <= read for learn, (_, end) in zip(supervised, places, strict=True)]
    while tokens and places[-1][0] >= stop:  # a newline after the last turn, which is never generated
        tokens.pop(), places.pop(), supervised.pop()
    if len(tokens) > max_tokens:
        raise RenderError("too long")
    if not supervised or not supervised[-1]:
        raise RenderError("no end")
    return RenderedConversation(tokens, supervised, prompt, tokens[-1])


def _check_texts(turns: Sequence[ChatMessage]) -> None:
    if not all(isinstance(turn.get("content"), str) for turn in turns):
        raise RenderError("tools")


def _check_conversation(tokenizer: Any, turns: Sequence[ChatMessage]) -> None:
    _check_texts(turns)
    if turns[-1]["role"] != "assistant" or len(turns) < 2:
        raise RenderError("user last")
    if not turns[-1]["content"].strip():
        raise RenderError("empty")
    special, chat = get_special_tokens(tokenizer), not uses_plain_template(tokenizer)
    for turn in turns:
        text = turn["content"]
        if CHAT_MARKUP.search(text) or (chat and PROMPT_HEADINGS.search(text)) or any(mark in text for mark in special):
            raise RenderError("marks")


def make_plain_template(tokenizer: Any) -> str:
    """Return `PLAIN_TEMPLATE`, preceded by the tokenizer's begin-of-text token if it begins every text with one."""
    begins = tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    return "{{- bos_token -}}" + PLAIN_TEMPLATE if begins else PLAIN_TEMPLATE


def uses_plain_template(tokenizer: Any) -> bool:
    """Return whether the tokenizer's template is `PLAIN_TEMPLATE`, as bases without one get."""
    return str(tokenizer.chat_template).endswith(PLAIN_TEMPLATE)


def get_special_tokens(tokenizer: Any) -> set[str]:
    """Return the special tokens that split a text, as text; without the unknown token."""
    added = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return {*added, *tokenizer.all_special_tokens} - {tokenizer.unk_token, "", None}


def _answer_span(tokenizer: Any, turns: Sequence[ChatMessage], at: int, text: str) -> tuple[int, int]:
    """Return where in the text the answer of turn `at` begins and ends, its end-of-turn token included."""
    before, after = render_chat_text(tokenizer, turns[:at], answering=True), render_chat_text(tokenizer, turns[: at + 1], answering=False)
    if not text.startswith(before) or not text.startswith(after):
        raise RenderError("template")
    said = turns[at]["content"]
    found = next((place for part in (said, said.strip()) if (place := text.find(part, len(before), len(after))) >= 0), -1)
    if found < 0:
        raise RenderError("template")
    behind = found + len(said.strip())
    ends = [(place, mark) for mark in get_special_tokens(tokenizer) if (place := text.find(mark, behind, len(after))) >= 0]
    if not ends:
        raise RenderError("no end")
    place, mark = min(ends, key=lambda end: (end[0], -len(end[1])))
    return len(before), place + len(mark)


def _tokenize_conversation(tokenizer: Any, text: str, start: int) -> tuple[list[int], list[tuple[int, int]], int]:
    """Return the tokens of the text, the span of each in it, and how many stand before the last answer.

    The text is tokenized as a whole unless that would join the prompt's end to the answer's beginning: serving tokenizes the prompt alone.
    """
    prompt = tokenizer(text[:start], add_special_tokens=False)["input_ids"]
    tokens, places = _tokenize_with_offsets(tokenizer, text)
    if tokens[: len(prompt)] != prompt or not tokenizer.is_fast:
        (tokens, places), (more, where) = _tokenize_with_offsets(tokenizer, text[:start]), _tokenize_with_offsets(tokenizer, text[start:])
        tokens, places = [*tokens, *more], [*places, *((begin + start, end + start) for begin, end in where)]
    return tokens, places, len(prompt)


def _tokenize_with_offsets(tokenizer: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    if not tokenizer.is_fast:  # it gives no offsets: prompt and answer are tokenized apart, and this is one of them
        ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        return ids, [(0, len(text))] * len(ids)
    cut = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    return list(cut["input_ids"]), [(int(begin), int(end)) for begin, end in cut["offset_mapping"]]
