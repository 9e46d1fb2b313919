"""Read and write Label Studio's JSON: a list of tasks, each with its data, people's annotations and models' predictions.

Read: the full JSON export, a list of tasks to import, a single task, tasks one a line, files from before 1.0 (`completions`), and JSON_MIN,
which needs its labelling config. A config beside the file is used where it has the file's name, or is the only one and has all controls
that were answered; it says which choices are single and which fields are shown. What else a task, an annotation and a region hold is kept
under "label_studio", in the item's metadata or in the `extra` of a judgment, so that they are written again as they were.

Written: the full JSON, which Label Studio imports. All answers of one annotator about an item are one annotation, all those of one model
one prediction. What a control can't express (a tie, the order in which things were shown) is under "preceptor" in the annotation; so is an
annotator whose name is neither a number nor an e-mail address, as an import there fails for unknown people.

Canonical: lists of relations inside a result are part of the result; predictions that an export gives only by their numbers are left out,
as Label Studio refuses to import them and they mean nothing elsewhere.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import json_format
from preceptor.formats.format_registry import FileFormat, FileRow, FormatSource, FormatTarget, formats
from preceptor.formats.interchange import JUDGMENT_FIELDS, PREDICTION_FIELDS, make_judgment, make_prediction, map_records
from preceptor.formats.json_format import check_json_row, parse_json, peek_first_record, to_json
from preceptor.formats.offsets import CODE_POINTS
from preceptor.formats.tools.content_fields import complete_record, equal_as_json, place_fields, response_field_names
from preceptor.formats.tools.label_studio_config import SPAN_TYPES, LabelingConfig, find_labeling_config
from preceptor.formats.tools.label_studio_data import (
    CONTENT_PARTS,
    NOTE_FIELD,
    TOOL_KEY,
    KnownControls,
    config_mismatch,
    controls_by_scan,
    controls_from_config,
    data_from_item,
    is_json_min,
    item_from_data,
    task_from_json_min,
)
from preceptor.formats.tools.label_studio_regions import (
    IndexedRegion,
    LabelStudioTaskContext,
    RegionAnswer,
    answers_from_result,
    proven_offset_unit,
    regions_from_answer,
)

_ANNOTATION_KEYS = ("annotations", "completions")
_ENTRY_KEYS = (*_ANNOTATION_KEYS, "predictions", "drafts")


def _row_from_task(
    task: Mapping[str, Any], known: KnownControls, warn: Callable[[str], None], counted: Callable[[], str] = lambda: ""
) -> FileRow:
    """Return the row of a task; raises UserError naming the field that is wrong. warn: called with what had to be assumed.

    counted: returns how spans were counted in the file, where the task itself doesn't show it.
    """
    bare = "data" not in task and not any(key in task for key in _ENTRY_KEYS)  # the whole object is data
    data = task if bare else task.get("data")
    if not isinstance(data, Mapping):
        raise UserError(
            f"data must be an object with the task's fields, not {data!r:.60}", 'each task is {"data": {…}, "annotations": […]}'
        )
    row, kept = item_from_data(data, known, None if bare else task.get("id"))
    if bare:
        return _keep_in_metadata(row, {**kept, "bare": True}, known)

    def unquoted() -> str:
        if not (way := proven_offset_unit([task]) or counted()):
            warn("spans in texts with emoji that don't repeat their words are taken for code points, which nothing in the file proves")
        if way and way != CODE_POINTS:
            kept["counted"] = way
        return way or CODE_POINTS

    scene = replace(_task_context(row, kept, known, warn), unquoted=unquoted)
    kept |= _task_remainder(task)
    row |= {"judgments": _judgments_of_task(task, scene, known, kept), "predictions": _predictions_of_task(task, scene, kept)}
    return _keep_in_metadata(row, kept, known)


def _task_context(
    row: Mapping[str, Any], kept: Mapping[str, Any], known: KnownControls, warn: Callable[[str], None]
) -> LabelStudioTaskContext:
    """Return what an item shows, by the names of the fields that it came from."""
    content = {part: row[part] for part in CONTENT_PARTS if row.get(part) is not None}
    names = kept.get("names") or {}
    responses = response_field_names(content, names)
    return LabelStudioTaskContext(
        content, place_fields(content, names), known.kinds, known.objects, responses, warn, lambda: kept.get("counted") or CODE_POINTS
    )


def _judgments_from_entry(
    entry: Mapping[str, Any], scene: LabelStudioTaskContext, known: KnownControls, number: int, draft: bool = False
) -> list[dict[str, Any]]:
    """Return the judgments of one annotation or draft; none where it holds no answer."""
    answered, others = answers_from_result(entry.get("result"), scene)
    status = "draft" if draft else "skipped" if _entry_flag(entry, "was_cancelled") or _entry_flag(entry, "skipped") else "submitted"
    if status == "submitted" and NOTE_FIELD not in entry:  # an annotator who saw the control and marked nothing found nothing
        answered += [RegionAnswer(name, "spans", [], []) for name in _unused_span_controls(known, answered, others)]
    noted = _read_note(entry)
    fields = _common_fields(entry, status) | ({"annotator": noted["annotator"]} if "annotator" in noted else {})
    person = {} if fields["annotator"] is None else {"annotator": fields["annotator"]}
    state = {} if status == "submitted" else {"status": status}
    notes = [{**note, **person, **state} for note in _noted_judgments(entry, JUDGMENT_FIELDS)]
    replaced = {note.get("question") for note in notes}
    said: list[dict[str, Any]] = []
    guesses = _suggested_answers(entry, scene)
    share = _entry_seconds(entry, max(1, len({each.question for each in answered} | replaced)))
    for each in answered:
        if each.question not in replaced:
            told = {**fields, "seconds": share, "suggested": guesses.get(each.question)}
            if not each.regions and not known.from_config:
                told["gold"] = None  # only other tasks show that the control existed: this is no known answer
            said.append(make_judgment(each.question, each.kind, each.answer, **told))
    if status == "skipped" and not answered and not notes:
        said.append(make_judgment(None, None, None, **fields, seconds=share))
    said += notes
    return [_keep_regions(given, answered, others, entry, number, first=at == 0) for at, given in enumerate(said)]


def _judgments_of_task(
    task: Mapping[str, Any], scene: LabelStudioTaskContext, known: KnownControls, kept: dict[str, Any]
) -> list[dict[str, Any]]:
    if all(task.get(key) for key in _ANNOTATION_KEYS):
        raise UserError(f"the task has {' and '.join(_ANNOTATION_KEYS)}", "these are two names of one list: leave one")
    said: list[dict[str, Any]] = []
    for key in (*_ANNOTATION_KEYS, "drafts"):
        for number, entry in enumerate(_get_entries(task, key)):
            if key == "drafts" and not isinstance(entry, dict):
                kept.setdefault("odd", []).append([key, number, entry])  # a draft by its number alone
                continue
            if not isinstance(entry, dict):
                raise UserError(f"{key}: entry {number + 1} is {entry!r:.60}", "each is an object with a result")
            try:
                found = _judgments_from_entry(entry, scene, known, number, key == "drafts")
            except UserError as error:
                raise UserError(f"{key} {number + 1}: {error.message}", error.hint) from None
            if not found:
                kept.setdefault("odd", []).append([key, number, entry])
            said += found
    return said


def _predictions_of_task(task: Mapping[str, Any], scene: LabelStudioTaskContext, kept: dict[str, Any]) -> list[dict[str, Any]]:
    guessed: list[dict[str, Any]] = []
    for number, entry in enumerate(_get_entries(task, "predictions")):
        if isinstance(entry, int) and not isinstance(entry, bool):
            scene.warn("predictions stand in this file only by their numbers: what models guessed isn't in it")
            continue
        if not isinstance(entry, dict):
            raise UserError(f"predictions: entry {number + 1} is {entry!r:.60}", "each is an object with a result")
        found = _predictions_from_entry(entry, scene, number)
        if not found:
            kept.setdefault("odd", []).append(["predictions", number, entry])
        guessed += found
    return guessed


def _predictions_from_entry(entry: Mapping[str, Any], scene: LabelStudioTaskContext, number: int) -> list[dict[str, Any]]:
    """Return the predictions of one entry."""
    try:
        answered, others = answers_from_result(entry.get("result"), scene)
    except UserError as error:
        raise UserError(f"predictions {number + 1}: {error.message}", error.hint) from None
    model, score = entry.get("model_version"), entry.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float | None):
        raise UserError(f"predictions {number + 1}: score must be a number, not {score!r:.60}")
    notes = _noted_judgments(entry, PREDICTION_FIELDS)
    replaced = {note.get("question") for note in notes}
    guesses = [
        make_prediction(each.question, each.kind, each.answer, model=None if model is None else str(model), score=score)
        for each in answered
        if each.question not in replaced
    ]
    return [_keep_regions(given, answered, others, entry, number, first=at == 0) for at, given in enumerate([*guesses, *notes])]


def _keep_regions(
    given: dict[str, Any], answered: list[RegionAnswer], others: list[IndexedRegion], entry: Mapping[str, Any], number: int, first: bool
) -> dict[str, Any]:
    """Return a judgment with the regions that it was made of; the first of an annotation also with everything else in it."""
    own = next((each.regions for each in answered if each.question == given.get("question")), [])
    kept: dict[str, Any] = {"number": number, "regions": [list(at) for at in own]}
    if first:
        kept["entry"] = {name: value for name, value in entry.items() if name not in ("result", NOTE_FIELD)}
        kept |= {"others": [list(at) for at in others]} if others else {}
    return given | {"extra": {**(given.get("extra") or {}), TOOL_KEY: kept}}


def _unused_span_controls(known: KnownControls, answered: list[RegionAnswer], others: list[IndexedRegion]) -> list[str]:
    """Return the controls that could have marked passages and marked none."""
    seen = {each.question for each in answered} | {region.get("from_name") for _, region in others}
    return [name for name in known.span_controls if name not in seen]


def _common_fields(entry: Mapping[str, Any], status: str) -> dict[str, Any]:
    return {
        "annotator": _annotator_name(entry),
        "status": None if status == "submitted" else status,
        "time": _entry_time(entry.get("created_at")),
        "gold": _entry_flag(entry, "ground_truth") or None,
    }


def _annotator_name(entry: Mapping[str, Any]) -> str | None:
    """Return the annotator: an e-mail address where there is one, else a number."""
    given = next((entry[key] for key in ("completed_by", "user") if entry.get(key) is not None), None)
    if isinstance(given, dict):
        given = given.get("email") or given.get("id")
    if given is None and isinstance(entry.get("created_username"), str):
        given = entry["created_username"].partition(",")[0].strip() or None
    if isinstance(given, bool) or not isinstance(given, int | str | None):
        raise UserError(f"completed_by must be a number or a person with an email, not {given!r:.60}")
    return str(given) if given not in (None, "") else None


def _entry_time(given: Any) -> str | None:
    """Return the time of an entry in ISO 8601; early versions wrote Unix seconds."""
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1e11:
        return datetime.fromtimestamp(given, UTC).isoformat()
    if not isinstance(given, str):
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise UserError(f"created_at must be a time, not {given!r:.60}", "for example 2026-01-31T12:00:00Z") from None
    return given if moment.tzinfo else None


def _entry_seconds(entry: Mapping[str, Any], count: int) -> float | None:
    """Return the seconds that each of an annotation's answers took, if all took the same."""
    given = entry.get("lead_time")
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not isfinite(given) or given < 0:
        raise UserError(f"lead_time must be a number of seconds, not {given!r:.60}")
    return given if count == 1 else round(given / count, 3)


def _entry_flag(entry: Mapping[str, Any], name: str) -> bool:
    given = entry.get(name)
    if given is not None and not isinstance(given, bool):
        raise UserError(f"{name} is true or false, not {given!r:.60}")
    return bool(given)


def _suggested_answers(entry: Mapping[str, Any], scene: LabelStudioTaskContext) -> dict[str, Any]:
    """Return what was suggested to the annotator, by question."""
    shown = entry.get("prediction")
    if not isinstance(shown, dict) or not isinstance(shown.get("result"), list):
        return {}
    try:
        return {each.question: each.answer for each in answers_from_result(shown["result"], scene)[0]}
    except UserError:
        return {}  # what can't be parsed isn't lost: it is kept with the annotation


def _noted_judgments(entry: Mapping[str, Any], fields: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return judgments or predictions that a control can't express completely, as they were noted in the entry."""
    found = _read_note(entry).get("judgments", [])
    for given in found:
        if not isinstance(given, dict) or set(given) - set(fields) or not isinstance(given.get("question", ""), str):
            raise UserError(f"{NOTE_FIELD} holds something that nobody said: {given!r:.60}", "take the field out")
    return list(found)


def _read_note(entry: Mapping[str, Any]) -> dict[str, Any]:
    note = entry.get(NOTE_FIELD, {})
    if not isinstance(note, dict) or not isinstance(note.get("annotator", ""), str) or not isinstance(note.get("judgments", []), list):
        raise UserError(f"{NOTE_FIELD} must hold an annotator and judgments, not {note!r:.60}", "take the field out")
    return note


def _get_entries(task: Mapping[str, Any], key: str) -> list[Any]:
    entries = task.get(key)
    if entries is not None and not isinstance(entries, list):
        raise UserError(f"{key} must be a list, not {entries!r:.60}", "export the project again, as JSON")
    return entries or []


def _task_remainder(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a task other than its data and its lists of entries; and which lists it has, empty ones too."""
    rest = {name: value for name, value in task.items() if name not in ("data", *_ENTRY_KEYS)}
    kept: dict[str, Any] = {"task": rest} if rest else {}
    return kept | {"lists": {name: task[name] is not None for name in _ENTRY_KEYS if name in task}}


def _keep_in_metadata(row: FileRow, kept: dict[str, Any], known: KnownControls) -> FileRow:
    if controls := known.controls():
        kept["controls"] = controls
    if known.from_config:
        kept["settled"] = True
    return {**row, "metadata": {**row.get("metadata", {}), TOOL_KEY: kept}}


_DEFAULT_STATUS = ("status", "submitted")  # implied where there is no status
_JudgmentOrPrediction = Mapping[str, Any]
_EntryReader = Callable[[Mapping[str, Any]], list[dict[str, Any]]]  # what is read from an annotation or a prediction


def _task_from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the task of a row; raises UserError for what no task can hold."""
    kept = _kept_by_tool(row.get("metadata"))
    data = complete_record(data_from_item(row, kept.get("names") or {}), kept.get("data") or {})
    judgments, guesses = row.get("judgments") or [], row.get("predictions") or []
    if kept.get("bare") and not judgments and not guesses:
        return data
    known = _controls_of_item(kept)
    scene = _task_context(row, kept, known, lambda sentence: None)
    if not scene.content and not kept:
        raise UserError("the row has no content", "Label Studio's tasks hold what is shown: export items with their judgments")
    writer = _EntryWriter(scene, known, str(row.get("id", "")))
    lists = kept.get("lists") or {"annotations": True}
    drafts = [each for each in judgments if each.get("status") == "draft"]
    people = [each for each in judgments if each.get("status") != "draft"]
    filled = {
        "completions" if "completions" in lists else "annotations": _group_entries(
            people, ("annotator", "status", "gold"), writer.annotation
        ),
        "drafts": _group_entries(drafts, ("annotator",), writer.draft),
        "predictions": _group_entries(guesses, ("model", "score"), writer.prediction),
    }
    for name, number, entry in kept.get("odd") or ():
        filled.setdefault(name, []).append((number, entry))
    task = {**(kept.get("task") or {}), "data": data | _ranked_items(scene, judgments, guesses, data)}
    for name in _ENTRY_KEYS:
        if entries := [entry for _, entry in sorted(filled.get(name) or (), key=lambda each: each[0])]:
            task[name] = entries
        elif name in lists:
            task[name] = [] if lists[name] else None
    return task


def _controls_of_item(kept: Mapping[str, Any]) -> KnownControls:
    """Return the controls of the project that an item came from."""
    controls = kept.get("controls") or {}
    return KnownControls(
        kinds={name: "spans" for name, (type_, _) in controls.items() if type_ in SPAN_TYPES},
        types={name: type_ for name, (type_, _) in controls.items()},
        to={name: to for name, (_, to) in controls.items()},
        from_config=kept.get("settled") is True,
    )


def _ranked_items(
    scene: LabelStudioTaskContext,
    judgments: Sequence[_JudgmentOrPrediction],
    guesses: Sequence[_JudgmentOrPrediction],
    data: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the responses as the list that annotators rank, where they were ranked."""
    if "items" in data or not any(each.get("kind") == "rank" for each in (*judgments, *guesses)):
        return {}
    texts = scene.content.get("responses") or ()
    return {"items": [{"id": name, "body": text} for name, text in zip(scene.responses, texts, strict=True)]}


def _group_entries(
    said: Sequence[_JudgmentOrPrediction], fields: tuple[str, ...], build: Callable[[list[_JudgmentOrPrediction]], dict[str, Any]]
) -> list[tuple[float, dict[str, Any]]]:
    """Return what belongs to one entry together, with its place among the entries: the one that it had, new ones at the end.

    An entry answers a question once: a second answer of the same annotator is an entry of its own.
    """
    groups: dict[tuple[Any, ...], list[_JudgmentOrPrediction]] = {}
    times: Counter[tuple[Any, ...]] = Counter()
    for each in said:
        place = _kept_by_tool(each.get("extra")).get("number")
        number = place if isinstance(place, int) else float("inf")
        known = number != float("inf")  # it was read from a single entry, with a single ground_truth flag
        key = (number, *(None if known and name == "gold" else each.get(name) for name in fields))
        times[*key, each.get("question")] += 1
        groups.setdefault((*key, times[*key, each.get("question")]), []).append(each)
    return [(key[0], build(group)) for key, group in groups.items()]


class _EntryWriter:
    """Writes the entries of one task. scene: what it shows. known: its controls. id: the item's, from which region ids are derived."""

    def __init__(self, scene: LabelStudioTaskContext, known: KnownControls, id_: str) -> None:
        self.scene, self.known, self.id = scene, known, id_

    def annotation(self, group: list[_JudgmentOrPrediction]) -> dict[str, Any]:
        """Return the annotation of one annotator."""
        entry = _timing_fields(group) | {
            "was_cancelled": group[0].get("status") == "skipped",
            "ground_truth": any(each.get("gold") for each in group),
        }
        person = group[0].get("annotator")
        if person is not None and str(person).isascii() and str(person).isdigit():
            entry["completed_by"] = int(person)
        elif person is not None and "@" in person:
            entry["completed_by"] = {"email": person}  # with a name alone, the import there would fail
        scene = self._scene(group)
        return self._whole(entry, group, lambda entry: _judgments_from_entry(entry, scene, self.known, 0), f"{self.id}/{person}")

    def draft(self, group: list[_JudgmentOrPrediction]) -> dict[str, Any]:
        """Return the draft of one annotator."""
        person, scene = group[0].get("annotator"), self._scene(group)
        entry = _timing_fields(group) | ({"user": person} if person is not None else {})
        return self._whole(
            entry, group, lambda entry: _judgments_from_entry(entry, scene, self.known, 0, draft=True), f"{self.id}/draft/{person}"
        )

    def prediction(self, group: list[_JudgmentOrPrediction]) -> dict[str, Any]:
        """Return the prediction of one model."""
        names = {"model_version": group[0].get("model"), "score": group[0].get("score")}
        entry = {name: value for name, value in names.items() if value is not None}
        scene = self._scene(group)
        return self._whole(
            entry, group, lambda entry: _predictions_from_entry(entry, scene, 0), f"{self.id}/model/{entry.get('model_version')}"
        )

    def _scene(self, group: list[_JudgmentOrPrediction]) -> LabelStudioTaskContext:
        """Return the context with the kinds of the judgments whose controls are known; the regions must determine the others."""
        return replace(self.scene, kinds={each["question"]: each["kind"] for each in group if each.get("question") in self.known.types})

    def _whole(self, entry: dict[str, Any], group: list[_JudgmentOrPrediction], read: _EntryReader, seed: str) -> dict[str, Any]:
        """Return the entry with its result: as it was, where it still expresses the judgments; else a new one with a note."""
        was = next((kept["entry"] for each in group if isinstance((kept := _kept_by_tool(each.get("extra"))).get("entry"), dict)), None)
        if was is not None:
            whole = {**was, "result": _ordered_regions(group, {})}
            if _same_judgments(read(whole), group):
                return whole
            entry = {**was, **entry}
        new = {at: regions_from_answer(each, self.scene, self.known, seed) for at, each in enumerate(group)}
        whole = {**entry, "result": _ordered_regions(group, new)}
        if "result_count" in whole:
            whole["result_count"] = len(whole["result"])
        return whole | {NOTE_FIELD: _make_note(whole, group, read)}


def _timing_fields(group: list[_JudgmentOrPrediction]) -> dict[str, Any]:
    """Return when the answers were given and how long they took."""
    times = [each["time"] for each in group if each.get("time")]
    seconds = [each["seconds"] for each in group if each.get("seconds") is not None]
    return ({"created_at": min(times)} if times else {}) | ({"lead_time": round(sum(seconds), 3)} if seconds else {})


def _ordered_regions(group: list[_JudgmentOrPrediction], new: Mapping[int, list[dict[str, Any]]]) -> list[Any]:
    """Return the regions in their order; those of a judgment that has new ones go where its first was."""
    placed: list[tuple[float, dict[str, Any]]] = []
    for at, each in enumerate(group):
        kept = _kept_by_tool(each.get("extra"))
        regions = kept.get("regions") or []
        if at in new:
            first = regions[0][0] if regions else float("inf")
            placed += [(first, region) for region in new[at]]
        else:
            placed += [(number, region) for number, region in regions]
        placed += [(number, region) for number, region in kept.get("others") or ()]
    return [region for _, region in sorted(placed, key=lambda each: each[0])]


def _make_note(entry: Mapping[str, Any], group: list[_JudgmentOrPrediction], read: _EntryReader) -> dict[str, Any]:
    """Return what the entry doesn't express: the annotator, and the judgments that can't be read from it.

    An entry with a note has no judgments but these and those of its regions.
    """
    person = group[0].get("annotator")
    note: dict[str, Any] = {} if person is None else {"annotator": person}
    found = read({**entry, NOTE_FIELD: note})
    known = [_without_kept(each) for each in found]
    if missing := [each for each in map(_without_kept, group) if not any(equal_as_json(each, other) for other in known)]:
        note["judgments"] = [{name: value for name, value in each.items() if name not in ("annotator", "status")} for each in missing]
    return note


def _same_judgments(found: Sequence[_JudgmentOrPrediction], group: Sequence[_JudgmentOrPrediction]) -> bool:
    said, meant = (sorted(json.dumps(_without_kept(each), sort_keys=True) for each in judgments) for judgments in (found, group))
    return said == meant


def _without_kept(given: _JudgmentOrPrediction) -> dict[str, Any]:
    """Return a judgment without what this tool keeps of it."""
    extra = {name: value for name, value in (given.get("extra") or {}).items() if name != TOOL_KEY}
    plain = {name: value for name, value in given.items() if name != "extra" and value is not None and (name, value) != _DEFAULT_STATUS}
    return plain | ({"extra": extra} if extra else {})


def _kept_by_tool(holder: Any) -> dict[str, Any]:
    """Return what is kept of this tool in an item's metadata or a judgment's `extra`."""
    kept = holder.get(TOOL_KEY) if isinstance(holder, Mapping) else None
    return kept if isinstance(kept, dict) else {}


def _sniff(opening: bytes) -> bool:
    seen = peek_first_record(opening)
    told = any(seen.has_typed(name, list, type(None)) for name in (*_ANNOTATION_KEYS, "predictions"))
    return (told and seen.has_typed("data", dict)) or is_json_min(seen.fields)


def _read(source: FormatSource) -> Iterator[FileRow]:
    told = set(source.warnings)

    def warn(sentence: str) -> None:
        if sentence not in told:
            told.add(sentence)
            source.warnings.append(sentence)

    config = _find_config(source, warn)
    known = controls_from_config(config) if config is not None else controls_by_scan(_scan_tasks(source))
    counted = cache(
        lambda: proven_offset_unit(_full_task(record, config) for record in _scan_tasks(source))
    )  # scans the file only when needed
    return map_records(source, _read_tasks(source), lambda record: _row_from_task(_full_task(record, config), known, warn, counted))


def _find_config(source: FormatSource, warn: Callable[[str], None]) -> LabelingConfig | None:
    """Return the config beside the file, where it fits: it has the file's name, or all the controls that were answered."""
    try:
        beside = find_labeling_config(source.path)
    except UserError as error:
        if error.where == source.path.with_suffix(".xml").name:
            raise
        warn(f"{error.where} isn't used: {error.message}")
        return None
    if beside is None:
        return None
    if not beside.has_same_name and (lacks := config_mismatch(beside.config, _scan_tasks(source))):
        name = source.path.with_suffix(".xml").name
        warn(f"{beside.name} isn't used, as it {lacks}; if it is the labelling config of this file, name it {name}")
        return None
    warn(f"what was asked is taken from {beside.name}")
    return beside.config


def _scan_tasks(source: FormatSource) -> Iterator[FileRow]:
    """Yield the tasks for a scan before they are read."""
    return _read_tasks(replace(source, on_fault=lambda error: None, warnings=[]))


def _full_task(record: FileRow, config: LabelingConfig | None) -> FileRow:
    """Return the task of a record of any export."""
    if "data" in record or not is_json_min(record):
        return record
    if config is None:
        hint = "put the labelling config beside it (an .xml file), or export as JSON"
        raise UserError("JSON_MIN doesn't say which of its fields are answers", hint)
    return task_from_json_min(record, config)


def _read_tasks(source: FormatSource) -> Iterator[FileRow]:
    """Yield the tasks of a list, of lines, or the single one that spans the whole file."""
    if not re.match(rb"(?:\xef\xbb\xbf)?\s*\{", source.opening) or _is_one_a_line(source.opening):
        yield from json_format.read_json_records(source)
        return
    source.unit, source.number = "task", 1
    text = "".join(source.chunks())
    yield check_json_row(parse_json(text, source), text, source)


def _is_one_a_line(opening: bytes) -> bool:
    """Return whether the first line holds a whole object, or ends beyond the opening."""
    line = opening.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")
    return line[0].rstrip().endswith(b"}") or not line[1]


def _write(rows: Iterator[Mapping[str, Any]], target: FormatTarget) -> int:
    number = 0
    for number, row in enumerate(rows, start=1):
        target.file.write((b",\n" if number > 1 else b"[\n") + to_json(_convert_row(number, _task_from_row, row), f"row {number}").encode())
    target.file.write(b"\n]\n")
    return number


def _convert_row(number: int, write: Callable[[Mapping[str, Any]], dict[str, Any]], row: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return write(row)
    except UserError as error:
        raise UserError(error.message, error.hint, where=error.where or f"row {number}") from None
    except (TypeError, KeyError, ValueError, IndexError, AttributeError) as error:  # what was kept in the row has been changed
        message = "what is kept in the row of its Label Studio task was changed, so that no task can be made of it"
        raise UserError(message, "take label_studio out of its metadata and of its judgments' extra", where=f"row {number}") from error


formats.register("label_studio")(FileFormat("label_studio", (), _sniff, _read, _write, unit="element", by_shape=True, grouped=True))
