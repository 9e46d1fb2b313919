"""Migrate a hosted fine-tuned model: fetch, distill, train, compare, ask people, and serve the successor under its name.

Code that asks for the hosted model gets the successor, once it uses this server's address. Steps that an earlier start has finished are not
repeated.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from preceptor.annotation.access_control import AccessControl
from preceptor.errors import NotFoundError, UserError
from preceptor.formats.file_lock import exclusive_lock
from preceptor.generation import AnswerStore, HostedProvider, OpenAIClient
from preceptor.jobs.fine_tuning_runner import FINE_TUNING_METHODS
from preceptor.jobs.fine_tuning_runner import recipe_options as usual_options
from preceptor.pipeline.migration import successor_comparison
from preceptor.pipeline.migration.hosted_sources import HostedSource, MigrationData, fetch_source, import_source_rows
from preceptor.pipeline.migration.migration_plan import propose_base
from preceptor.pipeline.migration.successor_comparison import SuccessorComparison, compare_successor, estimate_monthly_cost
from preceptor.pipeline.migration.successor_training import (
    SuccessorVariant,
    TeacherAnswers,
    collect_teacher_answers,
    prompt_messages,
    select_teacher_rows,
    teacher_settings,
    train_successors,
)
from preceptor.planning.prices import LISTED_PRICES, TokenPrice, find_price
from preceptor.release import lineage
from preceptor.reporting.report import Report
from preceptor.runs import evaluation, parity_check
from preceptor.storage import events, jobs
from preceptor.storage.snapshot_rows import SPLITS
from preceptor.training import TrainingProgress
from preceptor.types import Model

if TYPE_CHECKING:
    from preceptor.project import Project


_PROGRAM_SCOPES = ("chat", "train")


@dataclass(frozen=True)
class _AdoptedModel:
    """The name that the successor is served under, the application that it belongs to, and its token; empty where it was issued before."""

    name: str
    program: str
    token: str


def _successor_name(project: Project, source: HostedSource, model: Model, base: str) -> str:
    """Return the name that the successor is served under: the hosted model's, or one of that form."""
    return source.hosted_model or f"ft:{base}:{project.config.name}::{model.id}"


def _program_name(source: HostedSource) -> str:
    """Return the name of the application whose code asked for the hosted model; the successor belongs to it."""
    return f"code of {source.name}"[:200]


def _adopt_successor(project: Project, source: HostedSource, model: Model, base: str) -> _AdoptedModel:
    """Record a finished job under the hosted model's name whose model is the successor; the latest successor is active.

    Its token is the application's own, and shown only once. Everybody else may chat with the successor when it is released.
    """
    name, program = _successor_name(project, source, model, base), _program_name(source)
    with project.database.reading() as connection:
        known = next(
            (row["id"] for row in jobs.list_with_models(connection) if json.loads(row["document"]).get("source") == source.name), None
        )
    if known is not None:
        with project.database.writing() as connection:
            jobs.update_fields(connection, known, model=model.id, fine_tuned_model=name)
        return _AdoptedModel(name, program, "")
    access = AccessControl(project)
    token = access.issue_application_token(program, _PROGRAM_SCOPES, by="migration")["token"]
    visitor = access.authenticate_token(token)
    assert visitor is not None  # it was issued a moment ago
    document: dict[str, Any] = {
        "base": base, "method": source.method, "hyperparameters": dict(source.hyperparameters), "suffix": None,
        "seed": int(source.job.get("seed") or 0),
        "metadata": None, "fine_tuned_model": name, "trained_tokens": source.job.get("trained_tokens"),
        "result_files": [], "source": source.name,
    }  # fmt: skip
    with project.database.writing() as connection:
        row = jobs.add(
            connection, jobs.FINE_TUNING, "running", document, prefix="ftjob", credential=visitor.credential,
            training_file=source.files.get("train", source.file_path("train").name), validation_file=source.files.get("validation"),
        )  # fmt: skip
        jobs.transition(connection, row["id"], "succeeded", of=("running",))
        jobs.update_fields(connection, row["id"], model=model.id)
        jobs.add_event(connection, row["id"], f"Succeeds {source.hosted_model or source.name}")
        events.record_event(connection, "model adopted", {"job": row["id"], "model": model.id, "name": name})
    return _AdoptedModel(name, program, token)


def _client_settings_lines(project: Project, adopted: _AdoptedModel) -> list[str]:
    """Return the three lines that client code changes: the address, the key, and the model."""
    handed_out = f"the token that the first run showed, or a new one: preceptor people rotate {shlex.quote(adopted.program)} --by NAME"
    return [
        f'base_url="{project.address}/v1"',
        f'api_key="{adopted.token}"' if adopted.token else f"api_key=…  # {handed_out}",
        f'model="{adopted.name}"',
    ]


_BOUND_FIGURES = ("accuracy", "token_f1", "exact_match")  # the first of these that was measured is bounded
TrainOnChoice = Literal["rows", "teacher", "both", "best"]


@dataclass(frozen=True)
class HostedMigrationOptions:
    """Options of a migration.

    base: the model to start from; None: as `propose_base` chooses. teacher: ask the hosted model while it exists. train_on: the rows, its
    answers, both, or the best of the three on validation rows. max_cost: the most dollars for its answers in all. prices: by the prefix of
    a model's name. requests: a month. ask: pairs of answers to queue for annotation. margin: how much worse than the hosted model, as a
    difference of shares, the successor may be (of non-inferiority). options: of the recipe `sft`.
    """

    base: str | None = None
    teacher: bool = False
    train_on: TrainOnChoice = "best"
    max_cost: float = 0.0
    prices: Mapping[str, TokenPrice] | None = None
    requests: int = 100_000
    ask: int = 50
    margin: float = 0.05
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asks_training_rows(self) -> bool:
        """Whether the hosted model also answers the prompts of the training rows."""
        return self.teacher and self.train_on != "rows"

    def for_source(self, source: HostedSource) -> HostedMigrationOptions:
        """Return the options for this model.

        One tuned on preferences has a successor trained on them, and its answers aren't trained on.
        """
        return replace(self, train_on="rows") if source.method == "dpo" else self


@dataclass(frozen=True)
class HostedMigrationResult:
    """A report, the path of its page, and the three lines that client code changes: the one with the token is stored nowhere else."""

    report: Report
    page: Path
    client_settings: Sequence[str]


def migrate_hosted_model(
    project: Project,
    source: HostedSource,
    service: OpenAIClient | None,
    settings: HostedMigrationOptions,
    tell: Callable[[TrainingProgress], None] = lambda step: None,
) -> HostedMigrationResult:
    """Migrate a hosted model: fetch, distill, train, compare, ask people; return the report, also saved in the source's folder.

    service: None for files alone. Raises UserError where it isn't possible, with everything kept that was done.
    """
    if source.unsupported_reason:
        raise UserError(f"{source.name} can't be moved: {source.unsupported_reason}", "name another job")
    base, settings = propose_base(settings.base).base, settings.for_source(source)
    refusal = UserError(f"another process moves {source.folder.name} already", "wait for it to end")
    with exclusive_lock(source.folder / "lock", refusal):  # two at once would pay twice
        if service is not None:
            fetch_source(service, source)
        gathered = import_source_rows(project, source)
        taught, price, words = _ask_teacher(project, source, service, settings, gathered, tell)
        seed, options = int(source.job.get("seed") or 0), _training_options(source, settings)
        variants = train_successors(project, source, gathered, taught, settings.train_on, base, seed=seed, options=options, tell=tell)
        proved = parity_check.require_parity(project, variants[0].model, None)
        weighed = compare_successor(variants[0].model, base, gathered, taught, source.folder)
        asked = successor_comparison.queue_answer_pairs(project, source.name, weighed, settings.ask)
        name = _successor_name(project, source, variants[0].model, base)
        moved = {
            "source": source.name, "hosted": source.hosted_model or None, "base": base, **_row_counts_section(gathered),
            **_variants_section(taught, variants),
            "form": weighed.sections["form"] or None,
            "month": estimate_monthly_cost(weighed, taught, price, settings.requests, project.config.cost.machine_hour),
            "asked": asked, "question": successor_comparison.successor_question_name(source.name) if asked else None,
            "people": successor_comparison.estimate_preference(project, source.name),
            "summary": [*gathered.notes, *words], "lines": _client_settings_lines(project, _AdoptedModel(name, _program_name(source), "")),
        }  # fmt: skip
        document = {**_report_document(project, source, variants[0], weighed), "parity": proved, "migration": moved}
        document["bounds"] = _successor_bounds(weighed, settings.margin)
        report = evaluation.store_report(project, variants[0].model, variants[0].snapshot, document, "test")
        report.save_json(source.folder / "report.json")
        report.save_html(source.folder / "report.html")
        adopted = _adopt_successor(project, source, variants[0].model, base)  # last, for its token is shown once
    return HostedMigrationResult(report, source.folder / "report.html", _client_settings_lines(project, adopted))


def _ask_teacher(
    project: Project,
    source: HostedSource,
    service: OpenAIClient | None,
    settings: HostedMigrationOptions,
    gathered: MigrationData,
    tell: Callable[[TrainingProgress], None],
) -> tuple[TeacherAnswers | None, TokenPrice | None, list[str]]:
    """Return the hosted model's answers with their price, or none, and why."""
    if service is None or not source.hosted_model:
        return None, None, ["There is no hosted model to ask: the successor is measured beside its base."]
    if not settings.teacher:
        return None, None, ["The hosted model was not asked (--teacher): the successor is measured beside its base."]
    price, answered = find_price(source.hosted_model, settings.prices or LISTED_PRICES), AnswerStore(source.folder / "answers.jsonl")
    provider = HostedProvider(source.hosted_model, service, answered, price=price, most=settings.max_cost)
    asked = select_teacher_rows(gathered, training=settings.asks_training_rows)
    missing = provider.estimate_cost([prompt_messages(row) for row in asked], teacher_settings(gathered)).requests
    try:
        if missing and not service.has_model(source.hosted_model):
            raise NotFoundError(f"{source.hosted_model} isn't at {service.address} any more")
        return collect_teacher_answers(project, source, provider, gathered, training=settings.asks_training_rows, tell=tell), price, []
    except NotFoundError as fault:
        if missing < len(asked):
            kept = f"{len(asked) - missing:,} of {len(asked):,} answers are here"
            raise UserError(f"{fault.message}, and {kept}", "--train-on rows needs those to the held-out rows only") from None
        return None, None, [f"{fault.message}: it goes on without a teacher, and the successor is measured beside its base."]


def _training_options(source: HostedSource, settings: HostedMigrationOptions) -> dict[str, Any]:
    """Return the recipe's options: the job's epochs; batch size and learning rate belong to another model, and are chosen again."""
    epochs = source.hyperparameters.get("n_epochs", "auto")
    return {**usual_options({"n_epochs": epochs}, FINE_TUNING_METHODS[source.method].recipe), **settings.options}


def _row_counts_section(gathered: MigrationData) -> dict[str, Any]:
    """Return how many rows each split has, and how many were left out by reason."""
    counts = {side: len(gathered.split_rows(side)) for side in SPLITS}
    return {"rows": {**counts, "left_out": dict(gathered.excluded)}}


def _variants_section(taught: TeacherAnswers | None, variants: list[SuccessorVariant]) -> dict[str, Any]:
    """Return what the hosted model answered, and what was trained on it; the first variant is the one taken."""
    given = taught and {"answers": len(taught.answers), "empty": taught.empty_count, "paid": taught.cost, "again": taught.retried_count}
    trained = [
        {"train_on": each.train_on, "model": each.model.id, "score": each.score, "taken": each is variants[0]} for each in variants
    ]  # fmt: skip
    return {"teacher": given, "variants": trained}


def _successor_bounds(weighed: SuccessorComparison, margin: float) -> list[str]:
    """Return the bounds that the successor must reach: not worse than the hosted model by more than the margin.

    Where the hosted model couldn't be asked, not worse than its base.
    """
    other = "hosted" if "hosted" in weighed.texts else "base"
    figure = next(name for name in _BOUND_FIGURES if f"tuned_minus_{other}_{name}" in weighed.sections["comparison"])
    return [f"tuned_minus_{other}_{figure}.low >= {-margin if other == 'hosted' else 0:g}"]


def _report_document(project: Project, source: HostedSource, best: SuccessorVariant, weighed: SuccessorComparison) -> dict[str, Any]:
    """Build the report's other sections."""
    traced = lineage.trace_lineage(project, best.model.id)
    sections = {name: weighed.sections[name] for name in ("models", "comparison", "examples")}
    return evaluation.build_report_header(project, best.snapshot) | {
        "title": f"{project.config.name}: the successor of {source.hosted_model or source.name}",
        "seed": best.model.manifest["seed"],
        "training": evaluation.build_training_section(best.model),
        **sections,
        "generation": {"rows": len(weighed.rows), "base": True},
        "cost": evaluation.measure_cost(project, best.model),
        "lineage": {
            "model": best.model.id, "weights": best.model.manifest["weights"], "snapshot": traced["snapshot"],
            "judgments": traced["judgments"]["count"], "annotators": len(traced["annotators"]),
        },
        "split": {"name": "test"},
    }  # fmt: skip
