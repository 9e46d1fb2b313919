"""One judgment or prediction of an interchange row, checked field by field and made ready to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.formats.interchange import JUDGMENT, PREDICTION, STATUSES
from preceptor.project.entries import name_from, seconds_from
from preceptor.project.importing.answer_parsing import AnswerParser
from preceptor.project.importing.report import Checks
from preceptor.questions import kinds
from preceptor.registry import did_you_mean

BESIDE = ("suggested", "shown", "note", "extra")
"""What is kept with a judgment as it came."""


class Said(NamedTuple):
    """What somebody, or a model, said about an item.

    kind: "judgment", or that of what stands beside judgments. by: empty where the file doesn't say. answer: in its stored form.
    document: what is kept with it. gold: it is the known answer.
    """

    kind: str
    question: int
    asked: Question
    by: str
    answer: Any
    seconds: float | None = None
    created: float | None = None
    document: Mapping[str, Any] | None = None
    gold: bool = False


def judgment_from(
    given: Any, at: int, asked: Mapping[str | None, tuple[int, Question]], content: Mapping[str, Any] | None, answers: AnswerParser
) -> Said | None:
    """A judgment by its fields; None where it is about a question that isn't read. content: of its item, where it is known."""
    fields = _fields(given, JUDGMENT)
    if (name := _text(fields, "question") or None) not in asked:
        return None
    key, question = asked[name]
    checks = Checks()
    status, gold, by = checks.of(_status, fields), checks.of(_flag, fields, "gold"), checks.of(_name, fields, "annotator")
    document = checks.of(_beside, fields)
    time, created = checks.of(_time, fields) or (None, None)
    seconds = checks.of(_at, "seconds", seconds_from, fields.get("seconds"))
    kind = ("gold" if gold and not by else "judgment") if status == STATUSES[0] else status
    counted = kind in ("gold", "judgment")
    answer, written = (checks.of(_answer, question, fields, content, answers) or (None, None)) if counted else (fields.get("answer"), None)
    checks.raise_any()
    document |= {} if written is None else {"written": written}
    if kind != "judgment":
        document |= {"at": at, "time": time, "unnamed": _is_unnamed(name, asked)}
        document |= {field: fields.get(field) for field in ("kind", "answer", "seconds")}
        kept = {field: value for field, value in document.items() if value is not None and value is not False}
        return Said(kind, key, question, by, answer, document=kept, gold=kind == "gold")
    if written is None and is_changed(fields["answer"], answer):
        document["answer"] = fields["answer"]
    if time is not None:
        document["time"] = time
    if isinstance(fields.get("seconds"), int):
        document["seconds"] = fields["seconds"]  # kept as a number with a point, which is another text in a file
    return Said("judgment", key, question, by, answer, seconds, created, document | ({"gold": True} if gold else {}), gold)


def prediction_from(given: Any, asked: Mapping[str | None, tuple[int, Question]]) -> Said | None:
    """A model's guess by its fields. Its answer is kept as it came: nothing is ever counted on it."""
    fields = _fields(given, PREDICTION)
    if (name := _text(fields, "question") or None) not in asked:
        return None
    key, question = asked[name]
    score = fields.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise UserError(f"the score must be a number, not {score!r:.60}", "leave it out where there is none", where="score")
    kept = {field: fields[field] for field in ("answer", "score", "extra") if fields.get(field) is not None}
    return Said("prediction", key, question, _name(fields, "model"), None, document=kept)


def _status(fields: Mapping[str, Any]) -> str:
    status = fields.get("status") or STATUSES[0]
    if status not in STATUSES:
        raise UserError(
            f"{status!r:.60} is no status{did_you_mean(str(status), STATUSES)}", f"one of {', '.join(STATUSES)}", where="status"
        )
    return str(status)


def _is_unnamed(name: str | None, asked: Mapping[str | None, Any]) -> bool:
    """Whether something is about everything that was asked, not about one question."""
    return name is None and len(asked) > 1


def is_changed(given: Any, parsed: Any) -> bool:
    """Whether the stored form of an answer lacks something of what was given: an order of labels, a space at an end."""
    if isinstance(given, Mapping) and isinstance(parsed, Mapping):
        return any(value not in (None, "") and parsed.get(name) != value for name, value in given.items())
    return isinstance(given, list) and isinstance(parsed, list) and given != parsed


def _answer(question: Question, fields: Mapping[str, Any], content: Mapping[str, Any] | None, answers: AnswerParser) -> tuple[Any, Any]:
    """The stored form, and what was written where that was folded."""
    if fields.get("answer") is None:
        raise UserError("there is no answer", 'give one, or "status": "skipped"', where="answer")
    kind = kinds.get(question.kind)
    try:
        answer, written = answers.parse(question, fields["answer"])
        if kind.needs_item and content is not None and not _shows_sides_in_its_text(question, content):
            kind.check(question, answer, content)
    except UserError as error:
        raise UserError(error.message, error.hint, where="answer") from None
    return answer, written


def _shows_sides_in_its_text(question: Question, content: Mapping[str, Any]) -> bool:
    """Whether responses were compared that are no fields of the item: other tools can show them inside one text."""
    return question.kind in ("compare", "rank") and "responses" not in content


def _fields(given: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise UserError(f"it must be a table, not {given!r:.60}", f"with {', '.join(known)}")
    for name in given:
        if name not in known:
            raise UserError(
                f"there is no field {name!r:.60}{did_you_mean(str(name), known)}", f"fields: {', '.join(known)}", where=str(name)[:60]
            )
    return given


def _beside(fields: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(fields.get("extra") or {}, Mapping):
        raise UserError(f"extra must be a table, not {fields['extra']!r:.60}", "name each value in it", where="extra")
    _text(fields, "note")
    return {name: fields[name] for name in BESIDE if fields.get(name) is not None}


def _time(fields: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """A time as it stands in the file, and in Unix seconds; without a zone it is UTC."""
    time = _text(fields, "time")
    if not time:
        return None, None
    try:
        moment = datetime.fromisoformat(time)
        return time, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UserError(f"{time!r:.60} is no time", 'ISO 8601 with its offset: "2026-01-31T12:00:00+00:00"', where="time") from None


def _name(fields: Mapping[str, Any], field: str) -> str:
    return str(_at(field, name_from, fields.get(field), field))


def _text(fields: Mapping[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{field} must be text, not {value!r:.60}", "leave it out where there is none", where=field)
    return value


def _flag(fields: Mapping[str, Any], field: str) -> bool:
    value = fields.get(field) or False
    if not isinstance(value, bool):
        raise UserError(f"{field} is true or false, not {value!r:.60}", where=field)
    return value


def _at(field: str, check: Any, *values: Any) -> Any:
    """What `check` makes of a value; its fault at the field."""
    try:
        return check(*values)
    except UserError as error:
        raise UserError(error.message, error.hint, where=field) from None
