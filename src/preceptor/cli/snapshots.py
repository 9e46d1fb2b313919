"""`preceptor snapshot`: create, list, show, compare and check training data, and act on what a check found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED
from preceptor.cli.output import format_table, progress_bar, project_command
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage.snapshots import Snapshot


Command = Callable[..., Any]
_ACTION_TEXTS = {"merge": "merged into others", "reject": "left out", "mask": "masked"}
_CHECK_TITLES = {"groups": "groups on two sides", "templates": "template"}  # checks as a snapshot's manifest counts them
_name_option = click.option("--name", help="A name for the new snapshot.")


def _by_option(*, required: bool = True) -> Callable[[Command], Command]:
    return click.option("--by", required=required, metavar="NAME", help="Who decides it; it stays on record.")


def _check_options(command: Command) -> Command:
    """Add the options that say what is looked for: the parameters `base` and `live`."""
    live = click.option("--live", metavar="FILE", help="A sample of what a model meets in use: a text, prompt or messages a row.")
    base = click.option("--base", help="The model that it shall train: a known base, a model's id or a folder (for what would be cut).")
    return base(live(command))


@click.group("snapshot")
def snapshot_command() -> None:
    """Create, list, show, compare and check snapshots; review, dedupe, drop or mask what a check found."""


@snapshot_command.command("create")
@click.argument("question", required=False)
@click.option("--name", help="A name for it.")
@click.option("--seed", type=SEED, help="Seed of the split (default: the first that puts every class on every side).")
@click.option("--method", help="The aggregator (default: the question kind's own).")
@project_command
def snapshot_create(project: Project, question: str | None, name: str | None, seed: int | None, method: str | None) -> Any:
    """Create a snapshot of the items and consensus of QUESTION (default: the only one, or the completions of imported files).

    Once personal data were masked in any snapshot of QUESTION, they are masked in this one.
    """
    made = project.snapshot(project.annotation.choose_snapshot_question(question), name=name, seed=seed, method=method)
    return {"digest": made.digest, "name": name, **made.summary()}


@snapshot_command.command("list")
@project_command
def snapshot_list(project: Project) -> Any:
    """List the snapshots."""
    rows = project.snapshots()
    shown = [(row["name"] or "-", row["digest"][:12], row["question"]) for row in rows]
    return {"snapshots": rows}, format_table(("name", "digest", "question"), shown)


@snapshot_command.command("show")
@click.argument("snapshot", metavar="SNAPSHOT")
@project_command
def snapshot_show(project: Project, snapshot: str) -> Any:
    """Show rows, groups, answers and checks of SNAPSHOT (a name, or the beginning of a digest)."""
    found = project.load_snapshot(snapshot)
    return {"digest": found.digest, "question": dict(found.question), "seed": found.manifest["seed"], **found.summary()}


@snapshot_command.command("diff")
@click.argument("before")
@click.argument("after")
@project_command
def snapshot_diff(project: Project, before: str, after: str) -> Any:
    """Show what changed from BEFORE to AFTER: rows, answers, splits, and the people whose judgments were added or removed."""
    from preceptor.snapshots import build_difference_tables, summarize_differences

    changed = project.curation.compare_snapshots(project.load_snapshot(before), project.load_snapshot(after))
    shown = [f"{each.caption}\n{format_table(each.head, each.rows)}" for each in build_difference_tables(changed)]
    return changed, "\n\n".join(["\n".join(summarize_differences(changed)), *shown])


@snapshot_command.command("check")
@click.argument("snapshot", metavar="SNAPSHOT")
@_check_options
@click.option("--only", "only", multiple=True, metavar="CHECK", help="Look for this alone; can be given several times.")
@click.option("--without-vectors", is_flag=True, help="Leave out what needs vectors of the texts: label errors, unlike live inputs.")
@click.option("--against", metavar="EARLIER", help="On the page, what changed since this snapshot.")
@click.option("--page", metavar="FILE", help="Write a self-contained HTML page.")
@project_command
def snapshot_check(
    project: Project, snapshot: str, only: tuple[str, ...], without_vectors: bool, against: str | None, page: str | None, **looked: Any
) -> Any:
    """Check for what degrades training and evaluation: duplicates, leaks, personal data, wrong labels, drift, cut texts and more."""
    from preceptor.snapshots import summary_lines

    found = project.load_snapshot(snapshot)
    with progress_bar() as tell:
        checked = project.check(found, only=only, vectors=not without_vectors, progress=tell, **looked)
    if page is not None:
        from preceptor.formats import atomic_write

        with atomic_write(page, "w") as file:
            file.write(
                project.curation.render_check_page(found, checked, earlier=None if against is None else project.load_snapshot(against))
            )
    counted = [
        {"check": _CHECK_TITLES.get(each.check, each.check), "found": each.found, "summary": each.summary} for each in checked.findings
    ]
    return {**checked.to_dict(), "digest": found.digest, "checks": counted, "page": page}, "\n".join(summary_lines(checked))


@snapshot_command.command("review")
@click.argument("snapshot", metavar="SNAPSHOT")
@click.argument("check")
@_check_options
@click.option("--most", type=click.IntRange(min=1), help="So many at most, the gravest first.")
@_by_option(required=False)
@project_command
def snapshot_review(project: Project, snapshot: str, check: str, most: int | None, by: str | None, **looked: Any) -> Any:
    """Queue what CHECK found in SNAPSHOT for experts, who keep, relabel, rewrite or reject it."""
    found = project.load_snapshot(snapshot)
    with progress_bar() as tell:
        finding = project.check(found, only=[check], progress=tell, **looked).get_finding(check)
    sent = project.curation.send_to_experts(found, finding, most=most, by=by or "system")
    told = {
        "snapshot": found.digest,
        "check": check,
        "sent": sent.item_count,
        "decided_before": sent.decided_count,
        "experts": sent.has_experts,
    }
    return told, sent.summary


@snapshot_command.command("dedupe")
@click.argument("snapshot", metavar="SNAPSHOT")
@click.argument("check", default="duplicates")
@_by_option()
@_name_option
@project_command
def snapshot_dedupe(project: Project, snapshot: str, check: str, by: str, name: str | None) -> Any:
    """Create a snapshot in which one row of each cluster of duplicates in SNAPSHOT remains, with the judgments of all."""
    found = project.load_snapshot(snapshot)
    with progress_bar() as tell:
        finding = project.check(found, only=[check], progress=tell).get_finding(check)
    return _derived_result(found, project.curation.merge_duplicates(found, finding, by=by, name=name), name)


@snapshot_command.command("drop")
@click.argument("snapshot", metavar="SNAPSHOT")
@click.argument("check", required=False)
@_check_options
@click.option("--items", "file", metavar="FILE", help="A file of the items' ids, one a line, instead of a check.")
@click.option("--reason", required=True, help="Why; it stays on record.")
@_by_option()
@_name_option
@project_command
def snapshot_drop(
    project: Project, snapshot: str, check: str | None, file: str | None, reason: str, by: str, name: str | None, **looked: Any
) -> Any:
    """Create a snapshot without the rows that CHECK found in SNAPSHOT, or without those of --items."""
    if (check is None) == (file is None):
        raise click.UsageError("name a CHECK, or a file of items with --items")
    found = project.load_snapshot(snapshot)
    if file is not None:
        return _derived_result(found, project.curation.drop_rows(found, _read_ids(file), reason=reason, by=by, name=name), name)
    with progress_bar() as tell:
        finding = project.check(found, only=[str(check)], progress=tell, **looked).get_finding(str(check))
    gone = [suspect.item for suspect in finding.rows]
    return _derived_result(found, project.curation.drop_rows(found, gone, reason=reason, by=by, check=str(check), name=name), name)


@snapshot_command.command("mask")
@click.argument("snapshot", metavar="SNAPSHOT")
@_by_option()
@_name_option
@project_command
def snapshot_mask(project: Project, snapshot: str, by: str, name: str | None) -> Any:
    """Create a snapshot in which placeholders replace the personal data in SNAPSHOT; later ones of the question are masked too."""
    found = project.load_snapshot(snapshot)
    return _derived_result(found, project.curation.mask_personal_data(found, by=by, name=name), name)


def _derived_result(before: Snapshot, after: Snapshot, name: str | None) -> Any:
    """Return the result of a command that made a snapshot from another."""
    derived = after.manifest["derived"]
    rows = {"before": before.manifest["count"], "after": after.manifest["count"]}
    words = (
        f"{derived['rows']:,} rows {_ACTION_TEXTS[derived['action']]}: {rows['before']:,} became {rows['after']:,}; digest {after.digest}"
    )
    return {"digest": after.digest, "name": name, "from": before.digest, "rows": rows, "changed": derived["rows"]}, words


def _read_ids(file: str) -> list[str]:
    """Return the ids in a file, one a line; raise UserError where it can't be read."""
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"can't be read: {error}", "a text file with an item's id on each line", where=file) from None
    return [line.strip() for line in lines if line.strip()]
