"""`preceptor documents`: add, list, show, search, remove and erase documents; judge passages and measure retrieval."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from preceptor.cli.options import parse_options
from preceptor.cli.output import format_document, format_interval, format_table, progress_bar, progress_printer, project_command
from preceptor.errors import UserError

if TYPE_CHECKING:
    from preceptor.project import Project


_LINE = 100  # characters of a passage that a line shows
_k_option = click.option("-k", "k", default=5, show_default=True, type=click.IntRange(min=1), help="How many chunks.")
_mode_option = click.option(
    "--mode", "way", type=click.Choice(["fused", "lexical", "dense"]), default="fused", show_default=True, help="How to search."
)


@click.group("documents")
def documents_command() -> None:
    """Manage the documents that answers may cite: text, Markdown, HTML, PDF."""


@documents_command.command("add")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="FILE|FOLDER…")
@click.option("--name", default="", help="What to call it, of one file (default: the file's name; in a folder, the path from there).")
@click.option("--meta", multiple=True, metavar="KEY=VALUE", help="To filter by: jurisdiction, product, date, valid_from, valid_until.")
@click.option("--by", default="system", metavar="NAME", help="Who adds them; it stays on record.")
@project_command
def documents_add(project: Project, files: tuple[Path, ...], name: str, meta: tuple[str, ...], by: str) -> Any:
    """Add documents. A changed document is a new version, which replaces the earlier one in searches; an unchanged one stays as it is."""
    done = project.documents.add_files(files, name=name, metadata=_parse_metadata(meta), by=by, tell=progress_printer("indexed"))
    words = [f"{row['name']}: version {row['version']}{'' if row['new'] else ', unchanged'}" for row in done.documents]
    words += [f"{fault.where}: not added: {fault.message}; {fault.hint}" for fault in done.errors]
    words += [f"{name}: no text, Markdown, HTML or PDF, passed over" for name in done.skipped_files]
    words.append(f"{sum(row['new'] for row in done.documents)} new, {len(done.documents)} in all, {len(done.errors)} refused")
    return done.to_dict(), "\n".join(words), 1 if done.errors else 0


@documents_command.command("list")
@project_command
def documents_list(project: Project) -> Any:
    """List the documents that searches find."""
    rows = project.documents.library.list()
    shown = [(row["name"], row["version"], row["media"], row["chunks"], _format_metadata(row["metadata"])) for row in rows]
    return {"documents": rows}, format_table(("name", "version", "kind", "chunks", "metadata"), shown) if rows else "no documents"


@documents_command.command("show")
@click.argument("name")
@click.option("--version", type=click.IntRange(min=1), help="One that was superseded, too.")
@click.option("--text", "with_text", is_flag=True, help="Its text, as it was read.")
@project_command
def documents_show(project: Project, name: str, version: int | None, with_text: bool) -> Any:
    """Show one document: where its chunks begin and end, in characters of its text."""
    found = project.documents.library
    row = found.get(name, version)
    if with_text:
        text = found.text(name, row["version"])
        return {**row, "text": text}, text
    about = {field: value for field, value in row.items() if field != "chunks"}
    chunks = format_table(("chunk", "start", "end", "heading"), [tuple(part.values()) for part in row["chunks"]])
    return row, f"{format_document(about)}\n{chunks}"


@documents_command.command("search")
@click.argument("question")
@_k_option
@_mode_option
@click.option("--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Only such documents; also KEY>=VALUE and KEY<=VALUE.")
@project_command
def documents_search(project: Project, question: str, k: int, way: str, filters: tuple[str, ...]) -> Any:
    """Search for the passages that answer a question best."""
    from preceptor.retrieval.search import parse_filters

    hits = project.documents.library.search(question, k, parse_filters(filters), way=way)
    rows = [(f"{hit.score:.4f}", hit.document, f"{hit.start}-{hit.end}", hit.heading, " ".join(hit.text.split())[:_LINE]) for hit in hits]
    words = format_table(("score", "document", "characters", "heading", "text"), rows) if rows else "nothing found"
    return {"question": question, "hits": [hit.to_dict() for hit in hits]}, words


@documents_command.command("remove")
@click.argument("name")
@click.option("--by", default="system", metavar="NAME", help="Who removes it.")
@project_command
def documents_remove(project: Project, name: str, by: str) -> Any:
    """Remove a document from searches. Its record is kept for lineage; `documents erase` deletes it for good."""
    project.documents.library.remove(name, by=by)
    return {"removed": name}, f"{name} is no longer found"


@documents_command.command("erase")
@click.argument("name")
@click.option("--by", required=True, metavar="NAME", help="Who decides this; it stays on record.")
@click.option("--reason", required=True, metavar="WHY", help="Why; it stays on record, so it shouldn't say what was erased.")
@click.option("--remake", is_flag=True, help="Train the models that learnt from it again, where they can be without it.")
@click.option("--dry-run", is_flag=True, help="Only say what would be erased, and what rests on it.")
@project_command
def documents_erase(project: Project, name: str, by: str, reason: str, remake: bool, dry_run: bool) -> Any:
    """Erase all versions of a document, the questions asked about its passages, and the answers that cite or quote it.

    Then everything is searched for what is left (exit code 3 when anything is).
    """
    from preceptor.cli.erasure import removal_exit_code, summarize_removal

    with progress_bar(project.config.cost) as tell:
        document = project.releases.erase_document(name, by=by, reason=reason, again=remake, dry_run=dry_run, progress=tell)
    return document, summarize_removal(document), removal_exit_code(document)


@documents_command.command("judge-pool")
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.option("--question", default="relevance", show_default=True, metavar="NAME", help="The choice that asks how relevant a passage is.")
@click.option("-k", "depth", default=10, show_default=True, type=click.IntRange(1, 100), help="Passages of each way of searching.")
@project_command
def documents_pool(project: Project, queries: Path, question: str, depth: int) -> Any:
    """Make items of queries and the passages that each search mode finds, so that people can judge their relevance."""
    made = project.documents.pool_passages(queries, question, depth)
    return made, f"{made['items']} items of {made['queries']} queries, {made['new']} new; people are asked: {question}"


@documents_command.command("evaluate")
@click.option("--question", metavar="NAME", help="People's judgments about pooled passages.")
@click.option("--qrels", type=click.Path(exists=True, path_type=Path), metavar="FILE", help="Or a file: query, document, relevance.")
@click.option("--queries", type=click.Path(exists=True, path_type=Path), metavar="FILE", help="With --qrels: id, query, (group).")
@click.option("-k", "ks", multiple=True, default=(5, 10), show_default=True, type=click.IntRange(1, 100), help="How deep to look.")
@project_command
def documents_measure(project: Project, question: str | None, qrels: Path | None, queries: Path | None, ks: tuple[int, ...]) -> Any:
    """Measure recall, nDCG and the unjudged share of lexical, dense and fused search."""
    found = project.documents.measure_retrieval(question=question, qrels=qrels, queries=queries, ks=ks)
    rows = [(row["way"], row["k"], *(format_interval(row[name]) for name in ("recall", "ndcg", "unjudged"))) for row in found["rows"]]
    words = format_table(("way", "k", "recall", "nDCG", "unjudged"), rows)
    return found, f"{words}\n{found['summary']}"


def _parse_metadata(meta: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the metadata of a command line; None where there is none, which leaves that of an earlier version."""
    if wrong := next((pair for pair in meta if not pair.partition("=")[0] or "=" not in pair), None):
        raise UserError(f"metadata is written key=value, not {wrong!r:.80}", "--meta jurisdiction=EU")
    return (
        {key: value if not isinstance(value, dict | list | None) else str(value) for key, value in parse_options(meta).items()}
        if meta
        else None
    )


def _format_metadata(metadata: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in metadata.items())
