"""Commands that move data in and out of a project: import and export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import project_command
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.annotation import ImportReport
    from preceptor.project import Project


MAX_SKIPPED_SHOWN = 20  # of the rows that are left out; all are counted


@click.command("import")
@click.argument("files", metavar="FILE…", nargs=-1, required=True)
@click.option("--question", help="The question that the answers belong to; of a file with several, the only one that is read.")
@click.option("--id", "id_", metavar="COLUMN", help="Column of the item's id.")
@click.option("--text", metavar="COLUMN", help="Column of the text.")
@click.option("--group", metavar="COLUMN", help="Column that says what must stay on one side of a split.")
@click.option("--label", metavar="COLUMN", help="Column of the answer.")
@click.option("--annotator", metavar="COLUMN", help="Column of who answered.")
@click.option("--seconds", metavar="COLUMN", help="Column of the seconds taken.")
@click.option("--format", "format_", default="auto", help="The file's format (default: recognised).")
@click.option(
    "--max-bad", default=0, show_default=True, type=click.IntRange(min=0), help="Bad rows to leave out (each is reported) before giving up."
)
@click.option("--fold", is_flag=True, help="Answers that differ from an option only in capitals or spaces are that option.")
@click.option("--preview", is_flag=True, help="Show what would become of the rows; keep nothing.")
@project_command
def import_command(project: Project, files: tuple[str, ...], id_: str | None, format_: str, **options: Any) -> Any:
    """Import items, items with judgments, or judgments about existing items. A file is imported as a whole or not at all.

    Files of other tools (Label Studio, Argilla, and more: see docs/moving.md) are recognised, and bring their questions.
    """
    reports = [project.read(file, id=id_, format=format_, **options) for file in files]
    return {"files": [report.to_dict() for report in reports]}, "\n".join(line for report in reports for line in _import_summary(report))


def _import_summary(report: ImportReport) -> Iterator[str]:
    """Yield an import report as lines of text."""
    preview = "preview of " if report.preview else ""
    yield (
        f"{preview}{report.file} ({report.format}): {report.read} rows read, {report.items} new items, {report.judgments} new judgments, "
        f"{report.missing_answers} without an answer, {report.repeated} known already, {len(report.skipped)} skipped"
    )
    if len(report.by_question) > 1:
        yield f"  judgments: {', '.join(f'{name} {count}' for name, count in report.by_question.items())}"
    apart = (("drafts", report.drafts), ("skips", report.skips), ("predictions", report.predictions), ("known answers", report.gold))
    if any(count for _, count in apart):
        yield f"  kept apart: {', '.join(f'{count} {what}' for what, count in apart if count)}"
    for each in report.folded:
        yield f"  {each['question']}: {each['written']!r} is taken for {each['option']!r} ({each['count']:,} times)"
    for fault in report.skipped:
        yield f"  skipped {fault['where']}: {fault['reason']}"
    for warning in report.warnings:
        yield f"  note: {warning}"


@click.command("export")
@click.argument("what", metavar="WHAT")
@click.argument("model", metavar="[MODEL]", nargs=-1)
@click.argument("file", metavar="FILE")
@click.option("--question", help="For judgments and consensus: about which question (default: all; the only one).")
@click.option("--format", "format_", default="auto", help="csv, tsv, jsonl, json, parquet, or another tool's (default: by the ending).")
@click.option("--split", default="", metavar="SPLIT", help="Of a snapshot: train, validation, test or all (formats for training: train).")
@click.option(
    "--dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Of a model's matrices in a GGUF file.",
)
@project_command
def export_command(
    project: Project, what: str, model: tuple[str, ...], file: str, question: str | None, format_: str, split: str, dtype: Any
) -> Any:
    """Write WHAT (items, judgments, consensus, everything, or a snapshot's name) to FILE; or export model MODEL FILE.

    model: a Hugging Face folder with the model's card, or, where FILE ends with .gguf, one file for llama.cpp and Ollama (Llama family
    only). What was written is read back, and must give the same log-probabilities as the model did in training.

    everything: items with all judgments about them, which another project imports unchanged. In another tool's format, judgments are
    items with all answers to them, including drafts and predictions; a snapshot is training data. What the tool needs in addition (a
    labelling config, a dataset's entry) is written beside the file.
    """
    if what == "model" and model:
        return _export_model(project, *model, file, dtype)
    if model:
        raise UserError(f"{what!r} is written to one file, and there is {model[0]!r} too", "preceptor export WHAT FILE")

    done = project.releases.export_file(what, file, question=question, format=format_, split=split)
    beside = [*(f"  beside it: {each}" for each in done.extra_files), *(f"  note: {note}" for note in done.notes)]
    beside += [f"  left out: {fault.where}: {fault.message}" for fault in done.skipped[:MAX_SKIPPED_SHOWN]]
    beside += [f"  … and {len(done.skipped) - MAX_SKIPPED_SHOWN} more"] if len(done.skipped) > MAX_SKIPPED_SHOWN else []
    skipped = [{"where": fault.where, "reason": fault.message} for fault in done.skipped]
    more = {name: list(found) for name, found in (("beside", done.extra_files), ("notes", done.notes), ("skipped", skipped)) if found}
    return {"file": file, "rows": done.rows, **more}, "\n".join([f"{done.rows} rows written to {file}", *beside])


def _export_model(project: Project, *given: Any) -> Any:
    *names, file, dtype = given
    if len(names) > 1:
        raise UserError(f"one model is exported at a time, and there are {len(names)}", "preceptor export model MODEL FILE")

    done = project.releases.export_model(project.model(names[0]), file, dtype=dtype)
    size, rows, apart = done["bytes"] / 1e6, done["rows"], done["stage"]["difference"]
    proof = f"read back, it says of {rows} rows what it said in training (log-probabilities {apart:.1e} nats a token apart)"
    beside = [*(f"  beside it: {each}" for each in done["beside"]), *(f"  note: {note}" for note in done["notes"])]
    return done, "\n".join([f"{done['model']} written to {file} ({size:,.1f} MB); {proof}", *beside])
