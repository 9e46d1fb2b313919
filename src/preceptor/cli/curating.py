"""Commands of curating: what waits for a decision, one row with all that is known of it, the decision, and taking it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import in_project, table

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.store.curations import Curated
    from preceptor.store.suspects import Suspected

_question = click.option("--question", metavar="NAME", help="Which question (default: the only one).")


@click.group("curate")
def curate_command() -> None:
    """Rows that a check suspects, decided one by one; as on the page /curate."""


@curate_command.command("list")
@_question
@click.option("--check", metavar="NAME", help="Only what this check found.")
@click.option("--most", default=50, show_default=True, type=click.IntRange(min=1), help="How many rows.")
@in_project
def curate_list(project: Project, question: str | None, check: str | None, most: int) -> Any:
    """What waits for a decision, the gravest first, and how much is decided."""
    from preceptor.project.curating import curating

    about = project.only_question(question)
    rows, counts = curating.queue(project, about, limit=most, check=check), curating.counts(project, about)
    shown = table(("row", "check", "why"), [(row.item, row.check, row.reason) for row in rows])
    words = f"{counts['open']} to decide, {counts['decided']} decided" + (f"\n{shown}" if rows else "")
    return {"question": about, **counts, "rows": [_suspect(row) for row in rows]}, words


@curate_command.command("show")
@click.argument("item")
@_question
@in_project
def curate_show(project: Project, item: str, question: str | None) -> Any:
    """One row: why it is suspect, what people said, what the model thinks, what was decided before."""
    from preceptor.project.curating import curating

    case = curating.case(project, project.only_question(question), item)
    return {
        "item": case.item.id,
        "content": dict(case.item.content),
        "why": [_suspect(each) for each in case.suspects],
        "said": [{"annotator": told.annotator, "answer": told.answer} for told in case.told],
        "people": dict(case.target),
        "model": dict(case.model),
        "beside": [{"item": other.item.id, "content": dict(other.item.content), "answer": other.answer} for other in case.others],
        "known": case.known[0] if case.known else None,
        "decided": [_decision(each) for each in case.history],
    }


@curate_command.command("decide")
@click.argument("item")
@click.argument("action", type=click.Choice(["keep", "relabel", "rewrite", "reject", "merge"]))
@_question
@click.option("--answer", help="For relabel and rewrite: the right answer (JSON where it isn't a text).")
@click.option("--text", help="For rewrite: what the row should say.")
@click.option("--into", metavar="ITEM", help="For merge: the row that stays.")
@click.option("--reason", default="", help="Why; needed for reject and --example.")
@click.option("--example", is_flag=True, help="Show it with the guidelines.")
@click.option("--by", required=True, metavar="NAME", help="Who decides.")
@in_project
def curate_decide(project: Project, item: str, action: str, question: str | None, answer: str | None, **fields: Any) -> Any:
    """Keep, relabel, rewrite, reject or merge a row. A newer decision takes the place of this one; nothing is erased."""
    from preceptor.cli.options import value_of
    from preceptor.project.curating import curating

    about = project.only_question(question)
    plain = answer is None or answer in project.question(about).options  # an option that looks like JSON is an option
    number = curating.curate(project, item, about, action, answer=answer if plain else value_of(answer or ""), **fields)
    left = curating.counts(project, about)["open"]
    return {"decision": number, "open": left}, f"decided about {item}: {action}; {left} to decide"


@curate_command.command("undo")
@click.argument("item")
@_question
@click.option("--by", required=True, metavar="NAME", help="Who takes it back.")
@in_project
def curate_undo(project: Project, item: str, question: str | None, by: str) -> Any:
    """Take the newest decision about a row back; the row is suspect again."""
    from preceptor.project.curating import curating

    number = curating.undo(project, item, project.only_question(question), by=by)
    return {"decision": number}, f"the newest decision about {item} is taken back"


def _suspect(row: Suspected) -> dict[str, Any]:
    return {"item": row.item, "check": row.check, "reason": row.reason, "score": row.score}


def _decision(each: Curated) -> dict[str, Any]:
    action = "taken back" if "undoes" in each.document else each.action
    return {"action": action, "answer": each.answer, "reason": each.reason, "example": each.example, "by": each.by}
