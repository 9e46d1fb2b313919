"""Migrate a whole project from Label Studio, Argilla or Potato into a new project.

A tool's project is found in the files that it exports: its questions, its people, and its answers. The new project is built in a staging
folder, and moved into place when everything is imported.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.annotation.import_report import ImportReport
from preceptor.errors import ConflictError, UserError
from preceptor.formats import read
from preceptor.formats.durable_files import atomic_write, sync_folder
from preceptor.formats.file_lock import exclusive_lock
from preceptor.formats.tools.argilla_settings import find_argilla_settings, read_argilla_settings
from preceptor.formats.tools.label_studio_config import questions_from_config, read_label_studio_project, unsupported_controls
from preceptor.formats.tools.potato_config import read_potato_project
from preceptor.planning import StopRule
from preceptor.project import Project
from preceptor.questions import define_question
from preceptor.release.data_export import TOOL_SETTINGS_FILES
from preceptor.storage import events, questions


@dataclass(frozen=True)
class ToolProject:
    """Another tool's project to migrate.

    files: to be read in the format of the tool; a folder counts as one. questions: as fields of a question file. people: (name, role) each.
    gold: known answers by question and item, with explanations. excluded: what has no counterpart here, each with the reason.
    min_judgments: judgments wanted of an item, where that is known. settings: the tool's own, as text, for exporting back.
    """

    format: str
    files: Sequence[Path]
    questions: Sequence[Mapping[str, Any]] = ()
    guidelines: str = ""
    people: Sequence[tuple[str, str]] = ()
    gold: Mapping[str, Mapping[str, tuple[Any, str]]] = field(default_factory=dict)
    excluded: Sequence[str] = ()
    min_judgments: int | None = None
    settings: str = ""


def open_label_studio_export(source: Path) -> ToolProject:
    """Open an export (JSON), or a folder with exports, and the labelling config with it: as XML, or in the project's JSON.

    Raises UserError where several labelling configs match.
    """
    folder = source if source.is_dir() else source.parent
    project = read_label_studio_project(folder / "project.json")
    files = [source] if source.is_file() else _find_exports(folder, "label_studio", besides=("project.json",))
    configs = [path for path in sorted(folder.glob("*.xml")) if "<View" in _read_text(path)]
    own = [path for path in configs if path.stem == files[0].stem] or configs
    if len(own) > 1:
        raise UserError(f"there are {len(own)} labelling configs: {', '.join(path.name for path in own)}", "leave one", where=str(folder))
    xml = _read_text(own[0]) if own else str(project.get("label_config", ""))
    lacking = [] if xml else ["the labelling config isn't there: questions were made from the answers, without their instructions"]
    unknown = (
        [f"{name}: what it asks has no kind of question here; its answers are kept with the items" for name in unsupported_controls(xml)]
        if xml
        else []
    )
    overlap = project.get("maximum_annotations")
    return ToolProject(
        "label_studio",
        files,
        questions_from_config(xml) if xml else (),
        str(project.get("expert_instruction") or ""),
        excluded=[*lacking, *unknown],
        min_judgments=overlap if isinstance(overlap, int) and not isinstance(overlap, bool) and overlap > 0 else None,
        settings=xml,
    )


def read_argilla_project(source: Path) -> ToolProject:
    """Read a folder as `dataset.to_disk()` writes it, or its records with their settings.

    Of several files of records, one that distinguishes drafts is read.
    """
    files = [source] if source.is_file() else _find_exports(source, "argilla", besides=("settings.json", "dataset.json"))
    chosen = min(files, key=_lacks_response_states)
    others = [f"{path.name}: left out; the records were read from {chosen.name}" for path in files if path != chosen]
    settings = read_argilla_settings(chosen)
    if settings is None:
        lacking = "the dataset's settings aren't there: questions were made from the answers, without their guidelines"
        return ToolProject("argilla", [chosen], excluded=[*others, lacking])
    unknown = [f"{name}: a ranking of other things than the item's texts has no kind of question here" for name in settings.unsupported]
    people = "people are known by Argilla's numbers only: their names aren't in a dataset"
    asked = [_allow_empty_answers(each) for each in settings.questions.values()]
    own = find_argilla_settings(chosen.parent)
    return ToolProject(
        "argilla", [chosen], asked, settings.guidelines, excluded=[*others, *unknown, people], min_judgments=settings.min_submitted,
        settings=_read_text(own) if own else "",
    )  # fmt: skip


def _lacks_response_states(path: Path) -> bool:
    """Return whether a file of records doesn't say which responses are drafts or discarded."""
    with suppress(UserError):
        return any(row.get("metadata", {}).get("argilla", {}).get("stateless") for row in islice(read(path, "argilla"), 100))
    return True


def _allow_empty_answers(question: Mapping[str, Any]) -> dict[str, Any]:
    """Return a question that accepts an empty answer.

    Drafts may be empty, and a file of records doesn't always say that they are drafts.
    """
    settings = {name: value for name, value in question.get("settings", {}).items() if name != "minimum"}
    return {**question, "settings": settings}


def open_potato_export(source: Path) -> ToolProject:
    """Open a project's folder with its config.yaml, its data files and its people's answers, or the config itself."""
    config = read_potato_project(source)
    folder = source if source.is_dir() else config.config.parent
    questions = [
        {
            "name": each.name,
            "kind": each.kind,
            "options": list(each.options),
            "instructions": each.instructions,
            "settings": dict(each.settings),
        }
        for each in config.questions
    ]
    return ToolProject(
        "potato",
        [folder],
        questions,
        "\n\n".join(part for part in (config.description, config.instructions) if part),
        [(name, "annotator") for name in config.people],
        _read_potato_gold(config.gold) if config.gold else {},
        [f"{name}: {reason}" for name, reason in config.unsupported.items()],
    )


TOOL_READERS: dict[str, Callable[[Path], ToolProject]] = {
    "label-studio": open_label_studio_export,
    "argilla": read_argilla_project,
    "potato": open_potato_export,
}


def _find_exports(folder: Path, format: str, besides: tuple[str, ...]) -> list[Path]:
    """Find the files of a folder that are in the tool's format."""
    found = []
    for path in sorted([*folder.glob("*.json*"), *folder.glob("*.parquet")]):
        with suppress(UserError):
            if path.name not in besides and read(path).format == format:
                found.append(path)
    if not found:
        raise UserError(f"there is no file of {format} in this folder", "name the export itself, or put it there", where=str(folder))
    return found


def _read_potato_gold(path: Path) -> dict[str, dict[str, tuple[Any, str]]]:
    """Read known answers from a file of {"id", "gold_label": {question: answer}, "explanation"}."""
    known: dict[str, dict[str, tuple[Any, str]]] = {}
    rows = read(path)
    for row in rows:
        labels = row.get("gold_label")
        if not isinstance(labels, Mapping):
            raise UserError(
                f"gold_label must be a table, not {labels!r:.60}", '{"id": …, "gold_label": {question: answer}}', where=rows.where
            )
        for question, answer in labels.items():
            known.setdefault(question, {})[str(row.get("id"))] = answer, str(row.get("explanation") or "")
    return known


def _read_text(path: Path) -> str:
    return path.read_text("utf-8-sig", errors="replace")


@dataclass(frozen=True)
class ToolMigrationResult:
    """The result of a migration, with the number of people, items, judgments and gold answers.

    excluded: what couldn't be imported, or was changed, as sentences.
    """

    tool: str
    project: str
    questions: Sequence[str]
    people: int
    items: int
    judgments: int
    gold: int
    files: Sequence[ImportReport]
    excluded: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON-serializable dictionary."""
        counts = {"people": self.people, "items": self.items, "judgments": self.judgments, "gold": self.gold}
        return {
            "tool": self.tool,
            "project": self.project,
            "questions": list(self.questions),
            **counts,
            "files": [report.to_dict() for report in self.files],
            "left_out": list(self.excluded),
        }


def migrate_tool_project(
    tool: str, source: str | os.PathLike[str], out: str | os.PathLike[str], *, max_bad: int = 0
) -> ToolMigrationResult:
    """Create a project in a new folder from what another tool (of `TOOL_READERS`) exported to a file or folder.

    The folder appears when everything is imported. A killed migration leaves no project, and the same call begins again; tables on a
    database server continue where they were, since nothing is imported twice. Raises UserError where the source doesn't exist, or the
    folder isn't empty.
    """
    path, folder = Path(source), Path(out).absolute()
    if not path.exists():
        raise UserError("there is nothing of this name", "name the export, or its folder", where=str(path))
    found = TOOL_READERS[tool](path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder.name} is there already", "name a new folder for the project: --out DIR", where=str(out))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _staging_folder(folder) as staged:
        moved = _fill_project(tool, found, staged, folder, max_bad)
        staged.replace(folder)
        sync_folder(folder.parent)
    return moved


@contextmanager
def _staging_folder(folder: Path) -> Iterator[Path]:
    """Hold a staging folder next to the target, exclusively; what a killed call left in it is deleted."""
    staged, lock = (folder.parent / f".preceptor-moving-{folder.name}{end}" for end in ("", ".lock"))
    with exclusive_lock(lock, ConflictError("another command is moving a project there", "wait until it is done", where=str(folder))):
        shutil.rmtree(staged, ignore_errors=True)
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _fill_project(tool: str, found: ToolProject, staged: Path, folder: Path, max_bad: int) -> ToolMigrationResult:
    project = Project.create(staged, name=folder.name, **_config_tables(found))
    try:
        left_out = [*found.excluded, *_add_questions(project, found)]
        for name, role in found.people:
            project.add_annotator(name, role)
        reports = [project.read(file, format=found.format, max_bad=max_bad) for file in found.files]
        if found.settings:
            with atomic_write(staged / TOOL_SETTINGS_FILES[found.format], "w") as file:
                file.write(found.settings)
        known, unfit = _add_gold(project, found.gold)
        left_out += [*unfit, *(warning for report in reports for warning in report.warnings)]
        counts = project.counts()
        with project.database.writing() as connection:
            about = {"tool": tool, "files": [file.name for file in found.files], "items": counts["items"], "judgments": counts["judgments"]}
            events.record_event(connection, "project moved in", about)
        return ToolMigrationResult(
            tool, str(folder), [each.name for each in project.questions()], counts["people"], counts["items"], counts["judgments"],
            known + sum(report.gold for report in reports), reports, left_out,
        )  # fmt: skip
    finally:
        project.close()


def _config_tables(found: ToolProject) -> dict[str, Any]:
    if not found.min_judgments:
        return {}
    return {"redundancy": {"min_judgments": found.min_judgments, "max_judgments": max(found.min_judgments, StopRule().max_judgments)}}


def _add_questions(project: Project, found: ToolProject) -> Iterator[str]:
    """Add the questions, those that follow another after it; yield what is wrong with those that can't be asked."""
    for fields in sorted(found.questions, key=lambda fields: bool(fields.get("follows"))):
        given = {**fields, "instructions": _join_guidelines(str(fields.get("instructions") or ""), found.guidelines)}
        try:
            define_question(given)
            settings = dict(given.pop("settings", {}))
            project.add_question(**given, **settings)
        except UserError as error:
            yield f"{fields['name']}: {error.message}; the question was made from its answers, where there are any"


def _join_guidelines(instructions: str, guidelines: str) -> str:
    return "\n\n".join(part.strip() for part in (instructions, guidelines) if part.strip())


def _add_gold(project: Project, known: Mapping[str, Mapping[str, tuple[Any, str]]]) -> tuple[int, list[str]]:
    """Add known answers; return how many, and which couldn't be added."""
    kept, unfit = 0, []
    with project.database.reading() as connection:
        asked = {question.name for _, question in questions.list_active(connection)}
    for name, answers in known.items():
        if name not in asked:
            unfit.append(f"{name}: known answers to a question that isn't asked")
            continue
        for item, (answer, explanation) in answers.items():
            try:
                project.add_gold(name, {item: answer}, explanation)
                kept += 1
            except UserError as error:
                unfit.append(f"the known answer of {item!r} to {name!r}: {error.message}")
    return kept, unfit
