"""Tokens to text while they come: whole characters only, and nothing that may turn out to begin a stop sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BROKEN = "\ufffd"  # what a tokenizer writes for bytes that aren't a character, or not yet
_PENDING = 3  # bytes of a character that may still be missing their last one


class TextStream:
    """The text of one answer. All that `push` and `finish` return, joined, is the text of all tokens, cut before a stop sequence
    and before a last character that isn't whole.

    start of a token: how many characters stood before it; `told`: how many have been returned.
    """

    def __init__(self, tokenizer: Any, stop: Sequence[str] = ()) -> None:
        self._tokenizer, self._stop = tokenizer, [text for text in stop if text]
        self._tokens: list[int] = []
        self._from = self._read = 0  # the tokens before `_read` are whole text; it is read on from `_from`, so that joints are right
        self._text, self._whole = "", 0  # all text so far, and how much of it the tokens before `_read` make
        self.told, self.stopped = 0, False

    def __len__(self) -> int:
        """Characters so far, those that are held back included."""
        return len(self._text)

    def push(self, token: int) -> str:
        """Add a token; what can be told now, which may be nothing. After a stop sequence nothing more comes."""
        self._tokens.append(token)
        new = sure = self._new()
        for _ in range(_PENDING):
            sure = sure.removesuffix(_BROKEN)
        self._text = self._text[: self._whole] + sure
        if sure == new:
            self._from, self._read, self._whole = self._read, len(self._tokens), len(self._text)
        return self._tell(self._held())

    def finish(self) -> str:
        """What is left when no more tokens come: what only began a stop sequence. A last character that lacks bytes is left out."""
        return self._tell(0)

    def _new(self) -> str:
        """The text of the tokens that aren't read yet."""
        return self._decode(self._tokens[self._from :])[len(self._decode(self._tokens[self._from : self._read])) :]

    def _decode(self, tokens: list[int]) -> str:
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _tell(self, held: int) -> str:
        if self.stopped:
            return ""
        places = [place for text in self._stop if (place := self._text.find(text, self.told)) >= 0]
        if places:
            self.stopped, held, self._text = True, 0, self._text[: min(places)]
        telling = self._text[self.told : len(self._text) - held]
        self.told += len(telling)
        return telling

    def _held(self) -> int:
        """How many of the last characters may be the beginning of a stop sequence."""
        new = self._text[self.told :]
        longest = max((min(len(text) - 1, len(new)) for text in self._stop), default=0)
        return next((size for size in range(longest, 0, -1) if any(text.startswith(new[-size:]) for text in self._stop)), 0)
