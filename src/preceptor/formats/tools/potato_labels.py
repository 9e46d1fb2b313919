"""Convert what Potato stores of one annotator's answer to one question: names of labels with text values, and passages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format_registry import FileRow
from preceptor.formats.interchange import get_list, make_judgment
from preceptor.formats.offsets import QuotedSpan, parse_offset, to_code_points

PotatoLabels = dict[str, Any]

CHOSEN_VALUE = "true"
UNSUPPORTED_KIND = ""  # the kind of a question that the config names and that has no kind here
UNREADABLE, OWN_WORDS, REASONS = "bad_text", "free_response", "justification"
SCALE_LABEL = "scale_value"  # how much better one text is; below 0 the first is
_EXTRA_LABELS = (UNREADABLE, OWN_WORDS, REASONS)
_SIDES: dict[Any, Any] = {"A": 0, "B": 1, "tie": "tie"}
_NUMBERS = ("number", "slider", "confidence_level")
_TEXT_BOX = "text_box"
_NUMBER_PATTERN = re.compile(r"[-+]?\d[\d.e+-]{0,19}\Z", re.ASCII)
_HIDDEN_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # what Potato doesn't show; tabs count as spaces


def judgments_from_labels(question: str, labels: PotatoLabels, kind: str | None, shown: Any = None) -> list[FileRow]:
    """Return the judgments that the labels of a question express; empty where they have no kind here.

    kind: what the config or the file says it is. shown: the order of an item's texts on the page.
    """
    names = [name for name in labels if name not in _EXTRA_LABELS]
    if not names:
        return [make_judgment(question, None, None, status="skipped", extra=dict(labels))] if UNREADABLE in labels else []
    note = labels.get(OWN_WORDS)
    said = _answer_judgments(question, labels, names, kind, shown)
    if said and isinstance(note, str) and note:
        said[0]["note"] = note
    return said


def _answer_judgments(question: str, labels: PotatoLabels, names: list[str], kind: str | None, shown: Any) -> list[FileRow]:
    value = labels[names[0]]
    if kind == UNSUPPORTED_KIND or names == ["rank_order"]:
        return []
    if names == ["selection"] and isinstance(value, str) and value in _SIDES:
        return [make_judgment(question, "compare", _compare_answer(_SIDES[value], shown, labels))]
    if names == [SCALE_LABEL] and (side := _preferred_side(value)):
        return [make_judgment(question, "compare", _compare_answer(_SIDES[side], shown, labels), extra=_strength_labels(labels))]
    if names == ["select-one"] and isinstance(value, str):
        return [make_judgment(question, "choice", value)]
    if len(names) == 1 and names[0] in _NUMBERS and (number := _parse_number(value)) is not None:
        return [make_judgment(question, "rating", number)]
    if all(_is_chosen(name, labels[name]) for name in names):
        return [_choice_judgment(question, labels, names, kind)]
    if all(isinstance(labels[name], str) for name in names) and kind in (None, "write"):
        boxes = [(question if len(names) == 1 else f"{question}.{name}", labels[name]) for name in names]
        return [make_judgment(box, "write", _text_answer(text)) for box, text in boxes]
    return []


def _is_chosen(name: str, value: Any) -> bool:
    return value is True or (isinstance(value, str) and value in (CHOSEN_VALUE, name))


def _choice_judgment(question: str, labels: PotatoLabels, names: list[str], kind: str | None) -> FileRow:
    number = _parse_number(names[-1])
    if number is not None and (kind == "rating" or (kind is None and all(labels[name] == name for name in names))):
        return make_judgment(question, "rating", number)
    if kind == "multilabel" or (kind is None and len(names) > 1):
        return make_judgment(question, "multilabel", names)
    return make_judgment(question, "choice", names[-1])


def _compare_answer(side: Any, shown: Any, labels: PotatoLabels) -> FileRow:
    """Return the better of the two by its place among the item's texts; `shown` are those places in the order on the page."""
    order = shown if isinstance(shown, list) and sorted(map(str, shown)) == ["0", "1"] else None
    order = [int(place) for place in order] if order else None
    winner = order[side] if order and side != "tie" else side
    reasons = labels.get(REASONS)
    return {"winner": winner, "order": order, "reasons": reasons if isinstance(reasons, str) else ""}


def _text_answer(text: str) -> FileRow:
    """Return a free text, or one that was edited, which Potato stores as JSON with the original."""
    if text.startswith("{") and "edited_text" in text:
        try:
            edit = json.loads(text)
        except (ValueError, RecursionError):
            return {"text": text, "from": None}
        if isinstance(edit, dict) and isinstance(edit.get("edited_text"), str):
            original = edit.get("original_text")
            return {"text": edit["edited_text"], "from": original if isinstance(original, str) else None}
    return {"text": text, "from": None}


def _parse_number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float) or not _NUMBER_PATTERN.match(str(value)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not -1e15 < number < 1e15:
        return None
    return int(number) if number.is_integer() else number


def is_unreadable(given: Mapping[str, Any]) -> bool:
    """Return whether a skip is Potato's own, with the reason that the text is bad."""
    return given.get("status") == "skipped" and UNREADABLE in given.get("extra", {})


def labels_from_judgment(given: Mapping[str, Any]) -> PotatoLabels:
    """Return the labels that express a judgment; none where Potato has no form for its kind."""
    if is_unreadable(given):
        return {name: value for name, value in given["extra"].items() if name in _EXTRA_LABELS}
    answer, kind = given.get("answer"), given.get("kind")
    labels: PotatoLabels = {}
    if kind == "choice" and isinstance(answer, str):
        labels = {answer: CHOSEN_VALUE}
    elif kind == "multilabel" and isinstance(answer, list) and all(isinstance(label, str) for label in answer):
        labels = dict.fromkeys(answer, CHOSEN_VALUE)
    elif kind == "rating" and isinstance(answer, int | float) and not isinstance(answer, bool):
        labels = {str(answer): str(answer)}
    elif kind == "write" and isinstance(answer, dict) and isinstance(answer.get("text"), str):
        labels = {_TEXT_BOX: answer["text"]}
    elif kind == "compare" and isinstance(answer, dict):
        labels = _side_labels(answer)
        extra = given.get("extra", {})
        if SCALE_LABEL in extra and _preferred_side(extra[SCALE_LABEL]) == labels.get("selection"):
            labels = _strength_labels(extra)
    note = given.get("note")
    return {**labels, OWN_WORDS: note} if labels and note else labels


def _preferred_side(strength: Any) -> str | None:
    """Return the side that a strength prefers: below 0 the first."""
    number = _parse_number(strength)
    return None if number is None else "tie" if number == 0 else "A" if number < 0 else "B"


def _strength_labels(extra: Mapping[str, Any]) -> PotatoLabels:
    return {name: extra[name] for name in (SCALE_LABEL, REASONS) if name in extra}


def _side_labels(answer: Mapping[str, Any]) -> PotatoLabels:
    winner, order = answer.get("winner"), answer.get("order")
    if winner != "tie" and isinstance(order, list):
        winner = order.index(winner) if winner in order else None
    side = next((name for name, place in _SIDES.items() if type(place) is type(winner) and place == winner), None)
    if side is None:
        return {}
    return {"selection": side, **({REASONS: answer["reasons"]} if answer.get("reasons") else {})}


def judgment_from_spans(question: str, given: list[Any], text: str | None, text_key: str) -> FileRow | None:
    """Return the passages of a question as one judgment; None where they are in another field than the item's text.

    Raises UserError for passages that aren't in the text, or have no label.
    """
    if any(not isinstance(span, dict) for span in given):
        raise UserError(f"the spans of {question!r} must hold start, end and label each, not {given!r:.80}")
    if any(span.get("target_field") not in (None, "", text_key) for span in given):
        return None
    passages, names = [], []
    for span in given:
        name = span.get("label") or span.get("name")
        if not isinstance(name, str):
            raise UserError(f"a span of {question!r} has no label")
        names.append(name)
        quote = span.get("text")
        edges = [parse_offset(span.get(edge), f"the {edge} of a span of {question!r}") for edge in ("start", "end")]
        passages.append(QuotedSpan(edges[0], edges[1], quote if isinstance(quote, str) and quote else None))
    places = _stored_places(text, passages) if text is not None else _unverified_places(passages, question)
    spans = [{"start": start, "end": end, "label": name} for (start, end), name in zip(places, names, strict=True)]
    return make_judgment(question, "spans", spans)


def _stored_places(text: str, passages: list[QuotedSpan]) -> list[tuple[int, int]]:
    """Return the places in the stored text of passages that were counted on the page, where runs of spaces are one and ends are trimmed."""
    if text == text.strip() and not _HIDDEN_CHARACTERS.search(text) and "  " not in text and "\t" not in text:
        return to_code_points(text, passages)[0]
    page, origins = displayed_text(text)
    quoted = any(passage.quote is not None for passage in passages)
    try:
        edges, _ = to_code_points(page, passages)
    except UserError:
        if not quoted:
            raise
        return to_code_points(text, passages)[0]
    return [(origins[start], origins[end - 1] + 1) for start, end in edges]


def _unverified_places(passages: list[QuotedSpan], question: str) -> list[tuple[int, int]]:
    for passage in passages:
        if not 0 <= passage.start < passage.end:
            raise UserError(f"a span of {question!r} goes from {passage.start} to {passage.end}", "mend its start and end")
    return [(passage.start, passage.end) for passage in passages]


def displayed_text(text: str) -> tuple[str, list[int]]:
    """Return the text as Potato's page shows it, and where each of its characters is in the stored text."""
    page: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text.rstrip()):
        shown = " " if character == "\t" else character
        if _HIDDEN_CHARACTERS.match(shown) or (shown == " " and page and page[-1] == " ") or (not page and shown.isspace()):
            continue
        page.append(shown)
        places.append(place)
    return "".join(page), places


def spans_from_judgment(given: Mapping[str, Any]) -> list[FileRow]:
    """Return a judgment's passages as Potato's exports have them."""
    return [{name: span.get(name) for name in ("start", "end", "label")} for span in get_list(given, "answer") if isinstance(span, dict)]
