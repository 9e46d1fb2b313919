"""`preceptor alias`: names that programs call models by, moved and rolled back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import in_project, moment, table

if TYPE_CHECKING:
    from preceptor.project import Project

_by = click.option("--by", required=True, metavar="WHO", help="The person who does it.")
_reason = click.option("--reason", default="", help="Why; it stays on record.")
_override = click.option("--override", default="", metavar="REASON", help="Although the model wasn't let out; the reason stays on record.")


@click.group("alias")
def alias_command() -> None:
    """Names that programs call models by, such as support:production."""


@alias_command.command("set")
@click.argument("name")
@click.argument("model")
@_by
@_reason
@_override
@in_project
def _set(project: Project, name: str, model: str, by: str, reason: str, override: str) -> Any:
    """Let NAME stand for MODEL, which was let out, from the next call on; exit 3 if it wasn't."""
    from preceptor.project.live.aliases import Aliases

    made = Aliases(project).set(name, model, by=by, reason=reason, override=override)
    return made, f"{name} stands for {made['model']} (by {by}){_unknown(project, made)}"


@alias_command.command("back")
@click.argument("name")
@_by
@_reason
@_override
@in_project
def _back(project: Project, name: str, by: str, reason: str, override: str) -> Any:
    """Roll NAME back to the model before, at once; once more, to the one before that."""
    from preceptor.project.live.aliases import Aliases

    made = Aliases(project).back(name, by=by, reason=reason, override=override)
    return made, f"{name} stands for {made['model']} again (by {by}){_unknown(project, made)}"


@alias_command.command("list")
@in_project
def _list(project: Project) -> Any:
    """What each alias stands for."""
    from preceptor.project.live.aliases import Aliases

    found = Aliases(project).standing()
    return {"aliases": found}, _as_table(found) if found else "none yet: preceptor alias set NAME MODEL --by WHO"


@alias_command.command("history")
@click.argument("name")
@in_project
def _history(project: Project, name: str) -> Any:
    """All that NAME has stood for, in order."""
    from preceptor.project.live.aliases import Aliases

    found = Aliases(project).history(name)
    return {"alias": name, "history": found}, _as_table(found)


def _as_table(rows: list[dict[str, Any]]) -> str:
    cells = [(row["name"], row["model"], moment(row["created"]), row["by"], row["reason"]) for row in rows]
    return table(("name", "model", "since", "by", "reason"), cells)


def _unknown(project: Project, made: dict[str, Any]) -> str:
    """A warning where people answer below a confidence that nobody knows of this model: then they answer everything."""
    from preceptor.project.live.confidence import confidence_of, threshold_of

    if not threshold_of(project, made["model"], made["name"]) or confidence_of(project, made["model"], (0.0,)) is not None:
        return ""
    return f"\nnothing says how sure it is, so that people answer all its calls: preceptor calibrate {made['model']}"
