"""Train the successor of a hosted model on its rows, on the answers that it gives as a teacher, or on both.

The hosted model's answers are paid for once, stored at once, and imported as judgments of a model. A model tuned on preferences has a
successor trained on the same preferences, split as its preferred answers were. Of several variants the best is the one with the best
answers to validation rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation.implicit_questions import COMPLETION
from preceptor.errors import UserError
from preceptor.evaluation.generation_metrics import detect_labels, normalize_spaces, word_f1
from preceptor.formats import read
from preceptor.generation import HostedAnswer, HostedProvider, LocalProvider
from preceptor.generation.hosted import estimate_text_tokens
from preceptor.jobs import preference_files, training_files
from preceptor.jobs.fine_tuning_runner import FINE_TUNING_METHODS
from preceptor.jobs.preference_files import parse_preference
from preceptor.pipeline.migration.hosted_sources import HostedSource, MigrationData, build_completion_rows, write_training_lines
from preceptor.runs.unlabelled_pool import prompt_key
from preceptor.statistics import estimate_mean
from preceptor.storage import artifacts, events
from preceptor.storage.snapshot_rows import SnapshotRow, check_rows
from preceptor.storage.snapshots import Snapshot, write_snapshot
from preceptor.training import TrainingProgress
from preceptor.types import Estimate, Item, Model, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


_MAX_ANSWER_TOKENS = 2048
_MIN_ANSWER_TOKENS = 16


@dataclass(frozen=True)
class TeacherAnswers:
    """The hosted model's answers.

    answers: by row id; items: its answers to training prompts, as items that end with them; empty_count: answers that are empty or refused;
    cost: in dollars; retried_count: requests that may have been paid twice.
    """

    answers: dict[str, HostedAnswer]
    items: dict[str, Item]
    empty_count: int
    cost: float
    retried_count: int


def answer_token_limit(rows: Sequence[SnapshotRow]) -> int:
    """Return the most tokens of an answer: twice the longest reference."""
    return clamp_answer_tokens(max(estimate_text_tokens(row.answer) for row in rows))


def clamp_answer_tokens(longest: int) -> int:
    """Return the most tokens of an answer from the tokens of the longest reference."""
    return max(_MIN_ANSWER_TOKENS, min(_MAX_ANSWER_TOKENS, 2 * longest))


def select_teacher_rows(gathered: MigrationData, *, training: bool) -> list[SnapshotRow]:
    """Select the rows whose prompts the hosted model answers: those held out, and with `training` all."""
    return [row for row in gathered.rows if training or row.split != "train"]


def teacher_settings(gathered: MigrationData) -> dict[str, Any]:
    """Return the sampling settings of the teacher's answers: the most probable ones."""
    return {"max_tokens": answer_token_limit(gathered.rows), "temperature": 0.0, "seed": 0}


def prompt_messages(row: SnapshotRow) -> list[dict[str, str]]:
    """Return a row's prompt as it is sent."""
    return [{"role": turn["role"], "content": turn["content"]} for turn in row.content["messages"]]


def collect_teacher_answers(
    project: Project,
    source: HostedSource,
    provider: HostedProvider,
    gathered: MigrationData,
    *,
    training: bool,
    tell: Callable[[TrainingProgress], None],
) -> TeacherAnswers:
    """Ask the hosted model for answers; nothing is sent where the budget doesn't suffice for all of them."""
    rows = select_teacher_rows(gathered, training=training)

    def heard(done: int, total: int) -> None:
        tell(TrainingProgress(f"asking {source.hosted_model}", done, total))

    given = provider.generate_answers([prompt_messages(row) for row in rows], teacher_settings(gathered), progress=heard)
    answers = {row.id: answer for row, answer in zip(rows, given, strict=True)}
    written = [row for row in rows if answers[row.id].text.strip() and not answers[row.id].refused]
    items: dict[str, Item] = {}
    for side in ("held", "train"):
        lines = [_training_line(row, answers[row.id].text) for row in written if (row.split == "train") == (side == "train")]
        if lines:
            path = source.folder / f"answers-{side}.jsonl"
            write_training_lines(path, lines)
            taken = training_files.import_examples(project, path, source.hosted_model, kind="model")
            items = taken if side == "train" else items
    return TeacherAnswers(answers, items, len(rows) - len(written), provider.budget.spent, provider.repeated_requests)


def _training_line(row: SnapshotRow, text: str) -> dict[str, Any]:
    """Return a row with the hosted model's answer; earlier answers are trained on as they were."""
    before = [{name: value for name, value in turn.items() if (name, value) != ("weight", 1)} for turn in row.content["messages"]]
    return {"messages": [*before, {"role": "assistant", "content": text}]}


_PREFERENCE_OPTIONS = {**FINE_TUNING_METHODS["dpo"].settings, "sft_weight": 1.0}  # hosted models were mostly tuned on such answers before


def _create_preference_snapshot(project: Project, source: HostedSource, gathered: MigrationData) -> Snapshot:
    """Create a snapshot of the files' pairs, each in the split of its prompt; those of prompts that are in no split are left out."""
    side = {prompt_key(row.content): row.split for row in gathered.rows}
    found: dict[str, SnapshotRow] = {}
    for role in source.file_roles():
        usable, name = source.folder / f"{role}-pairs.jsonl", f"{source.name} ({role}, pairs)"
        write_training_lines(usable, _iterate_valid_preferences(source.file_path(role)))
        taken = preference_files.import_examples(project, usable, name)
        for row in preference_files.build_rows(project, taken, name, {"train": 1.0})[0] if taken else ():
            if (key := prompt_key(row.content)) in side:
                found.setdefault(row.id, replace(row, split=side[key]))
    rows = sorted(found.values(), key=lambda row: (row.split, row.text, row.id))
    method = FINE_TUNING_METHODS["dpo"]
    about = {**gathered.manifest_fields, "checks": check_rows(rows), "method": "migration: preferences"}
    made = write_snapshot(project.objects, method.question, method.answers, rows, about)
    with project.database.writing() as connection:
        artifacts.add_snapshot(connection, digest=made.digest, name=None, question=method.question.name)
        events.record_event(connection, "snapshot created", {"digest": made.digest, "migration": source.name})
    return made


def _iterate_valid_preferences(path: Path) -> Iterator[Mapping[str, Any]]:
    for row in read(path, "jsonl"):
        with suppress(UserError):  # counted where the answers were imported
            parse_preference(row)
            yield row


@dataclass(frozen=True)
class SuccessorVariant:
    """A model, what it was trained on, and the score of its answers to validation rows (exact match of labels, else word F1)."""

    train_on: str
    model: Model
    snapshot: Snapshot
    score: Estimate


def _list_variants(train_on: str, taught: TeacherAnswers | None) -> list[str]:
    """List what is trained: for `best` each of the three, without a teacher the rows alone."""
    if taught is None or not taught.items:
        return ["rows"]
    return ["rows", "teacher", "both"] if train_on == "best" else [train_on]


def train_successors(
    project: Project, source: HostedSource, gathered: MigrationData, taught: TeacherAnswers | None, train_on: str, base: str, *,
    seed: int, options: Mapping[str, Any], tell: Callable[[TrainingProgress], None],
) -> list[SuccessorVariant]:  # fmt: skip
    """Train each variant, and return them, the best first; what an earlier start has trained is reused."""
    if source.method == "dpo":
        snapshot = _create_preference_snapshot(project, source, gathered)
        model = project.train("dpo", snapshot=snapshot, base=base, seed=seed, progress=tell, **{**_PREFERENCE_OPTIONS, **options})
        return [SuccessorVariant("rows", model, snapshot, _score_on_validation(model, gathered, source.folder))]
    found = []
    for name in _list_variants(train_on, taught):
        snapshot = _create_variant_snapshot(project, gathered, taught, name)
        model = project.train("sft", snapshot=snapshot, base=base, seed=seed, progress=tell, **options)
        found.append(SuccessorVariant(name, model, snapshot, _score_on_validation(model, gathered, source.folder)))
    return sorted(found, key=lambda variant: -variant.score.value)


def _create_variant_snapshot(project: Project, gathered: MigrationData, taught: TeacherAnswers | None, train_on: str) -> Snapshot:
    """Create a snapshot whose training rows are those of the variant; the others are the same for all."""
    rows = [row for row in gathered.rows if train_on != "teacher" or row.split != "train"]
    about = dict(gathered.manifest_fields)
    if train_on != "rows" and taught is not None:
        known = {row.id for row in rows}
        fresh = {id_: item for id_, item in taught.items.items() if id_ not in known}
        rows += build_completion_rows(project, fresh, {"train": 1.0})[0] if fresh else []
        about |= {"checks": check_rows(rows)}
    rows = sorted(rows, key=lambda row: (row.split, row.text, row.id))
    made = write_snapshot(project.objects, COMPLETION, (), rows, {**about, "method": f"migration: {train_on}"})
    with project.database.writing() as connection:
        artifacts.add_snapshot(connection, digest=made.digest, name=None, question=COMPLETION.name)
        events.record_event(connection, "snapshot created", {"digest": made.digest, "migration": train_on})
    return made


def _score_on_validation(model: Model, gathered: MigrationData, folder: Path) -> Estimate:
    """Estimate how good a model's answers to the validation rows are; the answers are cached in the folder."""
    from preceptor.training.run_folder import cached_json

    rows, most = gathered.split_rows("validation"), answer_token_limit(gathered.rows)
    place = folder / f"validated-{model.id}-{json_digest([[row.id for row in rows], most])[:12]}.json"
    texts = cached_json(place, lambda: generate_answers(LocalProvider(model.path), rows, most))
    labelled = bool(detect_labels([row.answer for row in gathered.split_rows("train")]))
    each = (lambda text, ref: float(normalize_spaces(text) == normalize_spaces(ref))) if labelled else word_f1
    values = np.array([each(text, row.answer) for text, row in zip(texts, rows, strict=True)])
    return estimate_mean(values, clusters=np.array([row.group for row in rows]))


def generate_answers(provider: LocalProvider, rows: Sequence[SnapshotRow], max_tokens: int) -> list[str]:
    """Generate a local model's answers; an empty one to a prompt that doesn't fit into its context."""
    fitting = [row for row in rows if provider.fits(prompt_messages(row))]
    given = provider.write([prompt_messages(row) for row in fitting], max_tokens=max_tokens)
    by_id = {row.id: text for row, text in zip(fitting, given, strict=True)}
    return [by_id.get(row.id, "") for row in rows]
