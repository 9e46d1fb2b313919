"""`preceptor train`, with its automatic choice of a recipe and its dry run; `preceptor learning-curve`, which compares learning methods.

A dry run prints rows as tokens: those that are trained on are in [brackets] and green, those that are only read are dim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED, parse_options
from preceptor.cli.output import format_table, progress_bar, project_command
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.runs import RecipeChoice


AUTO = "auto"


def choose_recipe(project: Project, snapshot: str, base: str, seed: int) -> RecipeChoice:
    """Choose the recipe for a snapshot, by what is available and by short trainings."""
    with progress_bar(project.config.cost) as tell:
        return project.training.select_recipe(project.load_snapshot(snapshot), base, seed=seed, progress=tell)


def format_recipes(found: RecipeChoice) -> str:
    """Format the recipes as a table: what each one's short training showed, what the whole training costs, and why it is chosen or not."""
    told = found.to_dict()
    rows = [
        (each["name"], *_pilot_cells(each, told), "<-" if each["name"] == found.recipe else "", each["why"]) for each in told["techniques"]
    ]
    return "\n".join([format_table(("technique", "validation", "gain, points", "seconds", "cost", "", "why"), rows), "", told["summary"]])


def _pilot_cells(each: dict[str, Any], told: dict[str, Any]) -> tuple[str, str, str, str]:
    from preceptor.types import Estimate

    if not each["able"]:
        return ("no", "", "", "")
    if "pilot" not in each:
        return ("", "", "", "")
    pilot = each["pilot"]
    gain = Estimate.from_dict(pilot["gain"]).format_points() if pilot["gain"] else ""
    return (
        str(Estimate.from_dict(pilot["value"])),
        gain.replace(" points", ""),
        f"{each['seconds']:,.0f}",
        f"{each['cost']:.4f} {told['pilots']['currency']}",
    )


def check_trainable_rows(seen: Mapping[str, Any]) -> None:
    """Raise UserError where a split of a dry run has no row left to train on, as the training itself would."""
    for split, rows in seen["rows"].items():
        if not rows and split in ("train", "validation"):
            reasons = ", ".join(f"{count:,} × {reason}" for reason, count in seen["left_out"].get(split, {}).items())
            message = f"no row of the {split} split can be trained on{': ' + reasons if reasons else ''}"
            raise UserError(message, "judge more items, or take a snapshot of rows that this recipe reads")


def format_dry_run(seen: Mapping[str, Any]) -> str:
    """Format the document of a dry run as text."""
    lines = [f"template: {seen['template']}"]
    for split, rows in seen["rows"].items():
        tokens, learnt = seen["tokens"][split], seen["supervised_tokens"][split]
        of_which = f", of which {learnt:,} are learnt" if learnt else ""
        lines.append(f"{split}: {rows:,} rows, {tokens:,} tokens{of_which}; the longest has {seen['longest'][split]:,}")
        if filling := seen.get("filling", {}).get(split):
            lines.append(f"  {filling:,} fill all tokens that are read (max_tokens): what they say beyond isn't")
        lines += [f"  left out: {count:,} × {reason}" for reason, count in seen["left_out"][split].items()]
    lines += [f"  {row['split']} {row['id']}: {row['summary']}" for row in seen["left_out_rows"]]
    lines += seen.get("notes", [])
    for example in seen["examples"]:
        lines += ["", click.style(f"row {example['id']}", bold=True), "".join(map(_format_token, example["tokens"]))]
        if "rejected" in example:
            lines += [f"is better than, at {example['probability']:.0%}:", "".join(map(_format_token, example["rejected"]))]
        lines += [f"  {share:.0%} {answer}" for answer, share in example.get("target", {}).items() if share]
    return "\n".join(lines)


def _format_token(token: Mapping[str, Any]) -> str:
    text = str(token["text"]).replace("\n", "⏎")
    mark = "\n" if token["text"].endswith("\n") else ""
    return click.style(f"[{text}]", fg="green") + mark if token["learnt"] else click.style(f"{text}|", dim=True) + mark


@click.command("train")
@click.argument("recipe", required=False)
@click.option("--snapshot", help="Name or digest of the snapshot.")
@click.option("--base", help="minilm, smollm2, or a model's folder.")
@click.option("--seed", type=SEED, help="Seed of the run (default: 0).")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe.")
@click.option("--repeat", "source", metavar="FILE|MODEL", help="Repeat a run, by its run.toml or its model; other options take precedence.")
@click.option("--dry-run", is_flag=True, help="Train nothing; show rows as tokens, each learnt or only read, and what would be left out.")
@click.option("--human-feedback", is_flag=True, help="The run may ask the project's people; it ends with code 3 while it waits for them.")
@click.option("--max-queries", type=click.IntRange(min=1), metavar="N", help="Items that it may have them asked about, in all.")
@click.option(
    "--monitor-model", default="", metavar="MODEL", help="A reward model that scores what the run generates and isn't its reward."
)
@project_command
def train_command(
    project: Project,
    recipe: str | None,
    snapshot: str | None,
    base: str | None,
    seed: int | None,
    options: tuple[str, ...],
    source: str | None,
    dry_run: bool,
    human_feedback: bool,
    max_queries: int | None,
    monitor_model: str,
) -> Any:
    """Train RECIPE on a snapshot, or continue an interrupted run of the same training. RECIPE auto: the best one in short trainings."""
    from preceptor.runs import RepeatedRun, WaitsForHumans, training_summary

    given, about = parse_options(options, taken=("snapshot", "base", "seed")), dict[str, Any]()
    if recipe == AUTO and given:
        raise UserError(
            "auto chooses the recipe, and an option belongs to one", "auto --dry-run first, then the recipe that it names with -o"
        )
    if recipe == AUTO and snapshot and base and source is None:
        technique = choose_recipe(project, snapshot, base, seed or 0)
        if dry_run:
            return technique.to_dict(), format_recipes(technique)
        click.echo(format_recipes(technique), err=True)
        recipe, given, about = technique.recipe, dict(technique.options), {"chosen": technique.to_dict()}
    if source is not None:
        wanted = project.training.load_repeated_run(source, recipe=recipe, snapshot=snapshot, base=base, seed=seed, options=given)
    elif recipe and snapshot and base:
        wanted = RepeatedRun(recipe, project.load_snapshot(snapshot), base, seed or 0, given)
    else:
        raise click.UsageError("give RECIPE, --snapshot and --base, or a run to repeat: --repeat FILE")
    if dry_run:
        seen = project.training.preview_training(wanted.recipe, wanted.snapshot, wanted.base, seed=wanted.seed, options=wanted.options)
        check_trainable_rows(seen)
        return seen, format_dry_run(seen)
    try:
        with progress_bar(project.config.cost) as tell:
            model = project.train(
                **wanted.to_arguments(), progress=tell, human_feedback=human_feedback, max_queries=max_queries, monitor_model=monitor_model
            )
    except WaitsForHumans as waiting:
        return waiting.document, waiting.document["summary"], waiting.exit_code
    words = "\n".join([*model.manifest.get("summary", []), *_human_feedback_lines(wanted.recipe, model.manifest.get("people"))])
    return {**training_summary(model), **about}, f"{words}\nmodel {model.id}; next: preceptor evaluate {model.id}"


def _human_feedback_lines(recipe: str, people: Mapping[str, Mapping[str, int]] | None) -> Iterator[str]:
    """Yield how many of a run's annotation requests are answered; nothing where the run may ask nobody."""
    if people is not None and not people:
        yield f"Nobody was asked: this run of {recipe} had no question."
    for question, count in (people or {}).items():
        later = f"; what they say goes into later snapshots: preceptor snapshot create {question}" if count["waiting"] else ""
        yield f"{question}: people were asked about {count['asked']:,} items, of which {count['waiting']:,} wait{later}."


@click.command("learning-curve")
@click.argument("snapshot", metavar="SNAPSHOT")
@click.option(
    "--base", default="minilm", show_default=True, help="An encoder: minilm, a model's folder, or the id of a model trained here."
)
@click.option("--generative-base", "writer", metavar="BASE", help="A generative model, such as smollm2: then few-shot and LoRA take part.")
@click.option("--method", "ways", multiple=True, help="Only this method: in_context, linear_probe, setfit, full, lora.")
@click.option(
    "--sizes", "at", multiple=True, type=click.IntRange(min=1), help="Rows to advise on (default: 20, 200, 2000, all, 4 times all)."
)
@click.option("--seeds", type=click.IntRange(1, 100), default=3, show_default=True, help="Trainings for each point.")
@click.option("--out", metavar="FILE", help="Write the curves as a picture, such as learning.svg.")
@project_command
def learning_curve_command(project: Project, snapshot: str, out: str | None, **options: Any) -> Any:
    """Measure learning curves on SNAPSHOT and advise which learning method to use at which size; continues where it was interrupted."""
    with progress_bar(project.config.cost) as tell:
        found = project.training.compare_methods(project.load_snapshot(snapshot), progress=tell, **options)
    if out:
        found.save_svg(out)
    rows = [
        (
            f"{each.size:,}",
            name,
            str(guess.accuracy),
            f"{guess.probability_best:.0%}",
            f"{guess.seconds:,.0f}",
            "<-" if name == each.method else "",
        )
        for each in found.advice
        for name, guess in each.predictions.items()
    ]
    said = "\n".join(f"{each.size:,} rows: {each.summary}" for each in found.advice)
    machine = f"{found.seconds:,.0f} s of this machine"
    return found.to_dict(), "\n".join([format_table(("rows", "way", "accuracy", "best", "seconds", ""), rows), "", said, machine])
