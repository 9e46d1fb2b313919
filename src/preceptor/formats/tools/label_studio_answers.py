"""Answers as Label Studio's regions, for the control that they were given with or the natural one of their kind."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.tools.label_studio_config import SEPARATOR
from preceptor.formats.tools.label_studio_known import Known
from preceptor.formats.tools.label_studio_regions import Scene
from preceptor.formats.tools.label_studio_spans import paragraph_value, passage_value

Values = list[tuple[str, str, dict[str, Any]]]  # type, object, value

_TYPES = {
    "choice": "choices",
    "multilabel": "choices",
    "rating": "number",  # as in `label_studio_view`: stars count from 1, and a scale may not
    "compare": "pairwise",
    "rank": "ranker",
    "write": "textarea",
    "spans": "labels",
}


def regions_from(given: Mapping[str, Any], scene: Scene, known: Known, seed: str) -> list[dict[str, Any]]:
    """The regions of a judgment or a guess; none for an answer that a control tells by having none. seed: makes their ids."""
    question, kind, answer = given.get("question"), given.get("kind"), given.get("answer")
    if question is None or answer is None:
        return []
    if kind not in _TYPES:
        raise UserError(f"Label Studio has no control for {question!r}, a {kind}", "leave the question out, or export as jsonl")
    to = known.to.get(question) or object_of(kind, scene)
    try:
        values = _WRITERS[kind](question, answer, known.types.get(question) or _TYPES[kind], to, scene)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError):
        raise UserError(f"{question!r}: {answer!r:.60} is no answer to a {kind}") from None
    return [
        {"id": _id(seed, question, number), "from_name": question, "to_name": about, "type": type_, "value": value}
        for number, (type_, about, value) in enumerate(values)
    ]


def object_of(kind: str, scene: Scene) -> str:
    """The object that a question is about where no config says it: the first that the item shows."""
    if kind == "compare" and scene.responses:
        return scene.responses[0]
    if kind == "rank":
        return "items"
    return scene.places[0].name if scene.places else "messages"


def _id(seed: str, question: str, number: int) -> str:
    """The same id for the same answer of the same person, as no two regions of a task may share one."""
    return hashlib.sha256(json.dumps([seed, question, number]).encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _choice(name: str, answer: Any, type_: str, to: str, scene: Scene) -> Values:
    if not isinstance(answer, str):
        raise TypeError
    return [(type_, to, {"choices": [answer]})]


def _choices(name: str, answer: Any, type_: str, to: str, scene: Scene) -> Values:
    if type_ == "taxonomy":
        return [(type_, to, {"taxonomy": [option.split(SEPARATOR) for option in answer]})] if answer else []
    if not all(isinstance(option, str) for option in answer):
        raise TypeError
    return [(type_, to, {"choices": list(answer)})] if answer else []


def _rating(name: str, answer: Any, type_: str, to: str, scene: Scene) -> Values:
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise TypeError
    return [(type_, to, {"number" if type_ == "number" else "rating": answer})]


def _compare(name: str, answer: Any, type_: str, to: str, scene: Scene) -> Values:
    side = {0: "left", 1: "right"}.get(answer["winner"]) if len(scene.responses) == 2 else None
    return [(type_, to, {"selected": side})] if side else []  # there is no tie, and there are two sides


def _rank(name: str, answer: Any, type_: str, to: str, scene: Scene) -> Values:
    return [(type_, to, {"ranker": {name: [scene.responses[index] for index in answer["order"]]}})]


def _write(name: str, answer: Any, type_: str, to: str, scene: Scene) -> Values:
    text = answer["text"]
    if type_ == "number":
        return [(type_, to, {"number": json.loads(text)})]
    if type_ == "datetime":
        return [(type_, to, {"datetime": text})]
    return [("textarea", to, {"text": [text]})]


def _spans(name: str, answer: Any, type_: str, to: str, scene: Scene) -> Values:
    values: Values = []
    for span in answer:
        start, end, label = span["start"], span["end"], span["label"]
        if not 0 <= start < end <= len(scene.text):
            raise UserError(f"the span from {start} to {end} is no passage of the text, which has {len(scene.text):,} characters")
        place = next((place for place in scene.places if place.start <= start and end <= place.start + len(place.text)), None)
        if place is not None:
            about = to if to in scene.objects or len(scene.places) == 1 else place.name
            values.append(("labels", about, {**passage_value(start, end, place), "labels": [label]}))
            continue
        value = paragraph_value(start, end, scene.content.get("messages") or ())
        if value is None:
            raise UserError(f"the span from {start} to {end} reaches over two of the texts that Label Studio shows apart")
        values.append(("paragraphlabels", to, {**value, "paragraphlabels": [label]}))
    return values


_WRITERS: dict[str, Callable[[str, Any, str, str, Scene], Values]] = {
    "choice": _choice,
    "multilabel": _choices,
    "rating": _rating,
    "compare": _compare,
    "rank": _rank,
    "write": _write,
    "spans": _spans,
}
