"""Commands about judgments and annotators: status, aggregate, prioritise, people and replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED
from preceptor.cli.output import format_document, format_table, output_command, progress_bar, project_command

if TYPE_CHECKING:
    from preceptor.project import Project


@click.command("status")
@project_command
def status_command(project: Project) -> Any:
    """Show progress, agreement, cost so far, and what to do next."""
    return project.status()


@click.command("aggregate")
@click.argument("question")
@click.option("--method", help="An aggregator's name (default: the question kind's own).")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the method.")
@project_command
def aggregate_command(project: Project, question: str, method: str | None, options: tuple[str, ...]) -> Any:
    """Show the consensus of QUESTION: each item's most probable answer, and how certain it is."""
    from preceptor.cli.options import parse_options

    fitted = project.consensus(question, method, **parse_options(options, taken=("method",)))
    rows = zip(fitted.items, fitted.top, fitted.certainty.tolist(), fitted.judgment_counts.tolist(), strict=True)
    items = [{"item": item, "answer": answer, "certainty": certainty, "judgments": n} for item, answer, certainty, n in rows]
    document = {
        "question": question,
        "method": fitted.method,
        "answers": list(fitted.answers),
        "converged": fitted.converged,
        "notes": list(fitted.notes),
        "items": items,
        "annotators": {str(name): _annotator_quality(quality) for name, quality in fitted.annotators.items()},
    }
    shown = [(row["item"], row["answer"], f"{row['certainty']:.3f}", row["judgments"]) for row in items[:20]]
    more = f"\n… and {len(items) - 20} more: --json, or preceptor export consensus FILE" if len(items) > 20 else ""
    notes = "".join(f"\nnote: {note}" for note in fitted.notes)
    return document, f"method: {fitted.method}{notes}\n" + format_table(("item", "answer", "certainty", "judgments"), shown) + more


@click.command("select")
@click.argument("question", required=False)
@click.option("--model", help="A model of the question, by its id: what it is unsure of comes first.")
@click.option("--size", default=100, show_default=True, type=click.IntRange(min=1), help="How many items.")
@click.option("--base", default="minilm", show_default=True, help="Whose vectors say which items are alike: a base's name or folder.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the random fifth and of the clusters.")
@project_command
def select_command(project: Project, question: str | None, model: str | None, **options: Any) -> Any:
    """Choose which unjudged items people see first, for a better model of QUESTION (default: the only one)."""
    from collections import Counter

    batch = project.prioritise(project.only_question(question), model, **options)
    rows = list(Counter(row["stream"] for row in batch["items"]).items())
    return batch, f"{len(batch['items'])} of {batch['population']} unjudged items come first\n" + format_table(("chosen", "items"), rows)


@click.group("people")
def people_command() -> None:
    """Invite, list, pause and retract people, and end or rotate their credentials."""


@people_command.command("invite")
@click.argument("name")
@click.option("--role", default="annotator", show_default=True, type=click.Choice(["annotator", "reviewer", "expert", "owner"]))
@click.option("--skill", "skills", multiple=True, help="What they know; questions may need it. May be given several times.")
@click.option("--daily-limit", type=click.IntRange(min=1), help="Judgments a day (default: as many as they like).")
@click.option(
    "--days", type=click.FloatRange(0, 3660, min_open=True), default=14.0, show_default=True, help="For how long the link is valid."
)
@click.option("--crowd", is_flag=True, help="A link for an external crowd, whose members bring their own ids (PROLIFIC_PID).")
@click.option("--scope", "scopes", multiple=True, help="Instead: a token for a program, with this scope. May be given several times.")
@project_command
def people_invite(project: Project, name: str, crowd: bool, scopes: tuple[str, ...], **values: Any) -> Any:
    """Print a link to hand to NAME, and a token with which programs act for them."""
    access = project.annotation.access
    if scopes:
        return access.issue_application_token(name, scopes)
    if crowd:
        return access.invite_crowd(name, daily_limit=values["daily_limit"], days=values["days"])
    return access.invite(name, **values)


@people_command.command("pause")
@click.argument("name")
@click.option("--by", required=True, help="Who decides this.")
@click.option("--end", is_flag=True, help="Ask them again.")
@project_command
def people_pause(project: Project, name: str, by: str, end: bool) -> Any:
    """Ask NAME nothing until further notice; what they have answered is kept."""
    project.annotation.access.set_paused(name, not end, by=by)
    return {"annotator": name, "paused": not end}


@people_command.command("revoke")
@click.argument("name")
@click.option("--by", required=True, help="Who decides this.")
@project_command
def people_revoke(project: Project, name: str, by: str) -> Any:
    """End all links, tokens, passwords and sessions of NAME; what they have answered is kept."""
    return {"annotator": name, "credentials": project.annotation.access.revoke_credentials(name, by=by)}


@people_command.command("rotate")
@click.argument("name")
@click.option("--hours", default=0.0, show_default=True, help="For how long the old tokens may still be used.")
@click.option("--by", required=True, help="Who decides this.")
@project_command
def people_rotate(project: Project, name: str, hours: float, by: str) -> Any:
    """Issue a new token for NAME in place of those they have; files, jobs, models and answers stay theirs."""
    return project.annotation.access.rotate_token(name, hours=hours, by=by)


@people_command.command("list")
@click.option("--question", help="Which question their quality is measured on (default: the only one).")
@project_command
def people_list(project: Project, question: str | None) -> Any:
    """List everyone who has answered, with their agreement with the consensus."""
    rows = project.people(question)
    shown = [
        (row["annotator"], row["role"], row["judgments"], format_document(row["accuracy"]) if row["accuracy"] else "-") for row in rows
    ]
    return {"people": rows}, format_table(("annotator", "role", "judgments", "agrees with the consensus"), shown)


@people_command.command("retract")
@click.argument("name")
@click.option("--by", required=True, help="Who decides this.")
@click.option("--reason", required=True, help="Why; it stays on record.")
@click.option("--remake", is_flag=True, help="Make consensus, snapshots and models that rest on them again, without them.")
@project_command
def people_retract(project: Project, name: str, by: str, reason: str, remake: bool) -> Any:
    """Take all that NAME has answered out of everything downstream, and list the snapshots and models that are affected.

    With --remake these are made again, with the same options, seed and base. The old ones remain until somebody releases the new ones;
    the same command continues where it was stopped.
    """
    from preceptor.cli.erasure import summarize_removal

    with progress_bar(project.config.cost) as tell:
        document = project.releases.retract_annotator(name, by=by, reason=reason, again=remake, progress=tell)
    return document, summarize_removal(document)


def _annotator_quality(quality: Any) -> dict[str, Any]:
    return {"judgments": quality.judgments, "accuracy": quality.accuracy.to_dict() if quality.accuracy else None}


@click.command("simulate")
@click.argument("file", metavar="FILE")
@click.option("--gold", metavar="FILE", help="Known answers (item, answer); they only score, and never change what is bought.")
@click.option("--method", default="auto", show_default=True, help="The aggregator.")
@click.option("--target", default=0.95, show_default=True, help="How certain an item must be that further judgments change nothing.")
@click.option("--choose-people", is_flag=True, help="Choose among the people who answered an item (default: random arrival).")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the order of arrival.")
@output_command
def simulate_command(file: str, gold: str | None, **options: Any) -> Any:
    """Replay recorded judgments (FILE: item, annotator, answer): how many would have been bought, and how accurate they were."""
    from preceptor.annotation import read_gold, read_judgments
    from preceptor.planning import replay_judgments

    found = replay_judgments(read_judgments(file), gold=read_gold(gold) if gold else None, **options)
    rows = [("judgments bought", f"{found.judgments_used:,} of {found.judgments_available:,} ({found.fraction:.1%})")]
    scored = (
        ("accuracy", found.accuracy),
        ("accuracy with all of them", found.full_accuracy),
        ("spread evenly instead", found.fixed_accuracy),
    )
    rows += [(name, str(estimate)) for name, estimate in scored if estimate is not None]
    rows += [("same answer as with all", str(found.agreement)), ("as the stop rule claims", f"{found.claimed:.3f}")]
    return found.to_dict(), format_table(("", ""), rows).lstrip("\n")
