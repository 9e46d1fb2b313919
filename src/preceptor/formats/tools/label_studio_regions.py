"""Convert the regions of a Label Studio result to answers and back, with the places of their passages in the item's text.

    {"id": "r1", "from_name": "ner", "to_name": "txt", "type": "labels", "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}}

All regions of one control make one answer. Regions that make no answer (boxes, relations, answers about single regions, passages of HTML
that can't be found in the text) are returned as they are. Answers are written for the control that they were given with, or for the natural
one of their kind.

A passage is in a field's text, in a rendered text, or in a paragraph of a dialogue. Version 1.23 counts texts and rendered texts in code
points and paragraphs in UTF-16 code units, as its pages show and write them. Earlier versions counted everything in UTF-16 code units: the
words that a passage repeats show which it was, and for passages that repeat none those of others in the task, or in the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.offsets import CODE_POINTS, UTF_16, QuotedSpan, parse_offset, proven_unit, to_code_points, to_utf16
from preceptor.formats.tools.content_fields import PlacedField
from preceptor.formats.tools.label_studio_config import SPAN_TYPES, TAXONOMY_SEPARATOR
from preceptor.formats.tools.label_studio_data import KnownControls, is_per_region, iterate_results, label_region_ids
from preceptor.types import render_content

_SpanEdges = list[tuple[int, int]]
_CONFIG_HINT = "put the labelling config (XML) beside the export: it says which field each control is about"


class PassageNotFound(UserError):
    """Raised for passages of a rendered text that can't be found in the stored one."""


def _locate_regions(
    regions: Sequence[Mapping[str, Any]],
    places: Sequence[PlacedField],
    content: Mapping[str, Any],
    objects: Mapping[str, str],
    unquoted: Callable[[], str] = lambda: CODE_POINTS,
) -> tuple[_SpanEdges, str]:
    """Return start and end of each region in code points of the item's text, and how they were counted where it isn't the tool's own way.

    One way fits all of them. unquoted: returns how passages were counted that don't repeat their words, where it makes a difference.
    """
    if any(region["type"] == "paragraphlabels" for region in regions):
        return _locate_in_paragraphs(regions, content)
    if any(region["type"] == "hypertextlabels" for region in regions):
        try:
            return _locate_in_text([_rendered_passage(region) for region in regions], places, "", unquoted)
        except UserError as error:
            raise PassageNotFound(error.message, error.hint) from None
    passages = [_parse_passage(region["value"], "start", "end", f"span {number}") for number, region in enumerate(regions, start=1)]
    names = {region.get("to_name") for region in regions}
    name = names.pop() if len(names) == 1 else None
    return _locate_in_text(passages, places, objects.get(name, name) if isinstance(name, str) else "", unquoted)


def proven_offset_unit(tasks: Iterable[Mapping[str, Any]]) -> str:
    """Return how passages of texts were counted, as those show that repeat their words.

    "" where none does, or they contradict each other.
    """
    found: set[str] = set()
    with suppress(UserError):  # it is reported when the rows are read
        for task in tasks:
            data = task.get("data")
            texts = [text for text in data.values() if isinstance(text, str)] if isinstance(data, Mapping) else []
            texts = [text for text in texts if _has_surrogate_pairs(text)]
            for region in (each for result in iterate_results(task) for each in result if texts and isinstance(each, dict)):
                found |= {proven_unit(text, passage) for passage in _quoted_passages(region) for text in texts}
    found.discard("")
    return found.pop() if len(found) == 1 else ""


def _quoted_passages(region: Mapping[str, Any]) -> list[QuotedSpan]:
    """Return the passage of a region that repeats its words; empty for any other region."""
    value = region.get("value")
    if region.get("type") != "labels" or not isinstance(value, dict) or not isinstance(value.get("text"), str):
        return []
    with suppress(UserError):
        return [_parse_passage(value, "start", "end", "a span")]
    return []


def _has_surrogate_pairs(text: str) -> bool:
    """Return whether counting in UTF-16 makes a difference."""
    return max(text, default="") > "\uffff"


def _passage_value(start: int, end: int, place: PlacedField) -> dict[str, Any]:
    """Return the value of a region for a passage within a field's text."""
    first, last = start - place.start, end - place.start
    return {"start": first, "end": last, "text": place.text[first:last]}


def _paragraph_value(start: int, end: int, turns: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the value of a region for a passage within one turn of a conversation; None where it reaches into another."""
    for number, place in enumerate(_place_turns(turns)):
        if place.start <= start and end <= place.start + len(place.text):
            words = _passage_value(start, end, place)
            [(first, last)] = to_utf16(place.text, [(words["start"], words["end"])])
            return {"start": str(number), "end": str(number), "startOffset": first, "endOffset": last, "text": words["text"]}
    return None


def _place_turns(turns: Iterable[Mapping[str, Any]]) -> list[PlacedField]:
    """Return where each turn's content is in the item's text, in which it follows its role."""
    found, start = [], 0
    for turn in turns:
        start += len(turn["role"]) + 2
        found.append(PlacedField("", start, turn["content"]))
        start += len(turn["content"]) + 1
    return found


def _locate_in_text(
    passages: list[QuotedSpan], places: Sequence[PlacedField], name: str, unquoted: Callable[[], str]
) -> tuple[_SpanEdges, str]:
    """Return the places of the passages in the field of that name, or in the one field that they fit."""
    named = [place for place in places if place.name == name] or list(places)
    if not named:
        raise UserError("the task has no text that spans could mark", _CONFIG_HINT)
    if len(named) > 1 and not any(passage.quote for passage in passages):
        raise UserError("it isn't said in which of the task's texts the spans stand", _CONFIG_HINT)
    faults = []
    for place in named:
        try:
            proven = any(passage.quote is not None for passage in passages) or not _has_surrogate_pairs(place.text)
            edges, counted = to_code_points(place.text, passages, CODE_POINTS if proven else unquoted())
        except UserError as error:
            faults.append(error)
            continue
        return [(start + place.start, end + place.start) for start, end in edges], counted if counted != CODE_POINTS else ""
    raise faults[0]


def _locate_in_paragraphs(regions: Sequence[Mapping[str, Any]], content: Mapping[str, Any]) -> tuple[_SpanEdges, str]:
    turns = _place_turns(content.get("messages") or ())
    edges: _SpanEdges = []
    ways = set()
    for number, region in enumerate(regions, start=1):
        value = region["value"]
        index = parse_offset(value.get("start"), f"the paragraph of span {number}")
        if parse_offset(value.get("end"), f"the last paragraph of span {number}") != index or not 0 <= index < len(turns):
            raise PassageNotFound("they reach over several paragraphs, or into none")
        passage = _parse_passage(value, "startOffset", "endOffset", f"span {number}")
        if passage.quote is None:
            raise PassageNotFound("their words aren't repeated")
        try:
            [(start, end)], counted = to_code_points(turns[index].text, [passage], UTF_16)
        except UserError as error:
            raise PassageNotFound(error.message) from None
        ways.add(counted)
        edges.append((start + turns[index].start, end + turns[index].start))
    return edges, next(iter(ways - {UTF_16}), "")


def _rendered_passage(region: Mapping[str, Any]) -> QuotedSpan:
    """Return a passage by its offsets in the whole rendered text; it must repeat its words to confirm them."""
    offsets = region["value"].get("globalOffsets")
    if not isinstance(offsets, dict) or not isinstance(region["value"].get("text"), str):
        raise PassageNotFound("they have no offsets in the whole text, or don't repeat their words")
    return _parse_passage({**offsets, "text": region["value"]["text"]}, "start", "end", "span")


def _parse_passage(value: Mapping[str, Any], start: str, end: str, what: str) -> QuotedSpan:
    quote = value.get("text")
    if quote is not None and not isinstance(quote, str):
        raise UserError(f"the text of {what} must be a text, not {quote!r:.60}")
    return QuotedSpan(parse_offset(value.get(start), f"the start of {what}"), parse_offset(value.get(end), f"the end of {what}"), quote)


IndexedRegion = tuple[int, dict[str, Any]]  # a region and its place in the result


@dataclass(frozen=True)
class LabelStudioTaskContext:
    """What a task shows, as far as its regions refer to it.

    content: the item's content. places: where its texts are in the item's text. kinds: of controls, where they are known. objects: the
    field that each object shows. responses: names or ids of the item's responses. warn: called with what had to be assumed. unquoted:
    returns how spans were counted that don't repeat their words.
    """

    content: Mapping[str, Any]
    places: Sequence[PlacedField] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, str] = field(default_factory=dict)
    responses: Sequence[str] = ()
    warn: Callable[[str], None] = lambda sentence: None
    unquoted: Callable[[], str] = lambda: CODE_POINTS

    @property
    def text(self) -> str:
        """The item's one text."""
        return render_content(self.content)


@dataclass(frozen=True)
class RegionAnswer:
    """An answer and the regions that it was made of."""

    question: str
    kind: str
    answer: Any
    regions: list[IndexedRegion]


def answers_from_result(result: Any, scene: LabelStudioTaskContext) -> tuple[list[RegionAnswer], list[IndexedRegion]]:
    """Return the answers that a result holds, in order of their first regions, and the regions that belong to none."""
    regions = list(enumerate(_flatten_result(result)))
    others: list[IndexedRegion] = []
    groups: dict[str, list[IndexedRegion]] = {}
    marked = label_region_ids(region for _, region in regions)
    for at, region in regions:
        if _is_answer_region(region, scene, marked):
            groups.setdefault(region["from_name"], []).append((at, region))
        else:
            others.append((at, region))
    answered = []
    for name, group in groups.items():
        found = _answer_of_control(name, group, scene)
        if found is None:
            others += group
        else:
            answered.append(found)
    return answered, sorted(others, key=lambda each: each[0])


def _flatten_result(result: Any) -> Iterator[dict[str, Any]]:
    """Yield the regions of a result; a list of relations inside it is part of it."""
    if not isinstance(result, list):
        raise UserError(f"a result is a list of regions, not {result!r:.60}", "export the project again, as JSON")
    for number, region in enumerate(result, start=1):
        if isinstance(region, list):
            yield from _flatten_result(region)
        elif isinstance(region, dict):
            for name in ("from_name", "to_name", "type"):
                if not isinstance(region.get(name, ""), str):
                    raise UserError(f"region {number}: {name} must be a text, not {region[name]!r:.60}")
            yield region
        else:
            raise UserError(f"region {number} is {region!r:.60}", "each region is an object with type and value")


def _is_answer_region(region: Mapping[str, Any], scene: LabelStudioTaskContext, marked: set[str]) -> bool:
    name, type_, value = region.get("from_name"), region.get("type"), region.get("value")
    if not isinstance(name, str) or not isinstance(type_, str) or not isinstance(value, dict):
        return False
    if type_ not in _READERS or scene.kinds.get(name) == "":
        return False
    return not is_per_region(region, marked)


def _answer_of_control(name: str, group: list[IndexedRegion], scene: LabelStudioTaskContext) -> RegionAnswer | None:
    """Return the answer that a control's regions make; None where they make none."""
    regions = [region for _, region in group]
    types = {region["type"] for region in regions}
    if len(types) > 1:
        raise UserError(f"control {name!r} has regions of several types: {', '.join(sorted(types))}", "give each control its own name")
    try:
        found = _READERS[types.pop()](name, regions, scene)
    except UserError as error:
        raise UserError(f"{name!r}: {error.message}", error.hint) from None
    return None if found is None else RegionAnswer(name, found[0], found[1], group)


_KindAndAnswer = tuple[str, Any] | None


def _read_choices(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    chosen = [_choice_text(option) for region in regions for option in _require_list(region["value"].get("choices"), "choices")]
    kind = scene.kinds.get(name) or ("choice" if len(chosen) == 1 else "multilabel")
    if kind == "choice":
        if len(chosen) != 1:
            raise UserError(f"{len(chosen)} choices of a question that takes one", 'is it choice="multiple" in the labelling config?')
        return kind, chosen[0]
    return kind, list(dict.fromkeys(chosen))


def _read_taxonomy(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    paths = [_choice_text(path) for region in regions for path in _require_list(region["value"].get("taxonomy"), "taxonomy")]
    return "multilabel", list(dict.fromkeys(paths))


def _choice_text(option: Any) -> str:
    """Return a choice as text; a path of nested ones is one option."""
    if isinstance(option, str) and option.strip():
        return option
    if isinstance(option, list) and option and all(isinstance(part, str) for part in option):
        return TAXONOMY_SEPARATOR.join(option)
    raise UserError(f"a choice is a text, not {option!r:.60}")


def _require_list(value: Any, what: str) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise UserError(f"{what} must be a list, not {value!r:.60}")
    return value


def _read_rating(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    return "rating", _require_number(regions[-1]["value"].get("rating"), "a rating")


def _read_number(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    number = _require_number(regions[-1]["value"].get("number"), "a number")
    return ("rating", number) if scene.kinds.get(name) == "rating" else ("write", _text_answer(json.dumps(number)))


def _require_number(value: Any, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{what} must be a number, not {value!r:.60}")
    return value


def _read_textarea(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    lines = [line for region in regions for line in _require_list(region["value"].get("text"), "text")]
    if not all(isinstance(line, str) for line in lines):
        raise UserError(f"text must be a list of texts, not {lines!r:.60}")
    text = "\n".join(lines)
    return ("write", _text_answer(text)) if text.strip() else None


def _read_datetime(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    value = regions[-1]["value"].get("datetime")
    return ("write", _text_answer(value)) if isinstance(value, str) and value.strip() else None


def _read_chat(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    turns = [region["value"].get("chatmessage") for region in regions]
    if not all(isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in turns):
        raise UserError(f"a chat message has role and content, unlike {turns!r:.60}")
    return "write", _text_answer("\n".join(f"{turn.get('role')}: {turn['content']}" for turn in turns))


def _text_answer(text: str) -> dict[str, Any]:
    return {"text": text, "from": None}


def _read_pairwise(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    selected = regions[-1]["value"].get("selected")
    if selected not in ("left", "right") or len(scene.content.get("responses", ())) != 2:
        return None
    return "compare", {"winner": 0 if selected == "left" else 1, "order": None, "reasons": ""}


def _read_ranker(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    ranker = regions[-1]["value"].get("ranker")
    buckets = [bucket for bucket in ranker.values() if bucket] if isinstance(ranker, dict) else [ranker]
    known = list(scene.responses)
    if len(buckets) != 1 or not isinstance(buckets[0], list) or not known:
        return None
    ranked = list(map(str, buckets[0]))
    return ("rank", {"order": [known.index(one) for one in ranked], "shown": None}) if sorted(ranked) == sorted(known) else None


def _read_spans(name: str, regions: list[dict[str, Any]], scene: LabelStudioTaskContext) -> _KindAndAnswer:
    """Return passages; None where those of a rendered text can't be found in the stored one, or one has no label yet."""
    if not all(_region_labels(region) for region in regions):
        return None
    try:
        edges, counted = _locate_regions(regions, scene.places, scene.content, scene.objects, scene.unquoted)
    except PassageNotFound as error:
        scene.warn(f"passages of {name!r} that can't be found in the text are kept as they are: {error.message}")
        return None
    if counted:
        scene.warn(f"some spans were counted in {counted}, as their own words prove, or others' in the file; they were converted")
    found = {(start, end, label) for (start, end), region in zip(edges, regions, strict=True) for label in _region_labels(region)}
    return "spans", [{"start": start, "end": end, "label": label} for start, end, label in sorted(found)]


def _region_labels(region: Mapping[str, Any]) -> list[str]:
    value = region["value"]
    labels: Any = next((value[key] for key in (region["type"], "labels") if key in value), [])
    return [_choice_text(label) for label in _require_list(labels, "labels")]


_READERS: dict[str, Callable[[str, list[dict[str, Any]], LabelStudioTaskContext], _KindAndAnswer]] = {
    "choices": _read_choices,
    "taxonomy": _read_taxonomy,
    "rating": _read_rating,
    "number": _read_number,
    "textarea": _read_textarea,
    "datetime": _read_datetime,
    "chatmessage": _read_chat,
    "pairwise": _read_pairwise,
    "ranker": _read_ranker,
    **dict.fromkeys(SPAN_TYPES, _read_spans),
}

_RegionValues = list[tuple[str, str, dict[str, Any]]]  # type, object, value

_TYPES_BY_KIND = {
    "choice": "choices",
    "multilabel": "choices",
    "rating": "number",  # as in `build_labeling_config`: stars count from 1, and a scale may not
    "compare": "pairwise",
    "rank": "ranker",
    "write": "textarea",
    "spans": "labels",
}


def regions_from_answer(given: Mapping[str, Any], scene: LabelStudioTaskContext, known: KnownControls, seed: str) -> list[dict[str, Any]]:
    """Return the regions of a judgment or a prediction; none for an answer that a control expresses by having none.

    seed: what the ids of the regions are derived from. Raises UserError where no control fits the kind, or the answer isn't of its kind.
    """
    question, kind, answer = given.get("question"), given.get("kind"), given.get("answer")
    if question is None or answer is None:
        return []
    if kind not in _TYPES_BY_KIND:
        raise UserError(f"Label Studio has no control for {question!r}, a {kind}", "leave the question out, or export as jsonl")
    to = known.to.get(question) or _default_object(kind, scene)
    try:
        values = _WRITERS[kind](question, answer, known.types.get(question) or _TYPES_BY_KIND[kind], to, scene)
    except (TypeError, KeyError, ValueError, IndexError, AttributeError):
        raise UserError(f"{question!r}: {answer!r:.60} is no answer to a {kind}") from None
    return [
        {"id": _region_id(seed, question, number), "from_name": question, "to_name": about, "type": type_, "value": value}
        for number, (type_, about, value) in enumerate(values)
    ]


def _default_object(kind: str, scene: LabelStudioTaskContext) -> str:
    """Return the object that a question is about where no config says it: the first that the item shows."""
    if kind == "compare" and scene.responses:
        return scene.responses[0]
    if kind == "rank":
        return "items"
    return scene.places[0].name if scene.places else "messages"


def _region_id(seed: str, question: str, number: int) -> str:
    """Return a region id that is the same for the same answer of the same person, as no two regions of a task may share one."""
    return hashlib.sha256(json.dumps([seed, question, number]).encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _write_choice(name: str, answer: Any, type_: str, to: str, scene: LabelStudioTaskContext) -> _RegionValues:
    if not isinstance(answer, str):
        raise TypeError
    return [(type_, to, {"choices": [answer]})]


def _write_choices(name: str, answer: Any, type_: str, to: str, scene: LabelStudioTaskContext) -> _RegionValues:
    if type_ == "taxonomy":
        return [(type_, to, {"taxonomy": [option.split(TAXONOMY_SEPARATOR) for option in answer]})] if answer else []
    if not all(isinstance(option, str) for option in answer):
        raise TypeError
    return [(type_, to, {"choices": list(answer)})] if answer else []


def _write_rating(name: str, answer: Any, type_: str, to: str, scene: LabelStudioTaskContext) -> _RegionValues:
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        raise TypeError
    return [(type_, to, {"number" if type_ == "number" else "rating": answer})]


def _write_comparison(name: str, answer: Any, type_: str, to: str, scene: LabelStudioTaskContext) -> _RegionValues:
    side = {0: "left", 1: "right"}.get(answer["winner"]) if len(scene.responses) == 2 else None
    return [(type_, to, {"selected": side})] if side else []  # the control has no tie, and exactly two sides


def _write_ranking(name: str, answer: Any, type_: str, to: str, scene: LabelStudioTaskContext) -> _RegionValues:
    return [(type_, to, {"ranker": {name: [scene.responses[index] for index in answer["order"]]}})]


def _write_text(name: str, answer: Any, type_: str, to: str, scene: LabelStudioTaskContext) -> _RegionValues:
    text = answer["text"]
    if type_ == "number":
        return [(type_, to, {"number": json.loads(text)})]
    if type_ == "datetime":
        return [(type_, to, {"datetime": text})]
    return [("textarea", to, {"text": [text]})]


def _write_spans(name: str, answer: Any, type_: str, to: str, scene: LabelStudioTaskContext) -> _RegionValues:
    values: _RegionValues = []
    for span in answer:
        start, end, label = span["start"], span["end"], span["label"]
        if not 0 <= start < end <= len(scene.text):
            raise UserError(f"the span from {start} to {end} is no passage of the text, which has {len(scene.text):,} characters")
        place = next((place for place in scene.places if place.start <= start and end <= place.start + len(place.text)), None)
        if place is not None:
            about = to if to in scene.objects or len(scene.places) == 1 else place.name
            values.append(("labels", about, {**_passage_value(start, end, place), "labels": [label]}))
            continue
        value = _paragraph_value(start, end, scene.content.get("messages") or ())
        if value is None:
            raise UserError(f"the span from {start} to {end} reaches over two of the texts that Label Studio shows apart")
        values.append(("paragraphlabels", to, {**value, "paragraphlabels": [label]}))
    return values


_WRITERS: dict[str, Callable[[str, Any, str, str, LabelStudioTaskContext], _RegionValues]] = {
    "choice": _write_choice,
    "multilabel": _write_choices,
    "rating": _write_rating,
    "compare": _write_comparison,
    "rank": _write_ranking,
    "write": _write_text,
    "spans": _write_spans,
}
