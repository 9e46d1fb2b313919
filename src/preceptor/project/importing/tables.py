"""Plain tables into the project: a row is an item, an item with a judgment, or a judgment about an item that is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.domain import Annotator, Item, Question
from preceptor.errors import Conflict, UserError
from preceptor.formats import formats
from preceptor.project.columns import NAMES
from preceptor.project.contents import CONTENT_FIELDS, item_from
from preceptor.project.entries import name_from, seconds_from
from preceptor.project.importing.answer_parsing import AnswerParser
from preceptor.project.importing.keys import PSEUDONYM, Keys, Twins
from preceptor.project.importing.nested import unmarked, without_empty_cells
from preceptor.project.importing.report import Checks, Faulty, ImportReport, Placed
from preceptor.project.told import COMPLETION, is_told, said_by
from preceptor.registry import did_you_mean
from preceptor.store import items, journal, people, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection


@dataclass(frozen=True)
class Columns:
    """Which column is what. What isn't named is looked for under the usual names."""

    id: str | None = None
    text: str | None = None
    group: str | None = None
    label: str | None = None
    annotator: str | None = None
    seconds: str | None = None


@dataclass(frozen=True)
class ImportSettings:
    """How a file is read. max_bad: bad rows to leave out. fold: other spellings of an option are that option. preview: keep nothing."""

    columns: Columns = Columns()
    format: str = "auto"
    max_bad: int = 0
    fold: bool = False
    preview: bool = False


class _Parsed(NamedTuple):
    """A row that is well formed: its item, or the id of one that is there, and what was said about it."""

    number: int
    where: str
    item: Item | str
    said: dict[str, Any] | None

    @property
    def id(self) -> str:
        return self.item.id if isinstance(self.item, Item) else self.item


class Tables:
    """A plain table on its way into one transaction."""

    def __init__(
        self,
        connection: Connection,
        project: Project,
        report: ImportReport,
        faulty: Faulty,
        columns: Columns,
        question: str | None,
        answers: AnswerParser,
        *,
        in_cells: bool = False,
    ) -> None:
        self.connection, self.project, self.report, self.faulty, self.named = connection, project, report, faulty, columns
        self.answers = answers
        self.question: tuple[int, Question] | None = questions.get(connection, question) if question else None
        active = [(pk, each) for pk, each in questions.active(connection) if not each.purpose]
        self.asked = [pk for pk, each in active if not each.follows]
        self.tells = question is None and all(is_told(each) for _, each in active)
        self.keys = Keys(report.file)
        self.twins = Twins() if formats.get(report.format).by_shape else None  # in a plain table, the same text is the same item
        self.people: dict[str, int] = {}
        self.columns: Columns | None = None
        self.fields: dict[str | None, str | None] = {}
        self.holds_items = True
        self.elsewhere = 0
        self.in_cells = in_cells  # as of Interchange

    def take(self, batch: Sequence[Placed]) -> None:
        """Keep one batch of rows."""
        batch = [each._replace(row=unmarked(without_empty_cells(each.row) if self.in_cells else each.row)) for each in batch]
        if self.columns is None:
            asked = self.question[1].name if self.question else None
            self.columns, self.holds_items = _resolve(self.named, batch[0].row, asked, batch[0].where)
            self.fields = _fields(self.columns)
        parsed = [found for placed in batch if (found := self._parse(placed)) is not None]
        keys, refused = self._add([each for each in parsed if isinstance(each.item, Item)])
        self._judge([each for each in parsed if each.said is not None and each.number not in refused], keys)

    def finish(self) -> None:
        """Say what was left out of the whole file."""
        if self.report.unnamed:
            warning = f"{self.report.unnamed:,} judgments name nobody in column {self.columns and self.columns.annotator!r}: who gave them "
            self.report.warnings.append(f"{warning}is unknown, and no accuracy is told of them")
        if self.elsewhere:
            warning = f"judgments of other questions left out: {self.elsewhere}; import them with --question NAME"
            self.report.warnings.append(warning)

    def _add(self, new: Sequence[_Parsed]) -> tuple[dict[str, int], set[int]]:
        """Add items and open their slots; their keys by id, and the numbers of rows whose items are there with other content."""
        if not new:
            return {}, set()
        placed = [(each.number, each.where, each.item) for each in new if isinstance(each.item, Item)]
        added, refused = add_items(self.connection, placed, self.faulty)
        self.report.items += added
        keys = items.keys(self.connection, {each.id for each in new})
        for pk in self.asked:
            slots.open_for(self.connection, pk, ((key, id_) for id_, key in keys.items()), wanted=self.project.config.guidance.least)
        return keys, refused

    def _parse(self, placed: Placed) -> _Parsed | None:
        checks = Checks()
        item = checks.of(self._item, placed.where, placed.row)
        said = checks.of(self._said, placed.where, placed.row, item)
        if checks.faults:
            self.faulty.note(placed.number, *checks.faults)
            return None
        return _Parsed(placed.number, placed.where, item, said)

    def _item(self, where: str, row: dict[str, Any]) -> Item | str:
        assert self.columns is not None
        if not self.holds_items:
            return name_from(_cell(row, self.columns.id, where), "id", where)
        named = ((self.fields.get(column, column), value) for column, value in row.items())
        item = item_from({field: value for field, value in named if field is not None}, where=where)
        return self.twins.own(item) if self.twins and row.get("id") in (None, "") else item

    def _said(self, where: str, row: dict[str, Any], item: Item | str | None) -> dict[str, Any] | None:
        assert self.columns is not None
        if self.tells and isinstance(item, Item):
            return self._told(where, item)
        if self.question is None or self.columns.label is None:
            return None
        if not self.holds_items and row.get("question") not in (None, "", self.question[1].name):
            self.elsewhere += 1
            return None
        answer = _cell(row, self.columns.label, where)
        if answer in (None, ""):
            self.report.missing_answers += 1
            return None
        who = _cell(row, self.columns.annotator, where) if self.columns.annotator else None
        checks = Checks()
        parsed = checks.of(self._answer, where, answer)
        said = {
            "annotator": checks.of(name_from, who, "annotator", where),
            "seconds": checks.of(self._seconds, where, row),
        }
        checks.raise_any()
        self.report.unnamed += self.columns.annotator is not None and not said["annotator"]
        return {**said, "answer": parsed[0], "written": parsed[1]}

    def _answer(self, where: str, answer: Any) -> tuple[Any, Any]:
        assert self.columns is not None
        assert self.question is not None
        try:
            return self.answers.parse(self.question[1], answer)
        except UserError as error:
            raise UserError(f"column {self.columns.label!r}: {error.message}", error.hint, where=where) from None

    def _told(self, where: str, item: Item) -> dict[str, Any] | None:
        """The completion that stands in an item, as its author's answer."""
        if (said := said_by(item.content, where)) is None:
            self.report.missing_answers += "messages" in item.content
            return None
        if self.question is None:
            questions.add(self.connection, COMPLETION)
            self.question = questions.get(self.connection, COMPLETION.name)
        return said

    def _seconds(self, where: str, row: dict[str, Any]) -> float | None:
        assert self.columns is not None
        value = _cell(row, self.columns.seconds, where) if self.columns.seconds else None
        return seconds_from(value, where=f"{where}, column {self.columns.seconds!r}")

    def _judge(self, said: Sequence[_Parsed], keys: Mapping[str, int]) -> None:
        if not said or self.question is None:
            return
        places = keys if self.holds_items else items.keys(self.connection, {each.id for each in said})
        for each in said:
            if each.id not in places:
                message = f"a judgment for an unknown item {each.id!r}"
                self.faulty.note(each.number, UserError(message, "import the items first, or mend the id", where=each.where))
        recorded = [self._recorded(places[each.id], each) for each in said if each.id in places]
        self._meet({who for who, _ in recorded})
        new = [
            journal.Recorded(item, self.question[0], self.people[who], answer, seconds, key, context=written)
            for who, (item, answer, seconds, key, written) in recorded
        ]
        added = journal.record(self.connection, new)
        self.report.count(Counter({self.question[1].name: len(added)}))
        self.report.repeated += len(new) - len(added)

    def _recorded(self, item: int, each: _Parsed) -> tuple[str, tuple[int, Any, float | None, str, Mapping[str, Any] | None]]:
        assert self.question is not None
        assert each.said is not None
        who = self.keys.annotator(each.said["annotator"], each.id)
        key = self.keys.judgment(self.question[1], each.id, who, each.said["answer"])
        written = each.said.get("written")
        return who, (item, each.said["answer"], each.said["seconds"], key, None if written is None else {"written": written})

    def _meet(self, names: set[str]) -> None:
        self.people |= meet(self.connection, names - self.people.keys())


def add_items(connection: Connection, new: Sequence[tuple[int, str, Item]], faulty: Faulty) -> tuple[int, set[int]]:
    """Add (number, where, item) of rows; how many items were new, and the numbers of rows whose item is there with other content."""
    places = {id(item): (number, where) for number, where, item in new}
    refused: set[int] = set()

    def differs(item: Item, conflict: Conflict) -> None:
        number, where = places[id(item)]
        refused.add(number)
        faulty.note(number, Conflict(conflict.message, conflict.hint, where=where))

    return items.add(connection, [item for _, _, item in new], on_conflict=differs), refused


def meet(connection: Connection, names: set[str]) -> dict[str, int]:
    """The keys of people by their names; who isn't there is added."""
    if not names:
        return {}
    people.add(connection, [Annotator(name, kind="import" if name.startswith(PSEUDONYM) else "person") for name in sorted(names)])
    return people.keys(connection, sorted(names))


def _resolve(named: Columns, row: Mapping[str, Any], question: str | None, where: str) -> tuple[Columns, bool]:
    """The columns by their names or the usual ones, and whether rows hold items (or only judgments about known ones)."""
    for field_name, column in asdict(named).items():
        if column is not None and column not in row:
            known = ", ".join(map(str, row))
            raise UserError(
                f"there is no column {column!r} (for the {field_name}){did_you_mean(column, row)}", f"columns: {known}", where=where
            )
    holds_items = named.text is not None or any(name in row for name in CONTENT_FIELDS)
    label = named.label or _first(row, (*NAMES["answer"], question)) if question else None
    found = Columns(
        id=named.id or _first(row, ("id", *NAMES["item"])),
        text=named.text,
        group=named.group,
        label=label,
        annotator=named.annotator or (_first(row, NAMES["annotator"]) if label else None),
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


def _fields(columns: Columns) -> dict[str | None, str | None]:
    """Column -> field of the item, None for what belongs to the judgment.

    A column that only happens to bear the name of such a field keeps it with a low line, as metadata.
    """
    own = {columns.id: "id", columns.text: "text", columns.group: "group"}
    taken = {field for column, field in own.items() if column is not None}
    taken |= set(CONTENT_FIELDS) if columns.text is not None else set()
    return {field: f"{field}_" for field in taken} | dict.fromkeys((columns.label, columns.annotator, columns.seconds)) | own


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


def _cell(row: Mapping[str, Any], column: str | None, where: str) -> Any:
    if column is None or column not in row:
        raise UserError(f"the row has no {column!r}", "give every row the same columns", where=where)
    return row[column]
