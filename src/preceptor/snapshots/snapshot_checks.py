"""Run the quality checks of a snapshot and cache their findings.

A finding holds suspect rows with a reason each, a chart where one helps, and one action to take. The checks share a context of the
snapshot's rows with everything that several checks need of them, each computed once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from preceptor.annotation.row_parser import CONTENT_FIELDS, EXTRA_CONTENT_FIELDS, parse_item
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.durable_files import atomic_write, dump_sealed_json, load_sealed_json
from preceptor.model_ancestry import resolve_base_folder
from preceptor.quality import DuplicateClusters, find_near_duplicates
from preceptor.quality.leakage import TEMPLATE_SHARE
from preceptor.registry import suggest_name
from preceptor.storage import annotation_stats
from preceptor.storage.snapshot_rows import SPLITS, SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.training import TrainingProgress
from preceptor.types import FloatArray, render_content, strip_answer

if TYPE_CHECKING:
    from preceptor.project import Project


FINDING_ACTIONS = {
    "experts": "put them before experts",
    "merge": "merge them into one",
    "drop": "leave them out",
    "mask": "mask it",
    "none": "",
}


@dataclass(frozen=True, slots=True)
class SuspectRow:
    """A row that a check found.

    score: the highest comes first. others: items that it concerns beside its own. document: what else the check reports.
    """

    item: str
    reason: str
    score: float = 0.0
    others: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CheckChart:
    """An inline SVG chart with its title, and a sentence or two on how to read it."""

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class CheckFinding:
    """The result of one check: a summary in words, how many rows, which, and the action to take (a key of FINDING_ACTIONS).

    found: the number of suspect rows. drawings: charts.
    """

    check: str
    title: str
    summary: str
    found: int
    rows: Sequence[SuspectRow] = ()
    action: str = "none"
    drawings: Sequence[CheckChart] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as a JSON object."""
        return {
            "check": self.check,
            "title": self.title,
            "summary": self.summary,
            "found": self.found,
            "action": self.action,
            "rows": [
                {"item": row.item, "reason": row.reason, "score": row.score, "others": list(row.others), "document": dict(row.document)}
                for row in self.rows
            ],
            "drawings": [{"title": each.title, "svg": str(each.svg), "caption": each.caption} for each in self.drawings],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the finding that `to_dict` turned into this object."""
        rows = tuple(SuspectRow(**{**row, "others": tuple(row["others"])}) for row in value["rows"])
        drawings = tuple(CheckChart(**each) for each in value["drawings"])
        return cls(**{**value, "rows": rows, "drawings": drawings})


@dataclass(frozen=True)
class SnapshotCheckResult:
    """The results of all checks of a snapshot.

    skipped: checks that couldn't be made, each with the reason. seconds: how long the checks took this time.
    """

    snapshot: str
    question: str
    rows: int
    findings: Sequence[CheckFinding]
    skipped: Mapping[str, str]
    seconds: float

    def get_finding(self, check: str) -> CheckFinding:
        """Return the finding of one check; raises UserError where it wasn't made."""
        for each in self.findings:
            if each.check == check:
                return each
        if check in self.skipped:
            raise UserError(f"{check} wasn't looked for: {self.skipped[check]}")
        known = [each.check for each in self.findings]
        raise UserError(f"no check is called {check!r}{suggest_name(check, known)}", f"checks: {', '.join(known)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON object."""
        return {
            "snapshot": self.snapshot,
            "question": self.question,
            "rows": self.rows,
            "findings": [each.to_dict() for each in self.findings],
            "skipped": dict(self.skipped),
            "seconds": self.seconds,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Self:
        """Return the result that `to_dict` turned into this object."""
        return cls(**{**value, "findings": tuple(map(CheckFinding.from_dict, value["findings"]))})


def make_excerpt(text: str, most: int = 120) -> str:
    """Return the beginning of a text on one line."""
    words = " ".join(text[: 4 * most].split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def format_row_share(count: int, of: int) -> str:
    """Return a count of rows as text: `12 of 1,000 rows`."""
    return f"{count:,} of {of:,} row{'' if of == 1 else 's'}"


_DEFAULT_ENCODER = "minilm"  # the encoder whose vectors predict answers, unless another base is named
CheckProgress = Callable[[int, int], None]


@dataclass(eq=False)
class CheckContext:
    """A snapshot under check, with what several checks need of it.

    base: the model that it is checked for, if any. live_texts: texts that a model meets in use, where given, and live_name: their file.
    with_vectors: whether texts may be encoded, which takes minutes.
    """

    project: Project
    snapshot: Snapshot
    base: str | None = None
    live_texts: Sequence[str] = ()
    live_name: str = ""
    with_vectors: bool = True
    report_progress: CheckProgress = field(default=lambda done, total: None)

    @cached_property
    def rows(self) -> list[SnapshotRow]:
        return list(self.snapshot.rows())

    @cached_property
    def by_id(self) -> dict[str, SnapshotRow]:
        return {row.id: row for row in self.rows}

    @cached_property
    def texts(self) -> list[str]:
        return [row.text for row in self.rows]

    @cached_property
    def clusters(self) -> DuplicateClusters:
        return find_near_duplicates(self.texts)

    @cached_property
    def duplicate_groups(self) -> list[tuple[int, ...]]:
        """The clusters of duplicates by the positions of their rows.

        A cluster of more than a fifth of the rows is a template, and left out.
        """
        return [rows for rows in self.clusters.members() if len(rows) <= max(TEMPLATE_SHARE * len(self.rows), 2)]

    @cached_property
    def split_indices(self) -> dict[str, list[int]]:
        """The positions of each split's rows."""
        return {side: [at for at, row in enumerate(self.rows) if row.split == side] for side in SPLITS}

    @cached_property
    def held_out_indices(self) -> list[int]:
        """The positions of rows that aren't trained on."""
        return [at for at, row in enumerate(self.rows) if row.split != "train"]

    @cached_property
    def vectors(self) -> FloatArray:
        """One vector for each text, by an encoder; stored in the project's folder, since a large set takes minutes."""
        return self.encode_texts(self.texts)

    def encode_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of any texts, by the same encoder; raises UserError where vectors aren't wanted."""
        from preceptor.training.logistic_regression import cached_text_vectors

        if not self.with_vectors:
            raise UserError("it needs vectors of the texts, which weren't wanted")
        return cached_text_vectors(resolve_base_folder(self.project, self.encoder), texts, self.project.folder / "checks" / "vectors")

    @cached_property
    def encoder(self) -> str:
        """The encoder of the texts: the base that is checked for where it is an encoder, else MiniLM."""
        return str(self.base) if self.base and self.is_encoder else _DEFAULT_ENCODER

    @cached_property
    def is_encoder(self) -> bool:
        """Whether the base is an encoder, which reads a whole text at once, and doesn't generate."""
        return self.base is not None and _is_encoder_folder(resolve_base_folder(self.project, self.base))

    @property
    def has_single_label(self) -> bool:
        """Whether one of several answers is right for each row, so that a model can predict it."""
        return self.snapshot.target_kind in ("nominal", "ordinal") and len(self.snapshot.answers) > 1


def _is_encoder_folder(folder: Path) -> bool:
    """Tell whether a base is an encoder, which reads a whole text at once."""
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    named = " ".join(config.get("architectures") or ())
    return not ("CausalLM" in named or "LMHead" in named or config.get("is_encoder_decoder", False) or config.get("is_decoder", False))


_CHECKS_VERSION = 1  # of the findings' form: cached findings of another version are ignored
CheckListener = Callable[[TrainingProgress], None]


@dataclass(frozen=True)
class SnapshotCheck:
    """A check of a snapshot.

    function: what runs it, as `module:name` in this package. finding_names: the findings that it makes. depends_on: what besides the
    rows its result depends on: "base", "live", "judgments".
    """

    title: str
    function: str
    finding_names: tuple[str, ...]
    depends_on: frozenset[str] = frozenset()

    def run(self, subject: CheckContext) -> Sequence[CheckFinding]:
        """Run the check and return its findings."""
        module, _, name = self.function.partition(":")
        found = getattr(import_module(f"preceptor.snapshots.{module}"), name)(subject)
        return [found] if isinstance(found, CheckFinding) else list(found)


_SNAPSHOT_CHECKS = (
    SnapshotCheck("duplicates", "text_checks:check_duplicates", ("duplicates",)),
    SnapshotCheck("groups", "text_checks:check_groups", ("groups",)),
    SnapshotCheck("leaks", "text_checks:check_leakage", ("leaks", "quotes")),
    SnapshotCheck("forms", "text_checks:check_templates", ("templates",)),
    SnapshotCheck("personal data", "text_checks:check_personal_data", ("personal",)),
    SnapshotCheck("label errors", "model_checks:check_labels", ("labels",), frozenset({"base"})),
    SnapshotCheck("people", "annotator_checks:check_annotators", ("people",), frozenset({"judgments"})),
    SnapshotCheck("batches", "distribution_checks:check_batches", ("batches",)),
    SnapshotCheck("live inputs", "distribution_checks:check_live_inputs", ("live",), frozenset({"live", "base"})),
    SnapshotCheck("lengths for the base", "model_checks:check_truncation", ("truncation",), frozenset({"base"})),
    SnapshotCheck("balance", "distribution_checks:check_answer_balance", ("balance",)),
    SnapshotCheck("undecided rows", "text_checks:check_undecided_rows", ("undecided",)),
    SnapshotCheck("empty rows", "text_checks:check_empty_rows", ("empty",)),
)
CHECK_NAMES = tuple(name for check in _SNAPSHOT_CHECKS for name in check.finding_names)


def run_checks(
    project: Project,
    snapshot: Snapshot,
    *,
    base: str | None = None,
    live: str | Path | None = None,
    only: Collection[str] = (),
    vectors: bool = True,
    progress: CheckListener | None = None,
) -> SnapshotCheckResult:
    """Run all checks of a snapshot, or those whose findings are named in `only`, and return the result; nothing is changed.

    base: the model that the snapshot is to train: its vectors, where it is an encoder, predict answers, and its limits decide what is cut.
    live: a file of texts that a model meets in use.
    vectors: whether checks that need vectors of the texts, which take minutes, are made. A check that can't be made gives the reason, and
    the others go on.
    """
    began = time.monotonic()
    for name in only:
        if name not in CHECK_NAMES:
            raise UserError(f"no check is called {name!r}{suggest_name(name, CHECK_NAMES)}", f"checks: {', '.join(CHECK_NAMES)}")
    subject = CheckContext(project, snapshot, base, *_read_live_inputs(live), with_vectors=vectors)
    findings: list[CheckFinding] = []
    skipped: dict[str, str] = {}
    chosen = [each for each in _SNAPSHOT_CHECKS if not only or set(each.finding_names) & set(only)]
    for each in chosen:
        subject.report_progress = _stage_progress(progress, each.title)
        subject.report_progress(0, 1)
        try:
            made = _run_cached(each, subject)
        except UserError as error:
            skipped |= dict.fromkeys(each.finding_names, error.message)
            continue
        findings += [finding for finding in made if not only or finding.check in only]
    if only and not findings and skipped:
        raise UserError("; ".join(dict.fromkeys(skipped.values())))
    took = time.monotonic() - began
    found = SnapshotCheckResult(snapshot.digest, snapshot.question["name"], snapshot.manifest["count"], findings, skipped, took)
    if not only and live is None and vectors:
        _write_cached(_result_path(project, snapshot, base), found.to_dict())
    return found


def load_check_result(project: Project, snapshot: Snapshot, base: str | None) -> SnapshotCheckResult | None:
    """Load the newest result of all checks of a snapshot, whatever was judged since; None where there is none."""
    try:
        return SnapshotCheckResult.from_dict(load_sealed_json(_result_path(project, snapshot, base).read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _result_path(project: Project, snapshot: Snapshot, base: str | None) -> Path:
    state = hashlib.sha256(json.dumps([_CHECKS_VERSION, base]).encode()).hexdigest()[:16]
    return project.folder / "checks" / snapshot.digest / f"all-{state}.json"


def _write_cached(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(dump_sealed_json(document))


def _run_cached(made: SnapshotCheck, subject: CheckContext) -> Sequence[CheckFinding]:
    """Return a check's cached findings, where nothing that they depend on has changed; else run it and cache them."""
    path = subject.project.folder / "checks" / subject.snapshot.digest / f"{made.finding_names[0]}-{_digest_state(made, subject)}.json"
    try:
        return [CheckFinding.from_dict(each) for each in load_sealed_json(path.read_bytes())]
    except (OSError, ValueError, KeyError, TypeError):
        found = [_add_row_details(each, subject) for each in made.run(subject)]
    _write_cached(path, [each.to_dict() for each in found])
    return found


def _add_row_details(finding: CheckFinding, subject: CheckContext) -> CheckFinding:
    """Return the finding with the split of each of its rows, and its answer where that is one of few."""
    held = subject.by_id

    def more(suspect: SuspectRow) -> dict[str, Any]:
        row = held[suspect.item]
        said = {"answer": row.answer, "probability": max(row.target.values())} if subject.snapshot.answers else {}
        return {**said, "split": row.split, **suspect.document}

    return replace(finding, rows=tuple(replace(each, document=more(each)) if each.item in held else each for each in finding.rows))


def _digest_state(made: SnapshotCheck, subject: CheckContext) -> str:
    """Return a digest of what the result of a check depends on besides the rows."""
    parts: dict[str, Any] = {"version": _CHECKS_VERSION}
    if "base" in made.depends_on:
        parts["base"] = subject.base
    if "live" in made.depends_on:
        parts["live"] = hashlib.sha256("\0".join(subject.live_texts).encode("utf-8", "surrogatepass")).hexdigest()
    if "judgments" in made.depends_on:
        with subject.project.database.reading() as connection:
            parts["judgments"] = annotation_stats.annotation_version(connection)
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _read_live_inputs(live: str | Path | None) -> tuple[Sequence[str], str]:
    """Return the texts of a file of inputs, and its name; UserError where it has none."""
    if live is None:
        return (), ""
    rows = read(live)
    texts = [render_content(strip_answer(_parse_live_content(row, rows.where))) for row in rows]
    if not texts:
        raise UserError(f"{Path(live).name} holds no inputs", "a file of what a model meets in use: a text, prompt or messages a row")
    return texts, Path(live).name


def _parse_live_content(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """Return the content of a live input; a row of a single column is its text, whatever the column's name."""
    if len(row) == 1 and not set(row) & set(CONTENT_FIELDS):
        row = {"text": next(iter(row.values()))}
    return parse_item(
        {name: row[name] for name in (*CONTENT_FIELDS, *EXTRA_CONTENT_FIELDS) if row.get(name) is not None}, where=where
    ).content


def _stage_progress(progress: CheckListener | None, stage: str) -> Callable[[int, int], None]:
    def tell(done: int, total: int) -> None:
        if progress is not None:
            progress(TrainingProgress(stage, done, total))

    return tell
