"""`preceptor question`: add, edit, list and show questions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import format_table, project_command
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.project import Project


@click.group("question")
def question_command() -> None:
    """Add, edit, list and show questions."""


@question_command.command("add")
@click.argument("file", metavar="FILE")
@project_command
def question_add(project: Project, file: str) -> Any:
    """Add a question from FILE (JSON or TOML: name, kind, options, instructions, settings)."""
    fields = dict(_read_question_file(file))
    settings = fields.pop("settings", {})
    if not isinstance(settings, dict):
        raise UserError(f"settings must be a table, not {settings!r}", "for example [settings] and a line for each", where=file)
    known = {name: fields.pop(name) for name in ("name", "kind", "options", "instructions") if name in fields}
    for needed in ("name", "kind"):
        if needed not in known:
            raise UserError(f"a question needs a {needed}", 'for example name = "sentiment", kind = "choice"', where=file)
    if twice := sorted(known.keys() & settings.keys()):
        raise UserError(f"{twice[0]!r} is no setting", "move it out of the settings", where=file)
    question = project.add_question(**known, **{**settings, **fields})
    return _question_document(question), f"question {question.name!r} (version {question.version}) is asked about every item"


@question_command.command("edit")
@click.argument("name")
@click.option("--rename", metavar="OLD=NEW", multiple=True, help="Rename an option; under the name of another one, both are merged.")
@click.option("--add", metavar="OPTION", multiple=True, help="Add an option.")
@click.option("--remove", metavar="OPTION", multiple=True, help="Remove an option that nobody chose.")
@click.option("--fold", is_flag=True, help="Merge options that differ only in capitals or spaces.")
@project_command
def question_edit(project: Project, name: str, rename: tuple[str, ...], add: tuple[str, ...], remove: tuple[str, ...], fold: bool) -> Any:
    """Change the options of NAME: this makes its next version, to which the answers so far are carried over."""
    names = dict(each.partition("=")[::2] for each in rename)
    if not all(names.values()) or len(names) < len(rename):
        raise click.UsageError("--rename OLD=NEW, each option once")
    if not (rename or add or remove or fold):
        raise click.UsageError("say what to change: --rename, --add, --remove or --fold")
    question, moved = project.annotation.edit_options(name, rename=names, add=add, remove=remove, fold=fold)
    options = ", ".join(map(str, question.options))
    words = f"question {question.name!r} (version {question.version}) has the options {options}; {moved:,} judgments were carried over"
    return {**_question_document(question), "judgments": moved}, words


@question_command.command("list")
@project_command
def question_list(project: Project) -> Any:
    """List the active questions."""
    questions = project.questions()
    rows = [(q.name, q.kind, q.version, ", ".join(map(str, q.options))) for q in questions]
    return {"questions": [_question_document(q) for q in questions]}, format_table(("name", "kind", "version", "options"), rows)


@question_command.command("show")
@click.argument("name")
@project_command
def question_show(project: Project, name: str) -> Any:
    """Show one question."""
    return _question_document(project.question(name))


def _question_document(question: Any) -> dict[str, Any]:
    fields = ("name", "kind", "version", "options", "instructions", "settings")
    return {field: list(value) if isinstance(value := getattr(question, field), tuple) else value for field in fields}


def _read_question_file(file: str) -> Iterator[tuple[str, Any]]:
    import json
    from pathlib import Path

    from preceptor.formats.toml import parse_toml

    try:
        text = Path(file).read_text(encoding="utf-8-sig")
        fields = json.loads(text) if file.endswith(".json") else parse_toml(text)
    except FileNotFoundError:
        raise UserError("no such file", "give a JSON or TOML file with name, kind, options, instructions", where=file) from None
    except OSError as error:
        raise UserError(f"can't be read: {error.strerror}", "give a JSON or TOML file", where=file) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"can't be read: {error}", "a question file is JSON or TOML", where=file) from None
    if not isinstance(fields, dict):
        raise UserError("a question file holds one object", 'name = "sentiment", kind = "choice", options = […]', where=file)
    yield from fields.items()
