"""`preceptor release`: the gate, for a person who decides and for a pipeline that only asks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import in_project, table

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.project.releasing.releasing import Checked


def _who(context: click.Context, option: click.Parameter, value: str) -> str:
    """A decision has a name; looking needs none."""
    if not value.strip() and not (context.params.get("check") or context.params.get("queue")):
        raise click.MissingParameter("name the person who decides, or only look: --check", context, option)
    return value


@click.command("release")
@click.argument("model")
@click.option("--by", default="", callback=_who, help="The person who lets it out; --check needs none.")
@click.option("--note", default="", help="What they want to say about it.")
@click.option("--override", default="", metavar="REASON", help="Let it out although a bound isn't met; the reason stays on record.")
@click.option("--without-bounds", default="", metavar="REASON", help="Let it out although no bound is set; the reason stays on record.")
@click.option(
    "--check", is_flag=True, is_eager=True, help="Only say what each bound comes to, for a pipeline: exit 0 when all are met, else 3."
)
@click.option("--queue", is_flag=True, is_eager=True, help="Ask people for what open bounds lack, as far as it is here; decides nothing.")
@in_project
def release_command(project: Project, model: str, by: str, note: str, override: str, without_bounds: str, check: bool, queue: bool) -> Any:
    """Let MODEL out, if it meets the project's bounds; exit 3 if it doesn't. A file of recorded answers can be checked: FILE --check."""
    if check or queue:
        if override or note or without_bounds:
            raise click.UsageError("--check and --queue decide nothing, so there is nothing to override or to note")
        return _checked(project, model, queue=queue, by=by)
    made = project.release(model, by=by, note=note, override=override, without_bounds=without_bounds)
    document = {"model": made.model, "by": made.by, "decision": made.decision, "report": made.report, "bounds": list(made.bounds)}
    return document, f"{made.model}: {made.decision} (by {made.by})"


def _checked(project: Project, model: str, *, queue: bool, by: str) -> Any:
    from preceptor.project.releasing import evidence, releasing
    from preceptor.project.suites.subjects import is_recorded

    if is_recorded(model):
        if queue:
            raise click.UsageError(f"preceptor evaluate {model} --suite faithfulness asks people about recorded answers")
        found = releasing.check_recorded(project, model)
        return found.to_dict(), _words(found), 0 if found.passed else 3
    named = project.model(model)
    found = releasing.check(project, named)
    asked = evidence.queue(project, named, found.needs, by=by.strip() or "system") if queue else []
    document = found.to_dict() | ({"queued": asked} if queue else {})
    return document, "\n".join([_words(found), *([] if not queue else _asked(asked))]), 0 if found.passed else 3


def _words(found: Checked) -> str:
    from preceptor.evaluation.page.outcome import OUTCOMES
    from preceptor.evaluation.wording import figure_name

    rows = []
    for finding in found.decision.findings:
        told = finding.to_dict()
        has = told.get("has")
        if has is None and told.get("estimate"):
            has = told["estimate"]["value"]
        rows.append((told["figure"], told["bound"], "-" if has is None else f"{has:.3f}", OUTCOMES[told["state"]][1]))
    head = table(("figure", "bound", "it reaches", "outcome"), rows)
    reasons = [f"{figure_name(finding.figure)}: {finding.words}" for finding in found.decision.findings if finding.state != "met"]
    return "\n".join([head, f"{found.model}: {found.decision.words}", *reasons, *(need.words for need in found.needs)])


def _asked(asked: Sequence[dict[str, Any]]) -> list[str]:
    told = [f"{'queued' if each['asked'] else 'not queued'}: {each['words']}" for each in asked]
    return told or ["there is nothing to ask for: no bound is open for want of units"]
