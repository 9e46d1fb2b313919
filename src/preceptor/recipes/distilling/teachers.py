"""Whom a student can follow: a causal model whose tokens are the student's own, number by number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from preceptor.errors import UserError
from preceptor.models.causal import check_causal, start_causal, start_tokenizer
from preceptor.models.completion import Head, at_places
from preceptor.models.tokens import TokenIds


@dataclass(frozen=True)
class Teacher:
    """A model that is followed and never changes. width: how many tokens it shares with its student, which are all of theirs."""

    model: Any
    head: Head
    width: int
    pad_id: int

    @classmethod
    def load(cls, folder: Path, tokenizer: Any) -> Self:
        """The folder's model, with a vector for each token that the student may say, on the accelerator where there is one.

        tokenizer: the student's, see `check_teacher`.
        """
        model = start_causal(folder, tokenizer).eval().to(torch.accelerator.current_accelerator() or "cpu")
        return cls(model, Head.of(model), len(tokenizer), int(tokenizer.pad_token_id))

    def log_probabilities(self, tokens: Sequence[TokenIds], learnt: Sequence[Any]) -> Any:
        """Of every next token at the learnt places of these rows, row after row: (places, width) float32 nats."""

        def read(logits: Any, _: Any) -> tuple[Any]:
            return (torch.log_softmax(logits[:, : self.width].float(), dim=-1),)

        rows = at_places(self.model, tokens, learnt, self.pad_id, read, head=self.head)
        return torch.cat([places for (places,) in rows])


def check_teacher(name: str, folder: Path, tokenizer: Any) -> None:
    """UserError unless the folder holds a causal model with the student's vocabulary. tokenizer: the student's, made ready to learn."""
    check_causal(folder)
    theirs = start_tokenizer(folder)
    if why := other_vocabulary(theirs.get_vocab(), tokenizer.get_vocab()):
        raise UserError(
            f"the teacher {name} has another vocabulary than the base: {why}",
            "take a teacher of the base's own family; or let any model write answers, and train sft on those that people approve of",
        )


def other_vocabulary(teacher: dict[str, int], student: dict[str, int]) -> str:
    """How two vocabularies differ, in words; nothing where each token has the same number in both."""
    if teacher == student:
        return ""
    apart = sorted(token for token in {*teacher, *student} if teacher.get(token) != student.get(token))
    return f"{len(teacher):,} tokens and {len(student):,}; {len(apart):,} have another number or are in one only, such as {apart[0]!r}"
