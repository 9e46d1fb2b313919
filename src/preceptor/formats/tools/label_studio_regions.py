"""Regions of a Label Studio result as answers to questions, and answers as regions.

    {"id": "r1", "from_name": "ner", "to_name": "txt", "type": "labels", "value": {"start": 0, "end": 3, "text": "Ada", "labels": ["PER"]}}

All regions of one control make one answer. What has no answer here (boxes, relations, what is said about single regions, passages of
HTML that can't be found in the text) is handed back as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.formats.offsets import CODE_POINTS
from preceptor.formats.tools.label_studio_config import SEPARATOR, SPANS
from preceptor.formats.tools.label_studio_known import is_about_one, labelled
from preceptor.formats.tools.label_studio_spans import NotFound, spans_from
from preceptor.formats.tools.named_texts import Placed

At = tuple[int, dict[str, Any]]  # a region and its place in the result


@dataclass(frozen=True)
class Scene:
    """What a task shows, as far as its regions refer to it.

    places: where its texts stand in the item's text. kinds: of controls, where they are known. objects: the
    field that each object shows. responses: names or ids of the item's responses. unquoted: how spans were counted that don't
    repeat their words.
    """

    content: Mapping[str, Any]
    places: Sequence[Placed] = ()
    kinds: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, str] = field(default_factory=dict)
    responses: Sequence[str] = ()
    warn: Callable[[str], None] = lambda sentence: None
    unquoted: Callable[[], str] = lambda: CODE_POINTS

    @property
    def text(self) -> str:
        """The item's one text."""
        return text_of(self.content)


@dataclass(frozen=True)
class Answered:
    """An answer and the regions that it was made of."""

    question: str
    kind: str
    answer: Any
    regions: list[At]


def answers_from(result: Any, scene: Scene) -> tuple[list[Answered], list[At]]:
    """The answers that a result holds, in order of their first regions, and the regions that belong to none."""
    regions = list(enumerate(_flat(result)))
    others: list[At] = []
    groups: dict[str, list[At]] = {}
    marked = labelled(region for _, region in regions)
    for at, region in regions:
        if _is_answer(region, scene, marked):
            groups.setdefault(region["from_name"], []).append((at, region))
        else:
            others.append((at, region))
    answered = []
    for name, group in groups.items():
        found = _answer(name, group, scene)
        if found is None:
            others += group
        else:
            answered.append(found)
    return answered, sorted(others, key=lambda each: each[0])


def _flat(result: Any) -> Iterator[dict[str, Any]]:
    """Regions of a result; a list of relations inside it is part of it."""
    if not isinstance(result, list):
        raise UserError(f"a result is a list of regions, not {result!r:.60}", "export the project again, as JSON")
    for number, region in enumerate(result, start=1):
        if isinstance(region, list):
            yield from _flat(region)
        elif isinstance(region, dict):
            for name in ("from_name", "to_name", "type"):
                if not isinstance(region.get(name, ""), str):
                    raise UserError(f"region {number}: {name} must be a text, not {region[name]!r:.60}")
            yield region
        else:
            raise UserError(f"region {number} is {region!r:.60}", "each region is an object with type and value")


def _is_answer(region: Mapping[str, Any], scene: Scene, marked: set[str]) -> bool:
    name, type_, value = region.get("from_name"), region.get("type"), region.get("value")
    if not isinstance(name, str) or not isinstance(type_, str) or not isinstance(value, dict):
        return False
    if type_ not in _READERS or scene.kinds.get(name) == "":
        return False
    return not is_about_one(region, marked)


def _answer(name: str, group: list[At], scene: Scene) -> Answered | None:
    """The answer that a control's regions make; None where they make none."""
    regions = [region for _, region in group]
    types = {region["type"] for region in regions}
    if len(types) > 1:
        raise UserError(f"control {name!r} has regions of several types: {', '.join(sorted(types))}", "give each control its own name")
    try:
        found = _READERS[types.pop()](name, regions, scene)
    except UserError as error:
        raise UserError(f"{name!r}: {error.message}", error.hint) from None
    return None if found is None else Answered(name, found[0], found[1], group)


Read = tuple[str, Any] | None


def _choices(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    chosen = [_option(option) for region in regions for option in _list(region["value"].get("choices"), "choices")]
    kind = scene.kinds.get(name) or ("choice" if len(chosen) == 1 else "multilabel")
    if kind == "choice":
        if len(chosen) != 1:
            raise UserError(f"{len(chosen)} choices of a question that takes one", 'is it choice="multiple" in the labelling config?')
        return kind, chosen[0]
    return kind, list(dict.fromkeys(chosen))


def _taxonomy(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    paths = [_option(path) for region in regions for path in _list(region["value"].get("taxonomy"), "taxonomy")]
    return "multilabel", list(dict.fromkeys(paths))


def _option(option: Any) -> str:
    """A choice; a path of nested ones is one option."""
    if isinstance(option, str) and option.strip():
        return option
    if isinstance(option, list) and option and all(isinstance(part, str) for part in option):
        return SEPARATOR.join(option)
    raise UserError(f"a choice is a text, not {option!r:.60}")


def _list(value: Any, what: str) -> list[Any]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise UserError(f"{what} must be a list, not {value!r:.60}")
    return value


def _rating(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    return "rating", _number(regions[-1]["value"].get("rating"), "a rating")


def _amount(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    number = _number(regions[-1]["value"].get("number"), "a number")
    return ("rating", number) if scene.kinds.get(name) == "rating" else ("write", _written(json.dumps(number)))


def _number(value: Any, what: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"{what} must be a number, not {value!r:.60}")
    return value


def _textarea(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    lines = [line for region in regions for line in _list(region["value"].get("text"), "text")]
    if not all(isinstance(line, str) for line in lines):
        raise UserError(f"text must be a list of texts, not {lines!r:.60}")
    text = "\n".join(lines)
    return ("write", _written(text)) if text.strip() else None


def _datetime(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    value = regions[-1]["value"].get("datetime")
    return ("write", _written(value)) if isinstance(value, str) and value.strip() else None


def _chat(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    turns = [region["value"].get("chatmessage") for region in regions]
    if not all(isinstance(turn, dict) and isinstance(turn.get("content"), str) for turn in turns):
        raise UserError(f"a chat message has role and content, unlike {turns!r:.60}")
    return "write", _written("\n".join(f"{turn.get('role')}: {turn['content']}" for turn in turns))


def _written(text: str) -> dict[str, Any]:
    return {"text": text, "from": None}


def _pairwise(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    selected = regions[-1]["value"].get("selected")
    if selected not in ("left", "right") or len(scene.content.get("responses", ())) != 2:
        return None
    return "compare", {"winner": 0 if selected == "left" else 1, "order": None, "reasons": ""}


def _ranker(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    ranker = regions[-1]["value"].get("ranker")
    buckets = [bucket for bucket in ranker.values() if bucket] if isinstance(ranker, dict) else [ranker]
    known = list(scene.responses)
    if len(buckets) != 1 or not isinstance(buckets[0], list) or not known:
        return None
    ranked = list(map(str, buckets[0]))
    return ("rank", {"order": [known.index(one) for one in ranked], "shown": None}) if sorted(ranked) == sorted(known) else None


def _spans(name: str, regions: list[dict[str, Any]], scene: Scene) -> Read:
    """Passages; None where those of a rendered text can't be found in ours, or one has no label yet."""
    if not all(_labels(region) for region in regions):
        return None
    try:
        edges, counted = spans_from(regions, scene.places, scene.content, scene.objects, scene.unquoted)
    except NotFound as error:
        scene.warn(f"passages of {name!r} that can't be found in the text are kept as they are: {error.message}")
        return None
    if counted:
        scene.warn(f"some spans were counted in {counted}, as their own words prove, or others' in the file; they were converted")
    found = {(start, end, label) for (start, end), region in zip(edges, regions, strict=True) for label in _labels(region)}
    return "spans", [{"start": start, "end": end, "label": label} for start, end, label in sorted(found)]


def _labels(region: Mapping[str, Any]) -> list[str]:
    value = region["value"]
    labels: Any = next((value[key] for key in (region["type"], "labels") if key in value), [])
    return [_option(label) for label in _list(labels, "labels")]


_READERS: dict[str, Callable[[str, list[dict[str, Any]], Scene], Read]] = {
    "choices": _choices,
    "taxonomy": _taxonomy,
    "rating": _rating,
    "number": _amount,
    "textarea": _textarea,
    "datetime": _datetime,
    "chatmessage": _chat,
    "pairwise": _pairwise,
    "ranker": _ranker,
    **dict.fromkeys(SPANS, _spans),
}
