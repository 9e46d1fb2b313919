"""Commands about trained models: models, predict, parity and lineage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import format_document, format_interval, format_table, format_time, progress_bar, project_command
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.project import Project


@click.command("verify")
@click.argument("model")
@click.option("--base", metavar="DIR", help="Where the model's base lies, when it is a folder of your own.")
@project_command
def verify_command(project: Project, model: str, base: str | None) -> Any:
    """Check that MODEL gives the same log-probabilities when trained, merged, saved, loaded again and served."""
    found = project.evaluation.check_parity(project.model(model), base=base)
    rows = [
        (
            each["stage"],
            each["dtype"],
            "-" if each["difference"] is None else f"{each['difference']:.2g}",
            each["tolerance"],
            each["summary"],
        )
        for each in found["stages"]
    ]
    shown = format_table(("stage", "dtype", "nats apart", "tolerance", ""), rows)
    verdict = f"parity {'holds' if found['passed'] else 'FAILS'} on {found['rows']} validation rows"
    return found, "\n".join([shown, *found["notes"], verdict]), 0 if found["passed"] else 3


@click.command("lineage")
@click.argument("name", metavar="MODEL|SNAPSHOT|ANSWER|FEEDBACK|JUDGMENT|PERSON|ITEM|DOCUMENT")
@project_command
def lineage_command(project: Project, name: str) -> Any:
    """Trace a model, snapshot or answer back to each judgment, person and document, or forward to what they went into."""
    traced = project.lineage(name)
    shown = {key: value for key, value in traced.items() if key != "judgments"}
    judgments = traced["judgments"]
    shown["judgments"] = judgments.get("count", judgments) if isinstance(judgments, dict) else len(judgments)
    return traced, format_document(shown)


@click.command("models")
@project_command
def models_command(project: Project) -> Any:
    """List the project's models, newest first, with their evaluation and release decisions."""
    rows = project.models()
    shown = [
        (
            row["model"],
            format_time(row["created"]),
            row["recipe"],
            row["base"],
            row["question"],
            f"{row['figure']['name']} {format_interval(row['figure'])}" if row["figure"] else "not evaluated",
            row["decision"] or "-",
        )
        for row in rows
    ]
    if not rows:
        return {"models": []}, "no model yet: preceptor train RECIPE --snapshot S --base B"
    return {"models": rows}, format_table(("model", "created", "recipe", "base", "question", "on test rows", "decision"), shown)


@click.command("predict")
@click.argument("model")
@click.argument("file", metavar="FILE")
@click.option("--out", metavar="FILE", help="Where the rows go (default: the file's name with -predictions).")
@click.option("--text", metavar="COLUMN", help="Column of the text (default: the usual names).")
@click.option("--format", "format_", default="auto", help="The file's format (default: recognised).")
@click.option("--base", metavar="DIR", help="Where the base of a few-shot model lies, when it is a folder of your own.")
@click.option("--max-tokens", default=256, show_default=True, type=click.IntRange(min=1), help="Of each text that a model writes.")
@project_command
def predict_command(project: Project, model: str, file: str, out: str | None, format_: str, **options: Any) -> Any:
    """Write the rows of FILE (CSV, JSON Lines, Parquet) again, each with MODEL's prediction: the answer and all probabilities.

    The prediction of a generative model is its text; that of a reward model, its score. MODEL is an id, or an alias.
    """
    from preceptor.formats import write

    target = Path(out) if out else Path(file).with_stem(f"{Path(file).stem}-predictions")
    if target.exists() and Path(file).exists() and target.samefile(file):
        raise UserError(f"{target} is the file that is read", "name another with --out")
    with progress_bar() as tell:
        rows = project.predict(model, file, format=format_, progress=tell, **options)
        if out is None and target.exists():
            raise UserError(f"{target} is there already", "name another file with --out, which may be overwritten")
        count = write(rows, target)
    return {"model": model, "file": str(target), "rows": count}, f"{count:,} rows written to {target}"
