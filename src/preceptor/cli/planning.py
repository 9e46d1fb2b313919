"""`preceptor plan`: what more judgments and rows would bring, what training and serving cost, and what a study would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import format_table, output_command

if TYPE_CHECKING:
    from preceptor.planning import StudyPlan
    from preceptor.planning.data_scaling import ScalingForecast
    from preceptor.runs import CostEstimate, JudgmentPlan


@click.command("plan")
@click.argument("question", required=False)
@click.option("--project", "folder", default=".", metavar="DIR", help="The project's folder (default: the current one).")
@click.option("--judgments", default=100, show_default=True, help="Judgments to plan.")
@click.option("--rows", multiple=True, type=int, help="Forecast accuracy with so many rows (default: 2 and 4 times those measured).")
@click.option("--curve", metavar="FILE", help="A learning curve to forecast: CSV with size, seed, error or accuracy, held.")
@click.option("--costs", metavar="FILE", help="What training, serving and people cost, by a TOML file: see docs/costs.md.")
@click.option("--out", metavar="FILE", help="Write it as a page, such as plan.html.")
@output_command
def plan_command(
    question: str | None,
    folder: str,
    judgments: int,
    rows: tuple[int, ...],
    curve: str | None,
    costs: str | None,
    out: str | None,
) -> Any:
    """Show what more judgments about QUESTION, more rows or more compute would bring, against cost.

    --curve and --costs need no project; with QUESTION the project's plan is shown beside them.
    """
    outlooks = [] if curve is None else [_read_outlook(curve, rows)]
    plan = _make_plan(question, folder, judgments, () if curve else rows) if question is not None or not (curve or costs) else None
    costing = None if costs is None else _read_costing(costs, folder)
    if out:
        from preceptor.formats import atomic_write
        from preceptor.runs import render_plan_page

        with atomic_write(Path(out)) as file:
            file.write(render_plan_page(plan, outlooks, costing).encode())
    return _plan_result(plan, outlooks, costing, out)


def _read_outlook(path: str, rows: tuple[int, ...]) -> ScalingForecast:
    from preceptor.planning.data_scaling import ScalingForecast, read_measured_curve

    return ScalingForecast.from_method(read_measured_curve(path), rows)


def _make_plan(question: str | None, folder: str, judgments: int, rows: tuple[int, ...]) -> JudgmentPlan:
    from preceptor.project import Project

    project = Project.open(folder)
    try:
        return project.plan(question, judgments, rows)
    finally:
        project.close()


def _read_costing(path: str, folder: str) -> CostEstimate:
    from preceptor.config import CONFIG_FILE
    from preceptor.runs import plan_costs

    if not (Path(folder) / CONFIG_FILE).exists():
        return plan_costs(path)
    from preceptor.project import Project

    project = Project.open(folder)
    try:
        return plan_costs(path, project)
    finally:
        project.close()


def _plan_result(plan: JudgmentPlan | None, outlooks: list[ScalingForecast], costing: CostEstimate | None, out: str | None) -> Any:
    """Return the plan as a document, and the same as text."""
    from preceptor.runs import allocation_summary, build_cost_table, judgments_summary

    document: dict[str, Any] = {} if plan is None else plan.to_dict()
    parts = []
    if plan is not None:
        points = [(point.judgments, f"{point.cost:.2f}", str(point.share_right)) for point in plan.curve]
        parts.append(f"{judgments_summary(plan)}\n\n" + format_table(("judgments", plan.currency, "right"), points))
    learning = [*(plan.forecasts if plan is not None else ()), *outlooks]
    if learning:
        document["learning"] = [outlook.to_dict() for outlook in learning]
        parts.append("\n".join(outlook.summary for outlook in learning))
    if plan is not None and plan.allocation is not None:
        gains = [(way.name, "not known" if way.gain is None else str(way.gain), way.summary) for way in plan.allocation.options]
        parts.append(allocation_summary(plan.allocation, plan.currency) + "\n" + format_table(("", "accuracy", ""), gains))
    elif plan is not None:
        parts.append(plan.advice)
    if costing is not None:
        document["costs"] = costing.to_dict()
        parts.append(format_table(*build_cost_table(costing)) + "\n\n" + "\n".join(costing.summary_lines))
    return document, "\n\n".join(parts) + (f"\n{out}" if out else "")


@click.command("design-study")
@click.argument("question", required=False)
@click.option("--project", "folder", default=".", metavar="DIR", help="The project's folder (default: the current one).")
@click.option("--items", default=1000, show_default=True, help="Items to label.")
@click.option("--options", default=2, show_default=True, help="Answers to choose from.")
@click.option("--target", default=0.95, show_default=True, help="Share of correct answers wanted.")
@click.option("--price", type=float, help="Price of one judgment (default: the project's, or 0.05).")
@click.option("--per-person", default=100, show_default=True, help="Judgments that one annotator gives.")
@click.option("--accuracy", default=0.75, show_default=True, help="Mean accuracy of the annotators.")
@click.option("--annotator-sd", "spread", default=0.1, show_default=True, help="Standard deviation of their accuracy.")
@click.option("--spammers", "guessing", default=0.0, show_default=True, help="Share of annotators who answer at random.")
@click.option(
    "--hard-items", "hard", default=0.0, show_default=True, help="Share of items on which annotators are half as far above chance."
)
@output_command
def design_study_command(
    question: str | None,
    folder: str,
    price: float | None,
    options: int,
    accuracy: float,
    spread: float,
    guessing: float,
    hard: float,
    **settings: Any,
) -> Any:
    """Design an annotation study before its first judgment; with QUESTION, its annotators are the pilot."""
    from preceptor.planning import CrowdModel, design_study

    if question is None:
        crowd = CrowdModel(accuracy=accuracy, spread=spread, guessing=guessing, hard=hard)
        return _study_result(design_study(crowd=crowd, options=options, price=0.05 if price is None else price, **settings))
    from preceptor.project import Project

    project = Project.open(folder)
    try:
        pilot, cost = project.consensus(question), project.config.cost.judgment if price is None else price
    finally:
        project.close()
    crowd = CrowdModel.from_pilot(pilot, hard=hard)
    return _study_result(design_study(crowd=crowd, options=len(pilot.answers), price=cost, **settings))


def _study_result(study: StudyPlan) -> Any:
    rows = [
        (
            {id(study.fixed): "fixed", id(study.adaptive): "adaptive"}.get(id(design), ""),
            design.summary,
            f"{design.judgments_per_item:.2f}",
            str(design.accuracy),
            f"{design.claimed:.3f}",
            design.judgments,
            design.people,
            f"{design.cost:.2f}",
        )
        for design in study.designs
    ]
    head = ("enough", "judgments", "an item", "right", "claimed", "in all", "people", "cost")
    none = "" if study.fixed or study.adaptive else f"\nno design reaches {study.target}: find better people, or ask an easier question"
    return study.to_dict(), format_table(head, rows) + none
