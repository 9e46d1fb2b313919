"""What a row teaches, as a conversation: rows of the interchange, and rows of a snapshot, which have an `answer`.

A text or a prompt is what the user says, and the answer is the assistant's. What isn't a text (a number, several labels) is said
as JSON. Answers in a conversation are taught unless their `weight` is 0; in a snapshot the last is, and earlier ones whose
`weight` is 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.formats.training.turns import Turn, said, turns_from
from preceptor.formats.training.verdicts import decided, responses_of, submitted, thumb, winner


@dataclass(frozen=True)
class Lesson:
    """A conversation, the places of the turns in it that are taught, and what was asked where that is one text."""

    turns: list[Turn]
    taught: tuple[int, ...]
    prompt: str | None = None

    @property
    def before(self) -> list[Turn]:
        """The turns before the last."""
        return self.turns[:-1]

    @property
    def last(self) -> Turn:
        """The turn that the conversation ends with."""
        return self.turns[-1]

    @property
    def leaves_out(self) -> bool:
        """Whether an answer is marked as one that isn't to be learnt."""
        return any(turn.get("weight") == 0 for turn in self.turns)


def lesson(row: Mapping[str, Any]) -> Lesson:
    """What a row teaches; UserError where it teaches nothing."""
    if is_exchange(row) and (good := thumb(row)) is not None:
        if not good:
            raise UserError("its answer was judged to be bad, so it can't be taught", "leave the row out, or write kto")
        row = {name: value for name, value in row.items() if name != "answer"}
    if "answer" in row:
        return _frozen(row)
    told, asked = _told(row), input_of(row)
    if told is not None:
        return _ending(asked, told, _question(row), spare=False)
    if "messages" in row and (taught := _taught(turns := turns_from(row, "messages"), spare=False)):
        return Lesson(turns, taught)
    raise UserError("the row teaches nothing: it has no answer", "write rows with a completion or a judgment, or export a snapshot")


def input_of(row: Mapping[str, Any]) -> list[Turn]:
    """What is asked: the conversation up to its last answer, or the text as the user's turn."""
    if "messages" in row:
        turns = turns_from(row, "messages")
        end = len(turns) if "responses" in row else _end_of_question(turns)
        return turns[:end]
    return [said("user", _question(row) or "")]


def prompt_of(row: Mapping[str, Any]) -> str | None:
    """What is asked where that is one text; None for a conversation."""
    return None if "messages" in row else _question(row)


def as_words(answer: Any) -> str:
    """An answer as the assistant says it."""
    if isinstance(answer, float) and answer.is_integer():
        answer = int(answer)
    return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


def _frozen(row: Mapping[str, Any]) -> Lesson:
    if "responses" in row:
        return _ending(input_of(row), responses_of(row)[winner(row)], prompt_of(row), spare=True)
    if "completion" in row:  # the answer is what people said of both
        both = text_of(row)
        return _ending([said("user", both)], as_words(row["answer"]), both, spare=True)
    return _ending(input_of(row), as_words(row["answer"]), prompt_of(row), spare=True)


def _ending(asked: list[Turn], answer: str, prompt: str | None, *, spare: bool) -> Lesson:
    if not answer.strip():
        raise UserError("the answer is empty, and would teach to say nothing", "leave the row out")
    turns = [*asked, said("assistant", answer)]
    return Lesson(turns, (*_taught(asked, spare=spare), len(asked)), prompt)


def _told(row: Mapping[str, Any]) -> str | None:
    """The answer that people wrote or chose, or that the row came with; None where a conversation holds its own."""
    if written := submitted(row, "write"):
        return as_words(decided(written, of="text"))
    if "responses" in row:
        return responses_of(row)[winner(row)]
    if "completion" in row:
        return _text(row, "completion")
    if "messages" in row and _end_of_question(turns := turns_from(row, "messages")) < len(turns):
        return None
    judgments = submitted(row)
    return as_words(decided(judgments)) if judgments else None


def _taught(turns: list[Turn], *, spare: bool) -> tuple[int, ...]:
    """The places of taught answers. spare: only those that are marked so."""
    answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    return tuple(place for place in answers if (turns[place].get("weight") == 1 if spare else turns[place].get("weight") != 0))


def _end_of_question(turns: list[Turn]) -> int:
    """Where the answers begin that a conversation ends with."""
    end = len(turns)
    while end and turns[end - 1]["role"] == "assistant":
        end -= 1
    return end


def _question(row: Mapping[str, Any]) -> str | None:
    if "messages" in row:
        return None
    field = "prompt" if "prompt" in row else "text"
    if field not in row:
        raise UserError("the row has no content", "a row has a text, a prompt or messages")
    return _text(row, field)


def _text(row: Mapping[str, Any], field: str) -> str:
    if not isinstance(row[field], str):
        raise UserError(f"{field} must be a text, not {row[field]!r:.60}")
    return row[field]  # type: ignore[no-any-return]


def is_exchange(row: Mapping[str, Any]) -> bool:
    """Whether a row holds an answer that people may like or not: a completion, or the assistant's turn at the end."""
    if "messages" not in row:
        return "completion" in row
    return "responses" not in row and turns_from(row, "messages")[-1]["role"] == "assistant"


def exchange(row: Mapping[str, Any]) -> Lesson:
    """What was asked and answered, whatever people think of the answer; UserError where there is no answer."""
    if not is_exchange(row):
        raise UserError("the row has no answer that could be good or bad", "a row has a prompt and a completion, or a conversation")
    if "messages" not in row:
        asked, prompt = input_of(row), prompt_of(row)
        return Lesson([*asked, said("assistant", _text(row, "completion"))], (len(asked),), prompt)
    turns = turns_from(row, "messages")
    return Lesson(turns, (len(turns) - 1,))


def is_answered(row: Mapping[str, Any]) -> bool:
    """Whether a row holds anything that could be taught."""
    if "answer" in row or "completion" in row or submitted(row):
        return True
    return "messages" in row and bool(_taught(turns_from(row, "messages"), spare=False))
