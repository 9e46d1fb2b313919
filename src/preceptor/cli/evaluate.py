"""Commands about evaluation: evaluate a model, compare models side by side, and train the local judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import HOSTED_JUDGE_FIELDS, SEED, add_hosted_judge_options, parse_options
from preceptor.cli.output import format_interval, format_table, progress_bar, progress_printer, project_command

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.reporting.report import Report
    from preceptor.runs import JudgeHosting


REPORT_FIGURES = ("accuracy", "macro_f1", "log_loss", "ece", "exact_match", "token_f1", "log_probability", "retention")
REPORT_SUFFIXES = (".html", ".json", ".md", ".pdf")


@click.command("evaluate")
@click.argument("model", metavar="MODEL|FOLDER|FILE")
@click.option(
    "--suite", "suites", metavar="NAME|FILE", multiple=True, help="What else to measure: faithfulness, rag_ablation, or a suite of yours."
)
@click.option("--snapshot", metavar="NAME", help="On whose rows the model in FOLDER, which was trained elsewhere, is measured.")
@click.option("--split", default="test", show_default=True, help="Which split; each opening of the test split is counted.")
@click.option("--base", metavar="DIR", help="Where the base of a model that writes lies, when it is a folder of your own.")
@click.option("--judge", default="", metavar="NAME", help="For suites that name none: smollm2, a model's id or folder, openai:NAME.")
@click.option("--queue/--no-queue", default=True, show_default=True, help="Ask people for the verdicts that a suite lacks.")
@click.option("--adjudicate", is_flag=True, help="Put the next part of the test rows before experts: 50 at random, then 100, 200, 400.")
@add_hosted_judge_options
@click.option("--out", metavar="FILE", multiple=True, help="Also write it: report.html (with report.json), card.md, report.pdf.")
@project_command
def evaluate_command(
    project: Project,
    model: str,
    suites: tuple[str, ...],
    snapshot: str | None,
    split: str,
    base: str | None,
    judge: str,
    queue: bool,
    adjudicate: bool,
    out: tuple[str, ...],
    **hosted: Any,
) -> Any:
    """Measure MODEL on held-out rows, and with suites; or the answers recorded in FILE, with suites alone.

    FOLDER is a Hugging Face folder of a model that was trained elsewhere: it becomes one of the project's models, to compare, release and
    serve.

    The parity of a generative model is checked first, and it is compared with its base. A suite that needs people queues its items for
    annotation; run the same command again to take their answers into account.
    """
    from preceptor.runs import JudgeHosting, SuiteOptions

    _check_suffixes(out)
    suite_options = SuiteOptions(judge, JudgeHosting(**hosted), queue, progress_printer)
    report = project.evaluate(model, split=split, base=base, suites=suites, suite_options=suite_options, snapshot=snapshot)
    measured = (report.document.get("lineage") or {}).get("model")  # None for a file of recorded answers
    for path in out:
        _save_report(project.releases.add_decisions(report, measured) if measured else report, path)
    asked = _ask_experts(project, str(measured)) if adjudicate and measured else ""
    return dict(report.document), _report_summary(report) + asked


def _ask_experts(project: Project, model: str) -> str:
    waiting = project.evaluation.queue_expert_sample(project.load_snapshot(project.model(model).manifest["snapshot"]))
    told = f"\n{waiting} test rows wait for experts; when they are decided, the same command tells accuracy against them"
    return f"{told} (where experts are tied another is asked, or one of them settles it under /review)"


def _check_suffixes(paths: Sequence[str]) -> None:
    for path in paths:
        if Path(path).suffix not in REPORT_SUFFIXES:
            raise click.UsageError(f"{path} ends with none of {', '.join(REPORT_SUFFIXES)}")


def _save_report(report: Report, path: str) -> None:
    form = Path(path).suffix
    if form == ".html":
        report.save_html(path)
        report.save_json(Path(path).with_suffix(".json"))
    elif form == ".json":
        report.save_json(path)
    elif form == ".md":
        report.save_card(path)
    else:
        report.save_pdf(path)


def _report_summary(report: Report) -> str:
    names = (*REPORT_FIGURES, *(f"tuned_minus_base_{name}" for name in REPORT_FIGURES))
    shown = [(name, str(report.estimates[name])) for name in names if "models" in report.document and name in report.estimates]
    parts = [format_table(("figure", "value [95 % interval]"), shown)] if shown else []
    parts += [_suite_summary(name, section) for name, section in report.document.get("suites", {}).items()]
    if "release" in report.document:
        parts.append(f"gate: {report.document['release']['summary']}")
    return "\n\n".join(parts)


def _suite_summary(name: str, section: Mapping[str, Any]) -> str:
    rows = [(figure, format_interval(found)) for figure, found in section["figures"].items()]
    figures = [format_table(("figure", "value [95 % interval]"), rows)] if rows else []
    return "\n".join([f"{name}: {section['title']}", *section["summary"], *figures])


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
@add_hosted_judge_options
@click.option("--out", metavar="FILE", help="Also write it as a page here, such as comparison.html.")
@project_command
def compare_command(project: Project, models: tuple[str, ...], rows: str | None, max_tokens: int, out: str | None, **given: Any) -> Any:
    """Let people compare models' answers blind: A and B (and C…) are models, or files of recorded answers.

    The first run opens a round, in which people see two answers without knowing which model gave them; the same command again shows the
    results so far, and closes the round as soon as they are decisive.
    """
    from preceptor.runs import COMPARISON_INSTRUCTIONS, ComparisonOptions, JudgeHosting

    answers, left_out = project.evaluation.load_compared_answers(models, rows, max_tokens=max_tokens, tell=progress_printer)
    hosting = JudgeHosting(**{name: given.pop(name) for name in HOSTED_JUDGE_FIELDS})
    judges = _make_judges(project, given.pop("judge"), given.pop("judge_question"), hosting, watched=given.pop("watch"))
    options = ComparisonOptions(**{**given, "instructions": given["instructions"] or COMPARISON_INSTRUCTIONS})
    document = _json_document(
        project.evaluation.compare_side_by_side(answers, options, **judges, progress=progress_printer("judge")) | {"left_out": left_out}
    )
    if out is not None:
        _save_comparison(document, out)
    return document, _comparison_summary(document) + (f"\n{out}" if out else "")


def _make_judges(project: Project, name: str | None, question: str | None, hosting: JudgeHosting, *, watched: bool) -> dict[str, Any]:
    """Return the judge, and another instance of it that is asked again where it is watched."""
    import time
    from dataclasses import replace

    from preceptor.errors import UserError
    from preceptor.evaluation.judges.llm_judges import PAIR_QUESTION

    if name is None:
        if watched or question:
            raise UserError("there is no judge", "name one: --judge NAME")
        return {}
    asked = question or PAIR_QUESTION
    judge = project.evaluation.load_pair_judge(name, asked, hosting)
    today = replace(hosting, repetition=int(time.time() // 86400))  # a hosted judge is asked again once a day at most
    return {"judge": judge, "again": project.evaluation.load_pair_judge(name, asked, today) if watched else None}


def _json_document(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document as JSON holds it; raise UserError where a number isn't finite."""
    from preceptor.reporting.report import Report

    return dict(Report.from_document(document).document)


def _save_comparison(document: Mapping[str, Any], out: str) -> None:
    from pathlib import Path

    from preceptor.formats.durable_files import atomic_write
    from preceptor.reporting.comparison_page import comparison_page

    with atomic_write(Path(out)) as file:
        file.write(comparison_page(document).encode())


def _comparison_summary(document: Mapping[str, Any]) -> str:
    from preceptor.cli.output import format_interval

    state = document["round"]
    lines = list(document["summary"])
    if document["left_out"]:
        lines.append(f"{document['left_out']} prompts are left out: one of the models can't read them.")
    shown = [
        (
            each["first"],
            each["second"],
            format_interval(each["win_rate"]) if each["win_rate"] else "-",
            each["won"],
            each["tied"],
            each["lost"],
        )
        for each in document["matches"]
    ]
    lines.append(format_table(("first", "second", "win rate", "won", "tied", "lost"), shown))
    if "strengths" in document:
        strengths = document["strengths"]
        lines.append(
            format_table(("model", "strength (log-odds)"), [(name, format_interval(strengths[name])) for name in document["ranking"]])
        )
        if document["order_bias"]:
            lines.append(f"standing left adds (log-odds): {format_interval(document['order_bias'])}")
        people = [
            (each["annotator"], each["votes"], format_interval(each["with_others"]) if each["with_others"] else "-")
            for each in document["annotators"]
        ]
        lines.append(format_table(("annotator", "votes", "with others"), people))
        lines += [f"note: {note}" for note in document["notes"]]
    if (drift := document.get("judge", {}).get("drift")) is not None:
        lines.append(drift["summary"])
    return "\n".join([*lines, _round_status(document, state)])


def _round_status(document: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    if not state["opened"]:
        return "people aren't asked (--no-queue)"
    if state["left"]:
        return f"round {document['question']}: {state['given']} of {state['planned']} votes; preceptor serve, preceptor people invite NAME"
    return f"round {document['question']}: {state['given']} of {state['planned']} votes, and no more are asked for"


@click.group("judge")
def judge_command() -> None:
    """Train the local judge, which checks claims against their sources without any key."""


@judge_command.command("train")
@click.argument("files", nargs=-1, metavar="FILE…", type=click.Path())
@click.option("--verdicts", is_flag=True, help="Also learn from what people of this project said about claims.")
@click.option("--base", default="minilm", show_default=True, help="The encoder to start from: its name or folder.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the training.")
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe classify.")
@project_command
def judge_train(project: Project, files: tuple[str, ...], verdicts: bool, base: str, seed: int, options: tuple[str, ...]) -> Any:
    """Train the local judge on pairs of a source text and a claim: columns premise, claim and label (supported, or not)."""
    from preceptor.documents import JUDGE_FOLDER, merge_claim_pairs, read_claim_pairs, train_claim_judge

    if not files and not verdicts:
        raise click.UsageError("give FILE with pairs, or --verdicts")
    given = parse_options(options, taken=("base", "seed"))
    pairs = merge_claim_pairs([*read_claim_pairs(files), *(project.evaluation.load_claim_pairs() if verdicts else ())])
    with progress_bar(project.config.cost) as tell:
        made = train_claim_judge(pairs, project.folder / JUDGE_FOLDER, base=base, seed=seed, progress=tell, **given)
    rows, agreed = made["pairs"], made["agreement"]
    held = f"on {rows['validation']:,} others"
    worth = (
        f"{held} it is right in {format_interval(agreed['plain'])}, and correlates with people by {format_interval(agreed['correlation'])}"
        if agreed
        else f"{held}, too few to say what it is worth"
    )
    known = f"judge {made['digest'][:12]} from {rows['train']:,} pairs; {worth}"
    told = "\n".join([*made["summary"], known, "next: preceptor evaluate MODEL --suite faithfulness"])
    return made, told
