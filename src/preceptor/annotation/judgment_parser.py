"""Parse judgments and predictions of imported rows field by field into their stored form.

Answers that spell an option in other capitals or spaces are taken for it, where that is requested.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from preceptor.annotation.import_report import FieldChecks, ImportReport
from preceptor.annotation.row_parser import parse_identifier, parse_seconds
from preceptor.errors import UserError
from preceptor.formats.interchange import JUDGMENT_FIELDS, JUDGMENT_STATUSES, PREDICTION_FIELDS
from preceptor.questions import kinds
from preceptor.questions.label_spelling import match_answer_to_options
from preceptor.registry import suggest_name
from preceptor.types import Question

_FOLD_HINT = "--fold takes answers that differ only in capitals or spaces for the option"


class AnswerParser:
    """Parses the answers of one file and counts those that are folded.

    fold: other spellings are taken for the option. preview: they are only counted, as if they were.
    """

    def __init__(self, *, fold: bool, preview: bool) -> None:
        self.fold, self.preview = fold, preview
        self._folded: Counter[tuple[str, str, str]] = Counter()

    def parse(self, question: Question, answer: Any) -> tuple[Any, Any]:
        """Return the stored form, and the answer as it was written where it was folded, else None; raises UserError for no answer."""
        kind = kinds.get(question.kind)
        try:
            return kind.parse(question, answer), None
        except UserError as error:
            option = match_answer_to_options(question, answer)
            if option == answer:
                raise
            parsed = kind.parse(question, option)
            if not (self.fold or self.preview):
                raise UserError(error.message, f"{error.hint}; {_FOLD_HINT}", where=error.where) from None
        self._count(question, option, answer)
        return parsed, answer

    def report_folded(self, report: ImportReport) -> None:
        """Add to the report what was folded, or would have to be."""
        report.folded = [
            {"question": question, "option": option, "written": written, "count": count}
            for (question, option, written), count in self._folded.most_common()
        ]
        if report.folded and not self.fold:
            report.warnings.append(f"{self._folded.total():,} answers differ from an option only in capitals or spaces; {_FOLD_HINT}")

    def _count(self, question: Question, option: Any, written: Any) -> None:
        for one, other in zip(_label_list(option), _label_list(written), strict=True):
            if one != other:
                self._folded[question.name, one, other] += 1


def _label_list(answer: Any) -> list[str]:
    return [answer] if isinstance(answer, str) else list(answer)


EXTRA_JUDGMENT_FIELDS = ("suggested", "shown", "note", "extra")
"""What is kept with a judgment as it came."""


class ImportedAnswer(NamedTuple):
    """An answer that an annotator gave about an item, or that a model predicted.

    kind: "judgment", or that of an external annotation. author: empty where the file doesn't say. answer: in its stored form.
    document: what is kept with it. is_gold: it is the known answer.
    """

    kind: str
    question_key: int
    question: Question
    author: str
    answer: Any
    seconds: float | None = None
    created: float | None = None
    document: Mapping[str, Any] | None = None
    is_gold: bool = False


def parse_judgment(
    given: Any, at: int, asked: Mapping[str | None, tuple[int, Question]], content: Mapping[str, Any] | None, answers: AnswerParser
) -> ImportedAnswer | None:
    """Parse a judgment from its fields; None where it is about a question that isn't read. content: of its item, where it is known."""
    fields = _check_fields(given, JUDGMENT_FIELDS)
    if (name := _parse_text(fields, "question") or None) not in asked:
        return None
    key, question = asked[name]
    checks = FieldChecks()
    status, gold, by = (
        checks.run(_parse_status, fields),
        checks.run(_parse_flag, fields, "gold"),
        checks.run(_parse_name, fields, "annotator"),
    )
    document = checks.run(_parse_extra_fields, fields)
    time, created = checks.run(_parse_time, fields) or (None, None)
    seconds = checks.run(_run_at_field, "seconds", parse_seconds, fields.get("seconds"))
    kind = ("gold" if gold and not by else "judgment") if status == JUDGMENT_STATUSES[0] else status
    counted = kind in ("gold", "judgment")
    answer, written = (
        (checks.run(_parse_answer, question, fields, content, answers) or (None, None)) if counted else (fields.get("answer"), None)
    )
    checks.raise_any()
    document |= {} if written is None else {"written": written}
    if kind != "judgment":
        document |= {"at": at, "time": time, "unnamed": _is_about_all_questions(name, asked)}
        document |= {field: fields.get(field) for field in ("kind", "answer", "seconds")}
        kept = {field: value for field, value in document.items() if value is not None and value is not False}
        return ImportedAnswer(kind, key, question, by, answer, document=kept, is_gold=kind == "gold")
    if written is None and has_lossy_form(fields["answer"], answer):
        document["answer"] = fields["answer"]
    if time is not None:
        document["time"] = time
    if isinstance(fields.get("seconds"), int):
        document["seconds"] = fields["seconds"]  # stored as a float, which has another text form in a file
    return ImportedAnswer("judgment", key, question, by, answer, seconds, created, document | ({"gold": True} if gold else {}), gold)


def parse_prediction(given: Any, asked: Mapping[str | None, tuple[int, Question]]) -> ImportedAnswer | None:
    """Parse a model's prediction from its fields; its answer is kept as it came, since it is never counted."""
    fields = _check_fields(given, PREDICTION_FIELDS)
    if (name := _parse_text(fields, "question") or None) not in asked:
        return None
    key, question = asked[name]
    score = fields.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise UserError(f"the score must be a number, not {score!r:.60}", "leave it out where there is none", where="score")
    kept = {field: fields[field] for field in ("answer", "score", "extra") if fields.get(field) is not None}
    return ImportedAnswer("prediction", key, question, _parse_name(fields, "model"), None, document=kept)


def _parse_status(fields: Mapping[str, Any]) -> str:
    status = fields.get("status") or JUDGMENT_STATUSES[0]
    if status not in JUDGMENT_STATUSES:
        raise UserError(
            f"{status!r:.60} is no status{suggest_name(str(status), JUDGMENT_STATUSES)}",
            f"one of {', '.join(JUDGMENT_STATUSES)}",
            where="status",
        )
    return str(status)


def _is_about_all_questions(name: str | None, asked: Mapping[str | None, Any]) -> bool:
    """Tell whether an entry is about all questions of the form, not about one."""
    return name is None and len(asked) > 1


def has_lossy_form(given: Any, parsed: Any) -> bool:
    """Tell whether the stored form of an answer lacks something of what was given: an order of labels, a space at an end."""
    if isinstance(given, Mapping) and isinstance(parsed, Mapping):
        return any(value not in (None, "") and parsed.get(name) != value for name, value in given.items())
    return isinstance(given, list) and isinstance(parsed, list) and given != parsed


def _parse_answer(
    question: Question, fields: Mapping[str, Any], content: Mapping[str, Any] | None, answers: AnswerParser
) -> tuple[Any, Any]:
    """Return the stored form, and what was written where that was folded."""
    if fields.get("answer") is None:
        raise UserError("there is no answer", 'give one, or "status": "skipped"', where="answer")
    kind = kinds.get(question.kind)
    try:
        answer, written = answers.parse(question, fields["answer"])
        if kind.needs_item and content is not None and not _has_inline_responses(question, content):
            kind.check(question, answer, content)
    except UserError as error:
        raise UserError(error.message, error.hint, where="answer") from None
    return answer, written


def _has_inline_responses(question: Question, content: Mapping[str, Any]) -> bool:
    """Tell whether the compared responses are no fields of the item: other tools can show them inside one text."""
    return question.kind in ("compare", "rank") and "responses" not in content


def _check_fields(given: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise UserError(f"it must be a table, not {given!r:.60}", f"with {', '.join(known)}")
    for name in given:
        if name not in known:
            raise UserError(
                f"there is no field {name!r:.60}{suggest_name(str(name), known)}", f"fields: {', '.join(known)}", where=str(name)[:60]
            )
    return given


def _parse_extra_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(fields.get("extra") or {}, Mapping):
        raise UserError(f"extra must be a table, not {fields['extra']!r:.60}", "name each value in it", where="extra")
    _parse_text(fields, "note")
    return {name: fields[name] for name in EXTRA_JUDGMENT_FIELDS if fields.get(name) is not None}


def _parse_time(fields: Mapping[str, Any]) -> tuple[str | None, float | None]:
    """Return a time as written in the file, and in Unix seconds; without a zone it is UTC."""
    time = _parse_text(fields, "time")
    if not time:
        return None, None
    try:
        moment = datetime.fromisoformat(time)
        return time, (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise UserError(f"{time!r:.60} is no time", 'ISO 8601 with its offset: "2026-01-31T12:00:00+00:00"', where="time") from None


def _parse_name(fields: Mapping[str, Any], field: str) -> str:
    return str(_run_at_field(field, parse_identifier, fields.get(field), field))


def _parse_text(fields: Mapping[str, Any], field: str) -> str | None:
    value = fields.get(field)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{field} must be text, not {value!r:.60}", "leave it out where there is none", where=field)
    return value


def _parse_flag(fields: Mapping[str, Any], field: str) -> bool:
    value = fields.get(field) or False
    if not isinstance(value, bool):
        raise UserError(f"{field} is true or false, not {value!r:.60}", where=field)
    return value


def _run_at_field(field: str, check: Any, *values: Any) -> Any:
    """Return what `check` makes of a value; its errors are located at the field."""
    try:
        return check(*values)
    except UserError as error:
        raise UserError(error.message, error.hint, where=field) from None
