"""A model to chat with: a conversation as tokens, cut as in training; where an answer ends; how much it reads."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

from transformers import GenerationConfig

from preceptor.errors import UserError
from preceptor.models.loading import load_causal, load_tokenizer, quietly, reading_limit
from preceptor.models.template import Turn, Unfit, chat_text, plain_template, render, special_texts


class TooLong(UserError):
    """A conversation, with the answer that it asks for, is longer than the model reads."""


class ChatTokenizer:
    """Of a model in a folder: `limit` is how many tokens it reads in all, `ends` are those after which an answer is over, `special` its
    special tokens as they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tokenizer = load_tokenizer(folder)
        if self.tokenizer.chat_template is None:
            self.tokenizer.chat_template = plain_template(self.tokenizer)  # as training gives to a base without one
        self.limit = reading_limit(folder, self.tokenizer)
        self.ends = _ends(folder, self.tokenizer)
        self.special = special_texts(self.tokenizer)

    def within(self, most: int) -> ChatTokenizer:
        """The same, for where no more than so many tokens are read."""
        if most >= self.limit:
            return self
        made = copy(self)
        made.limit = most
        return made

    def prompt(self, turns: Sequence[Turn]) -> list[int]:
        """The tokens of a conversation (dicts of role and content) up to where the model's turn begins.

        UserError when a text holds the model's own special tokens, which would end a turn or begin one, or when the
        template refuses the conversation.
        """
        for number, turn in enumerate(turns):
            if mark := next((mark for mark in sorted(self.special) if mark in turn["content"]), None):
                hint = "write it otherwise: it would end a turn, or begin another's"
                raise UserError(f"the text holds {mark!r}, a special token of this model", hint, where=f"messages[{number}].content")
        try:
            text = chat_text(self.tokenizer, turns, answering=True)
        except Unfit:
            raise UserError("this model's chat template refuses the conversation", "see which roles it knows", where="messages") from None
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def room(self, prompt: Sequence[int], wanted: int | None, usual: int) -> int:
        """How many tokens an answer may have: what is wanted, or the usual if that much is left. TooLong when it doesn't fit."""
        left = self.limit - len(prompt)
        if left < (wanted or 1):
            asked = f" and {wanted:,} of the answer" if wanted else ""
            hint = "shorten the messages" + (", or ask for fewer tokens" if wanted else "")
            message = f"this model reads {self.limit:,} tokens; the messages have {len(prompt):,}{asked}"
            raise TooLong(message, hint, where="messages")
        return wanted or min(left, usual)


class ChatModel(ChatTokenizer):
    """With its weights."""

    def __init__(self, folder: Path, model: Any = None) -> None:
        """Loads them, unless they are given."""
        super().__init__(folder)
        self.model = load_causal(folder) if model is None else model


def _ends(folder: Path, tokenizer: Any) -> frozenset[int]:
    """What its settings name, its end of text, and what its template puts after an answer."""
    found = {tokenizer.eos_token_id}
    if (folder / "generation_config.json").is_file():
        with quietly():
            named = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
        found |= set(named) if isinstance(named, list) else {named}
    with suppress(Unfit):  # a template without an end of turn: the end of text is all there is
        found.add(render(tokenizer, [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], 1_000_000).end)
    return frozenset(found - {None})
