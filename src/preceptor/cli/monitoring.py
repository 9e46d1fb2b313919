"""Commands about served models: their quality, the share of calls that people answer, and the calibration of confidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import format_document, format_interval, format_table, project_command

if TYPE_CHECKING:
    from preceptor.project import Project


@click.command("monitor")
@click.argument("name", required=False, default="")
@click.option("--days", type=click.FloatRange(0, 36_600, min_open=True), default=30.0, show_default=True, help="Days that are looked at.")
@project_command
def monitor_command(project: Project, name: str, days: float) -> Any:
    """Show how what is served performs, all or the model or alias NAME: quality, confidence, errors against cost, and drift."""
    found = project.monitoring.build_live_report(name, days=days).to_dict()
    return found, _monitoring_summary(found)


@click.command("calibrate")
@click.argument("model")
@click.option("--snapshot", default="", metavar="NAME", help="Whose validation rows it answers (default: the model's own).")
@click.option("--live", is_flag=True, help="Learn from answers that it has served, and that people have judged.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="At which it answers them (default: 0; calls that say nothing have 1).")
@project_command
def calibrate_command(project: Project, model: str, snapshot: str, live: bool, temperature: float | None) -> Any:
    """Learn from people's verdicts how probably an answer of MODEL is right, so that people answer the calls with low confidence."""
    from preceptor.monitoring import uninformative_warning

    if live and temperature is not None:
        raise click.UsageError("answers that it has served were drawn as their calls said: leave --temperature out")
    found = project.monitoring.calibrate_confidence(model, snapshot=snapshot, live=live, temperature=temperature or 0.0)
    document = {name: value.to_dict() if hasattr(value, "to_dict") else value for name, value in found.items()}
    words = (
        f"right {format_interval(document['right'])}; its confidence is off by {format_interval(document['ece'])}, on {document['source']}"
    )
    drawn = sorted({*(document["temperatures"] or ())})
    words += f", drawn at temperature {' to '.join(f'{each:g}' for each in drawn)}" if drawn else ""
    words += f"\nof a right and a wrong answer the right one is the surer in {format_interval(document['apart'])} of cases"
    document["warning"] = uninformative_warning(found["apart"])
    words += f"\nwarning: {document['warning']}" if document["warning"] else ""
    return document, f"{words}\nnext: preceptor monitor {found['model']}"


def _monitoring_summary(found: dict[str, Any]) -> str:
    parts = [_model_summary(each, found["currency"]) for each in found["served"]] or ["nothing was called yet: preceptor serve"]
    rest = {name: found[name] for name in ("deferrals", "feedback") if found[name]}
    return "\n\n".join([*parts, format_document(rest)])


def _model_summary(each: dict[str, Any], currency: str) -> str:
    good, counted = each["quality"]["good"], f"{each['quality']['judged']} of {each['quality']['drawn']} drawn answers judged"
    lines = [f"{each['name']} ({each['model']}): {each['answers']:,} answers kept"]
    lines.append(f"  good: {format_interval(good) if good else 'unknown'}, {counted}")
    lines += [f"  {watch['summary']}" for watch in each["watched"]]
    if each["calibration"] is None:
        so = ", so that people answer all its calls" if each["threshold"] else ""
        return "\n".join([*lines, f"  nothing says how sure it is{so}: preceptor calibrate {each['model']}"])
    rows = [
        (f"{point['share']:.0%}", f"{point['threshold']:.3f}", format_interval(point["risk"]), f"{point['cost_a_month']['value']:,.2f}")
        for point in each["risk_coverage"]
    ]
    lines.append(format_table(("to people", "below", "errors of the others", f"{currency} a month"), rows))
    lines += [f"warning: {each['warning']}"] if each["warning"] else []
    if chosen := each["threshold"]:
        lines.append(f"chosen by {chosen['by']}: below {chosen['threshold']:.3f}, {chosen['share']:.0%} of the calls")
    return "\n".join(lines)
