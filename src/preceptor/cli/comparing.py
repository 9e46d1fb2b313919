"""The command that compares models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import HOSTED, SEED, hosted_judge
from preceptor.cli.output import in_project, table, telling

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.project.judges.judging import Hosting


@click.command("compare")
@click.argument("models", metavar="A B [C…]", nargs=-1, required=True)
@click.option("--rows", metavar="FILE", help="The prompts (default: those of the first file of recorded answers).")
@click.option("--question", metavar="NAME", help="The round's name (default: made from the answers).")
@click.option("--instructions", metavar="TEXT", help="What people are told, when the round begins.")
@click.option("--people", type=click.IntRange(min=1), help="How many people look at each pair (default: 3).")
@click.option("--prompts", type=click.IntRange(min=1), help="About how many prompts people are asked, drawn at random (default: all).")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Draws the order in which answers stand, and the prompts.")
@click.option("--reasons/--no-reasons", default=True, show_default=True, help="Ask people why.")
@click.option("--queue/--no-queue", default=True, show_default=True, help="Ask people; without it only show what is there.")
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(min=1), help="Of each answer that is written now.")
@click.option("--judge", metavar="NAME", help="A judge beside people: smollm2, a model's id or folder, openai:NAME.")
@click.option("--judge-question", metavar="TEXT", help="What the judge is asked (default: which answer is better).")
@click.option("--watch", is_flag=True, help="Ask the judge again about pairs that people have finished: does it still say the same?")
@hosted_judge
@click.option("--out", metavar="FILE", help="Also write it as a page here, such as comparison.html.")
@in_project
def compare_command(project: Project, models: tuple[str, ...], rows: str | None, max_tokens: int, out: str | None, **given: Any) -> Any:
    """Let people compare models' answers blind: A and B (and C…) are models, or files of recorded answers.

    The first time it opens a round, in which people see two answers without knowing whose they are; the same command again shows
    what they say so far, and ends the asking as soon as that decides.
    """
    from preceptor.project.evaluating.answers import answers_to
    from preceptor.project.evaluating.comparing import INSTRUCTIONS, Wishes, compare
    from preceptor.project.judges.judging import Hosting

    answers, left_out = answers_to(project, models, rows, max_tokens=max_tokens, tell=telling)
    hosting = Hosting(**{name: given.pop(name) for name in HOSTED})
    judges = _judges(project, given.pop("judge"), given.pop("judge_question"), hosting, watched=given.pop("watch"))
    wishes = Wishes(**{**given, "instructions": given["instructions"] or INSTRUCTIONS})
    document = _plain(compare(project, answers, wishes, **judges, progress=telling("judge")) | {"left_out": left_out})
    if out is not None:
        _save(document, out)
    return document, _words(document) + (f"\n{out}" if out else "")


def _judges(project: Project, name: str | None, question: str | None, hosting: Hosting, *, watched: bool) -> dict[str, Any]:
    """The judge, and the same made anew where it is watched."""
    import time
    from dataclasses import replace

    from preceptor.errors import UserError
    from preceptor.evaluation.judges.pairs import QUESTION
    from preceptor.project.judges.judging import pair_judge_of

    if name is None:
        if watched or question:
            raise UserError("there is no judge", "name one: --judge NAME")
        return {}
    asked = question or QUESTION
    judge = pair_judge_of(project, name, asked, hosting)
    today = replace(hosting, again=int(time.time() // 86400))  # a hosted judge is asked anew once a day at most
    return {"judge": judge, "again": pair_judge_of(project, name, asked, today) if watched else None}


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON holds it; UserError where a number isn't finite."""
    from preceptor.evaluation import Report

    return dict(Report.from_document(document).document)


def _save(document: Mapping[str, Any], out: str) -> None:
    from pathlib import Path

    from preceptor.evaluation.side_page import comparison_page
    from preceptor.formats.atomic import atomic_write

    with atomic_write(Path(out)) as file:
        file.write(comparison_page(document).encode())


def _words(document: Mapping[str, Any]) -> str:
    from preceptor.cli.output import interval

    state = document["round"]
    lines = list(document["words"])
    if document["left_out"]:
        lines.append(f"{document['left_out']} prompts are left out: one of the models can't read them.")
    shown = [
        (each["first"], each["second"], interval(each["win_rate"]) if each["win_rate"] else "-", each["won"], each["tied"], each["lost"])
        for each in document["matches"]
    ]
    lines.append(table(("first", "second", "win rate", "won", "tied", "lost"), shown))
    if "strengths" in document:
        strengths = document["strengths"]
        lines.append(table(("model", "strength (log-odds)"), [(name, interval(strengths[name])) for name in document["ranking"]]))
        if document["order_bias"]:
            lines.append(f"standing left adds (log-odds): {interval(document['order_bias'])}")
        people = [
            (each["annotator"], each["votes"], interval(each["with_others"]) if each["with_others"] else "-")
            for each in document["annotators"]
        ]
        lines.append(table(("annotator", "votes", "with others"), people))
        lines += [f"note: {note}" for note in document["notes"]]
    if (drift := document.get("judge", {}).get("drift")) is not None:
        lines.append(drift["words"])
    return "\n".join([*lines, _next(document, state)])


def _next(document: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    if not state["opened"]:
        return "people aren't asked (--no-queue)"
    if state["left"]:
        return f"round {document['question']}: {state['given']} of {state['planned']} votes; preceptor serve, preceptor people invite NAME"
    return f"round {document['question']}: {state['given']} of {state['planned']} votes, and no more are asked for"
