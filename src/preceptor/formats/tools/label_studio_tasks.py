"""A row as a Label Studio task: as it was where it came from one, else a natural one.

All that one person said of an item is one annotation, all that one model guessed one prediction. What a control can't tell (a tie,
in which order things were shown, who said it where it is no member's e-mail address) stands under "preceptor" in the annotation.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.tools.label_studio_answers import regions_from
from preceptor.formats.tools.label_studio_config import SPANS
from preceptor.formats.tools.label_studio_data import NOTE, TOOL, data_from
from preceptor.formats.tools.label_studio_known import Known
from preceptor.formats.tools.label_studio_regions import Scene
from preceptor.formats.tools.label_studio_rows import LISTS, derived, derived_guesses, scene_of
from preceptor.formats.tools.named_texts import completed, same

_SUBMITTED = ("status", "submitted")  # which goes without saying
Said = Mapping[str, Any]  # a judgment or a guess
Reader = Callable[[Mapping[str, Any]], list[dict[str, Any]]]  # what is read from an annotation or a prediction


def task_from(row: Mapping[str, Any]) -> dict[str, Any]:
    """The task of a row; UserError for what no task can hold."""
    kept = _kept(row.get("metadata"))
    data = completed(data_from(row, kept.get("names") or {}), kept.get("data") or {})
    judgments, guesses = row.get("judgments") or [], row.get("predictions") or []
    if kept.get("bare") and not judgments and not guesses:
        return data
    known = _known(kept)
    scene = scene_of(row, kept, known, lambda sentence: None)
    if not scene.content and not kept:
        raise UserError("the row has no content", "Label Studio's tasks hold what is shown: export items with their judgments")
    writer = _Writer(scene, known, str(row.get("id", "")))
    lists = kept.get("lists") or {"annotations": True}
    drafts = [each for each in judgments if each.get("status") == "draft"]
    people = [each for each in judgments if each.get("status") != "draft"]
    filled = {
        "completions" if "completions" in lists else "annotations": _grouped(people, ("annotator", "status", "gold"), writer.annotation),
        "drafts": _grouped(drafts, ("annotator",), writer.draft),
        "predictions": _grouped(guesses, ("model", "score"), writer.prediction),
    }
    for name, number, entry in kept.get("odd") or ():
        filled.setdefault(name, []).append((number, entry))
    task = {**(kept.get("task") or {}), "data": data | _items(scene, judgments, guesses, data)}
    for name in LISTS:
        if entries := [entry for _, entry in sorted(filled.get(name) or (), key=lambda each: each[0])]:
            task[name] = entries
        elif name in lists:
            task[name] = [] if lists[name] else None
    return task


def _known(kept: Mapping[str, Any]) -> Known:
    """The controls of the project that an item came from."""
    controls = kept.get("controls") or {}
    return Known(
        kinds={name: "spans" for name, (type_, _) in controls.items() if type_ in SPANS},
        types={name: type_ for name, (type_, _) in controls.items()},
        to={name: to for name, (_, to) in controls.items()},
        settled=kept.get("settled") is True,
    )


def _items(scene: Scene, judgments: Sequence[Said], guesses: Sequence[Said], data: Mapping[str, Any]) -> dict[str, Any]:
    """Responses as the list that people rank, where they were ranked."""
    if "items" in data or not any(each.get("kind") == "rank" for each in (*judgments, *guesses)):
        return {}
    texts = scene.content.get("responses") or ()
    return {"items": [{"id": name, "body": text} for name, text in zip(scene.responses, texts, strict=True)]}


def _grouped(
    said: Sequence[Said], fields: tuple[str, ...], build: Callable[[list[Said]], dict[str, Any]]
) -> list[tuple[float, dict[str, Any]]]:
    """What belongs together as one entry, with its place among them: those that it had, new ones at the end.

    An entry answers a question once: what one person said of it again is an entry of its own.
    """
    groups: dict[tuple[Any, ...], list[Said]] = {}
    times: Counter[tuple[Any, ...]] = Counter()
    for each in said:
        place = _kept(each.get("extra")).get("number")
        number = place if isinstance(place, int) else float("inf")
        known = number != float("inf")  # what it was read from is one entry, with one mark of a known answer
        key = (number, *(None if known and name == "gold" else each.get(name) for name in fields))
        times[*key, each.get("question")] += 1
        groups.setdefault((*key, times[*key, each.get("question")]), []).append(each)
    return [(key[0], build(group)) for key, group in groups.items()]


class _Writer:
    """Writes the entries of one task. scene: what it shows. id: the item's, of which ids of regions are made."""

    def __init__(self, scene: Scene, known: Known, id_: str) -> None:
        self.scene, self.known, self.id = scene, known, id_

    def annotation(self, group: list[Said]) -> dict[str, Any]:
        """What one person said."""
        entry = _natural(group) | {
            "was_cancelled": group[0].get("status") == "skipped",
            "ground_truth": any(each.get("gold") for each in group),
        }
        person = group[0].get("annotator")
        if person is not None and str(person).isascii() and str(person).isdigit():
            entry["completed_by"] = int(person)
        elif person is not None and "@" in person:
            entry["completed_by"] = {"email": person}  # for a name alone, importing there would end
        scene = self._scene(group)
        return self._whole(entry, group, lambda entry: derived(entry, scene, self.known, 0), f"{self.id}/{person}")

    def draft(self, group: list[Said]) -> dict[str, Any]:
        """What one person began to say."""
        person, scene = group[0].get("annotator"), self._scene(group)
        entry = _natural(group) | ({"user": person} if person is not None else {})
        return self._whole(entry, group, lambda entry: derived(entry, scene, self.known, 0, draft=True), f"{self.id}/draft/{person}")

    def prediction(self, group: list[Said]) -> dict[str, Any]:
        """What one model guessed."""
        names = {"model_version": group[0].get("model"), "score": group[0].get("score")}
        entry = {name: value for name, value in names.items() if value is not None}
        scene = self._scene(group)
        return self._whole(entry, group, lambda entry: derived_guesses(entry, scene, 0), f"{self.id}/model/{entry.get('model_version')}")

    def _scene(self, group: list[Said]) -> Scene:
        """Kinds are those of the judgments where their controls are known; else they must be told by the regions."""
        return replace(self.scene, kinds={each["question"]: each["kind"] for each in group if each.get("question") in self.known.types})

    def _whole(self, entry: dict[str, Any], group: list[Said], read: Reader, seed: str) -> dict[str, Any]:
        """The entry with its result: as it was, where it says what was said; else a natural one with a note."""
        was = next((kept["entry"] for each in group if isinstance((kept := _kept(each.get("extra"))).get("entry"), dict)), None)
        if was is not None:
            whole = {**was, "result": _result(group, {})}
            if _alike(read(whole), group):
                return whole
            entry = {**was, **entry}
        new = {at: regions_from(each, self.scene, self.known, seed) for at, each in enumerate(group)}
        whole = {**entry, "result": _result(group, new)}
        if "result_count" in whole:
            whole["result_count"] = len(whole["result"])
        return whole | {NOTE: _note(whole, group, read)}


def _natural(group: list[Said]) -> dict[str, Any]:
    """When it was said and how long it took."""
    times = [each["time"] for each in group if each.get("time")]
    seconds = [each["seconds"] for each in group if each.get("seconds") is not None]
    return ({"created_at": min(times)} if times else {}) | ({"lead_time": round(sum(seconds), 3)} if seconds else {})


def _result(group: list[Said], new: Mapping[int, list[dict[str, Any]]]) -> list[Any]:
    """The regions in their order; those of a judgment that has new ones stand where its first stood."""
    placed: list[tuple[float, dict[str, Any]]] = []
    for at, each in enumerate(group):
        kept = _kept(each.get("extra"))
        regions = kept.get("regions") or []
        if at in new:
            first = regions[0][0] if regions else float("inf")
            placed += [(first, region) for region in new[at]]
        else:
            placed += [(number, region) for number, region in regions]
        placed += [(number, region) for number, region in kept.get("others") or ()]
    return [region for _, region in sorted(placed, key=lambda each: each[0])]


def _note(entry: Mapping[str, Any], group: list[Said], read: Reader) -> dict[str, Any]:
    """What the entry doesn't tell: who it was, and the judgments that can't be read from it. With a note, nothing but these was said."""
    person = group[0].get("annotator")
    note: dict[str, Any] = {} if person is None else {"annotator": person}
    found = read({**entry, NOTE: note})
    known = [_plain(each) for each in found]
    if missing := [each for each in map(_plain, group) if not any(same(each, other) for other in known)]:
        note["judgments"] = [{name: value for name, value in each.items() if name not in ("annotator", "status")} for each in missing]
    return note


def _alike(found: Sequence[Said], group: Sequence[Said]) -> bool:
    said, meant = (sorted(json.dumps(_plain(each), sort_keys=True) for each in judgments) for judgments in (found, group))
    return said == meant


def _plain(given: Said) -> dict[str, Any]:
    """A judgment without what this tool keeps of it."""
    extra = {name: value for name, value in (given.get("extra") or {}).items() if name != TOOL}
    plain = {name: value for name, value in given.items() if name != "extra" and value is not None and (name, value) != _SUBMITTED}
    return plain | ({"extra": extra} if extra else {})


def _kept(holder: Any) -> dict[str, Any]:
    """What is kept of this tool in an item's metadata or a judgment's `extra`."""
    kept = holder.get(TOOL) if isinstance(holder, Mapping) else None
    return kept if isinstance(kept, dict) else {}
