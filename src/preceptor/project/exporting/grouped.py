"""Items with all that people said of them and models guessed, one row each (`formats.interchange`): what came in goes out again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from preceptor.domain import Item
from preceptor.formats.interchange import judgment, prediction
from preceptor.project.contents import content_id
from preceptor.project.importing.keys import PSEUDONYM, is_made
from preceptor.project.importing.said import BESIDE
from preceptor.project.told import COMPLETION, is_told
from preceptor.store import asides, gold, items, journal, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

Known = dict[str, tuple[str, Any, str]]
"""Known answers of one item by their question: its kind, the answer, the explanation."""

_PAGE = 500


def framed_rows(project: Project, question: str | None) -> Iterator[dict[str, Any]]:
    """The items that were judged, with judgments alone, for formats that hold nothing else: each has somebody's name.

    Known answers of nobody's are left out with drafts and skips, unless there is nothing else.
    """
    with project.database.reading() as connection:
        judged = any(question in (None, name) for name, _, count, _ in journal.counts(connection) if count)
    for row in grouped_rows(project, question, pseudonyms=True):
        said = [each for each in row.get("judgments", ()) if "status" not in each and ("annotator" in each or not judged)]
        if said:
            yield {**row, "judgments": said}


def grouped_rows(project: Project, question: str | None, *, pseudonyms: bool = False, marked: bool = False) -> Iterator[dict[str, Any]]:
    """Every ordinary item, in order of arrival, with what was said about it: all, or about one question.

    pseudonyms: people of whom a file said nothing are named by what they are called here. marked: each row has an id and judgments,
    if none, by which it can't be taken for a record of another tool, whatever comes first.
    """
    with project.database.reading() as connection:
        told = any(is_told(each) for _, each in questions.active(connection))
        left_out = {COMPLETION.name} if told else set()
        last = 0
        while page := items.page(connection, last, limit=_PAGE):
            last = page[-1][0]
            found = _page(connection, page, question, left_out, pseudonyms)
            yield from (_marked(item, row) if marked else row for (_, item), row in zip(page, found, strict=True))


def _page(
    connection: Connection, page: list[tuple[int, Item]], question: str | None, left_out: set[str], pseudonyms: bool
) -> Iterator[dict[str, Any]]:
    ends = page[0][0], page[-1][0]

    def asked(name: str) -> bool:
        return name not in left_out and question in (None, name)

    judged = _by_item(row for row in journal.between(connection, *ends) if asked(row["question"]))
    beside = _by_item(row for row in asides.between(connection, *ends) if asked(row["question"]))
    known: dict[int, Known] = defaultdict(dict)
    for place, name, kind, answer, why in gold.between(connection, *ends):
        if asked(name):
            known[place][name] = kind, answer, why
    for key, item in page:
        yield _row(item, judged[key], beside[key], known[key], pseudonyms)


def _by_item(rows: Iterable[Mapping[Any, Any]]) -> dict[int, list[Mapping[Any, Any]]]:
    found: dict[int, list[Mapping[Any, Any]]] = defaultdict(list)
    for row in rows:
        found[row["item"]].append(row)
    return found


def _row(item: Item, judged: list[Mapping[Any, Any]], beside: list[Mapping[Any, Any]], known: Known, pseudonyms: bool) -> dict[str, Any]:
    judgments = [_judgment(row, known, pseudonyms) for row in judged]
    for row in (row for row in beside if row["kind"] != "prediction"):
        judgments.insert(row["document"].get("at", len(judgments)), _aside(row, known))
    for name, (kind, answer, why) in known.items():
        if not any(each.get("gold") and each.get("question") == name for each in judgments):
            stored = {"winner": answer} if kind == "compare" else answer
            judgments.append(judgment(name, kind, stored, gold=True, note=why or None))
    guesses = [_prediction(row) for row in beside if row["kind"] == "prediction"]
    made = content_id(item.content) if is_made(item.id, item.content) else None
    return {
        **({} if made else {"id": item.id}),
        **item.content,
        **({} if item.group in (item.id, made) else {"group": item.group}),
        **({"metadata": dict(item.metadata)} if item.metadata else {}),
        **({"judgments": judgments} if judgments else {}),
        **({"predictions": guesses} if guesses else {}),
    }


def _marked(item: Item, row: Mapping[str, Any]) -> dict[str, Any]:
    group = {} if item.group == item.id else {"group": item.group}
    return {"id": item.id, **row, **group, "judgments": row.get("judgments", [])}


def _judgment(row: Mapping[Any, Any], known: Known, pseudonyms: bool) -> dict[str, Any]:
    context = row["context"]
    return judgment(
        row["question"],
        row["question_kind"],
        context.get("answer", row["answer"]),
        annotator=row["annotator"] if pseudonyms or row["annotator_kind"] != "import" else None,
        time=context.get("time") if row["source"] == "import" else _moment(row["created"]),
        seconds=context.get("seconds", row["seconds"]),
        gold=True if context.get("gold") and _is_known(row["question"], row["question_kind"], row["answer"], known) else None,
        **{name: context[name] for name in BESIDE if name in context},
    )


def _aside(row: Mapping[Any, Any], known: Known) -> dict[str, Any]:
    """A draft, a skip, or a known answer of nobody's."""
    kept = row["document"]
    is_gold = row["kind"] == "gold"
    return judgment(
        None if kept.get("unnamed") else row["question"],
        kept.get("kind"),
        kept.get("answer"),
        annotator=None if row["by"].startswith(PSEUDONYM) else row["by"] or None,
        status=None if is_gold else row["kind"],
        time=kept.get("time"),
        seconds=kept.get("seconds"),
        gold=True if is_gold and _is_known(row["question"], row["question_kind"], kept.get("answer"), known) else None,
        **{name: kept[name] for name in BESIDE if name in kept},
    )


def _prediction(row: Mapping[Any, Any]) -> dict[str, Any]:
    kept = row["document"]
    extra, score = kept.get("extra"), kept.get("score")
    return prediction(row["question"], row["question_kind"], kept.get("answer"), model=row["by"] or None, score=score, extra=extra)


def _is_known(question: str, kind: str, answer: Any, known: Known) -> bool:
    """Whether a known answer is still known: somebody may have decided otherwise since."""
    if question not in known or kind not in ("choice", "multilabel"):
        return question in known  # others are kept as a class of a scale or in parts, which can be written otherwise
    one, other = (sorted(each) if isinstance(each, list) else [each] for each in (answer, known[question][1]))
    return one == other


def _moment(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat()
