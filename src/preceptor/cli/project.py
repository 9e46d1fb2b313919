"""Commands about a whole project: init creates it, demo and quickstart run the whole pipeline, doctor checks machine and project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import SEED
from preceptor.cli.output import format_interval, format_table, output_command, progress_bar

if TYPE_CHECKING:
    from preceptor.pipeline.project_templates import TemplateProject


@click.command("init")
@click.argument("folder", metavar="DIR")
@click.option("--template", metavar="NAME", help="Begin with what a field needs: support, finance, health, legal or sentiment.")
@click.option("--part", metavar="NAME", default="", help="Which part of the template: what people look at (default: its first).")
@click.option("--bound", "bounds", metavar="BOUND", multiple=True, help="What a model must reach: 'accuracy.low >= 0.8'. May be repeated.")
@output_command
def init_command(folder: str, template: str | None, part: str, bounds: tuple[str, ...]) -> Any:
    """Create a new project in DIR, empty or from a domain template with questions, guidelines, gold, a policy, suites and bounds."""
    from preceptor.evaluation import ReleaseBound
    from preceptor.pipeline import project_templates
    from preceptor.project import Project

    if template is not None:
        if bounds:
            raise click.UsageError("--bound is for a project without a template, which brings its bounds: change them in preceptor.toml.")
        laid = project_templates.create_from_template(folder, template, part)
        return laid.to_dict(), _template_summary(laid)
    if part:
        raise click.UsageError("--part needs --template: a project without a template has no parts.")
    for bound in bounds:
        ReleaseBound.parse(bound)  # before a folder is created
    project = Project.create(folder, gate={"bounds": bounds})
    project.close()
    made = f"made {project.folder}; next: preceptor question add FILE, preceptor import FILE"
    unbounded = "; before a model is released, say under [gate] in preceptor.toml what is good enough"
    return {"project": str(project.folder), "bounds": list(bounds)}, made if bounds else made + unbounded


def _template_summary(laid: TemplateProject) -> str:
    """Return where everything is in a new project, and what to do next, as text."""
    said = laid.template.get_part(laid.part)
    gold = ", ".join(f"{count} for {question}" for question, count in laid.gold.items())
    lines = [
        f"made {laid.folder}: {laid.template.title}, {said['about']}",
        "",
        f"  questions   {', '.join(laid.questions)} (questions/*.toml; their instructions are the guidelines)",
        f"  gold        {gold} (items of our own with answers and why)",
        "  policy      policy.toml, with answers that break it in policy-examples.jsonl",
        (
            f"  suites      "
            f"{', '.join(sorted(path.removeprefix('suites/').removesuffix('.toml') for path in laid.files if _is_suite_path(path)))}"
        ),
        f"  gate        {'; '.join(laid.bounds)}",
        "  README.md   what to change before anybody is asked; prices are yours to set: [cost] in preceptor.toml",
        "",
        f"next, in {laid.folder.name}, with {said['rows']}:",
        *(f"  {command}" for command in laid.next_commands),
    ]
    others = [f"  --part {name}: {part['about']}" for name, part in laid.template.parts.items() if name != laid.part]
    return "\n".join([*lines, *(["", "also, as a project of its own:", *others] if others else [])])


def _is_suite_path(path: str) -> bool:
    return path.startswith("suites/") and path.endswith(".toml")


@click.command("demo")
@click.option(
    "--out", default="demo", show_default=True, metavar="DIR", help="Where the project and the report go; an interrupted demo continues."
)
@click.option("--data", default="amazon", show_default=True, type=click.Choice(["amazon", "movies", "editorials", "tweets"]))
@click.option("--stop-after", type=click.Choice(["guidance", "snapshot", "training"]), help="Stop after this stage.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@output_command
def demo_command(out: str, data: str, stop_after: str | None, seed: int) -> Any:
    """Run the whole pipeline on recorded human judgments: a tuned model, and a report with confidence intervals."""
    from preceptor.pipeline.demo import DemoRun

    with progress_bar() as tell:
        report = DemoRun(Path(out), data, seed, tell).run(stop_after)
    return dict(report.document), _run_summary(report.document, Path(out))


@click.command("quickstart")
@click.argument("file", metavar="FILE")
@click.option("--text", required=True, metavar="COLUMN", help="Column of the text.")
@click.option("--label", required=True, metavar="COLUMN", help="Column of the answer.")
@click.option("--annotator", metavar="COLUMN", help="Column of who answered; several rows of one text are several judgments.")
@click.option("--group", metavar="COLUMN", help="Column that says what must stay on one side of a split.")
@click.option("--base", default="minilm", show_default=True, help="The model to start from: minilm, or a model's folder.")
@click.option("--fold/--no-fold", default=None, help="Labels that differ only in capitals or spaces are one, or stay different.")
@click.option("--out", metavar="DIR", help="The project's folder (default: the file's name with -preceptor).")
@click.option("--epochs", default=4.0, show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True)
@output_command
def quickstart_command(file: str, out: str | None, **options: Any) -> Any:
    """Turn your own FILE (CSV, JSON Lines or Parquet) into a tuned model and its report, in one command."""
    from preceptor.pipeline.quickstart import run_quickstart

    folder = Path(out) if out else Path(f"{Path(file).stem}-preceptor")
    with progress_bar() as tell:
        report = run_quickstart(Path(file), folder, progress=tell, **options)
    return dict(report.document), _run_summary(report.document, folder)


@click.command("doctor")
@click.option("--check", metavar="DIR", help="Instead: read the whole project in DIR, and say what was damaged; exit code 1 then.")
@output_command
def doctor_command(check: str | None) -> Any:
    """Report what this machine has and lacks; with --check, which parts of a project are damaged."""
    from preceptor.pipeline.diagnostics import diagnose_machine

    if check is not None:
        return _check_project(Path(check))
    findings = diagnose_machine()
    marks = {True: "yes", False: "no"}
    return {"findings": findings}, format_table(("", "here", ""), [(f["what"], marks[f["here"]], f["summary"]) for f in findings])


def _check_project(folder: Path) -> Any:
    from preceptor.pipeline.diagnostics import check_project_integrity

    findings = check_project_integrity(folder)
    damaged = [each for each in findings if not each["here"]]
    rows = [(each["what"], "whole" if each["here"] else "damaged", each["summary"]) for each in (damaged or findings)]
    words = f"{len(findings) - len(damaged)} of {len(findings)} parts are as they were kept\n{format_table(('', '', ''), rows)}"
    return {"findings": findings, "damaged": len(damaged)}, words, int(bool(damaged))


def _run_summary(document: dict[str, Any] | Any, folder: Path) -> str:
    rows: list[tuple[str, str]] = []
    if "judgments" in document and "fraction" in document["judgments"]:
        judgments = document["judgments"]
        rows.append(("judgments used", f"{judgments['used']:,} of {judgments['available']:,} ({judgments['fraction']:.1%})"))
    if "consensus" in document:
        consensus = document["consensus"]
        rows.append(("agreement with all of them", format_interval(consensus["accuracy"])))
        rows.append(("fixed redundancy at that cost", format_interval(consensus["fixed_same_cost_accuracy"])))
    for name, figures in document.get("models", {}).items():
        rows.append((f"accuracy, {name.replace('_', ' ')}", format_interval(figures["accuracy"])))
    if "release" in document:
        rows.append(("gate", document["release"]["summary"]))
    rows.append(("report", str(folder / "report.html")))
    return format_table(("", ""), rows).lstrip("\n")
