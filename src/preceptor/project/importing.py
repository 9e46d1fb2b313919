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
from preceptor.project.contents import CONTENT_FIELDS, item_from
from preceptor.questions import kinds
from preceptor.registry import did_you_mean
from preceptor.store import batched, items, journal, people, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

ITEM_NAMES = ("item", "item_id", "task")
ANNOTATOR_NAMES = ("annotator", "worker", "rater")
ANSWER_NAMES = ("answer", "label")


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
    rows = read(path, format=format)
    report = ImportReport(Path(path).name, rows.format)
    with project.database.writing() as connection:
        reader = _Reader(connection, project, report, columns, question, max_bad)
        for batch in batched(_places(rows)):
            reader.take(batch)
        reader.finish()
    report.warnings += rows.warnings
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
        self.asked = [pk for pk, _ in questions.active(connection)]
        self.people: dict[str, int] = {}
        self.seen: Counter[int] = Counter()
        self.columns: Columns | None = None
        self.holds_items = True

    def take(self, batch: tuple[tuple[str, dict[str, Any]], ...]) -> None:
        """Keep one batch of (where, row)."""
        if self.columns is None:
            self.columns, self.holds_items = _resolve(self.named, batch[0][1], self.question is not None, batch[0][0])
        parsed = [(where, *found) for where, row in batch if (found := self._parse(where, row)) is not None]
        if self.holds_items:
            self.report.items += items.add(self.connection, [item for _, item, _ in parsed if isinstance(item, Item)])
        self._judge([(where, item.id if isinstance(item, Item) else item, said) for where, item, said in parsed if said is not None])

    def finish(self) -> None:
        """Open slots for the new items, and count what each has."""
        policy = self.project.config.guidance
        everything = items.all_keys(self.connection)
        for pk in self.asked:
            slots.open_for(self.connection, pk, everything, wanted=min(policy.minimum, policy.maximum))
        if self.question is not None and self.report.judgments:
            slots.settle(self.connection, self.question[0])

    def _parse(self, where: str, row: dict[str, Any]) -> tuple[Item | str, dict[str, Any] | None] | None:
        self.report.read += 1
        try:
            item = self._item(where, row)
            return item, self._said(where, row)
        except UserError as error:
            if len(self.report.skipped) >= self.max_bad:
                raise
            self.report.skipped.append({"where": error.where or where, "reason": error.message})
            return None

    def _item(self, where: str, row: dict[str, Any]) -> Item | str:
        assert self.columns is not None
        names = self.columns
        if not self.holds_items:
            return str(_cell(row, names.id, where))
        own = {names.id: "id", names.text: "text", names.group: "group"}
        said = {names.label, names.annotator, names.seconds}
        return item_from({own.get(name, name): value for name, value in row.items() if name in own or name not in said}, where=where)

    def _said(self, where: str, row: dict[str, Any]) -> dict[str, Any] | None:
        assert self.columns is not None
        if self.question is None or self.columns.label is None:
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
        return {"answer": parsed, "annotator": str(who) if who not in (None, "") else None, "seconds": self._seconds(where, row)}

    def _seconds(self, where: str, row: dict[str, Any]) -> float | None:
        assert self.columns is not None
        value = _cell(row, self.columns.seconds, where) if self.columns.seconds else None
        if value in (None, ""):
            return None
        try:
            return float(value)
        except (TypeError, ValueError):
            raise UserError(f"column {self.columns.seconds!r} must hold seconds, not {value!r}", where=where) from None

    def _judge(self, said: list[tuple[str, str, dict[str, Any]]]) -> None:
        if not said or self.question is None:
            return
        places = items.keys(self.connection, {item for _, item, _ in said})
        self._check_known(said, places)
        keyed = [(item, *self._who_and_key(item, judgment)) for _, item, judgment in said]
        self._meet({annotator for _, annotator, _, _ in keyed})
        rows = [
            (places[item], self.question[0], self.people[annotator], judgment["answer"], judgment["seconds"], key)
            for item, annotator, judgment, key in keyed
        ]
        added = journal.add_many(self.connection, rows)
        self.report.judgments += added
        self.report.repeated += len(rows) - added

    def _who_and_key(self, item: str, judgment: dict[str, Any]) -> tuple[str, dict[str, Any], str]:
        """The annotator, and a key that is the same when the same file comes again (a repeat within it has its own)."""
        annotator = judgment["annotator"]
        if annotator is None:
            number = self._ordinal(f"{item}\x00")
            annotator = f"import:{self.report.file}" + (f"#{number}" if number > 1 else "")
        assert self.question is not None
        said = json.dumps([self.question[1].name, item, annotator, judgment["answer"]], ensure_ascii=False)
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

    def _check_known(self, said: list[tuple[str, str, dict[str, Any]]], places: Mapping[str, int]) -> None:
        for where, item, _ in said:
            if item not in places:
                raise UserError(f"a judgment for an unknown item {item!r}", "import the items first, or mend the id", where=where)


def _resolve(named: Columns, row: Mapping[str, Any], has_question: bool, where: str) -> tuple[Columns, bool]:
    """The columns by their names or the usual ones, and whether rows hold items (or only judgments about known ones)."""
    for field_name, column in asdict(named).items():
        if column is not None and column not in row:
            known = ", ".join(map(str, row))
            raise UserError(
                f"there is no column {column!r} (for the {field_name}){did_you_mean(column, row)}", f"columns: {known}", where=where
            )
    holds_items = named.text is not None or any(name in row for name in CONTENT_FIELDS)
    label = named.label or _first(row, ANSWER_NAMES) if has_question else None
    found = Columns(
        id=named.id or _first(row, ("id", *ITEM_NAMES)),
        text=named.text,
        group=named.group,
        label=label,
        annotator=named.annotator or (_first(row, ANNOTATOR_NAMES) if label else None),
        seconds=named.seconds or ("seconds" if label and "seconds" in row else None),
    )
    if not holds_items and (found.id is None or label is None):
        known = ", ".join(map(str, row))
        hint = "name the columns: --text for items; --question, --id and --label for judgments about items that are there"
        raise UserError(f"neither a text nor an item with its answer was found among the columns {known}", hint, where=where)
    return found, holds_items


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


def _cell(row: Mapping[str, Any], column: str | None, where: str) -> Any:
    if column is None or column not in row:
        raise UserError(f"the row has no {column!r}", "give every row the same columns", where=where)
    return row[column]
