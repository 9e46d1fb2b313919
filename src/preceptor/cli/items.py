"""Commands about single items: erasing them for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import in_project, progress_bar

if TYPE_CHECKING:
    from preceptor.project import Project


@click.group("items")
def items_command() -> None:
    """Items: erase what must not be kept."""


@items_command.command("erase")
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@click.option("--by", required=True, metavar="NAME", help="Who decides this; it stays on record.")
@click.option("--reason", required=True, metavar="WHY", help="Why; it stays on record, so it shouldn't say what was erased.")
@click.option("--remake", is_flag=True, help="Make consensus, snapshots and models that rested on it again, without it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be erased, and what rests on it.")
@in_project
def items_erase(project: Project, ids: tuple[str, ...], by: str, reason: str, remake: bool, dry_run: bool) -> Any:
    """Erase items by their ids, with what was made of them: from tables, snapshots, reports and caches; then search for what is left.

    Exit code 3 when the search finds anything, or couldn't look everywhere. The same command again ends what a kill has stopped.
    """
    from preceptor.cli.removed import exit_code, told
    from preceptor.project.erasing import erase_items

    with progress_bar(project.config.cost) as tell:
        document = erase_items(project, ids, by=by, reason=reason, again=remake, dry_run=dry_run, progress=tell)
    return document, told(document), exit_code(document)
