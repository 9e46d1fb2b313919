"""Commands about models: train, parity, lineage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED, parse
from preceptor.cli.output import as_text, in_project, progress_bar, table
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.project import Project


@click.command("train")
@click.argument("recipe", required=False)
@click.option("--snapshot", help="Name or digest of the snapshot.")
@click.option("--base", help="minilm, smollm2, or a model's folder.")
@click.option("--seed", type=SEED, help="Seed of the run (default: 0).")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe.")
@click.option("--from", "source", metavar="FILE|MODEL", help="Repeat a run, by its run.toml or its model; other options take precedence.")
@click.option("--dry-run", is_flag=True, help="Train nothing; show rows as tokens, each learnt or only read, and what would be left out.")
@click.option("--ask-people", is_flag=True, help="The run may ask the project's people; it ends with code 3 while it waits for them.")
@click.option("--ask-at-most", type=click.IntRange(min=1), metavar="N", help="Items that it may have them asked about, in all.")
@click.option("--judge", default="", metavar="MODEL", help="A reward model that looks at what the run writes, and isn't its reward.")
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
    ask_people: bool,
    ask_at_most: int | None,
    judge: str,
) -> Any:
    """Train RECIPE on a snapshot; continues where an interrupted run of the same stopped. RECIPE auto: what short trainings say is best."""
    from preceptor.cli.choosing_technique import AUTO, as_table, chosen_technique
    from preceptor.cli.tokens import as_tokens, check_rows
    from preceptor.project import consulting
    from preceptor.project.training import training
    from preceptor.project.training.repeating import Again, again

    given, about = parse(options, taken=("snapshot", "base", "seed")), dict[str, Any]()
    if recipe == AUTO and given:
        raise UserError(
            "auto chooses the recipe, and an option belongs to one", "auto --dry-run first, then the recipe that it names with -o"
        )
    if recipe == AUTO and snapshot and base and source is None:
        technique = chosen_technique(project, snapshot, base, seed or 0)
        if dry_run:
            return technique.to_dict(), as_table(technique)
        click.echo(as_table(technique), err=True)
        recipe, given, about = technique.recipe, dict(technique.options), {"chosen": technique.to_dict()}
    if source is not None:
        wanted = again(project, source, recipe=recipe, snapshot=snapshot, base=base, seed=seed, options=given)
    elif recipe and snapshot and base:
        wanted = Again(recipe, project.load_snapshot(snapshot), base, seed or 0, given)
    else:
        raise click.UsageError("give RECIPE, --snapshot and --base, or a run to repeat: --from FILE")
    if dry_run:
        seen = training.dry_run(project, wanted.recipe, wanted.snapshot, wanted.base, seed=wanted.seed, options=wanted.options)
        check_rows(seen)
        return seen, as_tokens(seen)
    wishes = consulting.Wishes(ask_people, ask_at_most, judge)
    try:
        with progress_bar(project.config.cost) as tell:
            model = training.train(
                project, wanted.recipe, wanted.snapshot, wanted.base, seed=wanted.seed, progress=tell, options=wanted.options, wishes=wishes
            )
    except consulting.WaitsForPeople as waiting:
        return waiting.document, waiting.document["words"], waiting.exit_code
    words = "\n".join([*model.manifest.get("words", []), *_heard(wanted.recipe, model.manifest.get("people"))])
    return {**training.summary(model), **about}, f"{words}\nmodel {model.id}; next: preceptor evaluate {model.id}"


def _heard(recipe: str, people: Mapping[str, Mapping[str, int]] | None) -> Iterator[str]:
    """How far people are with what a run had them asked; nothing where it might ask nobody."""
    if people is not None and not people:
        yield f"Nobody was asked: this run of {recipe} had no question."
    for question, count in (people or {}).items():
        later = f"; what they say goes into later snapshots: preceptor snapshot create {question}" if count["waiting"] else ""
        yield f"{question}: people were asked about {count['asked']:,} items, of which {count['waiting']:,} wait{later}."


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
@click.argument("name", metavar="MODEL|SNAPSHOT|ANSWER|FEEDBACK|JUDGMENT|PERSON|ITEM|DOCUMENT")
@in_project
def lineage_command(project: Project, name: str) -> Any:
    """Back from a model, snapshot or answer to each judgment, person and document, or forward to what they went into."""
    traced = project.lineage(name)
    shown = {key: value for key, value in traced.items() if key != "judgments"}
    judgments = traced["judgments"]
    shown["judgments"] = judgments.get("count", judgments) if isinstance(judgments, dict) else len(judgments)
    return traced, as_text(shown)
