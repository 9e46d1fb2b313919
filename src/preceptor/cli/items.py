"""Commands about single items: erasing them for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    from preceptor.project.erasing import erase_items

    with progress_bar(project.config.cost) as tell:
        document = erase_items(project, ids, by=by, reason=reason, again=remake, dry_run=dry_run, progress=tell)
    return document, "\n".join(told_erased(document)), exit_code(document)


def told_erased(document: Mapping[str, Any]) -> Iterator[str]:
    """A document of `erasing`, in lines."""
    from preceptor.cli.removed import told

    done = "would be erased" if document.get("dry_run") else "were erased before" if document.get("erased_before") else "erased"
    parts = [f"{len(document['items'])} items", f"{sum(document['judgments'].values())} judgments", f"{document['answers']} answers"]
    yield f"{', '.join(parts)} {done}"
    if document["alike"]:
        yield f"the same text stands in other items, which stay: {', '.join(document['alike'][:10])}"
    yield told(document)
    if (search := document.get("search")) is not None:
        places = [*(f"{count} in {place}" for place, count in search["tables"].items()), *search["files"]]
        yield f"searched for {search['texts']} texts: found in {search['found']} places{': ' if places else ''}{', '.join(places[:10])}"
        yield from (f"note: {words}" for words in [*search["notes"], *search["beyond"]])
        if not search["compact"]:
            yield "note: others read the database now, so that its file keeps what was freed: run the same again when they are done"


def exit_code(document: Mapping[str, Any]) -> int:
    """0: nothing was found, or nothing was to be done yet; 3: something was, or the search isn't whole."""
    search = document.get("search")
    return 3 if search is not None and (search["found"] or not search.get("whole", True)) else 0
