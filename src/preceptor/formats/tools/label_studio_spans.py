"""Where Label Studio's passages stand in an item's text: in a field's text, in a rendered one, in a paragraph of a dialogue.

Version 1.23 counts texts and rendered texts in code points and paragraphs in UTF-16 code units, as its pages show and write them.
Earlier versions counted everything in UTF-16 code units: the words that a passage repeats tell which it was, and for passages that
repeat none those of others in the task, or in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.offsets import CODE_POINTS, UTF_16, Passage, offset_from, to_code_points, to_utf16, unit_proven
from preceptor.formats.tools.label_studio_known import results_of
from preceptor.formats.tools.named_texts import Placed

Edges = list[tuple[int, int]]
_HINT = "put the labelling config (XML) beside the export: it says which field each control is about"


class NotFound(UserError):
    """Passages of a rendered text that can't be told in the stored one."""


def spans_from(
    regions: Sequence[Mapping[str, Any]],
    places: Sequence[Placed],
    content: Mapping[str, Any],
    objects: Mapping[str, str],
    unquoted: Callable[[], str] = lambda: CODE_POINTS,
) -> tuple[Edges, str]:
    """Start and end of each region in code points of the item's text, and how they were counted where it isn't the tool's own way.

    One way fits all of them. unquoted: asked how passages were counted that don't repeat their words, where it makes a difference.
    """
    if any(region["type"] == "paragraphlabels" for region in regions):
        return _in_paragraphs(regions, content)
    if any(region["type"] == "hypertextlabels" for region in regions):
        try:
            return _in_text([_rendered(region) for region in regions], places, "", unquoted)
        except UserError as error:
            raise NotFound(error.message, error.hint) from None
    passages = [_passage(region["value"], "start", "end", f"span {number}") for number, region in enumerate(regions, start=1)]
    names = {region.get("to_name") for region in regions}
    name = names.pop() if len(names) == 1 else None
    return _in_text(passages, places, objects.get(name, name) if isinstance(name, str) else "", unquoted)


def way_proven(tasks: Iterable[Mapping[str, Any]]) -> str:
    """How passages of texts were counted, as those prove that repeat their words; "" where none does, or they contradict each other."""
    found: set[str] = set()
    with suppress(UserError):  # reading them tells why
        for task in tasks:
            data = task.get("data")
            texts = [text for text in data.values() if isinstance(text, str)] if isinstance(data, Mapping) else []
            texts = [text for text in texts if _has_pairs(text)]
            for region in (each for result in results_of(task) for each in result if texts and isinstance(each, dict)):
                found |= {unit_proven(text, passage) for passage in _quoted(region) for text in texts}
    found.discard("")
    return found.pop() if len(found) == 1 else ""


def _quoted(region: Mapping[str, Any]) -> list[Passage]:
    """The passage of a region that repeats its words."""
    value = region.get("value")
    if region.get("type") != "labels" or not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return []
    with suppress(UserError):
        return [_passage(value, "start", "end", "a span")]
    return []


def _has_pairs(text: str) -> bool:
    """Whether counting in UTF-16 makes a difference."""
    return max(text, default="") > "\uffff"


def passage_value(start: int, end: int, place: Placed) -> dict[str, Any]:
    """What a region says of a passage within a field's text."""
    first, last = start - place.start, end - place.start
    return {"start": first, "end": last, "text": place.text[first:last]}


def paragraph_value(start: int, end: int, turns: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a region says of a passage within one turn of a conversation; None where it reaches into another."""
    for number, place in enumerate(turns_placed(turns)):
        if place.start <= start and end <= place.start + len(place.text):
            words = passage_value(start, end, place)
            [(first, last)] = to_utf16(place.text, [(words["start"], words["end"])])
            return {"start": str(number), "end": str(number), "startOffset": first, "endOffset": last, "text": words["text"]}
    return None


def turns_placed(turns: Iterable[Mapping[str, Any]]) -> list[Placed]:
    """Where each turn's words stand in the item's text, in which they follow their role."""
    found, start = [], 0
    for turn in turns:
        start += len(turn["role"]) + 2
        found.append(Placed("", start, turn["content"]))
        start += len(turn["content"]) + 1
    return found


def _in_text(passages: list[Passage], places: Sequence[Placed], name: str, unquoted: Callable[[], str]) -> tuple[Edges, str]:
    """The passages in the field of that name, or in the one field that they fit."""
    named = [place for place in places if place.name == name] or list(places)
    if not named:
        raise UserError("the task has no text that spans could mark", _HINT)
    if len(named) > 1 and not any(passage.quote for passage in passages):
        raise UserError("it isn't said in which of the task's texts the spans stand", _HINT)
    faults = []
    for place in named:
        try:
            proven = any(passage.quote is not None for passage in passages) or not _has_pairs(place.text)
            edges, counted = to_code_points(place.text, passages, CODE_POINTS if proven else unquoted())
        except UserError as error:
            faults.append(error)
            continue
        return [(start + place.start, end + place.start) for start, end in edges], counted if counted != CODE_POINTS else ""
    raise faults[0]


def _in_paragraphs(regions: Sequence[Mapping[str, Any]], content: Mapping[str, Any]) -> tuple[Edges, str]:
    turns = turns_placed(content.get("messages") or ())
    edges: Edges = []
    ways = set()
    for number, region in enumerate(regions, start=1):
        value = region["value"]
        index = offset_from(value.get("start"), f"the paragraph of span {number}")
        if offset_from(value.get("end"), f"the last paragraph of span {number}") != index or not 0 <= index < len(turns):
            raise NotFound("they reach over several paragraphs, or into none")
        passage = _passage(value, "startOffset", "endOffset", f"span {number}")
        if passage.quote is None:
            raise NotFound("their words aren't repeated")
        try:
            [(start, end)], counted = to_code_points(turns[index].text, [passage], UTF_16)
        except UserError as error:
            raise NotFound(error.message) from None
        ways.add(counted)
        edges.append((start + turns[index].start, end + turns[index].start))
    return edges, next(iter(ways - {UTF_16}), "")


def _rendered(region: Mapping[str, Any]) -> Passage:
    """A passage by its offsets in the whole rendered text; its words must be there to prove it."""
    offsets = region["value"].get("globalOffsets")
    if not isinstance(offsets, dict) or not isinstance(region["value"].get("text"), str):
        raise NotFound("they have no offsets in the whole text, or don't repeat their words")
    return _passage({**offsets, "text": region["value"]["text"]}, "start", "end", "span")


def _passage(value: Mapping[str, Any], start: str, end: str, what: str) -> Passage:
    quote = value.get("text")
    if quote is not None and not isinstance(quote, str):
        raise UserError(f"the text of {what} must be a text, not {quote!r:.60}")
    return Passage(offset_from(value.get(start), f"the start of {what}"), offset_from(value.get(end), f"the end of {what}"), quote)
