"""Compose the services of a project: each method of `Project` is a few lines over the packages below."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.annotation import assignment, judgment_set, project_status, question_admin, redundancy
from preceptor.annotation.file_import import import_file
from preceptor.annotation.implicit_questions import is_implicit
from preceptor.annotation.import_report import ImportReport
from preceptor.annotation.row_parser import check_annotator_name, parse_identifier, parse_item, parse_seconds
from preceptor.annotation.table_import import ImportColumns, ImportSettings
from preceptor.errors import UserError
from preceptor.formats.reader import as_file_path
from preceptor.planning import target_judgment_counts
from preceptor.questions import check_follow_up, define_question, kinds
from preceptor.registry import suggest_name
from preceptor.release import data_export, gate, lineage, model_catalog
from preceptor.reporting.report import Report
from preceptor.runs import active_learning, comparison, evaluation, judgment_plan, prediction, suite_runner, training
from preceptor.runs.comparison import load_compared_answers
from preceptor.runs.human_feedback import FeedbackOptions
from preceptor.runs.suite_answers import is_answers_file
from preceptor.runs.training import TrainingListener
from preceptor.snapshots import curation, snapshot_checks
from preceptor.snapshots.builder import create_snapshot
from preceptor.storage import SlotAssignment, access, aliases, artifacts, events, gold, items, judgment_log, people, questions, slots
from preceptor.storage.snapshots import Snapshot
from preceptor.training.recipe import FeedbackRequester
from preceptor.types import Annotator, Consensus, Model, Question, Release
from preceptor.workspace import Workspace

if TYPE_CHECKING:
    from preceptor.annotation.service import AnnotationService
    from preceptor.documents.service import DocumentService
    from preceptor.monitoring.service import MonitoringService
    from preceptor.release.service import ReleaseService
    from preceptor.runs.service import EvaluationService, TrainingService
    from preceptor.snapshots.service import CurationService

_ADD_QUESTION_HINT = "add one: preceptor question add FILE"
DEFAULT_ADDRESS = "http://127.0.0.1:8000"  # where `serve` listens by default
RATER_ROLES = ("annotator", "reviewer", "expert", "owner")


class Project(Workspace):
    """A project in a folder with `preceptor.toml`, the database, and `objects/`: items, judgments, and all that is made from them.

    Everything that is made from judgments (consensus, snapshots, models, reports) can be deleted and made again.
    """

    # Services: the rest of what can be done with a project, by its part

    @cached_property
    def monitoring(self) -> MonitoringService:
        """What is served: logged answers, feedback, deferrals, confidence, live quality, drift."""
        from preceptor.monitoring.service import MonitoringService

        return MonitoringService(self)

    @cached_property
    def releases(self) -> ReleaseService:
        """Releases: the gate, aliases, what can be served, export, and what is taken back or erased."""
        from preceptor.release.service import ReleaseService

        return ReleaseService(self)

    @cached_property
    def documents(self) -> DocumentService:
        """Documents: the library, answers that are grounded in it, and how well passages are found."""
        from preceptor.documents.service import DocumentService

        return DocumentService(self)

    @cached_property
    def curation(self) -> CurationService:
        """The care of the data: experts' decisions, checks of snapshots, and what is done about the findings."""
        from preceptor.snapshots.service import CurationService

        return CurationService(self)

    @cached_property
    def training(self) -> TrainingService:
        """Training beside `train`: which recipe, what a run would read, runs again, predictions."""
        from preceptor.runs.service import TrainingService

        return TrainingService(self)

    @cached_property
    def evaluation(self) -> EvaluationService:
        """Evaluation beside `evaluate`: comparisons by people, judges, audits, parity."""
        from preceptor.runs.service import EvaluationService

        return EvaluationService(self)

    @cached_property
    def annotation(self) -> AnnotationService:
        """The work of people: who may do what, what is assigned, adjudication, items and answers, progress."""
        from preceptor.annotation.service import AnnotationService

        return AnnotationService(self)

    # Items, questions, people

    def add_items(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add items (dicts: id, content, group, …) and open their slots; return how many were new.

        All are added or none: a bad row, or an id that exists with other content, raises UserError.
        """
        new = [parse_item(row, where=f"item {number}") for number, row in enumerate(rows, start=1)]
        places = {item.id: f"item {number}" for number, item in enumerate(new, start=1)}
        with self.database.writing() as connection:
            added = items.add(connection, new, places=places)
            keys = items.keys(connection, [item.id for item in new])
            for question, _ in questions.list_active(connection):
                self._open_slots(connection, question, [(pk, id_) for id_, pk in keys.items()])
            events.record_event(connection, "items added", {"new": added, "given": len(new)})
        return added

    def read(
        self,
        source: str | Path | Any,
        *,
        question: str | None = None,
        format: str = "auto",
        max_bad: int = 0,
        fold: bool = False,
        preview: bool = False,
        **columns: str | None,
    ) -> ImportReport:
        """Import a file of items, of items with a judgment in each row, or of judgments about existing items; return the report.

        source: the file's path, or a table in memory: a pandas or Polars DataFrame, a pyarrow Table, a `datasets` Dataset.
        columns: which column is the id, text, group, label, annotator, seconds; the usual names are found automatically.
        fold: answers that differ from an option only in capitals or spaces become that option; what was written is kept with the
        judgment. preview: report what would become of the rows, and store nothing.
        """
        known = ImportColumns.__dataclass_fields__
        if unknown := sorted(set(columns) - set(known)):
            raise UserError(f"a file has no {unknown[0]!r} column to name{suggest_name(unknown[0], known)}", f"known: {', '.join(known)}")
        with as_file_path(source) as path:
            settings = ImportSettings(ImportColumns(**columns), format, max_bad, fold, preview)
            report = import_file(self, path, question=question, settings=settings)
        if preview:
            return report
        with self.database.writing() as connection:
            events.record_event(connection, "file imported", {key: value for key, value in report.to_dict().items() if key != "skipped"})
        return report

    def add_question(self, name: str, kind: str, options: Sequence[Any] = (), instructions: str = "", **settings: Any) -> Question:
        """Add a question, asked about every item, and return it; a changed question becomes the next version.

        settings: the kind's own, and `follows` and `skills`, which any question may have.
        """
        common: dict[str, Any] = {field: settings.pop(field) for field in ("follows", "skills") if field in settings}
        question = define_question(
            {"name": name, "kind": kind, "options": options, "instructions": instructions, "settings": settings, **common}
        )
        if question.follows:
            check_follow_up(question, {each.name: each for each in self.questions()})
        with self.database.writing() as connection:
            kept = questions.add(connection, question)
            key, _ = questions.get(connection, kept.name)
            self._open_slots(connection, key, items.all_keys(connection))
            events.record_event(connection, "question added", {"name": kept.name, "version": kept.version})
        self.cache.forget_questions()
        return kept

    def edit_options(self, question: str, **changes: Any) -> Question:
        """Rename, merge, add or remove options of a question; its answers are carried over to the new version, which is returned.

        changes: `rename` (option -> name), `add`, `remove`, and `fold`, which merges options that differ only in capitals or spaces.
        """
        return question_admin.edit_options(self, question, **changes)[0]

    def questions(self) -> list[Question]:
        """Return the active questions, without those that are implicit in files and never asked."""
        with self.database.reading() as connection:
            return [question for _, question in questions.list_active(connection) if not is_implicit(question)]

    def question(self, name: str) -> Question:
        """Return the active version of a question by its name."""
        with self.database.reading() as connection:
            return questions.get(connection, name)[1]

    def only_question(self, name: str | None = None) -> str:
        """Return the name given, else that of the only ordinary question; raises UserError when there are none or several."""
        if name is not None:
            return name
        known = [question.name for question in self.questions() if not question.purpose]
        if len(known) == 1:
            return known[0]
        raise UserError(
            "which question?" if known else "there is no question yet", f"name one: {', '.join(known)}" if known else _ADD_QUESTION_HINT
        )

    def add_annotator(self, name: str, role: str = "annotator", kind: str = "person") -> Annotator:
        """Add a person (or a model acting as one) and return them; an existing annotator stays as they are."""
        if role not in RATER_ROLES:
            raise UserError(f"no role is called {role!r}{suggest_name(role, RATER_ROLES)}", f"roles: {', '.join(RATER_ROLES)}")
        person = Annotator(check_annotator_name(name), role, kind)
        with self.database.writing() as connection:
            people.add(connection, [person])
        return person

    def add_gold(self, question: str, answers: Mapping[str, Any], explanation: str = "") -> None:
        """Set known answers of items, by item id, with one explanation."""
        with self.database.writing() as connection:
            key, asked = questions.get(connection, question)
            answers = {parse_identifier(item, "item"): answer for item, answer in answers.items()}
            places = items.keys(connection, answers)
            if unknown := sorted(set(answers) - set(places)):
                raise UserError(f"a gold answer for an unknown item {unknown[0]!r}", "add the item first")
            parse = kinds.get(asked.kind).parse_consensus
            gold.set_answers(connection, key, {places[item]: (parse(asked, answer), explanation) for item, answer in answers.items()})
            events.record_event(connection, "gold set", {"question": question, "version": asked.version, "answers": dict(answers)})

    # Judgments

    def next(
        self, annotator: str, question: str | None = None, *, lease_seconds: float | None = None, besides: int = 0, guide: bool = True
    ) -> SlotAssignment | None:
        """Assign an annotator their next item, None when nothing is left for them.

        Raises NotFoundError for a name that wasn't added, and ConflictError when they are paused or at their daily limit. When all slots
        of a question are taken, the stop rule looks at its posteriors again and may open more; a server does that in the background and
        passes guide=False. besides: a slot that they hold already and that isn't to be returned again.
        """
        check_annotator_name(annotator)
        seconds = lease_seconds or self.config.annotators.lease_seconds
        found = assignment.assign_next(self, annotator, question, seconds, besides)
        if found is None and guide and any(self.update_redundancy(name) for name in ([question] if question else self._root_questions())):
            found = assignment.assign_next(self, annotator, question, seconds, besides)
        return found

    def submit(
        self,
        slot: int,
        annotator: str,
        answer: Any,
        *,
        seconds: float | None = None,
        key: str | None = None,
        follow_ups: Mapping[str, Any] = {},
        asked: bool = False,
    ) -> int:
        """Store the answer to a slot and return the judgment's number; the same key again counts once.

        follow_ups: answers to the questions that follow this one. asked: raise ConflictError for a slot that wasn't assigned to them.
        """
        return assignment.submit_answer(self, slot, annotator, answer, seconds=seconds, key=key, follow_ups=follow_ups, asked=asked)[0]

    def skip(self, slot: int, annotator: str, *, reason: str = "", flag: bool = False) -> None:
        """Return a slot unanswered, for good; with `flag` a manager is shown the item and the reason."""
        assignment.skip_slot(self, slot, annotator, reason=reason, flag=flag)

    def withdraw_answer(self, judgment: int, annotator: str) -> SlotAssignment:
        """Withdraw an annotator's own answer, and assign its item to them again."""
        return assignment.withdraw_answer(self, judgment, annotator, self.config.annotators.lease_seconds)

    def feedback(self, judgment: int, annotator: str) -> assignment.GoldFeedback | None:
        """Return what an annotator is told about their own answer, where the right one is known."""
        return assignment.get_answer_feedback(self, judgment, annotator)

    def form_questions(self, question: str) -> list[Question]:
        """Return the questions of one form: this one, and those that follow it."""
        return self.cache.list_form_questions(question)

    def adjudicate(self, item: str, question: str, answer: Any, *, by: str, explanation: str = "") -> None:
        """Decide an item's answer by hand: it becomes the known answer of this item, and is no evidence about other items."""
        curation.adjudicate_item(self, parse_identifier(item, "item"), question, answer, by=by, explanation=explanation)

    def judge(self, item: str, question: str, *, annotator: str, answer: Any, seconds: float | None = None, key: str | None = None) -> int:
        """Store an answer about an item by its id and return the judgment's number; NotFoundError for an annotator who wasn't added."""
        item = parse_identifier(item, "item")
        with self.database.writing() as connection:
            asked_key, asked = questions.get(connection, question)
            parsed = kinds.get(asked.kind).parse(asked, answer)
            places = items.keys(connection, [item])
            if item not in places:
                raise UserError(f"a judgment for an unknown item {item!r}", "add the item first", where=f"question {question!r}")
            who = self.cache.annotator_key(connection, check_annotator_name(annotator))
            return judgment_log.add_judgment(connection, places[item], asked_key, who, parsed, seconds=parse_seconds(seconds), key=key)[0]

    def update_redundancy(self, question: str) -> int:
        """Request more judgments of items whose posteriors aren't certain yet; return how many were added. Closes decided comparisons.

        Does nothing while slots are unfilled, or when there are no new judgments since the last look.
        """
        with self.database.reading() as connection:
            newest = judgment_log.last_number(connection)
        if self._last_redundancy_check.get(question) == newest:
            return 0
        if self.question(question).purpose:
            comparison.close_decided_pairs(self, question)
            self._last_redundancy_check[question] = newest
            return 0
        added = redundancy.update_redundancy(self, question, target_judgment_counts)
        if added is not None:
            self._last_redundancy_check[question] = newest
        return added or 0

    def prioritise(
        self, question: str, model: Model | str | None = None, *, size: int = 100, base: str | Path = "minilm", seed: int = 0
    ) -> dict[str, Any]:
        """Choose which unjudged items `next` assigns first: where the model is uncertain, typical ones, and a fifth at random.

        base: the model whose vectors say which items are alike. Returns the batch's items with their streams and inclusion probabilities.
        """
        named = self.model(model) if isinstance(model, str) else model
        return active_learning.prioritize_queries(self, question, named, base, size=size, seed=seed)

    def retract(self, annotator: str, *, by: str, reason: str) -> int:
        """Retract all that an annotator has answered and decided from everything downstream; return the number of judgments."""
        if not by.strip() or not reason.strip():
            raise UserError("a retraction needs the name of who decides it, and why", "--by NAME --reason WHY; both stay on record")
        with self.database.writing() as connection:
            count = judgment_log.retract_annotator(connection, people.get_key(connection, annotator), by=by, reason=reason)
            curation.revert_annotator_decisions(connection, annotator)
            events.record_event(connection, "annotator retracted", {"annotator": annotator, "judgments": count, "reason": reason}, actor=by)
        return count

    @property
    def address(self) -> str:
        """Where people reach the pages: `[annotators] address`, else where `serve` listened last, else its default address."""
        with self.database.reading() as connection:
            return (self.config.annotators.address or access.find_setting(connection, "address") or DEFAULT_ADDRESS).rstrip("/")

    def set_address(self, address: str) -> None:
        """Record where `serve` listens, so that links lead there unless `[annotators] address` names another place."""
        with self.database.writing() as connection:
            access.set_setting(connection, "address", address)

    # Numbers

    def consensus(self, question: str, method: str | None = None, **options: Any) -> Consensus:
        """Return the posterior of each item's answer from the valid judgments, by the kind's own method unless one is named."""
        with self.database.reading() as connection:
            standing = judgment_set.JudgmentSet.load(connection, question)
        return judgment_set.fit_consensus(self, standing, method, options)

    def counts(self) -> dict[str, int]:
        """Return the numbers of items, people and judgments (retracted ones included)."""
        return project_status.count_totals(self)

    def status(self) -> dict[str, Any]:
        """Summarise progress, agreement, cost so far, and what to do next."""
        return project_status.summarize_project(self)

    def plan(self, question: str | None = None, judgments: int = 100, rows: Sequence[int] = ()) -> judgment_plan.JudgmentPlan:
        """Forecast what that many more judgments about a question (default: the only one) would bring, and quality against cost.

        rows: sizes at which learning curves are forecast; twice and four times what was measured unless given.
        """
        return judgment_plan.plan_judgments(self, self.only_question(question), judgments, rows)

    def people(self, question: str | None = None) -> list[dict[str, Any]]:
        """List all annotators, with their judgments about a question (default: the only one) and agreement with its consensus."""
        return project_status.list_annotator_agreement(self, self.only_question(question))

    def export(self, what: str, *, question: str | None = None, format: str = "", split: str = "") -> Iterator[dict[str, Any]]:
        """Yield rows of "items", "judgments", "consensus" or of a snapshot by its name, for `preceptor.formats.write` in that format.

        format: where it holds items with all their judgments, judgments are exported in that form. split: of a snapshot, or "all"; without
        it all rows, and for a training format the train rows.
        """
        return data_export.export_rows(self, what, question, format, split)

    # Machines

    def snapshot(self, question: str, *, name: str | None = None, seed: int | None = None, method: str | None = None) -> Snapshot:
        """Create a snapshot of a question: split without leaks, targets from the posterior, or the texts that were written."""
        return create_snapshot(self, question, name=name, seed=seed, method=method)

    def snapshots(self) -> list[dict[str, Any]]:
        """List the names, digests and questions of the snapshots, in order of creation."""
        with self.database.reading() as connection:
            return [{key: row[key] for key in ("name", "digest", "question", "created")} for row in artifacts.list_snapshots(connection)]

    def load_snapshot(self, name: str) -> Snapshot:
        """Load a snapshot by its name, its digest or the beginning of it."""
        with self.database.reading() as connection:
            digest = artifacts.snapshot_digest(connection, name)
        return Snapshot.load(self.objects.path(digest))

    def check(self, snapshot: Snapshot | str, **looked_for: Any) -> snapshot_checks.SnapshotCheckResult:
        """Check a snapshot for what spoils training and evaluation, row by row with reasons.

        looked_for: the options of `preceptor.snapshots.snapshot_checks.run_checks`.
        """
        return snapshot_checks.run_checks(self, snapshot if isinstance(snapshot, Snapshot) else self.load_snapshot(snapshot), **looked_for)

    def train(
        self,
        recipe: str,
        *,
        snapshot: Snapshot | str,
        base: str | Path,
        seed: int = 0,
        progress: TrainingListener | None = None,
        human_feedback: bool | FeedbackRequester = False,
        max_queries: int | None = None,
        monitor_model: str = "",
        **options: Any,
    ) -> Model:
        """Train a recipe on a snapshot and return the model; resumes an interrupted run, and never repeats a finished one.

        human_feedback: the run may ask this project's people (WaitsForHumans until they have answered; the same call again goes on), about
        `max_queries` items in all; or it asks a function that answers in their place. monitor_model: a reward model (its id or
        folder) that monitors what the run generates, and that the run isn't rewarded by.
        """
        rows = snapshot if isinstance(snapshot, Snapshot) else self.load_snapshot(snapshot)
        feedback = FeedbackOptions(human_feedback, max_queries, monitor_model)
        return training.train_model(self, recipe, rows, base, seed=seed, progress=progress, options=options, feedback=feedback)

    def model(self, name: str) -> Model:
        """Return a model by its id or the beginning of it."""
        return training.load_model(self, name)

    def models(self) -> list[dict[str, Any]]:
        """List the models, the newest first: model, created, recipe, base, question, figure on test rows, decision."""
        found, _ = model_catalog.list_models(self, size=None)
        return [each.to_dict() for each in found]

    def predict(self, model: Model | str, source: Any, **options: Any) -> Iterator[dict[str, Any]]:
        """Yield the rows of a file, of a table in memory, or of dicts or texts, each with what a model (also by alias) predicts for it.

        options: text (the column), format, base, max_tokens, progress; the columns that are added: see `prediction.predict`.
        """
        if isinstance(model, str):
            with self.database.reading() as connection:
                alias = aliases.find_current(connection, model)
            model = self.model(model if alias is None else alias["model"])
        return prediction.predict_rows(self, model, source, **options)

    def evaluate(
        self,
        model: Model | str | Path,
        *,
        truth: Mapping[str, Any] | None = None,
        split: str = "test",
        base: str | Path | None = None,
        suites: Sequence[str] = (),
        suite_options: suite_runner.SuiteOptions | None = None,
        snapshot: Snapshot | str | None = None,
    ) -> Report:
        """Measure a model on a split of its snapshot and return the report; each opening of the test split is counted.

        truth: known answers by item id; without it gold answers, then the consensus's top answers. A generative model's exported weights
        are verified first (UserError when parity fails) and it is measured beside its base; base: the base's folder, when it is no known
        one.
        suites: names or files of further suites for a generative model's answers. model: also a file of recorded answers, with suites; or a
        Hugging Face folder of a model that was trained elsewhere, which is measured on `snapshot` and becomes one of the project's.
        """
        if isinstance(model, str | Path) and (Path(model) / "config.json").is_file():
            if snapshot is None:
                raise UserError(f"{model} is a model's folder, and is measured on the rows of a snapshot", "name it: --snapshot NAME")
            model = self.train("external_model", snapshot=snapshot, base=model)
        elif snapshot is not None:
            raise UserError("a model of the project is measured on the snapshot that it was trained from", "leave --snapshot out")
        if isinstance(model, str | Path) and is_answers_file(str(model)):
            return evaluation.evaluate_recorded_answers(self, str(model), suites, suite_options or suite_runner.SuiteOptions())
        named = self.model(str(model)) if isinstance(model, str | Path) else model
        return evaluation.evaluate_model(self, named, truth=truth, split=split, base=base, suites=suites, suite_options=suite_options)

    def compare(
        self, models: Sequence[str], options: comparison.ComparisonOptions | None = None, *, rows: str | Path | None = None
    ) -> dict[str, Any]:
        """Let people compare models' answers blind, or return the results so far; models: ids, bases or files of recorded answers.

        rows: a file of prompts; without it those of the first file of answers. The comparison's figures are Estimates.
        """
        return comparison.compare_side_by_side(self, load_compared_answers(self, models, rows)[0], options)

    def release(self, model: Model | str, *, by: str, note: str = "", override: str = "", without_bounds: str = "") -> Release:
        """Release a model if it meets the project's bounds; GateRefused (with the reasons) if not, unless overridden with a reason.

        without_bounds: why it is released although no bound is set; GateRefused where none is set and no reason is given.
        """
        if isinstance(model, str) and is_answers_file(model):
            hint = "preceptor release FILE --check says whether they meet the bounds"
            raise UserError("recorded answers are checked and never released: nothing here would serve them", hint)
        named = self.model(model) if isinstance(model, str) else model
        return gate.release_model(self, named, by=by, note=note, override=override, without_bounds=without_bounds)

    def lineage(self, name: str | int) -> dict[str, Any]:
        """Trace a model, snapshot or release back to judgments and people, or a judgment, person or item forward."""
        return lineage.trace_lineage(self, str(name))

    def _open_slots(self, connection: Any, question: int, keys: Iterable[tuple[int, str]]) -> None:
        asked = self.cache.question_by_key(connection, question)
        if asked.follows or asked.purpose:
            return  # asked in the form of the question that it follows, or about items of its own
        slots.open_slots(connection, question, keys, target_count=self.config.redundancy.initial_judgments)

    def _root_questions(self) -> list[str]:
        return [question.name for _, question in self.cache.active_questions() if not question.follows]
