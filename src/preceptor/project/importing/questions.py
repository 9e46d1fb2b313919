"""Questions that a file answers and the project doesn't ask yet: made from the answers, after one look through the whole file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from math import gcd, isfinite, lcm
from typing import Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.questions import define, kinds
from preceptor.questions.label_spelling import folded_labels
from preceptor.store import Connection, events, items, questions, slots

MOST_OPTIONS = 1_000
_FILLERS = ("other", "none of these")  # options of a question of which a file shows too few
_OPPOSITES = {"up": "down", "good": "bad", "yes": "no", "true": "false", "accept": "reject"}
_SCALES = ((1, 5), (0, 5), (1, 10), (0, 10))  # that people use; a file may not show their ends
UNNAMED = "label"


@dataclass
class Seen:
    """What a file shows of one question. options: labels in the order in which they first stand there, and how often each does."""

    kinds: set[str] = field(default_factory=set)
    options: dict[str, int] = field(default_factory=dict)
    numbers: set[Fraction] = field(default_factory=set)
    responses: int = 0
    overlap: bool = False
    reasons: bool = False
    corrects: bool = False
    lacks_completion: bool = False
    answers: int = 0

    def see(self, row: Mapping[str, Any], kind: Any, answer: Any) -> None:
        """Take in one answer, whatever it is: what is wrong with it is told when it is imported."""
        if answer is None:
            return
        self.answers += 1
        kind = kind if isinstance(kind, str) else kind_of(answer)
        self.kinds.add(kind)
        if kind in ("choice", "multilabel"):
            self._add_options(answer if isinstance(answer, list) else [answer])
        elif kind == "rating":
            if isinstance(answer, int | float) and not isinstance(answer, bool) and isfinite(answer) and len(self.numbers) <= MOST_OPTIONS:
                self.numbers.add(Fraction(str(answer)))
        elif kind in ("compare", "rank"):
            self._see_order(row, answer)
        elif kind == "write" and isinstance(answer, Mapping):
            self.corrects |= answer.get("from") is not None
            self.lacks_completion |= row.get("completion") is None
        elif kind == "spans" and isinstance(answer, list):
            self._see_spans([span for span in answer if isinstance(span, Mapping)])

    def _add_options(self, labels: Iterable[Any]) -> None:
        texts = (str(label) if isinstance(label, int | float) else label for label in labels)
        for text in texts:
            if isinstance(text, str) and text.strip() and (text in self.options or len(self.options) <= MOST_OPTIONS):
                self.options[text] = self.options.get(text, 0) + 1

    def _see_order(self, row: Mapping[str, Any], answer: Any) -> None:
        named = answer.get("order") if isinstance(answer, Mapping) else answer
        shown = row.get("responses")
        if isinstance(shown, list):
            self.responses = max(self.responses, len(shown))
        elif isinstance(named, list):
            self.responses = max(self.responses, len(named))
        self.reasons |= isinstance(answer, Mapping) and bool(answer.get("reasons"))

    def _see_spans(self, spans: list[Mapping[str, Any]]) -> None:
        self._add_options(span.get("label") for span in spans)
        edges = sorted((s["start"], s["end"]) for s in spans if isinstance(s.get("start"), int) and isinstance(s.get("end"), int))
        self.overlap |= any(after[0] < before[1] for before, after in pairwise(edges))

    def kind(self) -> str:
        """The one kind; a choice and a multilabel are a multilabel. UserError where they are several."""
        if self.kinds == {"choice", "multilabel"}:
            return "multilabel"
        if len(self.kinds) > 1:
            raise UserError(
                f"it is answered as {' and as '.join(sorted(self.kinds))}", "split the file, or give the questions names of their own"
            )
        return next(iter(self.kinds), "write")


def kind_of(answer: Any) -> str:
    """The kind of question that an answer looks like an answer to."""
    if isinstance(answer, list):
        tables = [part for part in answer if isinstance(part, Mapping)]
        if any("verdict" in part for part in tables):
            return "claims"
        if tables:
            return "spans"
        return "rank" if answer and all(isinstance(part, int) for part in answer) else "multilabel"
    if isinstance(answer, Mapping):
        return next((kind for name, kind in (("winner", "compare"), ("order", "rank")) if name in answer), "write")
    return "rating" if isinstance(answer, int | float) and not isinstance(answer, bool) else "choice"


class Survey:
    """The questions of a file by their names in it (None where it names none), in order of appearance."""

    def __init__(self) -> None:
        self.seen: dict[str | None, Seen] = {}

    def look(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Go through rows; what is no judgment at all is passed over here."""
        for row in rows:
            for said in [*listed(row, "judgments"), *listed(row, "predictions")]:
                name = said.get("question")
                if name is None or isinstance(name, str):
                    seen = self.seen.setdefault(name or None, Seen())
                    seen.see(row, said.get("kind"), said.get("answer"))

    def names(self) -> list[str | None]:
        """Those that are answered somewhere; what only skips name has no question of its own unless there is no other."""
        known = [name for name, seen in self.seen.items() if name is not None or seen.answers]
        return known or list(self.seen)


def listed(row: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """The judgments or predictions of a row that are tables."""
    given = row.get(name)
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []


def settle(
    connection: Connection, survey: Survey, wanted: str | None, least: int, *, fold: bool = False
) -> tuple[dict[str | None, tuple[int, Question]], list[Question]]:
    """(key, question) by the file's names, and which of them were made. Names that aren't in it are left out.

    wanted: the only question that is read; a file that names one or none is read as about that. UserError where a question
    can't be made. least: judgments that a new question wants of each item. fold: labels that differ only in capitals or spaces are one.
    """
    active = questions.active(connection)
    taken = {question.name for _, question in active if question.purpose}
    known = {question.name: (key, question) for key, question in active if not question.purpose}
    titles = _titles(survey, wanted, [name for name, (_, question) in known.items() if not question.follows])
    found: dict[str | None, tuple[int, Question]] = {}
    made: list[Question] = []
    for name, title in titles.items():
        if title in taken:
            message = f"{title!r} is asked about other items here: in a comparison, or by a suite"
            raise UserError(message, "give the file's question another name")
        if title not in known:
            question = questions.add(connection, _define(title, survey.seen[name], fold=fold))
            known[title] = questions.get(connection, title)
            slots.open_for(connection, known[title][0], items.all_keys(connection), wanted=least)
            events.record(connection, "question added", {"name": title, "version": question.version})
            made.append(question)
        found[name] = known[title]
    if None in survey.seen and None not in found and found:
        found[None] = next(iter(found.values()))  # a skip of everything that was asked
    return found, made


def _titles(survey: Survey, wanted: str | None, roots: list[str]) -> dict[str | None, str]:
    """Names in the file -> names in the project."""
    names = survey.names()
    if wanted is None:
        unnamed = roots[0] if len(roots) == 1 else UNNAMED
        return {name: unnamed if name is None else name for name in names}
    if wanted in names or len(names) > 1:
        if wanted not in names:
            raise UserError(f"the file has no question {wanted!r}", f"it has {', '.join(map(str, names))}; leave --question out for all")
        return {wanted: wanted}
    return dict.fromkeys(names, wanted)


def _define(name: str, seen: Seen, *, fold: bool) -> Question:
    where = f"question {name!r}"
    if fold:
        seen = replace(seen, options=dict.fromkeys(folded_labels(seen.options), 1))
    try:
        kind = seen.kind()
        kinds.get(kind)
        options, settings = _options(kind, seen), _settings(kind, seen)
    except UserError as error:
        raise UserError(error.message, error.hint, where=where) from None
    return define({"name": name, "kind": kind, "options": options, "settings": settings}, where=where)


def _options(kind: str, seen: Seen) -> list[Any]:
    if kind == "rating":
        return _scale(sorted(seen.numbers))
    if kind not in ("choice", "multilabel", "spans"):
        return []
    if len(seen.options) > MOST_OPTIONS:
        raise UserError(f"it has more than {MOST_OPTIONS:,} different answers", "add it first, as kind write: preceptor question add FILE")
    least = 2 if kind == "choice" else 1
    lacking = max(0, least - len(seen.options))
    opposites = {**_OPPOSITES, **{other: one for one, other in _OPPOSITES.items()}}
    likely = [opposites[option] for option in seen.options if option in opposites]
    return [*seen.options, *[filler for filler in (*likely, *_FILLERS) if filler not in seen.options][:lacking]]


def _settings(kind: str, seen: Seen) -> dict[str, Any]:
    if kind == "compare":
        return {"responses": max(2, seen.responses), "reasons": seen.reasons}
    if kind == "rank":
        return {"responses": max(2, seen.responses)}
    if kind == "write":
        return {"correct": seen.corrects and not seen.lacks_completion}
    return {"overlap": seen.overlap} if kind == "spans" else {}


def _scale(numbers: list[Fraction]) -> list[Any]:
    """A scale on which all these numbers are points: a usual one of whole numbers, else from the least to the most in their steps."""
    if not numbers:
        return list(range(1, 6))
    low, high = numbers[0], numbers[-1]
    whole = all(number.denominator == 1 for number in numbers)
    if whole:
        usual = next(((first, last) for first, last in _SCALES if first <= low and high <= last), None)
        if usual:
            return list(range(usual[0], usual[1] + 1))
    below = lcm(*(number.denominator for number in numbers))
    apart = [int((number - low) * below) for number in numbers]
    for step in (gcd(*apart, below), gcd(*apart)):
        if (count := apart[-1] // step + 1) <= MOST_OPTIONS:
            points = [low + Fraction(step * at, below) for at in range(max(count, 2))]
            return [int(point) if whole else float(point) for point in points]
    raise UserError(f"its ratings go from {float(low):g} to {float(high):g} in too many steps", "add it first: preceptor question add FILE")
