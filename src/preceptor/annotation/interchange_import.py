"""Import rows that hold items with all their judgments and predictions, and infer the questions that they answer.

The rows are in the form of `formats.interchange`. A question that the project doesn't ask yet is made from the answers, after one pass
through the whole file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from math import gcd, isfinite, lcm
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.annotation.import_report import ImportReport, NumberedRow, RowErrors, list_errors
from preceptor.annotation.judgment_parser import AnswerParser, ImportedAnswer, parse_judgment, parse_prediction
from preceptor.annotation.row_parser import CONTENT_FIELDS, parse_identifier, parse_item
from preceptor.annotation.table_import import (
    JUDGMENT_FIELDS,
    DuplicateItemIds,
    ImportKeys,
    add_annotators,
    add_imported_items,
    drop_empty_cells,
)
from preceptor.errors import UserError
from preceptor.questions import define_question, kinds
from preceptor.questions.label_spelling import group_spellings, merge_spellings
from preceptor.storage import Connection, events, external_annotations, gold, items, judgment_log, questions, slots
from preceptor.types import Item, Question

if TYPE_CHECKING:
    from preceptor.project import Project


_MAX_OPTIONS = 1_000
_FILLER_OPTIONS = ("other", "none of these")  # added to the options of a question when a file shows too few
_OPPOSITE_LABELS = {"up": "down", "good": "bad", "yes": "no", "true": "false", "accept": "reject"}
_COMMON_SCALES = ((1, 5), (0, 5), (1, 10), (0, 10))  # usual scales; a file may not show their ends
_UNNAMED_QUESTION = "label"


@dataclass
class AnswerProfile:
    """What a file shows of one question: the kinds, options and numbers of its answers.

    options: labels in order of their first appearance, with how often each appears.
    """

    kinds: set[str] = field(default_factory=set)
    options: dict[str, int] = field(default_factory=dict)
    numbers: set[Fraction] = field(default_factory=set)
    max_responses: int = 0
    has_overlap: bool = False
    has_reasons: bool = False
    has_corrections: bool = False
    has_missing_completion: bool = False
    answer_count: int = 0

    def add_answer(self, row: Mapping[str, Any], kind: Any, answer: Any) -> None:
        """Add one answer, whatever it is: its faults are reported when it is imported."""
        if answer is None:
            return
        self.answer_count += 1
        kind = kind if isinstance(kind, str) else guess_answer_kind(answer)
        self.kinds.add(kind)
        if kind in ("choice", "multilabel"):
            self._add_options(answer if isinstance(answer, list) else [answer])
        elif kind == "rating":
            if isinstance(answer, int | float) and not isinstance(answer, bool) and isfinite(answer) and len(self.numbers) <= _MAX_OPTIONS:
                self.numbers.add(Fraction(str(answer)))
        elif kind in ("compare", "rank"):
            self._add_order(row, answer)
        elif kind == "write" and isinstance(answer, Mapping):
            self.has_corrections |= answer.get("from") is not None
            self.has_missing_completion |= row.get("completion") is None
        elif kind == "spans" and isinstance(answer, list):
            self._add_spans([span for span in answer if isinstance(span, Mapping)])

    def _add_options(self, labels: Iterable[Any]) -> None:
        texts = (str(label) if isinstance(label, int | float) else label for label in labels)
        for text in texts:
            if isinstance(text, str) and text.strip() and (text in self.options or len(self.options) <= _MAX_OPTIONS):
                self.options[text] = self.options.get(text, 0) + 1

    def _add_order(self, row: Mapping[str, Any], answer: Any) -> None:
        named = answer.get("order") if isinstance(answer, Mapping) else answer
        shown = row.get("responses")
        if isinstance(shown, list):
            self.max_responses = max(self.max_responses, len(shown))
        elif isinstance(named, list):
            self.max_responses = max(self.max_responses, len(named))
        self.has_reasons |= isinstance(answer, Mapping) and bool(answer.get("reasons"))

    def _add_spans(self, spans: list[Mapping[str, Any]]) -> None:
        self._add_options(span.get("label") for span in spans)
        edges = sorted((s["start"], s["end"]) for s in spans if isinstance(s.get("start"), int) and isinstance(s.get("end"), int))
        self.has_overlap |= any(after[0] < before[1] for before, after in pairwise(edges))

    def infer_kind(self) -> str:
        """Return the question's kind; a choice and a multilabel are a multilabel. Raises UserError where there are several."""
        if self.kinds == {"choice", "multilabel"}:
            return "multilabel"
        if len(self.kinds) > 1:
            raise UserError(
                f"it is answered as {' and as '.join(sorted(self.kinds))}", "split the file, or give the questions names of their own"
            )
        return next(iter(self.kinds), "write")


def guess_answer_kind(answer: Any) -> str:
    """Return the kind of question that an answer looks like an answer to."""
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


class QuestionSurvey:
    """The questions of a file by their names in it (None where it names none), in order of appearance."""

    def __init__(self) -> None:
        self.profiles: dict[str | None, AnswerProfile] = {}

    def scan(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Scan rows for questions; entries that are no judgments are ignored here."""
        for row in rows:
            for said in [*list_tables(row, "judgments"), *list_tables(row, "predictions")]:
                name = said.get("question")
                if name is None or isinstance(name, str):
                    seen = self.profiles.setdefault(name or None, AnswerProfile())
                    seen.add_answer(row, said.get("kind"), said.get("answer"))

    def list_names(self) -> list[str | None]:
        """Return the names of the questions; None, for judgments without a question, only where these have answers or are all there is."""
        known = [name for name, seen in self.profiles.items() if name is not None or seen.answer_count]
        return known or list(self.profiles)


def list_tables(row: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the judgments or predictions of a row that are tables."""
    given = row.get(name)
    return [each for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []


def infer_questions(
    connection: Connection, survey: QuestionSurvey, wanted: str | None, least: int, *, fold: bool = False
) -> tuple[dict[str | None, tuple[int, Question]], list[Question]]:
    """Return (key, question) by the file's names, and the list of those that were made; names that aren't read are left out.

    wanted: the only question that is read; a file that names one or none is read as about that. Raises UserError where a question
    can't be made. least: judgments that a new question wants of each item. fold: labels that differ only in capitals or spaces are one.
    """
    active = questions.list_active(connection)
    taken = {question.name for _, question in active if question.purpose}
    known = {question.name: (key, question) for key, question in active if not question.purpose}
    titles = _map_question_names(survey, wanted, [name for name, (_, question) in known.items() if not question.follows])
    found: dict[str | None, tuple[int, Question]] = {}
    made: list[Question] = []
    for name, title in titles.items():
        if title in taken:
            message = f"{title!r} is asked about other items here: in a comparison, or by a suite"
            raise UserError(message, "give the file's question another name")
        if title not in known:
            question = questions.add(connection, _define_question(title, survey.profiles[name], fold=fold))
            known[title] = questions.get(connection, title)
            slots.open_slots(connection, known[title][0], items.all_keys(connection), target_count=least)
            events.record_event(connection, "question added", {"name": title, "version": question.version})
            made.append(question)
        found[name] = known[title]
    if None in survey.profiles and None not in found and found:
        found[None] = next(iter(found.values()))  # a skip of the whole form
    return found, made


def _map_question_names(survey: QuestionSurvey, wanted: str | None, roots: list[str]) -> dict[str | None, str]:
    """Return the project's question names by the file's."""
    names = survey.list_names()
    if wanted is None:
        unnamed = roots[0] if len(roots) == 1 else _UNNAMED_QUESTION
        return {name: unnamed if name is None else name for name in names}
    if wanted in names or len(names) > 1:
        if wanted not in names:
            raise UserError(f"the file has no question {wanted!r}", f"it has {', '.join(map(str, names))}; leave --question out for all")
        return {wanted: wanted}
    return dict.fromkeys(names, wanted)


def _define_question(name: str, seen: AnswerProfile, *, fold: bool) -> Question:
    where = f"question {name!r}"
    if fold:
        seen = replace(seen, options=dict.fromkeys(merge_spellings(seen.options), 1))
    try:
        kind = seen.infer_kind()
        kinds.get(kind)
        options, settings = _infer_options(kind, seen), _infer_settings(kind, seen)
    except UserError as error:
        raise UserError(error.message, error.hint, where=where) from None
    return define_question({"name": name, "kind": kind, "options": options, "settings": settings}, where=where)


def _infer_options(kind: str, seen: AnswerProfile) -> list[Any]:
    if kind == "rating":
        return _infer_scale(sorted(seen.numbers))
    if kind not in ("choice", "multilabel", "spans"):
        return []
    if len(seen.options) > _MAX_OPTIONS:
        raise UserError(f"it has more than {_MAX_OPTIONS:,} different answers", "add it first, as kind write: preceptor question add FILE")
    least = 2 if kind == "choice" else 1
    lacking = max(0, least - len(seen.options))
    opposites = {**_OPPOSITE_LABELS, **{other: one for one, other in _OPPOSITE_LABELS.items()}}
    likely = [opposites[option] for option in seen.options if option in opposites]
    return [*seen.options, *[filler for filler in (*likely, *_FILLER_OPTIONS) if filler not in seen.options][:lacking]]


def _infer_settings(kind: str, seen: AnswerProfile) -> dict[str, Any]:
    if kind == "compare":
        return {"responses": max(2, seen.max_responses), "reasons": seen.has_reasons}
    if kind == "rank":
        return {"responses": max(2, seen.max_responses)}
    if kind == "write":
        return {"correct": seen.has_corrections and not seen.has_missing_completion}
    return {"overlap": seen.has_overlap} if kind == "spans" else {}


def _infer_scale(numbers: list[Fraction]) -> list[Any]:
    """Return a scale that has all these numbers as points.

    It is a usual one of whole numbers, else from the least to the greatest in their steps.
    """
    if not numbers:
        return list(range(1, 6))
    low, high = numbers[0], numbers[-1]
    whole = all(number.denominator == 1 for number in numbers)
    if whole:
        usual = next(((first, last) for first, last in _COMMON_SCALES if first <= low and high <= last), None)
        if usual:
            return list(range(usual[0], usual[1] + 1))
    below = lcm(*(number.denominator for number in numbers))
    apart = [int((number - low) * below) for number in numbers]
    for step in (gcd(*apart, below), gcd(*apart)):
        if (count := apart[-1] // step + 1) <= _MAX_OPTIONS:
            points = [low + Fraction(step * at, below) for at in range(max(count, 2))]
            return [int(point) if whole else float(point) for point in points]
    raise UserError(f"its ratings go from {float(low):g} to {float(high):g} in too many steps", "add it first: preceptor question add FILE")


class _ParsedInterchangeRow(NamedTuple):
    """A well-formed row. item: None where it is about an existing one, by its id."""

    number: int
    where: str
    id: str
    item: Item | None
    answers: tuple[ImportedAnswer, ...]


class InterchangeImporter:
    """Imports rows with judgments, batch by batch, within one transaction."""

    def __init__(
        self,
        connection: Connection,
        project: Project,
        report: ImportReport,
        faulty: RowErrors,
        survey: QuestionSurvey,
        question: str | None,
        answers: AnswerParser,
        *,
        has_json_cells: bool = False,
    ) -> None:
        self.connection, self.project, self.report, self.faulty = connection, project, report, faulty
        self.answers = answers
        self.has_json_cells = has_json_cells  # whether the file is a table of texts, where a missing value is an empty cell
        self.min_judgments = project.config.redundancy.initial_judgments
        try:
            self.question_by_name, made = infer_questions(connection, survey, question, self.min_judgments, fold=answers.fold)
        except UserError as error:
            place = ", ".join(filter(None, (report.file, error.where)))
            raise UserError(error.message, error.hint, where=place) from None
        report.questions += [_question_document(each) for each in made]
        self.root_questions = [pk for pk, each in questions.list_active(connection) if not each.purpose and not each.follows]
        self.keys, self.item_ids = ImportKeys(report.file), DuplicateItemIds()
        self.people: dict[str, int] = {}
        self.excluded_counts: Counter[str] = Counter()
        self.gold_answers: dict[tuple[int, int], Any] = {}  # known answers so far, to find items for which the file has two

    def import_batch(self, batch: Sequence[NumberedRow]) -> None:
        """Import one batch of rows."""
        contents = items.contents(self.connection, {str(each.row.get("id")).strip() for each in batch if not _has_content(each.row)})
        parsed = [found for placed in batch if (found := self._parse_row(placed, contents)) is not None]
        refused = self._add_items([each for each in parsed if each.item is not None])
        places = items.keys(self.connection, {each.id for each in parsed})
        kept = [each for each in parsed if each.number not in refused and each.id in places]
        self._record_judgments(kept, places)
        self._add_external_annotations(kept, places)

    def report_excluded(self) -> None:
        """Report the questions made from the file, and what of it was left out."""
        for made in self.report.questions:
            options = (
                f" with {', '.join(map(str, made['options'][:8]))}{', …' if len(made['options']) > 8 else ''}" if made["options"] else ""
            )
            self.report.warnings.append(f"the question {made['name']!r} was made from the file: {made['kind']}{options}")
            if several := group_spellings({str(option): 1 for option in made["options"]}):
                found = "; ".join(", ".join(map(repr, group)) for group in several.values())
                self.report.warnings.append(f"options that differ only in capitals or spaces: {found}; --fold takes them as one")
        if self.excluded_counts:
            names = ", ".join(f"{name} ({count:,})" for name, count in self.excluded_counts.most_common())
            self.report.warnings.append(f"judgments of other questions left out: {names}; import them with --question NAME")

    def _parse_row(self, placed: NumberedRow, contents: Mapping[str, Any]) -> _ParsedInterchangeRow | None:
        faults: list[UserError] = []
        item, id_, content = None, "", None
        try:
            item, id_, content = self._parse_item(placed, contents)
        except UserError as error:  # the faults of its judgments are reported too
            faults.append(error)
        said = []
        for column in JUDGMENT_FIELDS:
            for at, given in enumerate(_parse_list(placed.row, column, placed.where, faults)):
                try:
                    judged = column == "judgments"
                    found = (
                        parse_judgment(given, at, self.question_by_name, content, self.answers)
                        if judged
                        else parse_prediction(given, self.question_by_name)
                    )
                except UserError as error:
                    place = f"{placed.where}, {column}[{at}]"
                    faults += [_move_error(fault, f"{place}.{fault.where}" if fault.where else place) for fault in list_errors(error)]
                    continue
                if found is not None:
                    said.append(found)
                else:
                    self.excluded_counts[str(given.get("question"))] += 1
        if faults:
            self.faulty.add(placed.number, *faults)
            return None
        self.report.missing_answers += item is None and not said
        return _ParsedInterchangeRow(placed.number, placed.where, id_, item, tuple(said))

    def _parse_item(self, placed: NumberedRow, contents: Mapping[str, Any]) -> tuple[Item | None, str, Mapping[str, Any] | None]:
        row = {name: value for name, value in placed.row.items() if name not in JUDGMENT_FIELDS}
        row = drop_empty_cells(row) if self.has_json_cells else row
        if _has_content(row):
            item = parse_item(row, where=placed.where)
            item = self.item_ids.assign_id(item) if row.get("id") in (None, "") else item
            return item, item.id, item.content
        id_ = parse_identifier(row.get("id"), "id", placed.where)
        if id_ not in contents:
            if not id_:
                raise UserError("the row has neither content nor the id of an item", "give it one of them", where=placed.where)
            raise UserError(f"judgments of an unknown item {id_!r}", "import the items first, or mend the id", where=placed.where)
        return None, id_, contents[id_]

    def _add_items(self, new: Sequence[_ParsedInterchangeRow]) -> set[int]:
        """Add items and open their slots; return the numbers of rows whose items exist with other content."""
        placed = [(each.number, each.where, each.item) for each in new if each.item is not None]
        added, refused = add_imported_items(self.connection, placed, self.faulty)
        self.report.items += added
        keys = items.keys(self.connection, {each.id for each in new})
        for pk in self.root_questions:
            slots.open_slots(self.connection, pk, ((key, id_) for id_, key in keys.items()), target_count=self.min_judgments)
        return refused

    def _record_judgments(self, rows: Sequence[_ParsedInterchangeRow], places: Mapping[str, int]) -> None:
        judged = [
            (row.id, said, self.keys.annotator_name(said.author, row.id, said.question.name))
            for row in rows
            for said in row.answers
            if said.kind == "judgment"
        ]
        self.people |= add_annotators(self.connection, {who for _, _, who in judged} - self.people.keys())
        named = {self.keys.judgment_key(said.question, id_, who, said.answer): (id_, said, who) for id_, said, who in judged}
        added = judgment_log.add_imported(
            self.connection,
            (
                judgment_log.ImportedJudgment(
                    places[id_], said.question_key, self.people[who], said.answer, said.seconds, key, said.created, said.document
                )
                for key, (id_, said, who) in named.items()
            ),
        )
        self.report.add_judgments(Counter(named[key][1].question.name for key in added))
        self.report.repeated += len(named) - len(added)
        self._add_gold([(places[id_], said) for key, (id_, said, _) in named.items() if key in added and said.is_gold])

    def _add_external_annotations(self, rows: Sequence[_ParsedInterchangeRow], places: Mapping[str, int]) -> None:
        new: dict[str, tuple[ImportedAnswer, external_annotations.ExternalAnnotation]] = {}
        for row in rows:
            for said in row.answers:
                if said.kind != "judgment":
                    by = (
                        said.author
                        if said.kind in ("prediction", "gold")
                        else self.keys.annotator_name(said.author, row.id, said.question.name)
                    )
                    key = self.keys.annotation_key(said.kind, said.question, row.id, by, said.document or {})
                    new[key] = (
                        said,
                        external_annotations.ExternalAnnotation(places[row.id], said.question_key, said.kind, by, said.document or {}, key),
                    )
        added = external_annotations.add(self.connection, (annotation for _, annotation in new.values()))
        counts = Counter(said.kind for key, (said, _) in new.items() if key in added)
        self.report.drafts += counts["draft"]
        self.report.skips += counts["skipped"]
        self.report.predictions += counts["prediction"]
        self._add_gold([(annotation.item, said) for key, (said, annotation) in new.items() if key in added and said.is_gold])

    def _add_gold(self, answers: Sequence[tuple[int, ImportedAnswer]]) -> None:
        """Set known answers; the last that the file gives for an item is valid."""
        by_question: dict[int, dict[int, tuple[Any, str]]] = {}
        for item, said in answers:
            known = kinds.get(said.question.kind).parse_consensus(
                said.question, kinds.get(said.question.kind).to_consensus_answer(said.question, said.answer)
            )
            if self.gold_answers.setdefault((item, said.question_key), known) != known:
                self.report.warnings.append(
                    f"an item has two known answers to {said.question.name!r}, "
                    f"{self.gold_answers[item, said.question_key]!r:.40} and {known!r:.40}"
                )
            note = (said.document or {}).get("note", "")
            by_question.setdefault(said.question_key, {})[item] = (known, note)
        for question, known_answers in by_question.items():
            gold.set_answers(self.connection, question, known_answers)
            self.report.gold += len(known_answers)


def _move_error(fault: UserError, where: str) -> UserError:
    return UserError(fault.message, fault.hint, where=where)


def _has_content(row: Mapping[str, Any]) -> bool:
    return any(row.get(name) is not None for name in CONTENT_FIELDS)


def _parse_list(row: Mapping[str, Any], field: str, where: str, faults: list[UserError]) -> Sequence[Any]:
    given = row.get(field)
    if given in (None, "") or isinstance(given, list):
        return given or ()
    faults.append(
        UserError(f"{field} must be a list, not {given!r:.60}", f'"{field}": [{{"question": …, "answer": …}}]', where=f"{where}, {field}")
    )
    return ()


def _question_document(question: Question) -> dict[str, Any]:
    return {"name": question.name, "kind": question.kind, "options": list(question.options), "settings": dict(question.settings)}
