"""What a project holds, as rows for other tools; who judged, when, and how sure the consensus is stay with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFound, UserError
from preceptor.formats import formats
from preceptor.project.exporting.grouped import framed_rows, grouped_rows
from preceptor.store import items, journal

if TYPE_CHECKING:
    from preceptor.project.project import Project

EVERYTHING = "everything"
"""Items with all that was said of them, in any format."""
WHAT = ("items", "judgments", "consensus", EVERYTHING)
FRAMES = ("cleanlab", "crowdkit")
"""Formats that hold judgments and nothing else."""
ALL = "all"
"""Every split of a snapshot."""


def rows(project: Project, what: str, question: str | None, format: str = "", split: str = "") -> Iterator[dict[str, Any]]:
    """Rows of "items", "judgments", "consensus", "everything", or else of the snapshot of that name, as a format wants them.

    format: its name. One whose rows are items with all their judgments gets such; one for training gets the train rows of a
    snapshot, unless another split (or "all") is named.
    """
    chosen = formats.get(format) if format else None
    if split and what in WHAT:
        raise UserError(f"{what} have no splits", "a snapshot has: preceptor export SNAPSHOT FILE --split train")
    if what == "items":
        return _items(project)
    if what == EVERYTHING:
        return grouped_rows(project, question, marked=chosen is None or not chosen.by_shape)
    if what == "judgments":
        if format in FRAMES:
            return framed_rows(project, question)
        if chosen is None or not chosen.by_shape:
            return _judgments(project, question)
        found = grouped_rows(project, question, marked=not chosen.grouped)
        return (row for row in found if row.get("judgments")) if format == "kiln" or (question and not chosen.grouped) else found
    if what == "consensus":
        if chosen and chosen.by_shape:
            raise UserError(f"{format} doesn't hold a consensus", "export its snapshot, or the judgments; or write csv or jsonl")
        return _consensus(project, project.only_question(question))
    if chosen and chosen.grouped:
        raise UserError(f"{format} holds items with their judgments, not a snapshot", "preceptor export judgments FILE --format …")
    return _snapshot(project, what, split or ("train" if chosen and chosen.by_shape else ALL))


def _items(project: Project) -> Iterator[dict[str, Any]]:
    with project.database.reading() as connection:
        for item in items.stream(connection):
            yield {"id": item.id, **item.content, "group": item.group, **({"metadata": dict(item.metadata)} if item.metadata else {})}


def _judgments(project: Project, question: str | None) -> Iterator[dict[str, Any]]:
    with project.database.reading() as connection:
        for judgment in journal.stream(connection):
            if question in (None, judgment.question):
                yield {
                    "item": judgment.item,
                    "question": judgment.question,
                    "annotator": judgment.annotator,
                    "answer": judgment.answer,
                    "seconds": judgment.seconds,
                    "created": judgment.created,
                }


def _consensus(project: Project, question: str) -> Iterator[dict[str, Any]]:
    fitted = project.consensus(question)
    top = fitted.top
    for index, item in enumerate(fitted.items):
        posterior = dict(zip(map(str, fitted.answers), fitted.posterior[index].tolist(), strict=True))
        yield {"item": item, "answer": top[index], "judgments": int(fitted.judgment_counts[index]), "posterior": posterior}


def _snapshot(project: Project, name: str, split: str) -> Iterator[dict[str, Any]]:
    try:
        snapshot = project.load_snapshot(name)
    except UserError as error:
        raise NotFound(f"there is no {name!r} to export", f"{', '.join(WHAT)}, or a snapshot ({error.hint})") from None
    for row in snapshot.rows(None if split == ALL else split):
        yield {
            "id": row.id,
            **row.content,
            "answer": list(row.labels) if snapshot.target_kind == "multilabel" else row.answer,
            "target": dict(row.target),
            "weight": row.weight,
            "split": row.split,
            "group": row.group,
        }
