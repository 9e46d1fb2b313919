"""An Argilla record as a row: the item, people's responses and models' suggestions.

What a record holds besides is kept under "argilla" in the item's metadata. What its values can't tell (who it was where user ids
are needed, a comparison's order, times) stands under "preceptor" in the record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Row
from preceptor.formats.interchange import JUDGMENT, PREDICTION, judgment, prediction
from preceptor.formats.tools.argilla_records import NOTE, Record, nobody, record_from
from preceptor.formats.tools.argilla_settings import Settings
from preceptor.formats.tools.argilla_values import Shown, answer_from, kind_of
from preceptor.formats.tools.named_texts import content_from, placed, response_names

TOOL = "argilla"
BESIDE = ("sources", "claims", "format")
_STATUSES = {"submitted": None, "draft": "draft", "discarded": "skipped", None: None}
_LONG, _MANY = 80, 50  # a text as long, or one of as many different ones, is no label


@dataclass
class Asked:
    """What is asked: the kind of each question, and what the settings say of fields."""

    kinds: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)


def asked_by(settings: Settings) -> Asked:
    """What a dataset's settings say."""
    return Asked({name: question["kind"] for name, question in settings.questions.items()}, settings)


def asked_by_scan(records: Iterable[Mapping[str, Any]]) -> Asked:
    """What the records themselves show: a text is taken for a label unless it is long, or there are many different ones."""
    texts: dict[str, set[str]] = {}
    kinds: dict[str, str] = {}
    try:
        for given in records:
            for question, value in _values(record_from(given)):
                if isinstance(value, str) and len(known := texts.setdefault(question, set())) <= _MANY:
                    known.add(value)
                if kind := kind_of(value):
                    long = kind == "choice" and (len(value) > _LONG or "\n" in value or len(texts[question]) > _MANY)
                    kinds[question] = "write" if long or kinds.get(question) == "write" else _wider(kinds.get(question), kind)
    except UserError:
        pass  # reading tells what is wrong
    return Asked(kinds)


def _wider(known: str | None, kind: str) -> str:
    """An empty list may be one of labels or of spans, and a number that of a label."""
    for one, other in (("spans", "multilabel"), ("choice", "rating")):
        if {known, kind} == {one, other}:
            return one
    return kind


def _values(record: Record) -> Iterable[tuple[str, Any]]:
    for question, responses in record.responses.items():
        yield from ((question, response.get("value")) for response in responses)
    yield from ((question, suggestion.get("value")) for question, suggestion in record.suggestions.items())


def row_from(given: Mapping[str, Any], asked: Asked, warn: Callable[[str], None]) -> Row:
    """The row of a record; UserError names what is wrong. warn: told what had to be assumed."""
    record = record_from(given, asked.settings.fields, asked.settings.vectors, asked.settings.metadata)
    beside = record.note.get("content", {})
    if not isinstance(beside, dict):
        raise UserError(f"{NOTE}: content must be an object, not {beside!r:.60}")
    fields = {name: value for name, value in record.fields.items() if name not in beside}
    ranked = next((list(fields_) for fields_ in (each.values() for each in asked.settings.rankings.values())), [])
    content, names = content_from(fields, [name for name in asked.settings.fields if name in fields], ranked)
    content |= {part: value for part, value in beside.items() if part in BESIDE}
    shown = shown_by(content, names, asked)
    if record.id is not None and (isinstance(record.id, bool) or not isinstance(record.id, str | int)):
        raise UserError(f"the id must be a text, not {record.id!r:.60}")
    row: Row = ({} if record.id is None else {"id": str(record.id)}) | content
    row |= {"judgments": judgments_of(record, asked, shown, warn), "predictions": guesses_of(record, asked, shown, warn)}
    kept: dict[str, Any] = {"form": "nested" if isinstance(given.get("fields"), dict) else "flat"}
    if kept["form"] == "nested" and record.responses and not any("status" in one for each in record.responses.values() for one in each):
        kept["stateless"] = True
        warn("this file doesn't say which responses are drafts or discarded: all count as submitted; to_datasets() tells them")
    kept |= {"names": names} if names else {}
    kept["kinds"] = {question: asked.kinds[question] for question in (*record.responses, *record.suggestions) if question in asked.kinds}
    kept |= {"spans": dict(asked.settings.spans)} if asked.settings.spans else {}
    kept |= {"rankings": {q: dict(options) for q, options in asked.settings.rankings.items()}} if asked.settings.rankings else {}
    metadata = {name: value for name, value in record.metadata.items() if name != TOOL}
    if isinstance(record.note.get("group"), str):
        row["group"] = record.note["group"]
    return row | {"metadata": {**metadata, TOOL: kept}}


def shown_by(content: Mapping[str, Any], names: Mapping[str, Any], asked: Asked) -> Shown:
    """What an item shows, by the names of its fields."""
    places = placed(content, names)
    return Shown(places, response_names(content, names), asked.settings.spans, asked.settings.rankings)


def judgments_of(record: Record, asked: Asked, shown: Shown, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """What people said, with what is noted beside it."""
    names, notes = _noted(record, "judgments", JUDGMENT)
    found = []
    for question, responses in record.responses.items():
        unknown = set(map(nobody, range(len(responses))))
        for number, response in enumerate(responses):
            if (question, number) in notes:
                found.append(notes.pop((question, number)))
                continue
            status = response.get("status")
            if not isinstance(status, str | None) or status not in _STATUSES:
                raise UserError(f"{question!r}: no status is called {status!r:.40}", "statuses: draft, submitted, discarded")
            user = response.get("user_id")
            if user is not None and not isinstance(user, str):
                raise UserError(f"{question!r}: user_id must be a text, not {user!r:.60}")
            kind, answer = said(question, response.get("value"), asked, shown, warn)
            if answer is not None or status in ("draft", "discarded"):
                person = None if user is None or user in unknown else names.get(user, user)
                found.append(judgment(question, kind, answer, annotator=person, status=_STATUSES[status]))
    return found + list(notes.values())


def guesses_of(record: Record, asked: Asked, shown: Shown, warn: Callable[[str], None]) -> list[dict[str, Any]]:
    """What models suggested, with what is noted beside it."""
    _, notes = _noted(record, "predictions", PREDICTION)
    guesses = []
    for question, suggestion in record.suggestions.items():
        if (question, 0) in notes:
            guesses.append(notes.pop((question, 0)))
            continue
        kind, answer = said(question, suggestion.get("value"), asked, shown, warn)
        agent, score = suggestion.get("agent"), suggestion.get("score")
        if agent is not None and not isinstance(agent, str):
            raise UserError(f"{question!r}: agent must be a text, not {agent!r:.60}")
        whole = score if isinstance(score, int | float) and not isinstance(score, bool) else None
        extra = {} if whole is not None or score is None else {TOOL: {"score": score}}
        if answer is not None:
            guesses.append(prediction(question, kind, answer, model=agent, score=whole, extra=extra))
    return guesses + list(notes.values())


def said(question: str, value: Any, asked: Asked, shown: Shown, warn: Callable[[str], None]) -> tuple[str | None, Any]:
    """What a value says: the kind of answer and the answer, None where it says nothing that can be told here."""
    if question in asked.settings.left_out:
        warn(f"{question!r} ranks something else than the record's fields: its answers are kept as they are, and aren't imported")
        return None, None
    kind = asked.kinds.get(question) or kind_of(value)
    if value is None or kind is None:
        return None, None
    if kind == "choice" and isinstance(value, int):
        warn(f"{question!r} has labels' numbers without their names, as to_datasets() writes them to JSON: save it as Parquet instead")
        return None, None
    if kind == "rank" and isinstance(value, list) and _has_ties(value):
        warn(f"{question!r} ranks some alike; a rank here has no ties, so they keep the order in which they stand")
    if kind == "spans" and value and any(max(place.text, default="") > "\uffff" for place in shown.places):
        warn("spans in texts with emoji are taken as a browser counts them (UTF-16), which nothing in the file proves: look at some")
    return kind, answer_from(question, kind, value, shown)


def _has_ties(value: list[Any]) -> bool:
    """Whether a ranking as the server keeps it gives two options one rank; the client's own files have lost that."""
    ranks = [str(entry.get("rank")) for entry in value if isinstance(entry, dict)]
    return len(set(ranks)) < len(ranks)


def _noted(record: Record, what: str, fields: tuple[str, ...]) -> tuple[dict[str, str], dict[tuple[str, int], dict[str, Any]]]:
    """People's names by user id, and noted judgments or guesses by question and place."""
    names, entries = record.note.get("annotators", {}), record.note.get(what, [])
    if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()) or not isinstance(entries, list):
        raise UserError(f"{NOTE} must hold annotators and {what}, not {record.note!r:.60}", "take the field out")
    notes: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        whole = isinstance(entry, list) and len(entry) == 3 and isinstance(entry[0], str) and isinstance(entry[1], int)
        if not whole or not isinstance(entry[2], dict) or set(entry[2]) - set(fields):
            raise UserError(f"{NOTE} holds something that nobody said: {entry!r:.60}", "take the field out")
        notes[entry[0], entry[1]] = entry[2]
    return names, notes
