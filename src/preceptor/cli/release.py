"""`preceptor release`: check a model against the gate and release it; `preceptor alias`: point names at models, and roll them back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import format_document, format_table, format_time, project_command

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.release import GateCheck


def _require_decider(context: click.Context, option: click.Parameter, value: str) -> str:
    """Return the name of the person who decides; raise MissingParameter where it is empty, except with --check and --queue."""
    if not value.strip() and not (context.params.get("check") or context.params.get("queue")):
        raise click.MissingParameter("name the person who decides, or only look: --check", context, option)
    return value


@click.command("release")
@click.argument("model")
@click.option("--by", default="", callback=_require_decider, help="The person who lets it out; --check needs none.")
@click.option("--note", default="", help="What they want to say about it.")
@click.option("--override", default="", metavar="REASON", help="Let it out although a bound isn't met; the reason stays on record.")
@click.option("--without-bounds", default="", metavar="REASON", help="Let it out although no bound is set; the reason stays on record.")
@click.option(
    "--check", is_flag=True, is_eager=True, help="Only say what each bound comes to, for a pipeline: exit 0 when all are met, else 3."
)
@click.option("--queue", is_flag=True, is_eager=True, help="Ask people for what open bounds lack, as far as it is here; decides nothing.")
@project_command
def release_command(project: Project, model: str, by: str, note: str, override: str, without_bounds: str, check: bool, queue: bool) -> Any:
    """Release MODEL, if it meets the project's bounds; exit 3 if it doesn't. A file of recorded answers can be checked: FILE --check."""
    if check or queue:
        if override or note or without_bounds:
            raise click.UsageError("--check and --queue decide nothing, so there is nothing to override or to note")
        return _check_release(project, model, queue=queue, by=by)
    made = project.release(model, by=by, note=note, override=override, without_bounds=without_bounds)
    document = {"model": made.model, "by": made.by, "decision": made.decision, "report": made.report, "bounds": list(made.bounds)}
    return document, f"{made.model}: {made.decision} (by {made.by})"


def _check_release(project: Project, model: str, *, queue: bool, by: str) -> Any:
    from preceptor.runs import is_answers_file

    if is_answers_file(model):
        if queue:
            raise click.UsageError(f"preceptor evaluate {model} --suite faithfulness asks people about recorded answers")
        found = project.releases.check_recorded(model)
        return found.to_dict(), _release_summary(found), 0 if found.passed else 3
    named = project.model(model)
    found = project.releases.check_release(named)
    asked = project.releases.queue_evidence(named, found.needs, by=by.strip() or "system") if queue else []
    document = found.to_dict() | ({"queued": asked} if queue else {})
    return document, "\n".join([_release_summary(found), *([] if not queue else _queue_lines(asked))]), 0 if found.passed else 3


def _release_summary(found: GateCheck) -> str:
    from preceptor.evaluation.number_format import figure_name
    from preceptor.reporting.release_sections import GATE_OUTCOMES

    rows = []
    for finding in found.decision.findings:
        told = finding.to_dict()
        has = told.get("has")
        if has is None and told.get("estimate"):
            has = told["estimate"]["value"]
        rows.append((told["figure"], told["bound"], "-" if has is None else f"{has:.3f}", GATE_OUTCOMES[told["state"]][1]))
    head = format_table(("figure", "bound", "it reaches", "outcome"), rows)
    reasons = [f"{figure_name(finding.figure)}: {finding.summary}" for finding in found.decision.findings if finding.state != "met"]
    return "\n".join([head, f"{found.model}: {found.decision.summary}", *reasons, *(need.summary for need in found.needs)])


def _queue_lines(asked: Sequence[dict[str, Any]]) -> list[str]:
    told = [f"{'queued' if each['asked'] else 'not queued'}: {each['summary']}" for each in asked]
    return told or ["there is nothing to ask for: no bound is open for want of units"]


_by_option = click.option("--by", required=True, metavar="WHO", help="The person who does it.")
_reason_option = click.option("--reason", default="", help="Why; it stays on record.")
_override_option = click.option(
    "--override", default="", metavar="REASON", help="Although the model wasn't let out; the reason stays on record."
)


@click.group("alias")
def alias_command() -> None:
    """Manage the names that programs call models by, such as support:production."""


@alias_command.command("set")
@click.argument("name")
@click.argument("model")
@_by_option
@_reason_option
@_override_option
@project_command
def alias_set(project: Project, name: str, model: str, by: str, reason: str, override: str) -> Any:
    """Point NAME at MODEL, which must be released, from the next call on; exit 3 if it isn't."""
    made = project.releases.aliases.set(name, model, by=by, reason=reason, override=override)
    return made, f"{name} stands for {made['model']} (by {by}){_confidence_warning(project, made)}"


@alias_command.command("rollback")
@click.argument("name")
@_by_option
@_reason_option
@_override_option
@project_command
def alias_rollback(project: Project, name: str, by: str, reason: str, override: str) -> Any:
    """Roll NAME back to the previous model, at once; run it again for the one before that."""
    made = project.releases.aliases.roll_back(name, by=by, reason=reason, override=override)
    return made, f"{name} stands for {made['model']} again (by {by}){_confidence_warning(project, made)}"


@alias_command.command("set-threshold")
@click.argument("name")
@click.option("--share", type=click.FloatRange(0, 1), help="Have people answer this share of the calls, those of the lowest confidence.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Have people answer the calls below this confidence.")
@click.option("--by", default="", metavar="WHO", help="The person who decides it.")
@project_command
def alias_set_threshold(project: Project, name: str, share: float | None, threshold: float | None, by: str) -> Any:
    """Set which calls of NAME, a model or an alias, people answer: those below a confidence, or a share of all."""
    if share is None and threshold is None:
        raise click.UsageError("give a share of the calls, or a confidence: --share 0.1 or --threshold 0.7")
    chosen = project.monitoring.set_threshold(name, project.releases.resolve_alias(name), share=share, threshold=threshold, by=by)
    return chosen, format_document(chosen)


@alias_command.command("list")
@project_command
def alias_list(project: Project) -> Any:
    """List the aliases and the model that each points at."""
    found = project.releases.aliases.list_current()
    return {"aliases": found}, _format_aliases(found) if found else "none yet: preceptor alias set NAME MODEL --by WHO"


@alias_command.command("history")
@click.argument("name")
@project_command
def alias_history(project: Project, name: str) -> Any:
    """List all models that NAME has pointed at, in order."""
    found = project.releases.aliases.history(name)
    return {"alias": name, "history": found}, _format_aliases(found)


def _format_aliases(rows: list[dict[str, Any]]) -> str:
    cells = [(row["name"], row["model"], format_time(row["created"]), row["by"], row["reason"]) for row in rows]
    return format_table(("name", "model", "since", "by", "reason"), cells)


def _confidence_warning(project: Project, made: dict[str, Any]) -> str:
    """Return a warning where people answer below a confidence that isn't calibrated for this model: then they answer every call."""
    served = project.monitoring
    if not served.get_threshold(made["model"], made["name"]) or served.estimate_confidence(made["model"], (0.0,)) is not None:
        return ""
    return f"\nnothing says how sure it is, so that people answer all its calls: preceptor calibrate {made['model']}"
