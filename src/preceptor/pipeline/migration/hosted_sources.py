"""Fetch a hosted fine-tuning job with its files, import the rows, and split them.

A source is a hosted job with its files, as a service lists it, or training files alone. Rows that can be trained on here are imported as
items and split; the others are left out and counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFoundError, UserError
from preceptor.formats import read
from preceptor.formats.durable_files import atomic_write, read_json
from preceptor.generation import OpenAIClient
from preceptor.jobs.preference_files import OUTPUT_FIELDS, parse_preference
from preceptor.jobs.training_files import (
    MIN_TRAINING_EXAMPLES,
    find_completion_judgments,
    import_examples,
    parse_conversation,
    target_answer,
)
from preceptor.storage.snapshot_rows import SnapshotRow, build_text_rows
from preceptor.types import Item

if TYPE_CHECKING:
    from preceptor.project import Project


@dataclass(frozen=True)
class HostedSource:
    """A hosted model to replace.

    folder: where everything that belongs to it is stored. job: as the service describes it, empty without one. files: by role (train,
    validation) the id of a file at the service. local_files: by role the user's own files, which take precedence. unsupported_reason: why
    it can't be migrated, if it can't.
    """

    name: str
    folder: Path
    job: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    local_files: Mapping[str, Path] = field(default_factory=dict)
    unsupported_reason: str = ""

    @property
    def hosted_model(self) -> str:
        """The tuned model's name at the service; empty when there is none."""
        return str(self.job.get("fine_tuned_model") or "")

    @property
    def method(self) -> str:
        """How the model was trained: supervised, dpo, or another method that can't be migrated."""
        return str((self.job.get("method") or {}).get("type") or "supervised")

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """The hyperparameters of the job."""
        method = self.job.get("method") or {}
        return (method.get(self.method) or {}).get("hyperparameters") or self.job.get("hyperparameters") or {}

    def parse_row(self, row: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Parse a line of its files as turns up to the wanted answer, of two the preferred one.

        Raises UserError with its first fault.
        """
        if self.method != "dpo":
            return parse_conversation(row)
        found = parse_preference(row)
        return [*found.messages, {"role": "assistant", "content": found.preferred}]

    def file_path(self, role: str) -> Path:
        """Return where a file is, or will be."""
        return self.local_files.get(role) or self.folder.parent / "files" / f"{self.files[role]}.jsonl"

    def file_roles(self) -> list[str]:
        """Return the roles of the files that exist."""
        return [role for role in ("train", "validation") if role in self.local_files or role in self.files]

    def with_local_files(self, here: Mapping[str, Path]) -> HostedSource:
        """Return the source with the user's own files in place of those at the service."""
        return replace(self, local_files={**self.local_files, **here})


def list_hosted_sources(service: OpenAIClient, root: Path, wanted: Sequence[str] = ()) -> list[HostedSource]:
    """List the service's jobs, all or those wanted by id or by their model's name, and those fetched before that it no longer lists.

    Raises NotFoundError for one that is in neither place.
    """
    jobs = [job.model_dump(mode="json") for job in service.list_jobs()]
    kept = [read_json(path) for path in sorted(root.glob("*/job.json"))]
    jobs += [job for job in kept if job.get("id") and all(job["id"] != each["id"] for each in jobs)]
    if unknown := [name for name in wanted if not any(name in (job["id"], job["fine_tuned_model"]) for job in jobs)]:
        known = ", ".join(job["id"] for job in jobs[:10]) or "none"
        raise NotFoundError(f"no fine-tuning job is called {unknown[0]!r} at {service.address}", f"jobs there: {known}")
    return [_source_from_job(job, root) for job in jobs if not wanted or job["id"] in wanted or job["fine_tuned_model"] in wanted]


def local_source(root: Path, train: Path, validation: Path | None = None, *, name: str = "") -> HostedSource:
    """Build a source from training files alone.

    name: the hosted model's name, if the successor is to keep it. Raises UserError where a file doesn't exist.
    """
    here = {"train": train, **({"validation": validation} if validation else {})}
    for path in here.values():
        if not path.is_file():
            raise UserError("no such file", "name the file with which the model was trained", where=str(path))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in here.values())).hexdigest()[:16]
    job = {"fine_tuned_model": name or None, "method": {"type": "dpo" if _is_preference_file(train) else "supervised"}}
    return HostedSource(name or train.name, root / f"files-{digest}", job, local_files=here)


def _is_preference_file(path: Path) -> bool:
    try:
        return any(side in row for row in islice(read(path, "jsonl"), 1) for side in OUTPUT_FIELDS)
    except UserError:
        return False  # its faults are reported when it is imported


def fetch_source(service: OpenAIClient, source: HostedSource) -> None:
    """Download a job's description and its files; files that exist already aren't fetched.

    Raises UserError for a file that was deleted.
    """
    source.folder.mkdir(parents=True, exist_ok=True)
    for role in source.file_roles():
        path = source.file_path(role)
        if path.exists():
            continue
        id_ = source.files[role]
        try:
            data = service.download_file(id_, service.get_file(id_).bytes)
        except NotFoundError:
            message = f"the {role} file {id_} of {source.name} was deleted at {service.address}"
            raise UserError(message, f"give your own copy: --{role} FILE") from None
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(data)
    with atomic_write(source.folder / "job.json", "w") as file:
        json.dump(dict(source.job), file, indent=2, ensure_ascii=False)


def list_source_files(service: OpenAIClient | None, source: HostedSource) -> Iterator[dict[str, Any]]:
    """Yield each file's role, name and bytes, and whether it is here; `missing` where it was deleted."""
    for role in source.file_roles():
        path = source.file_path(role)
        if path.exists():
            yield {"role": role, "file": source.files.get(role, path.name), "bytes": path.stat().st_size, "here": True}
            continue
        assert service is not None  # the user's own files exist here
        try:
            known = service.get_file(source.files[role])
            yield {"role": role, "file": known.id, "name": known.filename, "bytes": known.bytes, "here": False}
        except NotFoundError:
            yield {"role": role, "file": source.files[role], "bytes": 0, "here": False, "missing": True}


def _source_from_job(job: Mapping[str, Any], root: Path) -> HostedSource:
    ids = {"train": job.get("training_file"), "validation": job.get("validation_file")}
    files = {role: str(id_) for role, id_ in ids.items() if id_}
    return HostedSource(job["id"], root / job["id"], job, files, unsupported_reason=_unsupported_reason(job, files))


def _unsupported_reason(job: Mapping[str, Any], files: Mapping[str, str]) -> str:
    method = HostedSource("", Path(), job).method
    if job["status"] != "succeeded":
        return f"it is {job['status'].replace('_', ' ')}" if job["status"] != "failed" else "it failed"
    if method not in ("supervised", "dpo"):
        return f"it was trained by {method}, which can't be moved yet"
    return "" if "train" in files else "it names no training file"


_SPLIT_FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}  # of a training file without a validation file
_VALIDATION_FRACTIONS = {"train": 0.5, "validation": 0.5}  # of a validation file: one half for model selection, the other for testing
_DUPLICATE_REASON = "repeats another line"
_PREFERENCE_NOTE = (
    "The hosted model was tuned by dpo. Its successor learns the same preferences, and, from a base that hasn't learnt such answers "
    "before, the preferred ones too; it is measured by these."
)
_MIN_VALIDATION_ROWS = 10  # the fewest rows of a validation file that is split


@dataclass(frozen=True)
class MigrationData:
    """The imported rows of a source.

    train_items: items to train on by id; rows: with their splits; manifest_fields: of the snapshot; excluded: how many lines were left out
    by reason; notes: what a reader of the report must know.
    """

    train_items: Mapping[str, Item]
    rows: tuple[SnapshotRow, ...]
    manifest_fields: Mapping[str, Any]
    excluded: Mapping[str, int]
    notes: tuple[str, ...]

    def split_rows(self, split: str) -> list[SnapshotRow]:
        """Return the rows of a split."""
        return [row for row in self.rows if row.split == split]


def import_source_rows(project: Project, source: HostedSource) -> MigrationData:
    """Import a model's files and split their rows; the same files again change nothing.

    With a validation file, half of it is for testing and half for model selection. Without one, a fifth of the training file is held out
    for both, which the hosted model was trained on and its successor isn't. Raises UserError where too few rows can be trained on.
    """
    left_out: Counter[str] = Counter()
    source.folder.mkdir(parents=True, exist_ok=True)
    train = _import_usable_rows(project, source, "train", left_out)
    held = _import_usable_rows(project, source, "validation", left_out) if "validation" in source.file_roles() else {}
    if len(train) < MIN_TRAINING_EXAMPLES:
        reasons = "; ".join(f"{number} × {why}" for why, number in left_out.most_common(3) if number)
        raise UserError(
            f"{source.name}: {len(train)} rows can be learnt here, and at least {MIN_TRAINING_EXAMPLES} are needed ({reasons})", "add rows"
        )
    words = [_PREFERENCE_NOTE] if source.method == "dpo" else []
    words += [f"{repeats:,} lines repeat others, and are learnt once."] if (repeats := left_out.pop(_DUPLICATE_REASON, 0)) else []
    if shared := train.keys() & held.keys():
        words.append(f"{len(shared):,} rows of the validation file stand in the training file too, and measure nothing.")
        held = {id_: item for id_, item in held.items() if id_ not in shared}
    if 0 < len(held) < _MIN_VALIDATION_ROWS:
        words.append(f"The validation file has {len(held)} rows, too few to be parted: they are learnt, like the others.")
        train, held = {**train, **held}, {}
    if held:
        rows, about = build_completion_rows(project, train, {"train": 1.0})
        drawn, more = build_completion_rows(project, held, _VALIDATION_FRACTIONS)
        sides = {"train": "validation", "validation": "test"}
        rows += [replace(row, split=sides[row.split]) for row in drawn]
        about = {**about, "seed": more["seed"]}
    else:
        rows, about = build_completion_rows(project, train, _SPLIT_FRACTIONS)
        words.append(
            "There was no validation file: a fifth of the training file is held out."
            + (
                f" {source.hosted_model} has learnt those rows, and its successor hasn't: a comparison favours the former."
                if source.job.get("id")
                else ""
            )
        )
    return MigrationData(train, tuple(rows), about, dict(left_out), tuple(words))


def build_completion_rows(
    project: Project, items: Mapping[str, Item], fractions: Mapping[str, float]
) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Build the rows of items that end with their answers, and the fields of their manifest."""
    texts = {id_: target_answer(item) for id_, item in items.items()}
    return build_text_rows(
        items.values(), texts, find_completion_judgments(project, items.keys()), fractions=fractions, seed=None, all_turns=True
    )


def write_training_lines(path: Path, rows: Any) -> None:
    """Write a file of training rows, whole or not at all."""
    with atomic_write(path) as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _import_usable_rows(project: Project, source: HostedSource, role: str, left_out: Counter[str]) -> dict[str, Item]:
    """Import a file's usable rows as items."""
    usable = source.folder / f"{role}.jsonl"
    fitting = []
    for row in read(source.file_path(role), "jsonl"):
        try:
            fitting.append({"messages": source.parse_row(row)})
        except UserError as fault:
            left_out[_exclusion_reason(fault)] += 1
    write_training_lines(usable, fitting)
    taken = import_examples(project, usable, f"{source.name} ({role})") if fitting else {}
    if source.method == "supervised":  # a preferred answer may be paired with several others
        left_out[_DUPLICATE_REASON] += len(fitting) - len(taken)
    return taken


def _exclusion_reason(fault: UserError) -> str:
    """Return why a row can't be trained on, in the same words for the same reason wherever it occurs."""
    field = re.sub(r"\[\d+\]", "[…]", fault.where)
    return f"{field}: {fault.message}" if field else fault.message
