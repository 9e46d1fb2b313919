"""`preceptor migrate`: move hosted fine-tuned models (openai), and whole projects of Label Studio, Argilla and Potato, into a project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import parse_options
from preceptor.cli.output import format_interval, format_table, output_command, progress_bar, project_command
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.generation import OpenAIClient
    from preceptor.pipeline.migration import HostedMigrationOptions, HostedMigrationResult, HostedSource
    from preceptor.pipeline.migration.tools import ToolMigrationResult
    from preceptor.project import Project


_TOOL_SOURCES = {
    "label-studio": "SOURCE is an export (JSON), or the folder with it; its labelling config lies beside it, as an .xml file.",
    "argilla": "SOURCE is a folder as dataset.to_disk() leaves it, or its records.json.",
    "potato": "SOURCE is the project's folder, or its config.yaml.",
}
_TOOL_NAMES = {"label-studio": "Label Studio", "argilla": "Argilla", "potato": "Potato"}


def _tool_command(tool: str) -> click.Command:
    @click.argument("source", metavar="SOURCE")
    @click.option("--out", required=True, metavar="DIR", help="The new project's folder.")
    @click.option("--max-bad", default=0, show_default=True, type=click.IntRange(min=0), help="Bad rows of a file to leave out.")
    @output_command
    def run(source: str, out: str, max_bad: int) -> Any:
        from preceptor.pipeline.migration.tools import migrate_tool_project

        moved = migrate_tool_project(tool, source, out, max_bad=max_bad)
        return moved.to_dict(), _project_summary(moved)

    run.__doc__ = (
        f"Move a project of {_TOOL_NAMES[tool]} in: questions, guidelines, people, judgments, gold, drafts.\n\n{_TOOL_SOURCES[tool]}"
    )
    return click.command(tool)(run)


def _project_summary(moved: ToolMigrationResult) -> str:
    kept = [
        ("items", moved.items), ("judgments", moved.judgments), ("people", moved.people), ("known answers", moved.gold),
        ("drafts", sum(report.drafts for report in moved.files)), ("skips", sum(report.skips for report in moved.files)),
        ("predictions", sum(report.predictions for report in moved.files)),
    ]  # fmt: skip
    lines = [
        f"{_TOOL_NAMES[moved.tool]} → {moved.project}",
        format_table(("what came", "number"), [("questions", ", ".join(moved.questions)), *kept]),
    ]
    skipped = [each for report in moved.files for each in report.skipped]
    lines += [f"  skipped {each['where']}: {each['reason']}" for each in skipped]
    lines += [f"  note: {each}" for each in moved.excluded]
    return "\n".join([*lines, f"next: preceptor status --project {moved.project}"])


TOOL_COMMANDS = [_tool_command(tool) for tool in _TOOL_SOURCES]

MIGRATION_FIGURES = ("accuracy", "macro_f1", "exact_match", "token_f1", "format", "refusals", "latency")


@click.group("migrate")
def migrate_command() -> None:
    """Move fine-tuned models from a hosted service, or whole projects of other tools: label-studio, argilla, potato."""


for command in TOOL_COMMANDS:
    migrate_command.add_command(command)


@migrate_command.command("openai")
@click.argument("jobs", metavar="[JOB…]", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Say what would be fetched, trained and paid; do nothing of it.")
@click.option("--key-file", metavar="FILE", help="A file with the key alone (default: the variable OPENAI_API_KEY).")
@click.option("--base-url", metavar="URL", help="The service (default: the variable OPENAI_BASE_URL, or OpenAI).")
@click.option("--train", metavar="FILE", help="Your own copy of the training file; without JOB the whole move is from files, with no key.")
@click.option("--validation", metavar="FILE", help="Your own copy of the validation file.")
@click.option("--name", default="", help="With --train alone: what the hosted model is called, so that your code goes on calling it so.")
@click.option("--base", metavar="NAME|DIR", help="What to start from (default: the best that this machine can train).")
@click.option("--teacher", is_flag=True, help="Ask the hosted model while it lives; see --max-cost.")
@click.option(
    "--train-on", default="best", show_default=True, type=click.Choice(["rows", "teacher", "both", "best"]),
    help="The original rows, the hosted model's answers, both, or the best of the three on validation rows.",
)  # fmt: skip
@click.option(
    "--max-cost",
    default=0.0,
    show_default=True,
    type=click.FloatRange(min=0),
    help="Dollars that all answers may cost, those paid before included.",
)
@click.option("--prices", metavar="FILE", help="Your price table (TOML), where the list prices don't hold.")
@click.option("--requests", default=100_000, show_default=True, type=click.IntRange(min=1), help="Requests a month, for the monthly cost.")
@click.option("--ask", default=50, show_default=True, type=click.IntRange(min=0), help="Pairs of old and new answers to put before people.")
@click.option(
    "--margin", default=0.05, show_default=True, type=click.FloatRange(0, 1),
    help="How much worse than the hosted model the successor may be and still be released: a bound of its own.",
)  # fmt: skip
@click.option("-o", "options", metavar="KEY=VALUE", multiple=True, help="An option of the recipe sft.")
@project_command
def migrate_openai(project: Project, jobs: tuple[str, ...], dry_run: bool, key_file: str | None, base_url: str | None, **given: Any) -> Any:
    """Move the fine-tuned models of your OpenAI project here: all, or those of the JOBs named. The same command again continues."""
    from preceptor.generation import OpenAIClient
    from preceptor.pipeline.migration import list_hosted_sources, local_source

    files = {role: Path(given[role]) for role in ("train", "validation") if given[role]}
    root, settings = project.folder / "migration", _migration_options(given)
    if "train" in files and not jobs:
        return _run_migration(project, [local_source(root, **files, name=given["name"])], None, settings, dry_run)
    if files and len(jobs) != 1:
        raise UserError("files of your own belong to one job", "name it: preceptor migrate openai JOB --train FILE")
    for path in files.values():
        if not path.is_file():
            raise UserError("no such file", "name your copy of the job's file", where=str(path))
    service = OpenAIClient(key_file=key_file, base_url=base_url)
    try:
        sources = [source.with_local_files(files) for source in list_hosted_sources(service, root, jobs)]
        if not sources:
            raise UserError(
                f"there is no fine-tuning job at {service.address}", "check the key's project; or move from files: --train FILE"
            )
        return _run_migration(project, sources, service, settings, dry_run)
    finally:
        service.close()


def _migration_options(given: dict[str, Any]) -> HostedMigrationOptions:
    from preceptor.generation import read_prices
    from preceptor.pipeline.migration import HostedMigrationOptions
    from preceptor.planning.prices import LISTED_PRICES

    prices = {**LISTED_PRICES, **read_prices(given["prices"])} if given["prices"] else None
    names = ("base", "teacher", "train_on", "max_cost", "requests", "ask", "margin")
    return HostedMigrationOptions(**{name: given[name] for name in names}, prices=prices, options=parse_options(given["options"]))


def _run_migration(
    project: Project, sources: list[HostedSource], service: OpenAIClient | None, settings: HostedMigrationOptions, dry_run: bool
) -> Any:
    from preceptor.pipeline.migration import migrate_hosted_model, plan_migration

    if dry_run:
        plans = [plan_migration(project, source, service, settings) for source in sources]
        return {"plans": plans}, "\n".join(each["summary"] for each in plans)
    moved, faults = [], []
    for source in sources:
        try:
            with progress_bar(project.config.cost) as tell:
                moved.append(migrate_hosted_model(project, source, service, settings, tell))
            paid = (moved[-1].report.document["migration"]["teacher"] or {}).get("paid", 0.0)
            settings = replace(settings, max_cost=max(0.0, settings.max_cost - paid))  # the cap is for all sources together
        except UserError as fault:
            if len(sources) == 1:
                raise
            faults.append({"source": source.name, "message": fault.message, "hint": fault.hint})
    document = {"moved": [_migration_document(each) for each in moved], "faults": faults}
    words = [*map(_migration_summary, moved), *(f"{fault['source']}: {fault['message']}; {fault['hint']}" for fault in faults)]
    return document, "\n\n".join(words), int(bool(faults))


def _migration_document(moved: HostedMigrationResult) -> dict[str, Any]:
    return {**moved.report.document, "page": str(moved.page), "lines": list(moved.client_settings)}


def _migration_summary(moved: HostedMigrationResult) -> str:
    document = moved.report.document
    models, about = document["models"], document["migration"]
    other = "hosted" if "hosted" in models else "base"
    rows = []
    for name in MIGRATION_FIGURES:
        if name in models["tuned"]:
            difference = document["comparison"].get(f"tuned_minus_{other}_{name}")
            cells = [format_interval(each) if each else "" for each in (models["tuned"][name], models[other].get(name), difference)]
            rows.append((name.replace("_", " "), *cells))
    lines = [f"{about['source']}: succeeded by {document['lineage']['model']}", *about["summary"]]
    lines.append(format_table(("figure", "successor", other, "difference"), rows))
    if about["asked"]:
        lines.append(f"{about['asked']} pairs of answers wait for people: preceptor serve, preceptor people invite NAME")
    lines += [f"report: {moved.page}", "your code changes three lines:", *(f"    {line}" for line in moved.client_settings)]
    return "\n".join(lines)
