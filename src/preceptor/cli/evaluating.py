"""The command that measures a model, and what its report says in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import hosted_judge
from preceptor.cli.output import in_project, interval, table, telling

if TYPE_CHECKING:
    from preceptor.evaluation import Report
    from preceptor.project import Project

FIGURES = ("accuracy", "macro_f1", "log_loss", "ece", "exact_match", "token_f1", "log_probability", "retention")
FORMS = (".html", ".json", ".md", ".pdf")


@click.command("evaluate")
@click.argument("model", metavar="MODEL|FOLDER|FILE")
@click.option(
    "--suite", "suites", metavar="NAME|FILE", multiple=True, help="What else to measure: faithfulness, four_ways, or a suite of yours."
)
@click.option("--snapshot", metavar="NAME", help="On whose rows the model in FOLDER, which was trained elsewhere, is measured.")
@click.option("--split", default="test", show_default=True, help="Which split; each opening of the test split is counted.")
@click.option("--base", metavar="DIR", help="Where the base of a model that writes lies, when it is a folder of your own.")
@click.option("--judge", default="", metavar="NAME", help="For suites that name none: smollm2, a model's id or folder, openai:NAME.")
@click.option("--queue/--no-queue", default=True, show_default=True, help="Ask people for the verdicts that a suite lacks.")
@click.option("--experts", is_flag=True, help="Put the next part of the test rows before experts: 50 at random, then 100, 200, 400.")
@hosted_judge
@click.option("--out", metavar="FILE", multiple=True, help="Also write it: report.html (with report.json), card.md, report.pdf.")
@in_project
def evaluate_command(
    project: Project,
    model: str,
    suites: tuple[str, ...],
    snapshot: str | None,
    split: str,
    base: str | None,
    judge: str,
    queue: bool,
    experts: bool,
    out: tuple[str, ...],
    **hosted: Any,
) -> Any:
    """Measure MODEL on held-out rows, and by suites; or the answers recorded in FILE, by suites alone.

    FOLDER is a Hugging Face folder of a model that was trained elsewhere: it becomes one of the project's, to compare, release and serve.

    A model that writes is proved first, and measured beside its base. A suite that needs people asks them, and the same command
    again takes their answers into account.
    """
    from preceptor.project.judges.judging import Hosting
    from preceptor.project.releasing.releasing import with_decisions
    from preceptor.project.suites.running import Wishes

    _check_forms(out)
    wishes = Wishes(judge, Hosting(**hosted), queue, telling)
    report = project.evaluate(model, split=split, base=base, suites=suites, wishes=wishes, snapshot=snapshot)
    measured = (report.document.get("lineage") or {}).get("model")  # none, where answers were recorded
    for path in out:
        _save(with_decisions(project, report, measured) if measured else report, path)
    asked = _ask_experts(project, str(measured)) if experts and measured else ""
    return dict(report.document), _words(report) + asked


def _ask_experts(project: Project, model: str) -> str:
    from preceptor.project.evaluating import adjudicating

    waiting = adjudicating.ask(project, project.load_snapshot(project.model(model).manifest["snapshot"]))
    told = f"\n{waiting} test rows wait for experts; when they are decided, the same command tells accuracy against them"
    return f"{told} (where experts are tied another is asked, or one of them settles it under /review)"


def _check_forms(paths: Sequence[str]) -> None:
    for path in paths:
        if Path(path).suffix not in FORMS:
            raise click.UsageError(f"{path} ends with none of {', '.join(FORMS)}")


def _save(report: Report, path: str) -> None:
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


def _words(report: Report) -> str:
    names = (*FIGURES, *(f"tuned_minus_base_{name}" for name in FIGURES))
    shown = [(name, str(report.estimates[name])) for name in names if "models" in report.document and name in report.estimates]
    parts = [table(("figure", "value [95 % interval]"), shown)] if shown else []
    parts += [_suite(name, section) for name, section in report.document.get("suites", {}).items()]
    if "release" in report.document:
        parts.append(f"gate: {report.document['release']['words']}")
    return "\n\n".join(parts)


def _suite(name: str, section: Mapping[str, Any]) -> str:
    rows = [(figure, interval(found)) for figure, found in section["figures"].items()]
    figures = [table(("figure", "value [95 % interval]"), rows)] if rows else []
    return "\n".join([f"{name}: {section['title']}", *section["words"], *figures])
