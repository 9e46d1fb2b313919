"""Commands that do a whole job: demo, quickstart, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from preceptor.cli.options import SEED
from preceptor.cli.output import emitting, interval, progress_bar, table


@click.command("demo")
@click.option(
    "--out", default="demo", show_default=True, metavar="DIR", help="Where the project and the report go; an interrupted demo continues."
)
@click.option("--data", default="amazon", show_default=True, type=click.Choice(["amazon", "movies", "editorials", "tweets"]))
@click.option("--stop-after", type=click.Choice(["guidance", "snapshot", "training"]), help="Stop after this stage.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@emitting
def demo_command(out: str, data: str, stop_after: str | None, seed: int) -> Any:
    """The main job on recorded human judgments, end to end: a tuned model and a report that can be believed."""
    from preceptor.project.demo.demo import Demo

    with progress_bar() as tell:
        report = Demo(Path(out), data, seed, tell).run(stop_after)
    return dict(report.document), _summary(report.document, Path(out))


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
@emitting
def quickstart_command(file: str, out: str | None, **options: Any) -> Any:
    """From your own FILE (CSV, JSON Lines or Parquet) to a tuned model and its report, in one command."""
    from preceptor.project.quickstart import quickstart

    folder = Path(out) if out else Path(f"{Path(file).stem}-preceptor")
    with progress_bar() as tell:
        report = quickstart(Path(file), folder, progress=tell, **options)
    return dict(report.document), _summary(report.document, folder)


@click.command("doctor")
@click.option("--check", metavar="DIR", help="Instead: read the whole project in DIR, and say what was damaged; exit code 1 then.")
@emitting
def doctor_command(check: str | None) -> Any:
    """What this machine has and lacks, in words."""
    from preceptor.project.doctor import examine

    if check is not None:
        return _checked(Path(check))
    findings = examine()
    marks = {True: "yes", False: "no"}
    return {"findings": findings}, table(("", "here", ""), [(f["what"], marks[f["here"]], f["words"]) for f in findings])


def _checked(folder: Path) -> Any:
    from preceptor.project.integrity import examine_project

    findings = examine_project(folder)
    damaged = [each for each in findings if not each["here"]]
    rows = [(each["what"], "whole" if each["here"] else "damaged", each["words"]) for each in (damaged or findings)]
    words = f"{len(findings) - len(damaged)} of {len(findings)} parts are as they were kept\n{table(('', '', ''), rows)}"
    return {"findings": findings, "damaged": len(damaged)}, words, int(bool(damaged))


def _summary(document: dict[str, Any] | Any, folder: Path) -> str:
    rows: list[tuple[str, str]] = []
    if "judgments" in document and "fraction" in document["judgments"]:
        judgments = document["judgments"]
        rows.append(("judgments used", f"{judgments['used']:,} of {judgments['available']:,} ({judgments['fraction']:.1%})"))
    if "consensus" in document:
        consensus = document["consensus"]
        rows.append(("agreement with all of them", interval(consensus["accuracy"])))
        rows.append(("fixed redundancy at that cost", interval(consensus["fixed_same_cost_accuracy"])))
    for name, figures in document.get("models", {}).items():
        rows.append((f"accuracy, {name.replace('_', ' ')}", interval(figures["accuracy"])))
    if "release" in document:
        rows.append(("gate", document["release"]["words"]))
    rows.append(("report", str(folder / "report.html")))
    return table(("", ""), rows).lstrip("\n")
