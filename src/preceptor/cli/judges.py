"""Commands about judge models of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED, parse
from preceptor.cli.output import in_project, interval, progress_bar

if TYPE_CHECKING:
    from preceptor.project import Project


@click.group("judge")
def judge_command() -> None:
    """Judges: train the local one, which checks claims against their sources without any key."""


@judge_command.command("train")
@click.argument("files", nargs=-1, metavar="FILE…", type=click.Path())
@click.option("--verdicts", is_flag=True, help="Also learn from what people of this project said about claims.")
@click.option("--base", default="minilm", show_default=True, help="The encoder to start from: its name or folder.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the training.")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe classify.")
@in_project
def judge_train(project: Project, files: tuple[str, ...], verdicts: bool, base: str, seed: int, options: tuple[str, ...]) -> Any:
    """Train the local judge on pairs of a source text and a claim: columns premise, claim and label (supported, or not)."""
    from preceptor.project.judges.pairs import merged, read_pairs
    from preceptor.project.judges.training import HOME, train_judge
    from preceptor.project.suites.verifying import verdicts_of

    if not files and not verdicts:
        raise click.UsageError("give FILE with pairs, or --verdicts")
    given = parse(options, taken=("base", "seed"))
    pairs = merged([*read_pairs(files), *(verdicts_of(project) if verdicts else ())])
    with progress_bar(project.config.cost) as tell:
        made = train_judge(pairs, project.folder / HOME, base=base, seed=seed, progress=tell, **given)
    rows, agreed = made["pairs"], made["agreement"]
    held = f"on {rows['validation']:,} others"
    worth = (
        f"{held} it is right in {interval(agreed['plain'])}, and correlates with people by {interval(agreed['correlation'])}"
        if agreed
        else f"{held}, too few to say what it is worth"
    )
    known = f"judge {made['digest'][:12]} from {rows['train']:,} pairs; {worth}"
    told = "\n".join([*made["words"], known, "next: preceptor evaluate MODEL --suite faithfulness"])
    return made, told
