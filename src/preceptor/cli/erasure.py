"""`preceptor items`: erase items for good, and summarise what an erasure or a retraction removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import format_table, progress_bar, project_command

if TYPE_CHECKING:
    from preceptor.project import Project


def summarize_removal(document: Mapping[str, Any]) -> str:
    """Return the document of a retraction or an erasure as lines for a terminal."""
    from preceptor.reporting import removal_summary

    rows = removal_summary.affected_rows(document)
    lines = [
        removal_summary.removal_headline(document),
        format_table(removal_summary.AFFECTED_HEADER, rows) if rows else removal_summary.NOTHING_AFFECTED,
        *removal_summary.further_lines(document),
    ]
    again = [f"{removal_summary.REBUILD_LABEL}: the same command with --remake"] if removal_summary.can_be_rebuilt(document) else []
    return "\n".join([*lines, *again])


def removal_exit_code(document: Mapping[str, Any]) -> int:
    """Return 3 where the search of an erasure found remains or couldn't look everywhere, else 0."""
    from preceptor.reporting import removal_summary

    return 3 if removal_summary.has_remains(document) else 0


@click.group("items")
def items_command() -> None:
    """Erase items that must not be kept."""


@items_command.command("erase")
@click.argument("ids", metavar="ID…", nargs=-1, required=True)
@click.option("--by", required=True, metavar="NAME", help="Who decides this; it stays on record.")
@click.option("--reason", required=True, metavar="WHY", help="Why; it stays on record, so it shouldn't say what was erased.")
@click.option("--remake", is_flag=True, help="Make consensus, snapshots and models that rested on it again, without it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be erased, and what rests on it.")
@project_command
def items_erase(project: Project, ids: tuple[str, ...], by: str, reason: str, remake: bool, dry_run: bool) -> Any:
    """Erase items by their ids, with what was made of them: from tables, snapshots, reports and caches; then search for remains.

    Exit code 3 when the search finds anything, or couldn't look everywhere. Run the same command again to complete an erasure that was
    interrupted.
    """
    with progress_bar(project.config.cost) as tell:
        document = project.releases.erase_items(ids, by=by, reason=reason, again=remake, dry_run=dry_run, progress=tell)
    return document, summarize_removal(document), removal_exit_code(document)
