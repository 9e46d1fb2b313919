"""Commands from judgments to a released model: snapshot, train, evaluate, lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import parse
from preceptor.cli.output import as_text, in_project, progress_bar, table

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


@click.command("train")
@click.argument("recipe", required=False)
@click.option("--snapshot", help="Name or digest of the snapshot.")
@click.option("--base", help="minilm, smollm2, or a model's folder.")
@click.option("--seed", type=int, help="Seed of the run (default: 0).")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe.")
@click.option("--from", "source", metavar="FILE|MODEL", help="Repeat a run, by its run.toml or its model; other options take precedence.")
@click.option("--dry-run", is_flag=True, help="Train nothing; show rows as tokens, each learnt or only read, and what would be left out.")
@in_project
def train_command(
    project: Project,
    recipe: str | None,
    snapshot: str | None,
    base: str | None,
    seed: int | None,
    options: tuple[str, ...],
    source: str | None,
    dry_run: bool,
) -> Any:
    """Train RECIPE on a snapshot; continues where an interrupted run of the same stopped."""
    from preceptor.cli.tokens import as_tokens
    from preceptor.project import training
    from preceptor.project.repeating import Again, again

    given = parse(options, taken=("snapshot", "base", "seed"))
    if source is not None:
        wanted = again(project, source, recipe=recipe, snapshot=snapshot, base=base, seed=seed, options=given)
    elif recipe and snapshot and base:
        wanted = Again(recipe, project.load_snapshot(snapshot), base, seed or 0, given)
    else:
        raise click.UsageError("give RECIPE, --snapshot and --base, or a run to repeat: --from FILE")
    if dry_run:
        seen = training.dry_run(project, wanted.recipe, wanted.snapshot, wanted.base, seed=wanted.seed, options=wanted.options)
        return seen, as_tokens(seen)
    with progress_bar(project.config.cost) as tell:
        model = training.train(
            project, wanted.recipe, wanted.snapshot, wanted.base, seed=wanted.seed, progress=tell, options=wanted.options
        )
    words = "\n".join(model.manifest.get("words", []))
    return training.summary(model), f"{words}\nmodel {model.id}; next: preceptor evaluate {model.id}"


@click.command("parity")
@click.argument("model")
@click.option("--base", metavar="DIR", help="Where the model's base lies, when it is a folder of your own.")
@in_project
def parity_command(project: Project, model: str, base: str | None) -> Any:
    """Prove that MODEL says the same when trained, merged, saved, loaded again and served."""
    from preceptor.project.proving import parity

    found = parity(project, project.model(model), base=base)
    rows = [
        (each["stage"], each["dtype"], "-" if each["difference"] is None else f"{each['difference']:.2g}", each["tolerance"], each["words"])
        for each in found["stages"]
    ]
    shown = table(("stage", "dtype", "nats apart", "tolerance", ""), rows)
    verdict = f"parity {'holds' if found['passed'] else 'FAILS'} on {found['rows']} validation rows"
    return found, "\n".join([shown, *found["notes"], verdict]), 0 if found["passed"] else 3


@click.command("lineage")
@click.argument("name", metavar="MODEL|SNAPSHOT|JUDGMENT|PERSON|ITEM")
@in_project
def lineage_command(project: Project, name: str) -> Any:
    """Back from a model or snapshot to each judgment and person, or forward to what they went into."""
    traced = project.lineage(name)
    shown = {key: value for key, value in traced.items() if key != "judgments"}
    judgments = traced["judgments"]
    shown["judgments"] = judgments["count"] if isinstance(judgments, dict) else len(judgments)
    return traced, as_text(shown)
