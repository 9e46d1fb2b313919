"""Measuring a model that writes, beside its base, on rows that it never saw: answers as served, references rendered as in training."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.evaluation import Written, labels_of, paired_texts, text_estimates
from preceptor.evaluation.texts import same, word_f1
from preceptor.project import bases, proving
from preceptor.project.evaluating.forgetting import forgetting, of_writer
from preceptor.project.evaluating.rows import Scored, row_sections
from preceptor.snapshots import Row, Snapshot
from preceptor.store import gold, questions

if TYPE_CHECKING:
    from preceptor.models.template import Rendered
    from preceptor.project.project import Project

EXAMPLES = 12
ROOM = 2  # an answer may be so many times as long as the longest reference
HEAD, TAIL = 700, 700  # characters that an example keeps of a text's beginning and end


@dataclass(frozen=True)
class _Task:
    """What is measured: rows that the model can read, their tokens, references and groups; how long an answer may be."""

    rows: Sequence[Row]
    tokens: Sequence[Rendered]
    references: Sequence[str]
    max_tokens: int

    @property
    def groups(self) -> list[str]:
        return [row.group for row in self.rows]


@dataclass(frozen=True)
class _Measured:
    written: Written
    cut: int
    parameters: int


def sections(
    project: Project, model: Model, snapshot: Snapshot, rows: Sequence[Row], *, truth: Mapping[str, Any] | None, base: str | Path | None
) -> dict[str, Any]:
    """What a report says of a model's texts. UserError when parity fails, or when the model can read none of the rows."""
    folder = bases.base_of(project, model, base)
    asked = next((bound for bound in project.config.gate.bounds if "base" in bound), None)
    if folder is None and asked is not None:
        raise UserError(f"the gate asks for {asked!r}, and the base is not at hand", "say where it lies: --base DIR")
    proved = proving.proved(project, model, base)
    task, left_out = _task(model, rows, _references(project, snapshot, rows, truth))
    left = forgetting(project, model, folder, of_writer)
    found = {"tuned": _measure(model, task, None)}
    if folder is not None:
        found["base"] = _measure(model, task, folder)
    labels = labels_of([row.answer for row in snapshot.rows("train")])
    labels = sorted({*labels, *map(same, task.references)}) if labels else []
    figures = {name: _figures(each, task, labels) for name, each in found.items()}
    if "kept" in left:
        figures["tuned"]["retention"] = left["kept"]
    return {
        "parity": proved,
        "models": figures,
        **({"forgetting": left} if left else {}),
        "comparison": _comparison(found, task, labels),
        "generation": {
            "rows": len(task.rows), "left_out": left_out, "max_tokens": task.max_tokens, "room": ROOM,
            "cut": {name: each.cut for name, each in found.items()}, "labels": len(labels), "base": folder is not None,
        },
        "examples": _examples(task, found),
        **row_sections(project, model, snapshot, _scored(found["tuned"], task, labels, given=truth is not None)),
    }  # fmt: skip


def _references(project: Project, snapshot: Snapshot, rows: Sequence[Row], given: Mapping[str, Any] | None) -> dict[str, str]:
    """The reference of each row by its id: as given, else gold, else the snapshot's own."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.answers(connection, key), **(given or {})}
    found = {row.id: known.get(row.id, row.answer) for row in rows}
    return {id_: str(value["text"] if isinstance(value, Mapping) else value) for id_, value in found.items()}


def _task(model: Model, rows: Sequence[Row], references: Mapping[str, str]) -> tuple[_Task, dict[str, int]]:
    """The rows that can be measured as the model reads them, and how many can't be, by reason in words."""
    from preceptor.models.chat import ChatTokenizer
    from preceptor.models.measuring import longest_reference, readable
    from preceptor.models.template import REASONS, turns_of

    conversations = {row.id: turns_of(row.content, references[row.id]) for row in rows}
    fit, unfit = readable(ChatTokenizer(model.path), conversations)
    left_out = {REASONS[reason]: count for reason, count in sorted(Counter(unfit.values()).items())}
    if not fit:
        told = "; ".join(f"{count:,} × {reason}" for reason, count in left_out.items())
        raise UserError(f"no row of the split can be measured: {told}", "take a snapshot of rows that the model can read")
    kept = [row for row in rows if row.id in fit]
    tokens = [fit[row.id] for row in kept]
    return _Task(kept, tokens, [references[row.id] for row in kept], ROOM * longest_reference(tokens)), left_out


def _measure(model: Model, task: _Task, base: Path | None) -> _Measured:
    """One model on the rows; a base has the tokenizer, the template and the ends of what was made of it."""
    from preceptor.models.causal import start_causal
    from preceptor.models.chat import ChatModel, ChatTokenizer
    from preceptor.models.measuring import measure

    weights = None if base is None else start_causal(base, ChatTokenizer(model.path).tokenizer).eval()
    chat = ChatModel(model.path, weights)
    found = measure(chat, task.tokens, task.max_tokens)
    parameters = sum(each.numel() for each in chat.model.parameters())
    del chat, weights
    gc.collect()  # the next model's weights come into memory
    return _Measured(Written(found.answers, found.log_probabilities), found.cut, parameters)


def _figures(found: _Measured, task: _Task, labels: Sequence[str]) -> dict[str, Any]:
    return {**text_estimates(found.written, task.references, task.groups, labels=labels), "parameters": found.parameters}


def _scored(found: _Measured, task: _Task, labels: Sequence[str], *, given: bool) -> Scored:
    """How right each answer is: of labels whether it is the one, of free text how many words it shares first."""
    pairs = list(zip(found.written.answers, task.references, strict=True))
    columns = {
        "token_f1": np.array([word_f1(answer, wanted) for answer, wanted in pairs]),
        "accuracy" if labels else "exact_match": np.array([float(same(answer) == same(wanted)) for answer, wanted in pairs]),
    }
    return Scored(task.rows, task.references, dict(sorted(columns.items())) if labels else columns, given=given)


def _comparison(found: Mapping[str, _Measured], task: _Task, labels: Sequence[str]) -> dict[str, Any]:
    if "base" not in found:
        return {}
    differences = paired_texts(found["tuned"].written, found["base"].written, task.references, task.groups, labels=labels)
    return {f"tuned_minus_base_{name}": difference for name, difference in differences.items()}


def _examples(task: _Task, found: Mapping[str, _Measured]) -> list[dict[str, Any]]:
    """What the model writes, beside reference and base, the worst first: least in common, then least probable."""
    tuned = found["tuned"].written
    f1 = [word_f1(answer, wanted) for answer, wanted in zip(tuned.answers, task.references, strict=True)]
    said = [float(each.mean()) for each in tuned.log_probabilities or ()]
    worst = sorted(range(len(task.rows)), key=lambda row: (same(tuned.answers[row]) == same(task.references[row]), f1[row], said[row]))
    return [
        {
            "id": task.rows[row].id,
            "prompt": _cut(_asked(task.rows[row])),
            "reference": _cut(task.references[row]),
            "answers": {name: _cut(each.written.answers[row]) for name, each in found.items()},
            "exact_match": same(tuned.answers[row]) == same(task.references[row]),
            "token_f1": round(f1[row], 4),
            "log_probability": round(said[row], 4),
        }
        for row in worst[:EXAMPLES]
    ]


def _asked(row: Row) -> str:
    """What stands before the answer: the prompt, or the conversation's turns with their roles."""
    from preceptor.models.template import turns_of

    before = turns_of(row.content, "")[:-1]
    return str(before[0]["content"]) if len(before) == 1 else "\n".join(f"{turn['role']}: {turn['content']}" for turn in before)


def _cut(text: str) -> str:
    """A long text's beginning and end."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} […] {text[-TAIL:]}"
