"""Report what became of a file's rows, and collect its errors before any is raised."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from preceptor.errors import MultipleFaults, UserError
from preceptor.formats import FormatReader

_MAX_REPORTED_ERRORS = 20  # faults of a bad file that are listed


@dataclass
class ImportReport:
    """What became of a file's rows; `skipped` holds {"where", "reason"} of each row that was left out.

    imported: rows that weren't left out. items, judgments: new ones; by_question: new judgments. repeated: judgments that existed already.
    gold: known answers. drafts, skips, predictions: kept apart, and never counted. questions: those made from the file.
    missing_answers: rows that lack the answer which they should hold. folded: answers taken for an option that they spell otherwise,
    {"question", "option", "written", "count"}. unnamed: judgments for which the file names nobody although it has a column of annotators.
    preview: nothing was stored.
    """

    file: str
    format: str = ""
    read: int = 0
    imported: int = 0
    items: int = 0
    judgments: int = 0
    by_question: dict[str, int] = field(default_factory=dict)
    gold: int = 0
    drafts: int = 0
    skips: int = 0
    predictions: int = 0
    questions: list[dict[str, Any]] = field(default_factory=list)
    missing_answers: int = 0
    repeated: int = 0
    unnamed: int = 0
    folded: list[dict[str, Any]] = field(default_factory=list)
    preview: bool = False
    skipped: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)

    def add_judgments(self, new: Counter[str]) -> None:
        """Count new judgments by their question."""
        self.judgments += new.total()
        self.by_question = dict(Counter(self.by_question) + new)


class RowErrors:
    """The bad rows of one file: up to `max_bad` are left out; with more, the file is read on only to find all its faults."""

    def __init__(self, file: str, max_bad: int) -> None:
        self.file, self.max_bad = file, max_bad
        self.bad_row_count, self.error_count = 0, 0
        self._first: list[tuple[int, int, UserError]] = []
        self._end: UserError | None = None

    def add(self, number: int, *faults: UserError) -> None:
        """Add the faults of one row, given by its number in the file."""
        self.bad_row_count += 1
        for fault in faults:
            self.error_count += 1
            insort(self._first, (number, self.error_count, fault))
        if self.bad_row_count > self.max_bad:  # up to that, each is listed among the rows left out
            del self._first[_MAX_REPORTED_ERRORS:]

    def set_fatal(self, fault: UserError) -> None:
        """Record a fault after which the rest of the file can't be read."""
        self._end = fault

    def raise_any(self) -> None:
        """Raise the file's only fault, or MultipleFaults with the first of them, when the file can't be imported."""
        if self._end is None and self.bad_row_count <= self.max_bad:
            return
        found = [fault for _, _, fault in self._first][:_MAX_REPORTED_ERRORS]
        if self._end is not None:
            found = [*found[: _MAX_REPORTED_ERRORS - 1], self._end]
        count = self.error_count + (self._end is not None)
        if count == 1:
            raise found[0]
        rows = f"{self.bad_row_count:,} bad row{'s' if self.bad_row_count != 1 else ''}"
        if self._end is None:
            message = f"{count:,} faults in {rows}; nothing of the file was kept"
            hint = f"mend them, or leave the rows out: --max-bad {self.bad_row_count}"
        else:
            message, hint = f"{count:,} faults, after the last of which the file can't be read on; nothing of it was kept", "mend them"
        raise MultipleFaults(message, hint, found, count, where=self.file)

    def list_skipped(self) -> list[dict[str, str]]:
        """Return the rows left out, each with its reasons."""
        by_row: dict[int, list[UserError]] = {}
        for number, _, fault in self._first:
            by_row.setdefault(number, []).append(fault)
        return [{"where": faults[0].where, "reason": "; ".join(fault.message for fault in faults)} for faults in by_row.values()]


class FieldChecks:
    """Collects the faults of the fields of one object, each checked whatever is wrong with the others."""

    def __init__(self) -> None:
        self.errors: list[UserError] = []

    def run(self, check: Callable[..., Any], *values: Any) -> Any:
        """Return what a check makes of values; None where it finds one or more faults."""
        try:
            return check(*values)
        except UserError as error:
            self.errors += list_errors(error)
            return None

    def raise_any(self) -> None:
        """Raise the only fault, or MultipleFaults, where there are any."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise MultipleFaults(f"{len(self.errors)} faults", "mend them", self.errors, len(self.errors))


def list_errors(error: UserError) -> Sequence[UserError]:
    """Return an error by itself, or each of several that were found at once."""
    return error.faults if isinstance(error, MultipleFaults) else [error]


class NumberedRow(NamedTuple):
    """One row to import: its number among the rows of its file, its place for messages, and its fields."""

    number: int
    where: str
    row: dict[str, Any]


class ImportRowReader:
    """Reads the rows of a file in order; a row that its format finds wrong is recorded as bad, and counted as read."""

    def __init__(self, faulty: RowErrors) -> None:
        self.row_count, self._faulty = 0, faulty

    def on_error(self, fault: UserError) -> None:
        """Record a bad row that the format's reader reports."""
        self.row_count += 1
        self._faulty.add(self.row_count, fault)

    def iterate_rows(self, rows: FormatReader) -> Iterator[NumberedRow]:
        """Yield rows with their places, up to the end or to a fault after which the file can't be read on."""
        while True:
            try:
                row = next(rows, None)
            except UserError as fault:
                self._faulty.set_fatal(fault)
                return
            if row is None:
                return
            self.row_count += 1
            yield NumberedRow(self.row_count, rows.where, row)
