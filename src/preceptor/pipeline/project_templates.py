"""Create projects from templates: ready-made settings, questions, gold and policies of a field, as a folder of files.

A template's `template.toml` names its parts (what people judge), each with its questions, stop rule and bounds; with it come `questions/`
(with the guidelines as their instructions), `gold/`, `policy.toml` with answers that break it, and `suites/`. One part is one project,
since a project's questions are asked about all of its items.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from preceptor.config import CONFIG_FILE
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.project import Project
from preceptor.registry import suggest_name

TEMPLATES_FOLDER = Path(__file__).parent / "templates"
_COPIED_FILES = ("README.md", "policy.toml", "policy-examples.jsonl", "suites", "questions")
_GENERAL_TEXTS_FILE = "general.jsonl"  # texts on which forgetting is measured, the same for all fields
_CONFIG_TABLES = ("redundancy", "annotators", "qualification", "gate")


@dataclass(frozen=True)
class ProjectTemplate:
    """A template that was read from its folder.

    parts: by name, their tables in `template.toml`; default_part: the part that is used unless another is named; common_tables: the whole
    of `template.toml`, whose configuration tables apply to all parts.
    """

    name: str
    folder: Path
    title: str
    description: str
    default_part: str
    parts: Mapping[str, Mapping[str, Any]]
    common_tables: Mapping[str, Mapping[str, Any]]

    def get_part(self, name: str) -> Mapping[str, Any]:
        """Return a part's table.

        Raises UserError that suggests the nearest name.
        """
        if name not in self.parts:
            raise UserError(
                f"the template {self.name!r} has no part {name!r}{suggest_name(name, self.parts)}", f"parts: {', '.join(self.parts)}"
            )
        return self.parts[name]

    def config_tables(self, part: str) -> dict[str, dict[str, Any]]:
        """Return the tables of preceptor.toml for a part: the template's own, overridden by the part's."""
        said = self.get_part(part)
        tables = {table: {**self.common_tables.get(table, {}), **said.get(table, {})} for table in _CONFIG_TABLES}
        forgetting = {"texts": [_GENERAL_TEXTS_FILE]} if said.get("general") else {}
        return {table: values for table, values in {**tables, "forgetting": forgetting}.items() if values}

    def read_question(self, name: str) -> dict[str, Any]:
        """Read a question's file."""
        return tomllib.loads((self.folder / "questions" / f"{name}.toml").read_text(encoding="utf-8"))

    def read_gold(self, question: str) -> list[dict[str, Any]]:
        """Read the items with a known answer, each with "id", its content, "answer" and "explanation"; none where there is no gold file."""
        file = self.folder / "gold" / f"{question}.jsonl"
        rows = read(file) if file.is_file() else ()
        return [{"id": f"gold-{question}-{number:02}", **row} for number, row in enumerate(rows, start=1)]


@dataclass(frozen=True)
class TemplateProject:
    """A project that was created from a template.

    gold: the number of gold items by question; files: paths relative to the project's folder; bounds: of the release gate.
    """

    folder: Path
    template: ProjectTemplate
    part: str
    questions: tuple[str, ...]
    gold: Mapping[str, int]
    files: tuple[str, ...]
    bounds: tuple[str, ...]

    @property
    def next_commands(self) -> list[str]:
        """The three commands to run next, in the project's folder."""
        asked = (self.template.read_question(name) for name in self.questions)
        skills = sorted({skill for question in asked for skill in question.get("skills", ())})
        invited = "".join(f" --skill {skill}" for skill in skills)
        return [str(self.template.get_part(self.part)["import"]), f"preceptor people invite NAME{invited}", "preceptor serve"]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as a JSON document."""
        others = {name: said["about"] for name, said in self.template.parts.items() if name != self.part}
        return {
            "project": str(self.folder),
            "template": self.template.name,
            "part": self.part,
            "questions": list(self.questions),
            "gold": dict(self.gold),
            "files": list(self.files),
            "bounds": list(self.bounds),
            "other_parts": others,
            "next": self.next_commands,
        }


def list_templates() -> list[str]:
    """List the names of the templates."""
    return sorted(path.parent.name for path in TEMPLATES_FOLDER.glob("*/template.toml"))


def load_template(name: str) -> ProjectTemplate:
    """Load a template by its name.

    Raises UserError that suggests the nearest name.
    """
    if name not in list_templates():
        raise UserError(
            f"no template is called {name!r}{suggest_name(name, list_templates())}", f"templates: {', '.join(list_templates())}"
        )
    folder = TEMPLATES_FOLDER / name
    said = tomllib.loads((folder / "template.toml").read_text(encoding="utf-8"))
    return ProjectTemplate(name, folder, said["title"], said["about"], said["first"], said["parts"], said)


def create_from_template(
    folder: str | Path, name: str, part: str = "", *, options: Mapping[str, Sequence[Any]] = MappingProxyType({}), gold: bool = True
) -> TemplateProject:
    """Create a new project from a template; from its default part, unless another is named.

    options: of questions whose answers differ from the template's; their gold, which has the template's answers, is left out. gold=False
    leaves out all gold. The project is there whole or not at all. Raises UserError where the template, part or question isn't known, or the
    folder can't be a project's.
    """
    chosen = load_template(name)
    part = part or chosen.default_part
    target = Path(folder).resolve()
    settings, questions = chosen.config_tables(part), chosen.get_part(part)["questions"]
    if unknown := sorted(set(options) - set(questions)):
        raise UserError(f"{name!r} asks no {unknown[0]!r}{suggest_name(unknown[0], questions)}", f"questions: {', '.join(questions)}")
    _check_target_folder(target, chosen)
    try:
        target.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".laying-out-", dir=target))
    except OSError as error:
        raise UserError(f"can't make the folder {target}: {error.strerror}", "choose another place for the project") from None
    try:
        _copy_files(chosen, staged, general="forgetting" in settings)
        project = Project.create(staged, name=target.name, **settings)
        try:
            counts = {question: _add_question(project, chosen, question, options, gold) for question in questions}
        finally:
            project.close()
        files = tuple(_list_created_files(staged))
        _move_to_target(staged, target)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    bounds = tuple(settings.get("gate", {}).get("bounds", ()))
    return TemplateProject(target, chosen, part, tuple(questions), {name: count for name, count in counts.items() if count}, files, bounds)


def _check_target_folder(target: Path, chosen: ProjectTemplate) -> None:
    """Raise UserError where there is a project, a file of that name, or something that would be overwritten."""
    if os.path.exists(target / CONFIG_FILE):
        raise UserError(f"there is a project in {target} already", f"open it, or choose another folder: preceptor init {target.name}-2")
    if os.path.isfile(target):
        raise UserError(f"{target} is a file", "choose another name for the project's folder")
    if there := [name for name in (*_COPIED_FILES, _GENERAL_TEXTS_FILE) if os.path.exists(target / name)]:
        raise UserError(f"{target} holds {there[0]!r} already, which the template would write over", "choose a new or empty folder")


def _copy_files(chosen: ProjectTemplate, folder: Path, *, general: bool) -> None:
    for name in _COPIED_FILES:
        source = chosen.folder / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    if general:
        shutil.copy(TEMPLATES_FOLDER / _GENERAL_TEXTS_FILE, folder / _GENERAL_TEXTS_FILE)


def _add_question(project: Project, chosen: ProjectTemplate, name: str, options: Mapping[str, Sequence[Any]], with_gold: bool) -> int:
    """Add a question and its gold, and return the number of gold items."""
    said = chosen.read_question(name)
    if isinstance(after := said.get("follows"), dict) and after["question"] in options:
        said["follows"] = after["question"]  # after any answer: those that the template names don't exist here
    settings, own = said.pop("settings", {}), said.pop("options", ())
    named = {field: said.pop(field) for field in ("name", "kind", "instructions")}
    project.add_question(**named, options=options.get(name, own), **settings, **said)
    rows = chosen.read_gold(name) if with_gold and name not in options else []
    project.add_items({field: value for field, value in row.items() if field not in ("answer", "explanation")} for row in rows)
    for row in rows:
        project.add_gold(name, {row["id"]: row["answer"]}, row["explanation"])
    return len(rows)


def _list_created_files(folder: Path) -> Iterator[str]:
    ours = (path for path in folder.rglob("*") if path.is_file() and path.suffix in (".toml", ".md", ".jsonl"))
    yield from sorted(str(path.relative_to(folder)) for path in ours)


def _move_to_target(staged: Path, target: Path) -> None:
    """Move everything into place; the file that makes the folder a project comes last."""
    for path in sorted(staged.iterdir(), key=lambda path: path.name == CONFIG_FILE):
        os.rename(path, target / path.name)
