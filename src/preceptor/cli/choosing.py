"""The command that measures which way to learn pays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import in_project, progress_bar, table

if TYPE_CHECKING:
    from preceptor.project import Project


@click.command("choose")
@click.argument("snapshot", metavar="SNAPSHOT")
@click.option(
    "--base", default="minilm", show_default=True, help="An encoder: minilm, a model's folder, or the id of a model trained here."
)
@click.option("--writer", metavar="BASE", help="A model that writes, such as smollm2: then few-shot and LoRA take part.")
@click.option("--way", "ways", multiple=True, help="Only this way: few_shot, linear_probe, contrastive, full, lora.")
@click.option("--at", multiple=True, type=click.IntRange(min=1), help="Rows to advise on (default: 20, 200, 2000, all, 4 times all).")
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Trainings for each point.")
@click.option("--out", metavar="FILE", help="Write the curves as a picture, such as learning.svg.")
@in_project
def choose_command(project: Project, snapshot: str, out: str | None, **options: Any) -> Any:
    """Measure learning curves on SNAPSHOT and say which way to learn pays at which size; goes on where it was interrupted."""
    from preceptor.project.choosing.choosing import choose

    with progress_bar(project.config.cost) as tell:
        found = choose(project, project.load_snapshot(snapshot), progress=tell, **options)
    if out:
        found.save_svg(out)
    rows = [
        (f"{each.size:,}", name, str(guess.accuracy), f"{guess.best:.0%}", f"{guess.seconds:,.0f}", "<-" if name == each.method else "")
        for each in found.advice
        for name, guess in each.predictions.items()
    ]
    said = "\n".join(f"{each.size:,} rows: {each.words}" for each in found.advice)
    machine = f"{found.seconds:,.0f} s of this machine"
    return found.to_dict(), "\n".join([table(("rows", "way", "accuracy", "best", "seconds", ""), rows), "", said, machine])
