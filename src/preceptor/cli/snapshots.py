"""Commands about what is trained on: snapshot create, list, show, diff, check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import in_project, table

if TYPE_CHECKING:
    from preceptor.project import Project


@click.group("snapshot")
def snapshot_command() -> None:
    """Snapshots: create, list, show, diff, check."""


@snapshot_command.command("create")
@click.argument("question", required=False)
@click.option("--name", help="A name for it.")
@click.option("--seed", type=int, help="Seed of the split (default: the first that puts every class on every side).")
@click.option("--method", help="The aggregator (default: the question kind's own).")
@in_project
def snapshot_create(project: Project, question: str | None, name: str | None, seed: int | None, method: str | None) -> Any:
    """Freeze what is known about QUESTION (default: the only one, or the completions of imported files)."""
    from preceptor.project.told import to_freeze

    made = project.snapshot(to_freeze(project, question), name=name, seed=seed, method=method)
    return {"digest": made.digest, "name": name, **made.summary()}


@snapshot_command.command("list")
@in_project
def snapshot_list(project: Project) -> Any:
    """List the snapshots."""
    rows = project.snapshots()
    shown = [(row["name"] or "-", row["digest"][:12], row["question"]) for row in rows]
    return {"snapshots": rows}, table(("name", "digest", "question"), shown)


@snapshot_command.command("show")
@click.argument("snapshot", metavar="SNAPSHOT")
@in_project
def snapshot_show(project: Project, snapshot: str) -> Any:
    """Rows, groups, answers and checks of SNAPSHOT (a name, or the beginning of a digest)."""
    found = project.load_snapshot(snapshot)
    return {"digest": found.digest, "question": dict(found.question), "seed": found.manifest["seed"], **found.summary()}


@snapshot_command.command("diff")
@click.argument("before")
@click.argument("after")
@in_project
def snapshot_diff(project: Project, before: str, after: str) -> Any:
    """What changed from BEFORE to AFTER."""
    from preceptor.snapshots import diff

    changed = diff(project.load_snapshot(before), project.load_snapshot(after))
    words = f"{len(changed['added'])} rows came, {len(changed['removed'])} went, {len(changed['targets'])} changed their target, "
    return changed, words + f"{len(changed['splits'])} changed their side"


@snapshot_command.command("check")
@click.argument("snapshot", metavar="SNAPSHOT")
@in_project
def snapshot_check(project: Project, snapshot: str) -> Any:
    """Look again for duplicates, leaks and empty rows."""
    from preceptor.snapshots import check_rows

    found = project.load_snapshot(snapshot)
    checks = check_rows(list(found.rows()), found.answers if found.target_kind == "multilabel" else ())
    return {"digest": found.digest, "checks": checks}, table(("check", "found", ""), [(c["check"], c["found"], c["words"]) for c in checks])
