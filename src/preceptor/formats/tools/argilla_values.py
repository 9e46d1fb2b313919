"""Values of Argilla's responses and suggestions as answers, and answers as values.

label: a text · labels: texts · rating: a number · text: a text · ranking: options, the best first
span: [{"start", "end", "label"}], in UTF-16 code units of one field's text
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.offsets import UTF_16, Passage, offset_from, to_code_points, to_utf16
from preceptor.formats.tools.argilla_settings import TIE
from preceptor.formats.tools.named_texts import Placed


@dataclass(frozen=True)
class Shown:
    """What a record shows, as far as values refer to it.

    places: where the texts of its fields stand in the item's text. responses: the fields that are its responses. spans: the field
    of each span question. rankings: the field that each option of a ranking stands for, by question.
    """

    places: Sequence[Placed] = ()
    responses: Sequence[str] = ()
    spans: Mapping[str, str] = field(default_factory=dict)
    rankings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def kind_of(value: Any) -> str | None:
    """The kind of question to which this can be the answer, by its form alone; None where it is none."""
    if isinstance(value, str):
        return "choice"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "rating"
    if isinstance(value, list):
        return "spans" if value and all(isinstance(each, dict) and "start" in each for each in value) else "multilabel"
    return None


def answer_from(question: str, kind: str, value: Any, shown: Shown) -> Any:
    """The answer that a value is; None where it says nothing (no text), or what it is about isn't part of the item."""
    try:
        return _READERS[kind](question, value, shown)
    except UserError as error:
        raise UserError(f"{question!r}: {error.message}", error.hint) from None
    except (TypeError, KeyError, ValueError, AttributeError):
        raise UserError(f"{question!r}: {value!r:.60} is no answer to a {kind}", "is it the type that the settings say?") from None


def value_from(question: str, kind: str, answer: Any, shown: Shown) -> Any:
    """The value of an answer; UserError where Argilla has none."""
    if kind not in _WRITERS:
        raise UserError(f"Argilla has no question like {question!r}, a {kind}", "leave the question out, or export as jsonl")
    try:
        return _WRITERS[kind](question, answer, shown)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError):
        raise UserError(f"{question!r}: {answer!r:.60} is no answer to a {kind}") from None


def _label(question: str, value: Any, shown: Shown) -> Any:
    if not isinstance(value, str):
        raise TypeError
    return value


def _labels(question: str, value: Any, shown: Shown) -> Any:
    if not isinstance(value, list) or not all(isinstance(label, str) for label in value):
        raise TypeError
    return value


def _rating(question: str, value: Any, shown: Shown) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _text(question: str, value: Any, shown: Shown) -> Any:
    if not isinstance(value, str):
        raise TypeError
    return {"text": value, "from": None} if value.strip() else None


def _ranking(question: str, value: Any, shown: Shown) -> Any:
    """Options from the best on; the server's own form names each one's rank, in which two may share one."""
    if not isinstance(value, list):
        raise TypeError
    if all(isinstance(entry, dict) for entry in value):
        value = [entry["value"] for entry in sorted(value, key=lambda entry: offset_from(entry["rank"], "a rank"))]
    fields = shown.rankings.get(question)
    if not fields or any(fields.get(option) not in shown.responses for option in value) or len(set(value)) != len(shown.responses):
        return None
    return {"order": [list(shown.responses).index(fields[option]) for option in value], "shown": None}


def _spans(question: str, value: Any, shown: Shown) -> Any:
    if not isinstance(value, list):
        raise TypeError
    if not value:
        return []
    passages = [Passage(offset_from(each["start"], "start"), offset_from(each["end"], "end")) for each in value]
    if not all(isinstance(each["label"], str) for each in value):
        raise TypeError
    place = _place(question, shown)
    edges, _ = to_code_points(place.text, passages, UTF_16)
    found = {(start + place.start, end + place.start, each["label"]) for (start, end), each in zip(edges, value, strict=True)}
    return [{"start": start, "end": end, "label": label} for start, end, label in sorted(found)]


def _place(question: str, shown: Shown) -> Placed:
    """The field that a span question is about."""
    named = [place for place in shown.places if place.name == shown.spans.get(question)]
    found = named or list(shown.places)
    if len(found) != 1:
        hint = "put the dataset's settings beside the records: .argilla/settings.json, or settings.json"
        raise UserError("it isn't said in which of the record's fields the spans stand", hint)
    return found[0]


def _as_it_is(question: str, answer: Any, shown: Shown) -> Any:
    if answer is None or isinstance(answer, dict):
        raise TypeError
    return answer


def _written(question: str, answer: Any, shown: Shown) -> Any:
    return answer["text"]


def _compared(question: str, answer: Any, shown: Shown) -> Any:
    return TIE if answer["winner"] == TIE else shown.responses[answer["winner"]]


def _ranked(question: str, answer: Any, shown: Shown) -> Any:
    options = {name: option for option, name in (shown.rankings.get(question) or {}).items()}
    names = [shown.responses[index] for index in answer["order"]]
    return [options.get(name, name) for name in names]


def _marked(question: str, answer: Any, shown: Shown) -> Any:
    """Spans within the one field in which all of them stand."""
    named = [place for place in shown.places if place.name == shown.spans.get(question)] or shown.places
    for place in named:
        edges = [(span["start"] - place.start, span["end"] - place.start) for span in answer]
        if all(0 <= start < end <= len(place.text) for start, end in edges):
            moved = to_utf16(place.text, edges)
            return [{"start": start, "end": end, "label": span["label"]} for (start, end), span in zip(moved, answer, strict=True)]
    raise UserError(f"{question!r}: Argilla marks spans in one text field, and these don't stand in one", "export them as jsonl")


Reader = Callable[[str, Any, Shown], Any]

_READERS: dict[str, Reader] = {
    "choice": _label,
    "multilabel": _labels,
    "rating": _rating,
    "write": _text,
    "rank": _ranking,
    "spans": _spans,
}
_WRITERS: dict[str, Reader] = {
    "choice": _as_it_is,
    "multilabel": _as_it_is,
    "rating": _as_it_is,
    "write": _written,
    "compare": _compared,
    "rank": _ranked,
    "spans": _marked,
}
