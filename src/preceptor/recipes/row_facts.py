"""What a base would read and learn of each row: texts that are cut, answers that would be lost, and rows that teach nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.models.template import REASONS, Unfit, chat_text, render, turns_of
from preceptor.models.tokens import encode
from preceptor.recipes.examples import top_answer
from preceptor.recipes.recipe import Row

_WHOLE = 10**6  # tokens: no text is cut here
_SHOWN = 80  # characters of what isn't read


@dataclass(frozen=True, slots=True)
class RowFact:
    """One row and one base. tokens: of the whole row; limit: how many are read; learnt: how many tokens are learnt, of a class 1.

    problem: "" where there is none; "cut" where a classifier reads the beginning only; "prompt too long" where not even the prompt fits;
    else a key of `REASONS`: the row would be left out. lost: where what isn't read begins.
    """

    id: str
    split: str
    tokens: int
    limit: int
    learnt: int
    problem: str = ""
    words: str = ""
    lost: str = ""


def row_facts(splits: Mapping[str, Sequence[Row]], tokenizer: Any, max_tokens: int, *, writes: bool) -> list[RowFact]:
    """Of each row of each split, in order. writes: rows are prompts with their most probable completion, else texts with an answer.

    The tokenizer is the one that training uses (`start_tokenizer` for a model that writes, `load_tokenizer` for one that reads).
    """
    of_split = _of_completions if writes else _of_texts
    return [fact for split, rows in splits.items() for fact in of_split(split, rows, tokenizer, max_tokens)]


def _of_texts(split: str, rows: Sequence[Row], tokenizer: Any, limit: int) -> Iterator[RowFact]:
    for row, ids in zip(rows, encode(tokenizer, [row.text for row in rows], _WHOLE), strict=True):
        if row.weight <= 0:
            yield RowFact(row.id, split, len(ids), limit, 0, "weight", REASONS["weight"])
        elif not row.text.strip():
            yield RowFact(row.id, split, len(ids), limit, 1, "empty", "the text is empty: there is nothing to learn its answer from")
        elif len(ids) > limit:
            lost = _unread(tokenizer, row.text, limit)
            words = f"{limit:,} of {len(ids):,} tokens are read; the rest isn't, from {lost[:_SHOWN]!r} on"
            yield RowFact(row.id, split, len(ids), limit, 1, "cut", words, lost)
        else:
            yield RowFact(row.id, split, len(ids), limit, 1)


def _of_completions(split: str, rows: Sequence[Row], tokenizer: Any, limit: int) -> Iterator[RowFact]:
    for row in rows:
        turns = turns_of(row.content, top_answer(row))
        try:
            if row.weight <= 0:
                raise Unfit("weight")
            found = render(tokenizer, turns, _WHOLE)
        except Unfit as refused:
            yield RowFact(row.id, split, 0, limit, 0, refused.reason, REASONS[refused.reason])
            continue
        learnt = sum(found.supervised)
        if len(found.tokens) <= limit:
            yield RowFact(row.id, split, len(found.tokens), limit, learnt)
        elif found.prompt >= limit:
            lost = _unread(tokenizer, chat_text(tokenizer, turns[:-1], answering=True), limit, special=False)
            words = f"the prompt alone has {found.prompt:,} tokens, of which {limit:,} would be read: nothing of the answer would be learnt"
            yield RowFact(row.id, split, len(found.tokens), limit, 0, "prompt too long", words, lost)
        else:
            words = f"prompt ({found.prompt:,}) and completion ({len(found.tokens) - found.prompt:,}) have more than {limit:,} tokens:"
            words += " the answer would be cut, its end never learnt"
            lost = tokenizer.decode(found.tokens[limit:])
            yield RowFact(row.id, split, len(found.tokens), limit, learnt, "too long", words, lost)


def _unread(tokenizer: Any, text: str, limit: int, *, special: bool = True) -> str:
    """The text from the first character on that isn't among the first `limit` tokens; empty where the tokenizer can't say."""
    if not tokenizer.is_fast:
        return ""
    cut = tokenizer(text, truncation=True, max_length=limit, return_offsets_mapping=True, add_special_tokens=special)
    return text[max((end for _, end in cut["offset_mapping"]), default=0) :]
