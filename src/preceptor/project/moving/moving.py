"""Another tool's project becomes one of ours: laid beside its place first, and put there when all of it is in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preceptor.errors import Conflict, UserError
from preceptor.formats.atomic import atomic_write, sync_folder
from preceptor.formats.locking import locked
from preceptor.guidance import StopRule
from preceptor.project.exporting.files import SETTINGS
from preceptor.project.importing import ImportReport
from preceptor.project.moving.sources import TOOLS, Found
from preceptor.project.project import Project
from preceptor.questions import define
from preceptor.store import events, questions


@dataclass(frozen=True)
class Moved:
    """What became of a project. left_out: what couldn't come, or came otherwise than it was, as sentences."""

    tool: str
    project: str
    questions: Sequence[str]
    people: int
    items: int
    judgments: int
    gold: int
    files: Sequence[ImportReport]
    left_out: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        counts = {"people": self.people, "items": self.items, "judgments": self.judgments, "gold": self.gold}
        return {
            "tool": self.tool,
            "project": self.project,
            "questions": list(self.questions),
            **counts,
            "files": [report.to_dict() for report in self.files],
            "left_out": list(self.left_out),
        }


def move(tool: str, source: str | os.PathLike[str], out: str | os.PathLike[str], *, max_bad: int = 0) -> Moved:
    """Make a project in a new folder of what another tool (of TOOLS) left in a file or folder.

    The folder appears when everything is in. What is killed on the way leaves no project, and the same call begins anew; tables
    that are on a server then go on where they were, since nothing enters twice.
    """
    path, folder = Path(source), Path(out).absolute()
    if not path.exists():
        raise UserError("there is nothing of this name", "name the export, or its folder", where=str(path))
    found = TOOLS[tool](path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder.name} is there already", "name a new folder for the project: --out DIR", where=str(out))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _staged(folder) as staged:
        moved = _filled(tool, found, staged, folder, max_bad)
        staged.replace(folder)
        sync_folder(folder.parent)
    return moved


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A place beside a folder for what will be there, this call's alone; what a killed one left in it is gone."""
    staged, lock = (folder.parent / f".preceptor-moving-{folder.name}{end}" for end in ("", ".lock"))
    with locked(lock, Conflict("another command is moving a project there", "wait until it is done", where=str(folder))):
        shutil.rmtree(staged, ignore_errors=True)
        try:
            yield staged
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            lock.unlink(missing_ok=True)


def _filled(tool: str, found: Found, staged: Path, folder: Path, max_bad: int) -> Moved:
    project = Project.create(staged, name=folder.name, **_settings(found))
    try:
        left_out = [*found.left_out, *_ask(project, found)]
        for name, role in found.people:
            project.add_annotator(name, role)
        reports = [project.read(file, format=found.format, max_bad=max_bad) for file in found.files]
        if found.settings:
            with atomic_write(staged / SETTINGS[found.format], "w") as file:
                file.write(found.settings)
        known, unfit = _know(project, found.gold)
        left_out += [*unfit, *(warning for report in reports for warning in report.warnings)]
        counts = project.counts()
        with project.database.writing() as connection:
            about = {"tool": tool, "files": [file.name for file in found.files], "items": counts["items"], "judgments": counts["judgments"]}
            events.record(connection, "project moved in", about)
        return Moved(
            tool, str(folder), [each.name for each in project.questions()], counts["people"], counts["items"], counts["judgments"],
            known + sum(report.gold for report in reports), reports, left_out,
        )  # fmt: skip
    finally:
        project.close()


def _settings(found: Found) -> dict[str, Any]:
    if not found.least:
        return {}
    return {"guidance": {"minimum": found.least, "maximum": max(found.least, StopRule().maximum)}}


def _ask(project: Project, found: Found) -> Iterator[str]:
    """Add the questions, those that follow another after it; yields what is wrong with those that can't be asked."""
    for fields in sorted(found.questions, key=lambda fields: bool(fields.get("follows"))):
        given = {**fields, "instructions": _with_guidelines(str(fields.get("instructions") or ""), found.guidelines)}
        try:
            define(given)
            settings = dict(given.pop("settings", {}))
            project.add_question(**given, **settings)
        except UserError as error:
            yield f"{fields['name']}: {error.message}; the question was made from its answers, where there are any"


def _with_guidelines(instructions: str, guidelines: str) -> str:
    return "\n\n".join(part.strip() for part in (instructions, guidelines) if part.strip())


def _know(project: Project, known: Mapping[str, Mapping[str, tuple[Any, str]]]) -> tuple[int, list[str]]:
    """Keep known answers; how many, and which couldn't be kept."""
    kept, unfit = 0, []
    with project.database.reading() as connection:
        asked = {question.name for _, question in questions.active(connection)}
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
