"""Rows as records of TRL, all of a file of one type: that of its first row.

Two responses make a preference, a completion that somebody liked or not an unpaired preference, steps with marks stepwise
supervision, a text of which nothing is asked language modeling, what has no answer prompt-only. Everything else is
prompt-completion, which TRL learns the completion of alone: a conversation makes a record for each answer in it that is taught.
(Only `messages` that came from such a file leave as such: by default TRL learns every token of them, the user's too.)

Prompts are turns, as chat models are trained; they are plain texts where they came from such a file, or where the completion goes on
with a space. Calls have their arguments as values, as chat templates want them; tools are JSON text, which TRL reads back.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Row, Target
from preceptor.formats.training.fields import besides, noted
from preceptor.formats.training.records import write_lines
from preceptor.formats.training.taught import Lesson, exchange, input_of, is_answered, is_exchange, lesson, prompt_of
from preceptor.formats.training.turns import Turn, said, tools_of, turns_from, with_arguments, without_weight
from preceptor.formats.training.verdicts import decided, pairs, submitted, thumb

NAME = "trl"
STEPS = "steps"
_STANDARD, _TURNS = "standard", "conversational"


def write(rows: Iterator[Mapping[str, Any]], target: Target) -> int:
    """Write rows; how many records they made."""
    return write_lines(rows, target, _File().records)


def as_one_text(turns: Sequence[Mapping[str, Any]]) -> str:
    """What turns say, as one text; parts and calls as JSON."""
    said = [turn.get("content") or turn.get("tool_calls") or "" for turn in turns]
    return "\n\n".join(each if isinstance(each, str) else json.dumps(each, ensure_ascii=False) for each in said)


@dataclass
class _File:
    """The file being written: its type and form, once the first record has settled them."""

    type: str = ""
    form: str = ""

    def records(self, row: Mapping[str, Any]) -> Iterator[Row]:
        """A row's records, all of the file's type and form."""
        notes = noted(row, NAME)
        type, made = self._made(row, notes or {})
        tools = tools_of(row) if notes is None and type != "stepwise supervision" else None
        beside = {**besides(notes), **({"tools": json.dumps(tools, ensure_ascii=False)} if tools else {})}
        for record in made:
            self._settle(type, record)
            yield {**record, **beside}

    def _made(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> tuple[str, Iterable[Row]]:
        if steps := [each for each in submitted(row, "claims") if each.get("question") == STEPS]:
            return "stepwise supervision", [_stepwise(row, decided(steps))]
        if "responses" in row:
            return "preference", self._preferences(row, notes)
        if is_exchange(row) and thumb(row) is not None:
            return "unpaired preference", [{**self._pair(exchange(row), notes), "label": thumb(row)}]
        if notes.get("type") == "language modeling" and "messages" in row:
            return "language modeling", [{"messages": turns_from(row, "messages")}]
        if not is_answered(row) or (notes.get("type") == "prompt-only" and not submitted(row)):
            return self._unanswered(row, notes)
        return "prompt-completion", self._completions(row, notes)

    def _unanswered(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> tuple[str, list[Row]]:
        if "text" in row:
            return "language modeling", [{"text": prompt_of(row)}]
        prompt = prompt_of(row)
        return "prompt-only", [{"prompt": prompt if self._is_standard(prompt, "", notes) else _turns(_all_turns(row))}]

    def _completions(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterator[Row]:
        learnt = lesson(row)
        if learnt.prompt is not None or notes.get("answer"):
            yield self._pair(learnt, notes)
            return
        for place in learnt.taught:
            yield self._pair(Lesson(learnt.turns[: place + 1], (place,)), notes)

    def _pair(self, learnt: Lesson, notes: Mapping[str, Any]) -> Row:
        """Prompt and completion."""
        count = notes.get("answer") if isinstance(notes.get("answer"), int) else 1
        prompt, answer = learnt.turns[:-count], learnt.turns[-count:]  # type: ignore[operator]
        if not prompt:
            raise UserError("the conversation begins with the answer", "put what is asked before it")
        if not as_one_text(answer).strip():
            raise UserError("the answer is empty", "leave the row out")
        text = answer[0].get("content")
        if isinstance(text, str) and self._is_standard(learnt.prompt, text, notes):
            return {"prompt": learnt.prompt, "completion": text}
        return {"prompt": _turns(prompt), "completion": _turns(answer)}

    def _preferences(self, row: Mapping[str, Any], notes: Mapping[str, Any]) -> Iterator[Row]:
        asked, prompt = input_of(row), prompt_of(row)
        for better, worse in pairs(row):
            if self._is_standard(prompt, better, notes):
                yield {"prompt": prompt, "chosen": better, "rejected": worse}
            else:
                yield {"prompt": _turns(asked), "chosen": _output(better, notes), "rejected": _output(worse, notes)}

    def _is_standard(self, prompt: str | None, answer: str, notes: Mapping[str, Any]) -> bool:
        """Whether a record is plain texts. Once the file's form is settled, a row that could be either follows it."""
        if prompt is None:
            return False
        if notes.get("form") in (_STANDARD, _TURNS):
            return bool(notes["form"] == _STANDARD)
        return self.form == _STANDARD if self.form else answer[:1].isspace()

    def _settle(self, type: str, record: Row) -> None:
        values = [record[field] for field in ("text", "messages", "prompt") if field in record]
        form = _STANDARD if isinstance(values[0], str) else _TURNS
        self.type, self.form = self.type or type, self.form or form
        if (type, form) != (self.type, self.form):
            message = f"this row makes a record of the type {type} ({form}), and the file began as {self.type} ({self.form})"
            raise UserError(message, "TRL takes one type a file: export these rows to another")


def _stepwise(row: Mapping[str, Any], marks: Any) -> Row:
    steps = row.get("claims")
    if not isinstance(steps, list) or not isinstance(marks, list) or len(marks) != len(steps):
        raise UserError("the steps and their marks aren't as many", "mark each step")
    by_step = {mark.get("claim"): mark.get("verdict") for mark in marks if isinstance(mark, Mapping)}
    labels = [by_step.get(number) for number in range(len(steps))]
    if unclear := [number for number, label in enumerate(labels, start=1) if label not in ("supported", "contradicted")]:
        raise UserError(f"step {unclear[0]} is neither right nor wrong ({labels[unclear[0] - 1]})", "TRL takes true or false: leave it out")
    return {"prompt": prompt_of(row), "completions": steps, "labels": [label == "supported" for label in labels]}


def _output(text: str, notes: Mapping[str, Any]) -> list[Turn]:
    """A response as turns, as it came where it came from such a file."""
    for output in notes.get("outputs") or []:
        if as_one_text(output) == text:
            return [*output]
    if not text.strip():
        raise UserError("a response is empty", "leave the row out")
    return [said("assistant", text)]


def _all_turns(row: Mapping[str, Any]) -> list[Turn]:
    return turns_from(row, "messages") if "messages" in row else input_of(row)


def _turns(turns: Sequence[Turn]) -> list[Turn]:
    return [with_arguments(without_weight(turn), as_text=False) for turn in turns]
