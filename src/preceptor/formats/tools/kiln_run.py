"""One run of Kiln as a row, and a row as a run."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from preceptor.errors import UserError
from preceptor.formats.format import Row
from preceptor.formats.interchange import judgment, prediction
from preceptor.formats.tools.rows import list_at, named_by, shown_text, submitted, table_at, text_at

FILE, TASK, PROJECT = "file", "task", "project"  # where a run was, and the files above it; carried with the run
EPOCH = "1970-01-01T00:00:00+00:00"  # stands for a time that isn't known: Kiln wants one
OUTPUT, REPAIR = "output", "repaired_output"
FIVE_STAR, PASS_FAIL, CRITICAL, CUSTOM = "five_star", "pass_fail", "pass_fail_critical", "custom"
_NAMED = "named::"
_VERDICTS = {1.0: "pass", 0.0: "fail", -1.0: "critical"}
_MADE_BY = "preceptor"
_OF_THE_RUN = (FIVE_STAR, PASS_FAIL, CRITICAL, CUSTOM)


def requirement_names(task: Any) -> dict[str, str]:
    """The names of a task's requirements by their ids."""
    given = task.get("requirements") if isinstance(task, dict) else None
    known = [each for each in given if isinstance(each, dict)] if isinstance(given, list) else []
    return {each["id"]: each["name"] for each in known if isinstance(each.get("id"), str) and isinstance(each.get("name"), str)}


def to_row(names: Mapping[str, str], run: Mapping[str, Any]) -> Row:
    """The item of a run, with its ratings, its repair, and who or what wrote the output."""
    output = _table(run, "output")
    prompt, completion = text_at(run, "input"), text_at(output, "output")
    said: list[Row] = []
    row: Row = {"id": id_} if (id_ := named_by(run, "id")) else {}
    row |= {"prompt": prompt, "completion": completion}
    source = table_at(output, "source")
    wrote = table_at(source, "properties")
    whole = {"text": completion, "from": None}
    if source.get("type") == "human":
        said.append(judgment(OUTPUT, "write", whole, annotator=named_by(wrote, "created_by"), time=_time(output)))
    elif source.get("type") == "synthetic":
        row["predictions"] = [prediction(OUTPUT, "write", whole, model=named_by(wrote, "model_name"))]
    said += _ratings(table_at(output, "rating"), names)
    if repaired := table_at(run, REPAIR):
        mended = {"text": text_at(repaired, "output"), "from": completion}
        person = named_by(table_at(table_at(repaired, "source"), "properties"), "created_by")
        note = run.get("repair_instructions")
        note = note if isinstance(note, str) and note else None
        said.append(judgment(REPAIR, "write", mended, annotator=person, time=_time(repaired), note=note))
    if said:
        row["judgments"] = said
    if tags := list_at(run, "tags"):
        row["metadata"] = {"tags": tags}
    return row


def _table(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    if not isinstance(run.get(name), dict):
        raise UserError(f"{name} must hold named values, not {run.get(name)!r:.60}", "is this a task_run.kiln?")
    return table_at(run, name)


def _time(part: Mapping[str, Any]) -> str | None:
    given = part.get("created_at")
    return given if isinstance(given, str) and given not in (EPOCH, EPOCH.replace("+00:00", "Z")) else None


def _ratings(rating: Mapping[str, Any], names: Mapping[str, str]) -> list[Row]:
    time = _time(rating)
    said = [_rated(str(rating.get("type")), rating, time)] if rating.get("value") is not None else []
    for key, given in table_at(rating, "requirement_ratings").items():
        if not isinstance(given, dict):
            raise UserError(f"the rating of {key!r} must hold a value and a type, not {given!r:.60}")
        if given.get("value") is not None:
            said.append(_rated(names.get(key, key.removeprefix(_NAMED)), given, time))
    return said


def _rated(question: str, rating: Mapping[str, Any], time: str | None) -> Row:
    value, kind = rating["value"], rating.get("type")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UserError(f"a rating's value must be a number, not {value!r:.60}")
    if kind == FIVE_STAR and float(value) in range(1, 6):
        return judgment(question, "rating", int(value), time=time)
    if kind == PASS_FAIL and float(value) in (0, 1):
        return judgment(question, "choice", _VERDICTS[float(value)], time=time)
    if kind == CRITICAL and float(value) in _VERDICTS:
        return judgment(question, "choice", _VERDICTS[float(value)], time=time)
    if kind == CUSTOM:
        return judgment(question, "rating", value, time=time)
    raise UserError(f"{value!r:.40} is no rating of Kiln's kind {kind!r:.40}")


def to_record(names: Mapping[str, str], row: Mapping[str, Any]) -> Row:
    """A row as a run: what was answered stands as its output where the item has no completion."""
    counted = submitted(row)
    prompt, output, writer = _asked_and_answered(row, counted)
    metadata = row.get("metadata")
    repair = _repair(counted, output)
    said = next((each for each in counted if each.get("time")), {})
    run: Row = {"v": 1, "id": named_by(row, "id") or "1", "created_at": said.get("time") or EPOCH, "created_by": _MADE_BY}
    run |= {"input": prompt, OUTPUT: {**_output(output, row, writer), "rating": _rating(counted, names)}}
    run |= {"repair_instructions": None, REPAIR: None} | repair
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    run["tags"] = tags if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags) else []
    return {**run, "model_type": "task_run", FILE: f"tasks/1 - Preceptor export/runs/{_as_name(run['id'])}/task_run.kiln"}


def _as_name(id_: str) -> str:
    """An id as the name of a folder, on any system."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", id_)[:80]
    return safe if safe == id_ else f"{safe}-{hashlib.sha256(id_.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _asked_and_answered(row: Mapping[str, Any], counted: list[Row]) -> tuple[str, str, Row | None]:
    """Input, output, and the judgment whose answer is the output, if it is one."""
    completion, responses, messages = row.get("completion"), row.get("responses"), row.get("messages")
    written = next((each for each in counted if each.get("kind") == "write" and not _answer(each).get("from")), None)
    if isinstance(completion, str) and isinstance(row.get("prompt"), str):
        return row["prompt"], completion, written if written and _answer(written).get("text") == completion else None
    if isinstance(messages, list) and len(messages) > 1 and not responses:
        last = messages[-1] if isinstance(messages[-1], dict) else {}
        if last.get("role") == "assistant" and isinstance(last.get("content"), str):
            return shown_text({"messages": messages[:-1]}), last["content"], None
    if isinstance(responses, list) and responses and all(isinstance(text, str) for text in responses):
        compared = next((_answer(each).get("winner") for each in counted if each.get("kind") == "compare"), 0)
        best = compared if isinstance(compared, int) and not isinstance(compared, bool) and 0 <= compared < len(responses) else 0
        return shown_text({name: row[name] for name in ("prompt", "messages") if name in row} or {"text": ""}), responses[best], None
    label = written or next((each for each in counted if each.get("kind") in ("choice", "multilabel")), None)
    if label is None:
        raise UserError("there is no output for a run", "a run of Kiln needs a completion, a written text or a label")
    answer = label.get("answer")
    if label.get("kind") == "write":
        answer = _answer(label).get("text")
    text = ", ".join(map(str, answer)) if isinstance(answer, list) else answer
    return shown_text(row), str(text), label


def _answer(given: Mapping[str, Any]) -> dict[str, Any]:
    answer = given.get("answer")
    return answer if isinstance(answer, dict) else {}


def _output(text: str, row: Mapping[str, Any], writer: Row | None) -> Row:
    """An output with who or what it is from."""
    created = (writer or {}).get("time") or EPOCH
    made: Row = {"v": 1, "created_at": created, "created_by": _MADE_BY, "output": text}
    guesses = [each for each in list_at(row, "predictions") if isinstance(each, dict) and _answer(each).get("text") == text]
    if writer is not None:
        source: Row | None = _human(writer.get("annotator"))
    elif guesses:
        model = guesses[0].get("model")
        properties = {"model_name": model if isinstance(model, str) else "unknown", "model_provider": "unknown", "adapter_name": _MADE_BY}
        source = {"type": "synthetic", "properties": properties}
    else:
        source = {"type": "file_import", "properties": {"file_name": _MADE_BY}}
    return {**made, "source": source, "model_type": "task_output"}


def _human(person: Any) -> Row:
    return {"type": "human", "properties": {"created_by": person if isinstance(person, str) and person else "unknown"}}


def _repair(counted: list[Row], output: str) -> Row:
    """The first text that corrects the output, with the note as what was to be mended."""
    for each in counted:
        answer = _answer(each)
        if each.get("kind") == "write" and answer.get("from") == output and isinstance(answer.get("text"), str):
            made = {"v": 1, "created_at": each.get("time") or EPOCH, "created_by": _MADE_BY, "output": answer["text"]}
            repaired = {**made, "source": _human(each.get("annotator")), "rating": None, "model_type": "task_output"}
            return {"repair_instructions": each.get("note") or "Corrected.", REPAIR: repaired}
    return {}


def _rating(counted: list[Row], names: Mapping[str, str]) -> Row | None:
    """What rates the output: one rating as that of the run; where there are more, those of named questions."""
    keys = {name: id_ for id_, name in names.items()}
    found: dict[str, Row] = {}
    for each in counted:
        question, rating = each.get("question") or FIVE_STAR, _as_rating(each)
        if rating and question not in found:
            found[question] = rating
    if not found:
        return None
    whole = [name for name in found if name in _OF_THE_RUN] or (list(found) if len(found) == 1 and found.keys().isdisjoint(keys) else [])
    first = found.pop(whole[0]) if whole else {"type": FIVE_STAR, "value": None}
    time = next((each["time"] for each in counted if each.get("time") and _as_rating(each)), EPOCH)
    rest = {keys.get(name, f"{_NAMED}{name}"): rating for name, rating in found.items()}
    return {"v": 1, "created_at": time, "created_by": _MADE_BY, **first, "requirement_ratings": rest, "model_type": "task_output_rating"}


def _as_rating(given: Mapping[str, Any]) -> Row | None:
    answer = given.get("answer")
    if given.get("kind") == "rating" and isinstance(answer, int | float) and not isinstance(answer, bool):
        stars = isinstance(answer, int) and 1 <= answer <= 5
        return {"type": FIVE_STAR, "value": float(answer)} if stars else {"type": CUSTOM, "value": answer}
    if given.get("kind") == "choice" and answer in _VERDICTS.values():
        kind = CRITICAL if answer == "critical" or given.get("question") == CRITICAL else PASS_FAIL
        return {"type": kind, "value": next(value for value, verdict in _VERDICTS.items() if verdict == answer)}
    return None
