"""What a project holds, as rows for other tools; who judged, when, and how sure the consensus is stay with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from preceptor.errors import NotFound, UserError
from preceptor.store import items, journal

if TYPE_CHECKING:
    from preceptor.project.project import Project


def rows(project: Project, what: str, question: str | None) -> Iterator[dict[str, Any]]:
    """Rows of "items", "judgments", "consensus", or else of the snapshot of that name."""
    if what == "items":
        return _items(project)
    if what == "judgments":
        return _judgments(project, question)
    if what == "consensus":
        return _consensus(project, project.only_question(question))
    return _snapshot(project, what)


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


def _snapshot(project: Project, name: str) -> Iterator[dict[str, Any]]:
    try:
        snapshot = project.load_snapshot(name)
    except UserError as error:
        raise NotFound(f"there is no {name!r} to export", f"items, judgments, consensus, or a snapshot ({error.hint})") from None
    for row in snapshot.rows():
        yield {
            "id": row.id,
            **row.content,
            "answer": list(row.labels) if snapshot.target_kind == "multilabel" else row.answer,
            "target": dict(row.target),
            "weight": row.weight,
            "split": row.split,
            "group": row.group,
        }
