"""The command about budgets: what more judgments would buy, and what a study would take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import emitting, table

if TYPE_CHECKING:
    from preceptor.planning import Study

_GUESSES = ("accuracy", "spread", "guessing", "hard")


@click.command("plan")
@click.argument("question", required=False)
@click.option("--project", "folder", default=".", metavar="DIR", help="The project's folder (default: the current one).")
@click.option("--next", "judgments", default=100, show_default=True, help="Judgments to plan.")
@click.option("--out", metavar="FILE", help="Write the curve as a page, such as plan.html.")
@click.option("--study", is_flag=True, help="Design a study before its first judgment; with QUESTION, its people are the pilot.")
@click.option("--items", default=1000, show_default=True, help="Study: items.")
@click.option("--options", default=2, show_default=True, help="Study: answers to choose from.")
@click.option("--target", default=0.95, show_default=True, help="Study: share of right answers wanted.")
@click.option("--price", type=float, help="Study: of one judgment (default: the project's, or 0.05).")
@click.option("--per-person", default=100, show_default=True, help="Study: judgments that one person gives.")
@click.option("--accuracy", default=0.75, show_default=True, help="Study: how often people are right.")
@click.option("--spread", default=0.1, show_default=True, help="Study: standard deviation of that across people.")
@click.option("--guessing", default=0.0, show_default=True, help="Study: share of people who answer at random.")
@click.option("--hard", default=0.0, show_default=True, help="Study: share of items on which people are half as far above chance.")
@emitting
def plan_command(question: str | None, folder: str, judgments: int, out: str | None, study: bool, **options: Any) -> Any:
    """What the next judgments about QUESTION would buy, and accuracy against money; or, with --study, what a study takes."""
    if study:
        return _study(question, folder, **options)
    from preceptor.project import Project
    from preceptor.project.plan_page import words

    project = Project.open(folder)
    try:
        found = project.plan(question, judgments)
    finally:
        project.close()
    if out:
        found.save_html(out)
    rows = [(point.judgments, f"{point.cost:.2f}", str(point.right)) for point in found.curve]
    written = f"\n{out}" if out else ""
    return found.to_dict(), f"{words(found)}\n\n" + table(("judgments", found.currency, "right"), rows) + written


def _study(question: str | None, folder: str, *, price: float | None, options: int, **settings: Any) -> Any:
    from preceptor.planning import Crowd, design_study

    guess = {name: settings.pop(name) for name in _GUESSES}
    if question is None:
        return _shown(design_study(crowd=Crowd(**guess), options=options, price=0.05 if price is None else price, **settings))
    from preceptor.project import Project

    project = Project.open(folder)
    try:
        pilot, cost = project.consensus(question), project.config.cost.judgment if price is None else price
    finally:
        project.close()
    crowd = Crowd.from_pilot(pilot, hard=guess["hard"])
    return _shown(design_study(crowd=crowd, options=len(pilot.answers), price=cost, **settings))


def _shown(study: Study) -> Any:
    rows = [
        (
            {id(study.fixed): "fixed", id(study.adaptive): "adaptive"}.get(id(design), ""),
            design.words,
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
    return study.to_dict(), table(head, rows) + none
