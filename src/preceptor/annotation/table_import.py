"""Import plain tables: a row is an item, an item with a judgment, or a judgment about an existing item.

Lists and tables may stand as JSON in the cells of a table of texts, under the names by which a row has them. Generated ids, names and
keys are the same when the same file comes again, so that nothing is imported twice.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.annotation.implicit_questions import COMPLETION, is_implicit, parse_completion_judgment
from preceptor.annotation.import_report import FieldChecks, ImportReport, NumberedRow, RowErrors
from preceptor.annotation.judgment_parser import AnswerParser
from preceptor.annotation.row_parser import COLUMN_NAMES, CONTENT_FIELDS, make_content_id, parse_identifier, parse_item, parse_seconds
from preceptor.errors import ConflictError, UserError
from preceptor.formats import formats
from preceptor.formats.format_registry import check_row
from preceptor.formats.json_format import STRICT_DECODER
from preceptor.registry import suggest_name
from preceptor.storage import items, judgment_log, people, questions, slots
from preceptor.types import Annotator, Item, Question

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


JUDGMENT_FIELDS = ("judgments", "predictions")
_JSON_FIELDS = (*JUDGMENT_FIELDS, "metadata", "messages", "responses", "sources", "claims")


def find_json_columns(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the columns of a table with judgments whose cells are JSON; none where its cells hold no judgments."""
    found = {name for row in rows for name in _JSON_FIELDS if _is_json(row.get(name))}
    return [name for name in _JSON_FIELDS if name in found] if found & set(JUDGMENT_FIELDS) else []


def holds_judgments(row: Mapping[str, Any]) -> bool:
    """Tell whether a row has a list of judgments or predictions, and not something else under such a name."""
    return any(isinstance(said := row.get(name), list) and any(isinstance(each, dict) for each in said) for name in JUDGMENT_FIELDS)


def decode_json_cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with cells of JSON lists or tables parsed; what only looks like JSON stays a text."""
    found = {name: _decode_cell(name, row[name]) for name in _JSON_FIELDS if _is_json(row.get(name))}
    return row | found if found else row


def _drop_empty_judgments(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a plain table without the empty lists by which an export says that nobody judged it."""
    return {name: value for name, value in row.items() if name not in JUDGMENT_FIELDS or value not in ([], None)}


def drop_empty_cells(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of a table of texts without the columns that only other rows fill; an item's only content may be the empty text."""
    filled = {name: value for name, value in row.items() if value not in ("", None)}
    if row.get("prompt") == "" and ("completion" in filled or "responses" in filled):
        return {**filled, "prompt": ""}
    empty = next((name for name in ("text", "prompt") if row.get(name) == ""), None)
    return filled if empty is None or any(name in filled for name in CONTENT_FIELDS) else {**filled, empty: ""}


def _decode_cell(name: str, cell: str) -> Any:
    with suppress(ValueError, RecursionError, UserError):
        value = STRICT_DECODER.decode(cell)
        check_row({name: value}, "")
        return value
    return cell


def _is_json(value: Any) -> bool:
    return isinstance(value, str) and value[:1] in ("[", "{")


PSEUDONYM_PREFIX = "import:"
"""What the names begin with of people about whom a file says nothing."""


class DuplicateItemIds:
    """Distinguishes the items of one file that have no ids: the same content is the same item, unless its metadata differs.

    Their ids are made from the content and, from the second on, a number: the same when the same file comes again.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, ...]] = {}

    def assign_id(self, item: Item) -> Item:
        """Return the item, under an id of its own where its content came before with other metadata."""
        place, beside = hash(item.id), hash(json.dumps(item.metadata, sort_keys=True, ensure_ascii=False))
        seen = self._seen.setdefault(place, (beside,))
        if beside not in seen:
            seen = self._seen[place] = (*seen, beside)
        number = seen.index(beside) + 1
        if number == 1:
            return item
        return replace(item, id=f"{item.id}-{number}")  # in the group of the first: they mustn't be in different splits


def is_generated_id(id_: str, content: Mapping[str, Any]) -> bool:
    """Tell whether an item's id was made from its content."""
    made = make_content_id(content)
    return id_ == made or (id_.startswith(f"{made}-") and id_.removeprefix(f"{made}-").isdigit())


class ImportKeys:
    """Makes the keys and pseudonyms of one file: a judgment that it holds n times has n keys."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._seen_once = _HashSet()
        self._repeat_counts: dict[int, int] = {}  # only of what comes twice, which is little

    def annotator_name(self, given: str, item: str, question: str = "") -> str:
        """Return the name given, else a pseudonym; several answers to one question about one item are those of several people."""
        if given:
            return given
        number = self._count_occurrence(f"{item}\0{question}")
        return f"{PSEUDONYM_PREFIX}{self._file}" + (f"#{number}" if number > 1 else "")

    def judgment_key(self, question: Question, item: str, annotator: str, answer: Any) -> str:
        """Return a judgment's key, made from question, version, item, annotator, answer, and how often the file has had the same before."""
        return self._digest_key([question.name, question.version, item, annotator, answer])

    def annotation_key(self, kind: str, question: Question, item: str, by: str, document: Mapping[str, Any]) -> str:
        """Return the key of an external annotation, which doesn't depend on its position: others may have been added since."""
        return self._digest_key([kind, question.name, item, by, {name: value for name, value in document.items() if name != "at"}])

    def _digest_key(self, said: list[Any]) -> str:
        text = json.dumps(said, ensure_ascii=False)
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        return f"{PSEUDONYM_PREFIX}{digest}#{self._count_occurrence(text)}"

    def _count_occurrence(self, what: str) -> int:
        place = hash(what)
        if self._seen_once.add(place):
            return 1
        self._repeat_counts[place] = self._repeat_counts.get(place, 1) + 1
        return self._repeat_counts[place]


class _HashSet:
    """A set of hashes in one array: a file has millions of keys, and a Python set takes five times the memory."""

    def __init__(self) -> None:
        self._table, self._count = array("q", bytes(8 * 1024)), 0

    def add(self, value: int) -> bool:
        """Add a hash; return whether it was new."""
        if not self._put(value or 1):  # 0 marks a free place
            return False
        self._count += 1
        if 2 * self._count > len(self._table):
            before, self._table = self._table, array("q", bytes(16 * len(self._table)))
            for each in filter(None, before):
                self._put(each)
        return True

    def _put(self, value: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        at = value & mask
        while held := table[at]:
            if held == value:
                return False
            at = (at + 1) & mask
        table[at] = value
        return True


@dataclass(frozen=True)
class ImportColumns:
    """The columns to read, by what they hold; those that aren't named are found under the usual names."""

    id: str | None = None
    text: str | None = None
    group: str | None = None
    label: str | None = None
    annotator: str | None = None
    seconds: str | None = None


@dataclass(frozen=True)
class ImportSettings:
    """How a file is read.

    max_bad: bad rows that may be left out. fold: other spellings of an option become that option. preview: store nothing.
    """

    columns: ImportColumns = ImportColumns()
    format: str = "auto"
    max_bad: int = 0
    fold: bool = False
    preview: bool = False


class _ParsedTableRow(NamedTuple):
    """A well-formed row: its item, or the id of an existing one, and the fields of its answer."""

    number: int
    where: str
    item: Item | str
    answer_fields: dict[str, Any] | None

    @property
    def id(self) -> str:
        return self.item.id if isinstance(self.item, Item) else self.item


class TableImporter:
    """Imports a plain table, batch by batch, within one transaction."""

    def __init__(
        self,
        connection: Connection,
        project: Project,
        report: ImportReport,
        faulty: RowErrors,
        columns: ImportColumns,
        question: str | None,
        answers: AnswerParser,
        *,
        has_json_cells: bool = False,
    ) -> None:
        self.connection, self.project, self.report, self.faulty, self.named_columns = connection, project, report, faulty, columns
        self.answers = answers
        self.question: tuple[int, Question] | None = questions.get(connection, question) if question else None
        active = [(pk, each) for pk, each in questions.list_active(connection) if not each.purpose]
        self.root_questions = [pk for pk, each in active if not each.follows]
        self.reads_completions = question is None and all(is_implicit(each) for _, each in active)
        self.keys = ImportKeys(report.file)
        self.item_ids = (
            DuplicateItemIds() if formats.get(report.format).by_shape else None
        )  # in a plain table, the same text is the same item
        self.people: dict[str, int] = {}
        self.columns: ImportColumns | None = None
        self.fields: dict[str | None, str | None] = {}
        self.holds_items = True
        self.other_question_count = 0
        self.has_json_cells = has_json_cells  # as in InterchangeImporter

    def import_batch(self, batch: Sequence[NumberedRow]) -> None:
        """Import one batch of rows."""
        batch = [
            each._replace(row=_drop_empty_judgments(drop_empty_cells(each.row) if self.has_json_cells else each.row)) for each in batch
        ]
        if self.columns is None:
            asked = self.question[1].name if self.question else None
            self.columns, self.holds_items = _resolve_columns(self.named_columns, batch[0].row, asked, batch[0].where)
            self.fields = _map_item_fields(self.columns)
        parsed = [found for placed in batch if (found := self._parse_row(placed)) is not None]
        keys, refused = self._add_items([each for each in parsed if isinstance(each.item, Item)])
        self._record_judgments([each for each in parsed if each.answer_fields is not None and each.number not in refused], keys)

    def report_excluded(self) -> None:
        """Report what was left out of the whole file."""
        if self.report.unnamed:
            warning = f"{self.report.unnamed:,} judgments name nobody in column {self.columns and self.columns.annotator!r}: who gave them "
            self.report.warnings.append(f"{warning}is unknown, and no accuracy is told of them")
        if self.other_question_count:
            warning = f"judgments of other questions left out: {self.other_question_count}; import them with --question NAME"
            self.report.warnings.append(warning)

    def _add_items(self, new: Sequence[_ParsedTableRow]) -> tuple[dict[str, int], set[int]]:
        """Add items and open their slots; return their keys by id, and the numbers of rows whose items exist with other content."""
        if not new:
            return {}, set()
        placed = [(each.number, each.where, each.item) for each in new if isinstance(each.item, Item)]
        added, refused = add_imported_items(self.connection, placed, self.faulty)
        self.report.items += added
        keys = items.keys(self.connection, {each.id for each in new})
        for pk in self.root_questions:
            slots.open_slots(
                self.connection,
                pk,
                ((key, id_) for id_, key in keys.items()),
                target_count=self.project.config.redundancy.initial_judgments,
            )
        return keys, refused

    def _parse_row(self, placed: NumberedRow) -> _ParsedTableRow | None:
        checks = FieldChecks()
        item = checks.run(self._parse_item, placed.where, placed.row)
        said = checks.run(self._parse_said, placed.where, placed.row, item)
        if checks.errors:
            self.faulty.add(placed.number, *checks.errors)
            return None
        return _ParsedTableRow(placed.number, placed.where, item, said)

    def _parse_item(self, where: str, row: dict[str, Any]) -> Item | str:
        assert self.columns is not None
        if not self.holds_items:
            return parse_identifier(_get_cell(row, self.columns.id, where), "id", where)
        named = ((self.fields.get(column, column), value) for column, value in row.items())
        item = parse_item({field: value for field, value in named if field is not None}, where=where)
        return self.item_ids.assign_id(item) if self.item_ids and row.get("id") in (None, "") else item

    def _parse_said(self, where: str, row: dict[str, Any], item: Item | str | None) -> dict[str, Any] | None:
        assert self.columns is not None
        if self.reads_completions and isinstance(item, Item):
            return self._parse_completion(where, item)
        if self.question is None or self.columns.label is None:
            return None
        if not self.holds_items and row.get("question") not in (None, "", self.question[1].name):
            self.other_question_count += 1
            return None
        answer = _get_cell(row, self.columns.label, where)
        if answer in (None, ""):
            self.report.missing_answers += 1
            return None
        who = _get_cell(row, self.columns.annotator, where) if self.columns.annotator else None
        checks = FieldChecks()
        parsed = checks.run(self._parse_answer, where, answer)
        said = {
            "annotator": checks.run(parse_identifier, who, "annotator", where),
            "seconds": checks.run(self._parse_seconds, where, row),
        }
        checks.raise_any()
        self.report.unnamed += self.columns.annotator is not None and not said["annotator"]
        return {**said, "answer": parsed[0], "written": parsed[1]}

    def _parse_answer(self, where: str, answer: Any) -> tuple[Any, Any]:
        assert self.columns is not None
        assert self.question is not None
        try:
            return self.answers.parse(self.question[1], answer)
        except UserError as error:
            raise UserError(f"column {self.columns.label!r}: {error.message}", error.hint, where=where) from None

    def _parse_completion(self, where: str, item: Item) -> dict[str, Any] | None:
        """Return an item's completion, as its author's answer."""
        if (said := parse_completion_judgment(item.content, where)) is None:
            self.report.missing_answers += "messages" in item.content
            return None
        if self.question is None:
            questions.add(self.connection, COMPLETION)
            self.question = questions.get(self.connection, COMPLETION.name)
        return said

    def _parse_seconds(self, where: str, row: dict[str, Any]) -> float | None:
        assert self.columns is not None
        value = _get_cell(row, self.columns.seconds, where) if self.columns.seconds else None
        return parse_seconds(value, where=f"{where}, column {self.columns.seconds!r}")

    def _record_judgments(self, said: Sequence[_ParsedTableRow], keys: Mapping[str, int]) -> None:
        if not said or self.question is None:
            return
        places = keys if self.holds_items else items.keys(self.connection, {each.id for each in said})
        for each in said:
            if each.id not in places:
                message = f"a judgment for an unknown item {each.id!r}"
                self.faulty.add(each.number, UserError(message, "import the items first, or mend the id", where=each.where))
        recorded = [self._build_judgment(places[each.id], each) for each in said if each.id in places]
        self._add_annotators({who for who, _ in recorded})
        new = [
            judgment_log.ImportedJudgment(item, self.question[0], self.people[who], answer, seconds, key, context=written)
            for who, (item, answer, seconds, key, written) in recorded
        ]
        added = judgment_log.add_imported(self.connection, new)
        self.report.add_judgments(Counter({self.question[1].name: len(added)}))
        self.report.repeated += len(new) - len(added)

    def _build_judgment(self, item: int, each: _ParsedTableRow) -> tuple[str, tuple[int, Any, float | None, str, Mapping[str, Any] | None]]:
        assert self.question is not None
        assert each.answer_fields is not None
        who = self.keys.annotator_name(each.answer_fields["annotator"], each.id)
        key = self.keys.judgment_key(self.question[1], each.id, who, each.answer_fields["answer"])
        written = each.answer_fields.get("written")
        return who, (
            item,
            each.answer_fields["answer"],
            each.answer_fields["seconds"],
            key,
            None if written is None else {"written": written},
        )

    def _add_annotators(self, names: set[str]) -> None:
        self.people |= add_annotators(self.connection, names - self.people.keys())


def add_imported_items(connection: Connection, new: Sequence[tuple[int, str, Item]], faulty: RowErrors) -> tuple[int, set[int]]:
    """Add (number, where, item) of rows; return how many items were new, and the numbers of rows whose item exists with other content."""
    places = {id(item): (number, where) for number, where, item in new}
    refused: set[int] = set()

    def differs(item: Item, conflict: ConflictError) -> None:
        number, where = places[id(item)]
        refused.add(number)
        faulty.add(number, ConflictError(conflict.message, conflict.hint, where=where))

    return items.add(connection, [item for _, _, item in new], on_conflict=differs), refused


def add_annotators(connection: Connection, names: set[str]) -> dict[str, int]:
    """Return the keys of annotators by their names; those who don't exist are added."""
    if not names:
        return {}
    people.add(connection, [Annotator(name, kind="import" if name.startswith(PSEUDONYM_PREFIX) else "person") for name in sorted(names)])
    return people.keys(connection, sorted(names))


def _resolve_columns(named: ImportColumns, row: Mapping[str, Any], question: str | None, where: str) -> tuple[ImportColumns, bool]:
    """Return the columns by their names or the usual ones, and whether rows hold items (or only judgments about known ones)."""
    for field_name, column in asdict(named).items():
        if column is not None and column not in row:
            known = ", ".join(map(str, row))
            raise UserError(
                f"there is no column {column!r} (for the {field_name}){suggest_name(column, row)}", f"columns: {known}", where=where
            )
    holds_items = named.text is not None or any(name in row for name in CONTENT_FIELDS)
    label = named.label or _find_name(row, (*COLUMN_NAMES["answer"], question)) if question else None
    found = ImportColumns(
        id=named.id or _find_name(row, ("id", *COLUMN_NAMES["item"])),
        text=named.text,
        group=named.group,
        label=label,
        annotator=named.annotator or (_find_name(row, COLUMN_NAMES["annotator"]) if label else None),
        seconds=named.seconds or ("seconds" if label and "seconds" in row else None),
    )
    if not holds_items and (found.id is None or label is None):
        known = ", ".join(map(str, row))
        hint = "name the columns: --text for items; --question, --id and --label for judgments about items that are there"
        raise UserError(f"neither a text nor an item with its answer was found among the columns {known}", hint, where=where)
    if question and label is None:
        known = ", ".join(map(str, row))
        raise UserError(f"no column holds the answers to {question!r}", f"name it with --label; columns: {known}", where=where)
    return found, holds_items


def _map_item_fields(columns: ImportColumns) -> dict[str | None, str | None]:
    """Return the item's field for each column, None for columns that belong to the judgment.

    A column that only happens to have the name of such a field is kept as metadata, its name followed by an underscore.
    """
    own = {columns.id: "id", columns.text: "text", columns.group: "group"}
    taken = {field for column, field in own.items() if column is not None}
    taken |= set(CONTENT_FIELDS) if columns.text is not None else set()
    return {field: f"{field}_" for field in taken} | dict.fromkeys((columns.label, columns.annotator, columns.seconds)) | own


def _find_name(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


def _get_cell(row: Mapping[str, Any], column: str | None, where: str) -> Any:
    if column is None or column not in row:
        raise UserError(f"the row has no {column!r}", "give every row the same columns", where=where)
    return row[column]
