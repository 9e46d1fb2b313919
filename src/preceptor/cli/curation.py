"""`preceptor curate`: list suspect rows, show one with all that is known about it, decide, and undo a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import format_table, project_command

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage.curations import CurationDecision
    from preceptor.storage.suspects import SuspectItem


_question_option = click.option("--question", metavar="NAME", help="Which question (default: the only one).")


@click.group("curate")
def curate_command() -> None:
    """Decide one by one about rows that a check suspects; the page /curate does the same."""


@curate_command.command("list")
@_question_option
@click.option("--check", metavar="NAME", help="Only what this check found.")
@click.option("--most", default=50, show_default=True, type=click.IntRange(min=1), help="How many rows.")
@project_command
def curate_list(project: Project, question: str | None, check: str | None, most: int) -> Any:
    """List the rows that wait for a decision, the most suspect first, and count those that are decided."""
    about = project.only_question(question)
    rows, counts = project.curation.list_suspects(about, limit=most, check=check), project.curation.count_suspects(about)
    shown = format_table(("row", "check", "why"), [(row.item, row.check, row.reason) for row in rows])
    words = f"{counts['open']} to decide, {counts['decided']} decided" + (f"\n{shown}" if rows else "")
    return {"question": about, **counts, "rows": [_suspect_document(row) for row in rows]}, words


@curate_command.command("show")
@click.argument("item")
@_question_option
@project_command
def curate_show(project: Project, item: str, question: str | None) -> Any:
    """Show one row: why it is suspect, what people answered, what the model predicts, and earlier decisions."""
    case = project.curation.load_case(project.only_question(question), item)
    return {
        "item": case.item.id,
        "content": dict(case.item.content),
        "why": [_suspect_document(each) for each in case.suspects],
        "said": [{"annotator": told.annotator, "answer": told.answer} for told in case.judgments],
        "people": dict(case.target_probabilities),
        "model": dict(case.model_probabilities),
        "beside": [{"item": other.item.id, "content": dict(other.item.content), "answer": other.answer} for other in case.related_items],
        "known": case.gold_answer[0] if case.gold_answer else None,
        "decided": [_decision_document(each) for each in case.history],
    }


@curate_command.command("decide")
@click.argument("item")
@click.argument("action", type=click.Choice(["keep", "relabel", "rewrite", "reject", "merge"]))
@_question_option
@click.option("--answer", help="For relabel and rewrite: the right answer (JSON where it isn't a text).")
@click.option("--text", help="For rewrite: what the row should say.")
@click.option("--into", metavar="ITEM", help="For merge: the row that stays.")
@click.option("--reason", default="", help="Why; needed for reject and --example.")
@click.option("--example", is_flag=True, help="Show it with the guidelines.")
@click.option("--by", required=True, metavar="NAME", help="Who decides.")
@project_command
def curate_decide(project: Project, item: str, action: str, question: str | None, answer: str | None, **fields: Any) -> Any:
    """Keep, relabel, rewrite, reject or merge a row. A later decision replaces this one; nothing is erased."""
    from preceptor.cli.options import parse_option_value

    about = project.only_question(question)
    plain = answer is None or answer in project.question(about).options  # an option that looks like JSON is an option
    number = project.curation.curate_item(item, about, action, answer=answer if plain else parse_option_value(answer or ""), **fields)
    left = project.curation.count_suspects(about)["open"]
    return {"decision": number, "open": left}, f"decided about {item}: {action}; {left} to decide"


@curate_command.command("undo")
@click.argument("item")
@_question_option
@click.option("--by", required=True, metavar="NAME", help="Who takes it back.")
@project_command
def curate_undo(project: Project, item: str, question: str | None, by: str) -> Any:
    """Undo the newest decision about a row; the row is suspect again."""
    number = project.curation.undo(item, project.only_question(question), by=by)
    return {"decision": number}, f"the newest decision about {item} is taken back"


def _suspect_document(row: SuspectItem) -> dict[str, Any]:
    return {"item": row.item, "check": row.check, "reason": row.reason, "score": row.score}


def _decision_document(each: CurationDecision) -> dict[str, Any]:
    action = "taken back" if "undoes" in each.document else each.action
    return {"action": action, "answer": each.answer, "reason": each.reason, "example": each.example, "by": each.by}
