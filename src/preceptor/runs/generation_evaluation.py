"""Evaluate a generative model beside its base on held-out rows."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor import model_ancestry
from preceptor.errors import UserError
from preceptor.evaluation import GeneratedAnswers, detect_labels, generation_estimates, paired_generation_estimates
from preceptor.evaluation.generation_metrics import normalize_spaces, word_f1
from preceptor.runs import parity_check
from preceptor.runs.evaluation_sections import ScoredRows, build_row_sections, measure_causal_lm, measure_forgetting
from preceptor.storage import gold, questions
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.types import Model

if TYPE_CHECKING:
    from preceptor.models.chat_template import RenderedConversation
    from preceptor.project import Project


_MAX_EXAMPLES = 12
_LENGTH_FACTOR = 2  # the longest answer, as a multiple of the longest reference
_HEAD_CHARS, _TAIL_CHARS = 700, 700  # characters that an example keeps of a text's beginning and end


@dataclass(frozen=True)
class _GenerationTask:
    """The rows that the model can read, with their tokens, references and groups, and the maximal length of an answer."""

    rows: Sequence[SnapshotRow]
    tokens: Sequence[RenderedConversation]
    references: Sequence[str]
    max_tokens: int

    @property
    def groups(self) -> list[str]:
        return [row.group for row in self.rows]


@dataclass(frozen=True)
class _GenerationResult:
    answers: GeneratedAnswers
    truncated_count: int
    parameter_count: int


def measure_generative_model(
    project: Project,
    model: Model,
    snapshot: Snapshot,
    rows: Sequence[SnapshotRow],
    *,
    truth: Mapping[str, Any] | None,
    base: str | Path | None,
) -> dict[str, Any]:
    """Return the report sections of a generative model, with its base where that is available.

    Raises UserError where parity fails, where the gate compares with a missing base, and where the model can read none of the rows.
    """
    folder = model_ancestry.find_recorded_base(project, model, base)
    asked = next((bound for bound in project.config.gate.bounds if "base" in bound), None)
    if folder is None and asked is not None:
        raise UserError(f"the gate asks for {asked!r}, and the base is not at hand", "say where it lies: --base DIR")
    proved = parity_check.require_parity(project, model, base)
    task, left_out = _build_task(model, rows, _load_references(project, snapshot, rows, truth))
    left = measure_forgetting(project, model, folder, measure_causal_lm)
    found = {"tuned": _generate_and_score(model, task, None)}
    if folder is not None:
        found["base"] = _generate_and_score(model, task, folder)
    labels = detect_labels([row.answer for row in snapshot.rows("train")])
    labels = sorted({*labels, *map(normalize_spaces, task.references)}) if labels else []
    figures = {name: _text_figures(each, task, labels) for name, each in found.items()}
    if "kept" in left:
        figures["tuned"]["retention"] = left["kept"]
    return {
        "parity": proved,
        "models": figures,
        **({"forgetting": left} if left else {}),
        "comparison": _compare_with_base(found, task, labels),
        "generation": {
            "rows": len(task.rows), "left_out": left_out, "max_tokens": task.max_tokens, "room": _LENGTH_FACTOR,
            "cut": {name: each.truncated_count for name, each in found.items()}, "labels": len(labels), "base": folder is not None,
        },
        "examples": _worst_examples(task, found),
        **build_row_sections(project, model, snapshot, _score_rows(found["tuned"], task, labels, given=truth is not None)),
    }  # fmt: skip


def _load_references(project: Project, snapshot: Snapshot, rows: Sequence[SnapshotRow], given: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the reference of each row by its id: as given, else gold, else the snapshot's own."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.list_answers(connection, key), **(given or {})}
    found = {row.id: known.get(row.id, row.answer) for row in rows}
    return {id_: str(value["text"] if isinstance(value, Mapping) else value) for id_, value in found.items()}


def _build_task(model: Model, rows: Sequence[SnapshotRow], references: Mapping[str, str]) -> tuple[_GenerationTask, dict[str, int]]:
    """Return the rows that can be measured as the model reads them, and the counts of the others by reason, as text."""
    from preceptor.generation.offline import count_longest_reference, render_references
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.models.chat_template import RENDER_ERROR_REASONS, build_conversation

    conversations = {row.id: build_conversation(row.content, references[row.id]) for row in rows}
    fit, unfit = render_references(ChatTokenizer(model.path), conversations)
    left_out = {RENDER_ERROR_REASONS[reason]: count for reason, count in sorted(Counter(unfit.values()).items())}
    if not fit:
        told = "; ".join(f"{count:,} × {reason}" for reason, count in left_out.items())
        raise UserError(f"no row of the split can be measured: {told}", "take a snapshot of rows that the model can read")
    kept = [row for row in rows if row.id in fit]
    tokens = [fit[row.id] for row in kept]
    return _GenerationTask(kept, tokens, [references[row.id] for row in kept], _LENGTH_FACTOR * count_longest_reference(tokens)), left_out


def _generate_and_score(model: Model, task: _GenerationTask, base: Path | None) -> _GenerationResult:
    """Generate and score with one model; a base uses the tokenizer, template and end tokens of the fine-tuned model."""
    from preceptor.generation.offline import score_references
    from preceptor.models.causal_lm import ChatModel, ChatTokenizer, prepare_causal

    weights = None if base is None else prepare_causal(base, ChatTokenizer(model.path).tokenizer).eval()
    chat = ChatModel(model.path, weights)
    found = score_references(chat, task.tokens, task.max_tokens)
    parameters = sum(each.numel() for each in chat.model.parameters())
    del chat, weights
    gc.collect()  # frees memory for the next model's weights
    return _GenerationResult(GeneratedAnswers(found.answers, found.log_probabilities), found.truncated_count, parameters)


def _text_figures(found: _GenerationResult, task: _GenerationTask, labels: Sequence[str]) -> dict[str, Any]:
    return {**generation_estimates(found.answers, task.references, task.groups, labels=labels), "parameters": found.parameter_count}


def _score_rows(found: _GenerationResult, task: _GenerationTask, labels: Sequence[str], *, given: bool) -> ScoredRows:
    """Score each answer: whether it is the right label, or for free text first the share of common words (token F1)."""
    pairs = list(zip(found.answers.answers, task.references, strict=True))
    columns = {
        "token_f1": np.array([word_f1(answer, wanted) for answer, wanted in pairs]),
        "accuracy" if labels else "exact_match": np.array(
            [float(normalize_spaces(answer) == normalize_spaces(wanted)) for answer, wanted in pairs]
        ),
    }
    return ScoredRows(task.rows, task.references, dict(sorted(columns.items())) if labels else columns, is_truth_given=given)


def _compare_with_base(found: Mapping[str, _GenerationResult], task: _GenerationTask, labels: Sequence[str]) -> dict[str, Any]:
    if "base" not in found:
        return {}
    differences = paired_generation_estimates(found["tuned"].answers, found["base"].answers, task.references, task.groups, labels=labels)
    return {f"tuned_minus_base_{name}": difference for name, difference in differences.items()}


def _worst_examples(task: _GenerationTask, found: Mapping[str, _GenerationResult]) -> list[dict[str, Any]]:
    """Return the worst answers beside reference and base: the least in common first, then the least probable."""
    tuned = found["tuned"].answers
    f1 = [word_f1(answer, wanted) for answer, wanted in zip(tuned.answers, task.references, strict=True)]
    said = [float(each.mean()) for each in tuned.log_probabilities or ()]
    worst = sorted(
        range(len(task.rows)),
        key=lambda row: (normalize_spaces(tuned.answers[row]) == normalize_spaces(task.references[row]), f1[row], said[row]),
    )
    return [
        {
            "id": task.rows[row].id,
            "prompt": _shorten(_prompt_text(task.rows[row])),
            "reference": _shorten(task.references[row]),
            "answers": {name: _shorten(each.answers.answers[row]) for name, each in found.items()},
            "exact_match": normalize_spaces(tuned.answers[row]) == normalize_spaces(task.references[row]),
            "token_f1": round(f1[row], 4),
            "log_probability": round(said[row], 4),
        }
        for row in worst[:_MAX_EXAMPLES]
    ]


def _prompt_text(row: SnapshotRow) -> str:
    """Return the text before the answer: the prompt, or the conversation's messages with their roles."""
    from preceptor.models.chat_template import build_conversation

    before = build_conversation(row.content, "")[:-1]
    return str(before[0]["content"]) if len(before) == 1 else "\n".join(f"{turn['role']}: {turn['content']}" for turn in before)


def _shorten(text: str) -> str:
    """Return a long text's beginning and end."""
    return text if len(text) <= _HEAD_CHARS + _TAIL_CHARS else f"{text[:_HEAD_CHARS]} […] {text[-_TAIL_CHARS:]}"
