"""`preceptor pipeline run`: run the pipeline once; safe to run on a timer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED
from preceptor.cli.output import format_interval, format_table, progress_bar, project_command

if TYPE_CHECKING:
    from preceptor.pipeline.pipeline_run import PipelineResult
    from preceptor.project import Project


@click.group("pipeline")
def pipeline_command() -> None:
    """Run the whole loop: from judgments to a model to release."""


@pipeline_command.command("run")
@click.option("--question", "questions", multiple=True, metavar="NAME", help="What is learnt; several of kind write are learnt together.")
@click.option("--recipe", help="How a model is trained.")
@click.option("--base", help="From which model.")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe.")
@click.option("--seed", type=SEED, help="Seed of the run.")
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="What else is measured in a writer's answers.")
@click.option("--alias", metavar="NAME", help="The model that this name stands for is the one to beat (default: the last one let out).")
@project_command
def pipeline_run(project: Project, options: tuple[str, ...], **settings: Any) -> Any:
    """Run the pipeline once: aggregate, snapshot, train, evaluate, compare with the current model, request a release.

    Options that aren't given are taken from [pipeline] in preceptor.toml. Nothing is released. A run that was stopped continues. Exit 0:
    done, or nothing to do; 3: the gate refused, or annotations are pending; 1: an error.
    """
    from preceptor.cli.options import parse_options
    from preceptor.pipeline.pipeline_run import PipelinePlan, run_pipeline

    plan = PipelinePlan.from_project(project, options=parse_options(options), **settings)
    with progress_bar(project.config.cost) as tell:
        ended = run_pipeline(project, plan, progress=tell)
    return {"outcome": ended.outcome, "summary": ended.summary, **ended.document}, "\n".join(_run_lines(ended)), ended.exit_code


def _run_lines(ended: PipelineResult) -> Iterator[str]:
    steps = ended.document.get("steps", {})
    if "snapshot" in steps:
        rows = ", ".join(f"{count:,} {side}" for side, count in steps["snapshot"]["rows"].items())
        yield f"snapshot {steps['snapshot']['name']}: {rows} rows"
    if "evaluate" in steps:
        figures = steps["evaluate"]["figures"]
        yield format_table((steps["train"]["model"], ""), [(name, format_interval(found)) for name, found in figures.items()])
    if "compare" in steps:
        yield from _comparison_lines(steps["compare"])
    yield ended.summary


def _comparison_lines(found: Any) -> Iterator[str]:
    if found["model"] is None or "why" in found:
        yield f"compared with {found['model'] or 'nothing'}: {found.get('why', '')}"
        return
    rows = [
        (name, format_interval(each["was"]), format_interval(each["now"]), format_interval(each["difference"]))
        for name, each in found["figures"].items()
    ]
    yield format_table((f"beside {found['model']}, on {found['rows']} rows", "it", "the new one", "difference"), rows)
