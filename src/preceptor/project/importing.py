"""Files into the project: items, and the judgments that stand beside them; all of a file or nothing of it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Annotator, Item, Question
from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.project.columns import NAMES
from preceptor.project.contents import CONTENT_FIELDS, item_from
from preceptor.project.entries import name_from, seconds_from
from preceptor.project.told import COMPLETION, is_told, said_by
from preceptor.questions import kinds
from preceptor.registry import did_you_mean
from preceptor.store import batched, items, journal, people, questions, slots

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


@dataclass
class ImportReport:
    """What became of a file's rows; `skipped` holds {"where", "reason"} of each row that was left out."""

    file: str
    format: str = ""
    read: int = 0
    items: int = 0
    judgments: int = 0
    missing_answers: int = 0
    repeated: int = 0
    skipped: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def import_file(
    project: Project, path: str | Path, *, question: str | None, columns: Columns, format: str = "auto", max_bad: int = 0
) -> ImportReport:
    """Read a file of items (with or without a judgment a row), or of judgments about items that are there.

    Raises UserError at the first bad row unless `max_bad` allows some; then nothing of the file is kept.
    """
    if question is None and (columns.label or columns.annotator or columns.seconds):
        question = project.only_question()
    rows = read(path, format=format)
    report = ImportReport(Path(path).name, rows.format)
    with project.database.writing() as connection:
        reader = _Reader(connection, project, report, columns, question, max_bad)
        for batch in batched(_places(rows)):
            reader.take(batch)
    report.warnings += rows.warnings
    if reader.elsewhere:
        report.warnings.append(f"judgments of other questions left out: {reader.elsewhere}; import them with --question NAME")
    if not report.read:
        raise UserError("the file has no rows", "check that it is the file you meant", where=str(path))
    return report


def _places(rows: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for row in rows:
        yield rows.where, row


class _Reader:
    """One file on its way into one transaction."""

    def __init__(
        self, connection: Connection, project: Project, report: ImportReport, columns: Columns, question: str | None, max_bad: int
    ) -> None:
        self.connection, self.project, self.report, self.named, self.max_bad = connection, project, report, columns, max_bad
        self.question: tuple[int, Question] | None = questions.get(connection, question) if question else None
        active = [(pk, each) for pk, each in questions.active(connection) if not each.purpose]
        self.asked = [pk for pk, each in active if not each.follows]
        self.tells = question is None and all(is_told(each) for _, each in active)
        self.people: dict[str, int] = {}
        self.seen: Counter[int] = Counter()
        self.columns: Columns | None = None
        self.fields: dict[str | None, str | None] = {}
        self.holds_items = True
        self.elsewhere = 0

    def take(self, batch: tuple[tuple[str, dict[str, Any]], ...]) -> None:
        """Keep one batch of (where, row)."""
        if self.columns is None:
            asked = self.question[1].name if self.question else None
            self.columns, self.holds_items = _resolve(self.named, batch[0][1], asked, batch[0][0])
            self.fields = _fields(self.columns)
        parsed = [(where, *found) for where, row in batch if (found := self._parse(where, row)) is not None]
        keys = self._add({where: item for where, item, _ in parsed if isinstance(item, Item)})
        self._judge([(where, item.id if isinstance(item, Item) else item, said) for where, item, said in parsed if said is not None], keys)

    def _add(self, new: Mapping[str, Item]) -> dict[str, int]:
        """Add items, given by their place in the file, and open their slots; their keys by id."""
        if not new:
            return {}
        self.report.items += items.add(self.connection, new.values(), places={item.id: where for where, item in new.items()})
        keys = items.keys(self.connection, {item.id for item in new.values()})
        for pk in self.asked:
            slots.open_for(self.connection, pk, ((key, id_) for id_, key in keys.items()), wanted=self.project.config.guidance.least)
        return keys

    def _parse(self, where: str, row: dict[str, Any]) -> tuple[Item | str, dict[str, Any] | None] | None:
        self.report.read += 1
        try:
            item = self._item(where, row)
            return item, self._said(where, row, item)
        except UserError as error:
            self._leave_out(error)
            return None

    def _leave_out(self, error: UserError) -> None:
        """Go on without a bad row, if there may be another one."""
        if len(self.report.skipped) >= self.max_bad:
            raise error
        self.report.skipped.append({"where": error.where, "reason": error.message})

    def _item(self, where: str, row: dict[str, Any]) -> Item | str:
        assert self.columns is not None
        if not self.holds_items:
            return name_from(_cell(row, self.columns.id, where), "id", where)
        named = ((self.fields.get(column, column), value) for column, value in row.items())
        return item_from({field: value for field, value in named if field is not None}, where=where)

    def _said(self, where: str, row: dict[str, Any], item: Item | str) -> dict[str, Any] | None:
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
        question = self.question[1]
        try:
            parsed = kinds.get(question.kind).parse(question, answer)
        except UserError as error:
            raise UserError(f"column {self.columns.label!r}: {error.message}", error.hint, where=where) from None
        who = _cell(row, self.columns.annotator, where) if self.columns.annotator else None
        return {"answer": parsed, "annotator": name_from(who, "annotator", where), "seconds": self._seconds(where, row)}

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

    def _judge(self, said: list[tuple[str, str, dict[str, Any]]], keys: Mapping[str, int]) -> None:
        if not said or self.question is None:
            return
        places = keys if self.holds_items else items.keys(self.connection, {item for _, item, _ in said})
        for where, item, _ in said:
            if item not in places:
                self._leave_out(
                    UserError(f"a judgment for an unknown item {item!r}", "import the items first, or mend the id", where=where)
                )
        keyed = [(item, *self._who_and_key(item, judgment)) for _, item, judgment in said if item in places]
        self._meet({annotator for _, annotator, _, _ in keyed})
        rows = [
            (places[item], self.people[annotator], judgment["answer"], judgment["seconds"], key) for item, annotator, judgment, key in keyed
        ]
        added = journal.add_many(self.connection, self.question[0], rows)
        self.report.judgments += added
        self.report.repeated += len(rows) - added

    def _who_and_key(self, item: str, judgment: dict[str, Any]) -> tuple[str, dict[str, Any], str]:
        """The annotator, and a key that is the same when the same file comes again (a repeat within it has its own)."""
        annotator = judgment["annotator"]
        if not annotator:
            number = self._ordinal(f"{item}\x00")
            annotator = f"import:{self.report.file}" + (f"#{number}" if number > 1 else "")
        assert self.question is not None
        question = self.question[1]
        said = json.dumps([question.name, question.version, item, annotator, judgment["answer"]], ensure_ascii=False)
        digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        return annotator, judgment, f"import:{digest}#{self._ordinal(said)}"

    def _ordinal(self, what: str) -> int:
        place = hash(what)
        self.seen[place] += 1
        return self.seen[place]

    def _meet(self, names: set[str]) -> None:
        if fresh := sorted(names - self.people.keys()):
            people.add(self.connection, [Annotator(name, kind="import" if name.startswith("import:") else "person") for name in fresh])
            self.people |= people.keys(self.connection, fresh)


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
