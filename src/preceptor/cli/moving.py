"""Commands that move whole projects of other tools in: migrate label-studio, argilla, potato."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.output import emitting, table

if TYPE_CHECKING:
    from preceptor.project.moving import Moved

_SOURCES = {
    "label-studio": "SOURCE is an export (JSON), or the folder with it; its labelling config lies beside it, as an .xml file.",
    "argilla": "SOURCE is a folder as dataset.to_disk() leaves it, or its records.json.",
    "potato": "SOURCE is the project's folder, or its config.yaml.",
}
_NAMES = {"label-studio": "Label Studio", "argilla": "Argilla", "potato": "Potato"}


def _command(tool: str) -> click.Command:
    @click.argument("source", metavar="SOURCE")
    @click.option("--out", required=True, metavar="DIR", help="The new project's folder.")
    @click.option("--max-bad", default=0, show_default=True, type=click.IntRange(min=0), help="Bad rows of a file to leave out.")
    @emitting
    def run(source: str, out: str, max_bad: int) -> Any:
        from preceptor.project.moving import move

        moved = move(tool, source, out, max_bad=max_bad)
        return moved.to_dict(), _words(moved)

    run.__doc__ = f"Move a project of {_NAMES[tool]} in: questions, guidelines, people, judgments, gold, drafts.\n\n{_SOURCES[tool]}"
    return click.command(tool)(run)


def _words(moved: Moved) -> str:
    kept = [
        ("items", moved.items), ("judgments", moved.judgments), ("people", moved.people), ("known answers", moved.gold),
        ("drafts", sum(report.drafts for report in moved.files)), ("skips", sum(report.skips for report in moved.files)),
        ("predictions", sum(report.predictions for report in moved.files)),
    ]  # fmt: skip
    lines = [f"{_NAMES[moved.tool]} → {moved.project}", table(("what came", "number"), [("questions", ", ".join(moved.questions)), *kept])]
    skipped = [each for report in moved.files for each in report.skipped]
    lines += [f"  skipped {each['where']}: {each['reason']}" for each in skipped]
    lines += [f"  note: {each}" for each in moved.left_out]
    return "\n".join([*lines, f"next: preceptor status --project {moved.project}"])


COMMANDS = [_command(tool) for tool in _SOURCES]
