"""A Label Studio task as a row: the item, people's answers one by one, and models' guesses.

What a task, an annotation and a region hold besides is kept under "label_studio", in the item's metadata or in the `extra` of a
judgment, so that they are written again as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Row
from preceptor.formats.interchange import JUDGMENT, PREDICTION, judgment, prediction
from preceptor.formats.offsets import CODE_POINTS
from preceptor.formats.tools.label_studio_data import CONTENT, NOTE, TOOL, item_from
from preceptor.formats.tools.label_studio_known import Known
from preceptor.formats.tools.label_studio_regions import Answered, At, Scene, answers_from
from preceptor.formats.tools.label_studio_spans import way_proven
from preceptor.formats.tools.named_texts import placed, response_names

ANNOTATIONS = ("annotations", "completions")
LISTS = (*ANNOTATIONS, "predictions", "drafts")


def row_from(task: Mapping[str, Any], known: Known, warn: Callable[[str], None], counted: Callable[[], str] = lambda: "") -> Row:
    """The row of a task; UserError names the field that is wrong. warn: told what had to be assumed.

    counted: asked how spans were counted in the file, where the task itself doesn't prove it.
    """
    bare = "data" not in task and not any(key in task for key in LISTS)  # the whole object is data
    data = task if bare else task.get("data")
    if not isinstance(data, Mapping):
        raise UserError(
            f"data must be an object with the task's fields, not {data!r:.60}", 'each task is {"data": {…}, "annotations": […]}'
        )
    row, kept = item_from(data, known, None if bare else task.get("id"))
    if bare:
        return _with_kept(row, {**kept, "bare": True}, known)

    def unquoted() -> str:
        if not (way := way_proven([task]) or counted()):
            warn("spans in texts with emoji that don't repeat their words are taken for code points, which nothing in the file proves")
        if way and way != CODE_POINTS:
            kept["counted"] = way
        return way or CODE_POINTS

    scene = replace(scene_of(row, kept, known, warn), unquoted=unquoted)
    kept |= _rest(task)
    row |= {"judgments": _judgments(task, scene, known, kept), "predictions": _predictions(task, scene, kept)}
    return _with_kept(row, kept, known)


def scene_of(row: Mapping[str, Any], kept: Mapping[str, Any], known: Known, warn: Callable[[str], None]) -> Scene:
    """What an item shows, by the names under which it stood."""
    content = {part: row[part] for part in CONTENT if row.get(part) is not None}
    names = kept.get("names") or {}
    responses = response_names(content, names)
    return Scene(content, placed(content, names), known.kinds, known.objects, responses, warn, lambda: kept.get("counted") or CODE_POINTS)


def derived(entry: Mapping[str, Any], scene: Scene, known: Known, number: int, draft: bool = False) -> list[dict[str, Any]]:
    """The judgments of one annotation or draft; none where it says nothing."""
    answered, others = answers_from(entry.get("result"), scene)
    status = "draft" if draft else "skipped" if _flag(entry, "was_cancelled") or _flag(entry, "skipped") else "submitted"
    if status == "submitted" and NOTE not in entry:  # whoever saw the control and marked nothing found nothing
        answered += [Answered(name, "spans", [], []) for name in _without_passages(known, answered, others)]
    noted = _note(entry)
    fields = _common(entry, status) | ({"annotator": noted["annotator"]} if "annotator" in noted else {})
    person = {} if fields["annotator"] is None else {"annotator": fields["annotator"]}
    state = {} if status == "submitted" else {"status": status}
    notes = [{**note, **person, **state} for note in _noted(entry, JUDGMENT)]
    replaced = {note.get("question") for note in notes}
    said: list[dict[str, Any]] = []
    guesses = _guesses(entry, scene)
    share = _seconds(entry, max(1, len({each.question for each in answered} | replaced)))
    for each in answered:
        if each.question not in replaced:
            told = {**fields, "seconds": share, "suggested": guesses.get(each.question)}
            if not each.regions and not known.settled:
                told["gold"] = None  # that the control was there at all is known from other tasks alone: no known answer
            said.append(judgment(each.question, each.kind, each.answer, **told))
    if status == "skipped" and not answered and not notes:
        said.append(judgment(None, None, None, **fields, seconds=share))
    said += notes
    return [_with_regions(given, answered, others, entry, number, first=at == 0) for at, given in enumerate(said)]


def _judgments(task: Mapping[str, Any], scene: Scene, known: Known, kept: dict[str, Any]) -> list[dict[str, Any]]:
    if all(task.get(key) for key in ANNOTATIONS):
        raise UserError(f"the task has {' and '.join(ANNOTATIONS)}", "these are two names of one list: leave one")
    said: list[dict[str, Any]] = []
    for key in (*ANNOTATIONS, "drafts"):
        for number, entry in enumerate(_entries(task, key)):
            if key == "drafts" and not isinstance(entry, dict):
                kept.setdefault("odd", []).append([key, number, entry])  # a draft by its number alone
                continue
            if not isinstance(entry, dict):
                raise UserError(f"{key}: entry {number + 1} is {entry!r:.60}", "each is an object with a result")
            try:
                found = derived(entry, scene, known, number, key == "drafts")
            except UserError as error:
                raise UserError(f"{key} {number + 1}: {error.message}", error.hint) from None
            if not found:
                kept.setdefault("odd", []).append([key, number, entry])
            said += found
    return said


def _predictions(task: Mapping[str, Any], scene: Scene, kept: dict[str, Any]) -> list[dict[str, Any]]:
    guessed: list[dict[str, Any]] = []
    for number, entry in enumerate(_entries(task, "predictions")):
        if isinstance(entry, int) and not isinstance(entry, bool):
            scene.warn("predictions stand in this file only by their numbers: what models guessed isn't in it")
            continue
        if not isinstance(entry, dict):
            raise UserError(f"predictions: entry {number + 1} is {entry!r:.60}", "each is an object with a result")
        found = derived_guesses(entry, scene, number)
        if not found:
            kept.setdefault("odd", []).append(["predictions", number, entry])
        guessed += found
    return guessed


def derived_guesses(entry: Mapping[str, Any], scene: Scene, number: int) -> list[dict[str, Any]]:
    """The guesses of one prediction."""
    try:
        answered, others = answers_from(entry.get("result"), scene)
    except UserError as error:
        raise UserError(f"predictions {number + 1}: {error.message}", error.hint) from None
    model, score = entry.get("model_version"), entry.get("score")
    if isinstance(score, bool) or not isinstance(score, int | float | None):
        raise UserError(f"predictions {number + 1}: score must be a number, not {score!r:.60}")
    notes = _noted(entry, PREDICTION)
    replaced = {note.get("question") for note in notes}
    guesses = [
        prediction(each.question, each.kind, each.answer, model=None if model is None else str(model), score=score)
        for each in answered
        if each.question not in replaced
    ]
    return [_with_regions(given, answered, others, entry, number, first=at == 0) for at, given in enumerate([*guesses, *notes])]


def _with_regions(
    given: dict[str, Any], answered: list[Answered], others: list[At], entry: Mapping[str, Any], number: int, first: bool
) -> dict[str, Any]:
    """A judgment with the regions it was made of; the first of an annotation also with all else that this holds."""
    own = next((each.regions for each in answered if each.question == given.get("question")), [])
    kept: dict[str, Any] = {"number": number, "regions": [list(at) for at in own]}
    if first:
        kept["entry"] = {name: value for name, value in entry.items() if name not in ("result", NOTE)}
        kept |= {"others": [list(at) for at in others]} if others else {}
    return given | {"extra": {**(given.get("extra") or {}), TOOL: kept}}


def _without_passages(known: Known, answered: list[Answered], others: list[At]) -> list[str]:
    """Controls that could have marked passages and marked none."""
    seen = {each.question for each in answered} | {region.get("from_name") for _, region in others}
    return [name for name in known.spans if name not in seen]


def _common(entry: Mapping[str, Any], status: str) -> dict[str, Any]:
    return {
        "annotator": _annotator(entry),
        "status": None if status == "submitted" else status,
        "time": _time(entry.get("created_at")),
        "gold": _flag(entry, "ground_truth") or None,
    }


def _annotator(entry: Mapping[str, Any]) -> str | None:
    """Who it was: an e-mail address where there is one, else a number."""
    given = next((entry[key] for key in ("completed_by", "user") if entry.get(key) is not None), None)
    if isinstance(given, dict):
        given = given.get("email") or given.get("id")
    if given is None and isinstance(entry.get("created_username"), str):
        given = entry["created_username"].partition(",")[0].strip() or None
    if isinstance(given, bool) or not isinstance(given, int | str | None):
        raise UserError(f"completed_by must be a number or a person with an email, not {given!r:.60}")
    return str(given) if given not in (None, "") else None


def _time(given: Any) -> str | None:
    """When it was, in ISO 8601; early versions wrote Unix seconds."""
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1e11:
        return datetime.fromtimestamp(given, UTC).isoformat()
    if not isinstance(given, str):
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise UserError(f"created_at must be a time, not {given!r:.60}", "for example 2026-01-31T12:00:00Z") from None
    return given if moment.tzinfo else None


def _seconds(entry: Mapping[str, Any], count: int) -> float | None:
    """The seconds that each of an annotation's answers took, if all took the same."""
    given = entry.get("lead_time")
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not isfinite(given) or given < 0:
        raise UserError(f"lead_time must be a number of seconds, not {given!r:.60}")
    return given if count == 1 else round(given / count, 3)


def _flag(entry: Mapping[str, Any], name: str) -> bool:
    given = entry.get(name)
    if given is not None and not isinstance(given, bool):
        raise UserError(f"{name} is true or false, not {given!r:.60}")
    return bool(given)


def _guesses(entry: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
    """What was suggested to the person, by question."""
    shown = entry.get("prediction")
    if not isinstance(shown, dict) or not isinstance(shown.get("result"), list):
        return {}
    try:
        return {each.question: each.answer for each in answers_from(shown["result"], scene)[0]}
    except UserError:
        return {}  # what can't be read isn't lost: it is kept with the annotation


def _noted(entry: Mapping[str, Any], fields: tuple[str, ...]) -> list[dict[str, Any]]:
    """Judgments or guesses that a control can't tell whole, as they were written beside it."""
    found = _note(entry).get("judgments", [])
    for given in found:
        if not isinstance(given, dict) or set(given) - set(fields) or not isinstance(given.get("question", ""), str):
            raise UserError(f"{NOTE} holds something that nobody said: {given!r:.60}", "take the field out")
    return list(found)


def _note(entry: Mapping[str, Any]) -> dict[str, Any]:
    note = entry.get(NOTE, {})
    if not isinstance(note, dict) or not isinstance(note.get("annotator", ""), str) or not isinstance(note.get("judgments", []), list):
        raise UserError(f"{NOTE} must hold an annotator and judgments, not {note!r:.60}", "take the field out")
    return note


def _entries(task: Mapping[str, Any], key: str) -> list[Any]:
    entries = task.get(key)
    if entries is not None and not isinstance(entries, list):
        raise UserError(f"{key} must be a list, not {entries!r:.60}", "export the project again, as JSON")
    return entries or []


def _rest(task: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a task beside its data and what was said; and which lists it has, empty ones too."""
    rest = {name: value for name, value in task.items() if name not in ("data", *LISTS)}
    kept: dict[str, Any] = {"task": rest} if rest else {}
    return kept | {"lists": {name: task[name] is not None for name in LISTS if name in task}}


def _with_kept(row: Row, kept: dict[str, Any], known: Known) -> Row:
    if controls := known.controls():
        kept["controls"] = controls
    if known.settled:
        kept["settled"] = True
    return {**row, "metadata": {**row.get("metadata", {}), TOOL: kept}}
