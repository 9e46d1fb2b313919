"""`preceptor cycle`: one turn of the loop, safe on a timer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED
from preceptor.cli.output import format_interval, format_table, progress_bar, project_command

if TYPE_CHECKING:
    from preceptor.pipeline.pipeline_run import PipelineResult
    from preceptor.project import Project


@click.command("cycle")
@click.option("--question", "questions", multiple=True, metavar="NAME", help="What is learnt; several of kind write are learnt together.")
@click.option("--recipe", help="How a model is trained.")
@click.option("--base", help="From which model.")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe.")
@click.option("--seed", type=SEED, help="Seed of the run.")
@click.option("--suite", "suites", multiple=True, metavar="NAME", help="What else is measured in a writer's answers.")
@click.option("--alias", metavar="NAME", help="The model that this name stands for is the one to beat (default: the last one let out).")
@project_command
def cycle_command(project: Project, options: tuple[str, ...], **wishes: Any) -> Any:
    """One turn of the loop: aggregate, snapshot, train, evaluate, compare with the model that stands, ask for a release.

    What isn't said is as [cycle] in preceptor.toml says. Nothing is released. A turn that was stopped goes on. Exit 0: done, or nothing
    to do; 3: the gate refused, or people are waited for; 1: something is wrong.
    """
    from preceptor.cli.options import parse_options
    from preceptor.pipeline.pipeline_run import PipelinePlan, run_pipeline

    plan = PipelinePlan.from_project(project, options=parse_options(options), **wishes)
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
