"""Rows of other tools into the project: items with all that people said of them and models guessed (`formats.interchange`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from preceptor.domain import Item, Question
from preceptor.errors import UserError
from preceptor.project.contents import CONTENT_FIELDS, item_from
from preceptor.project.entries import name_from
from preceptor.project.importing.answer_parsing import AnswerParser
from preceptor.project.importing.keys import Keys, Twins
from preceptor.project.importing.nested import SAID, without_empty_cells
from preceptor.project.importing.questions import Survey, settle
from preceptor.project.importing.report import Faulty, ImportReport, Placed, faults_of
from preceptor.project.importing.said import Said, judgment_from, prediction_from
from preceptor.project.importing.tables import add_items, meet
from preceptor.questions import kinds
from preceptor.questions.label_spelling import spelling_groups
from preceptor.store import asides, gold, items, journal, questions, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection


class _Parsed(NamedTuple):
    """A row that is well formed. item: None where it is about one that is there, by its id."""

    number: int
    where: str
    id: str
    item: Item | None
    said: tuple[Said, ...]


class Interchange:
    """Rows with judgments on their way into one transaction."""

    def __init__(
        self,
        connection: Connection,
        project: Project,
        report: ImportReport,
        faulty: Faulty,
        survey: Survey,
        question: str | None,
        answers: AnswerParser,
        *,
        in_cells: bool = False,
    ) -> None:
        self.connection, self.project, self.report, self.faulty = connection, project, report, faulty
        self.answers = answers
        self.in_cells = in_cells  # whether the file is a table of texts, where what a row lacks is an empty cell
        self.least = project.config.guidance.least
        try:
            self.asked, made = settle(connection, survey, question, self.least, fold=answers.fold)
        except UserError as error:
            place = ", ".join(filter(None, (report.file, error.where)))
            raise UserError(error.message, error.hint, where=place) from None
        report.questions += [_as_document(each) for each in made]
        self.roots = [pk for pk, each in questions.active(connection) if not each.purpose and not each.follows]
        self.keys, self.twins = Keys(report.file), Twins()
        self.people: dict[str, int] = {}
        self.left_out: Counter[str] = Counter()
        self.known: dict[tuple[int, int], Any] = {}  # answers known so far, to tell where the file knows two

    def take(self, batch: Sequence[Placed]) -> None:
        """Keep one batch of rows."""
        contents = items.contents(self.connection, {str(each.row.get("id")).strip() for each in batch if not _has_content(each.row)})
        parsed = [found for placed in batch if (found := self._parse(placed, contents)) is not None]
        refused = self._add([each for each in parsed if each.item is not None])
        places = items.keys(self.connection, {each.id for each in parsed})
        kept = [each for each in parsed if each.number not in refused and each.id in places]
        self._judge(kept, places)
        self._lay_aside(kept, places)

    def finish(self) -> None:
        """Say what was made of the whole file, and what of it was left out."""
        for made in self.report.questions:
            options = (
                f" with {', '.join(map(str, made['options'][:8]))}{', …' if len(made['options']) > 8 else ''}" if made["options"] else ""
            )
            self.report.warnings.append(f"the question {made['name']!r} was made from the file: {made['kind']}{options}")
            if several := spelling_groups({str(option): 1 for option in made["options"]}):
                found = "; ".join(", ".join(map(repr, group)) for group in several.values())
                self.report.warnings.append(f"options that differ only in capitals or spaces: {found}; --fold takes them as one")
        if self.left_out:
            names = ", ".join(f"{name} ({count:,})" for name, count in self.left_out.most_common())
            self.report.warnings.append(f"judgments of other questions left out: {names}; import them with --question NAME")

    def _parse(self, placed: Placed, contents: Mapping[str, Any]) -> _Parsed | None:
        faults: list[UserError] = []
        item, id_, content = None, "", None
        try:
            item, id_, content = self._item(placed, contents)
        except UserError as error:  # what is wrong with its judgments is told too
            faults.append(error)
        said = []
        for field in SAID:
            for at, given in enumerate(_list(placed.row, field, placed.where, faults)):
                try:
                    judged = field == "judgments"
                    found = judgment_from(given, at, self.asked, content, self.answers) if judged else prediction_from(given, self.asked)
                except UserError as error:
                    place = f"{placed.where}, {field}[{at}]"
                    faults += [_at(fault, f"{place}.{fault.where}" if fault.where else place) for fault in faults_of(error)]
                    continue
                if found is not None:
                    said.append(found)
                else:
                    self.left_out[str(given.get("question"))] += 1
        if faults:
            self.faulty.note(placed.number, *faults)
            return None
        self.report.missing_answers += item is None and not said
        return _Parsed(placed.number, placed.where, id_, item, tuple(said))

    def _item(self, placed: Placed, contents: Mapping[str, Any]) -> tuple[Item | None, str, Mapping[str, Any] | None]:
        row = {name: value for name, value in placed.row.items() if name not in SAID}
        row = without_empty_cells(row) if self.in_cells else row
        if _has_content(row):
            item = item_from(row, where=placed.where)
            item = self.twins.own(item) if row.get("id") in (None, "") else item
            return item, item.id, item.content
        id_ = name_from(row.get("id"), "id", placed.where)
        if id_ not in contents:
            if not id_:
                raise UserError("the row has neither content nor the id of an item", "give it one of them", where=placed.where)
            raise UserError(f"judgments of an unknown item {id_!r}", "import the items first, or mend the id", where=placed.where)
        return None, id_, contents[id_]

    def _add(self, new: Sequence[_Parsed]) -> set[int]:
        """Add items and open their slots; the numbers of rows whose items are there with other content."""
        placed = [(each.number, each.where, each.item) for each in new if each.item is not None]
        added, refused = add_items(self.connection, placed, self.faulty)
        self.report.items += added
        keys = items.keys(self.connection, {each.id for each in new})
        for pk in self.roots:
            slots.open_for(self.connection, pk, ((key, id_) for id_, key in keys.items()), wanted=self.least)
        return refused

    def _judge(self, rows: Sequence[_Parsed], places: Mapping[str, int]) -> None:
        judged = [
            (row.id, said, self.keys.annotator(said.by, row.id, said.asked.name))
            for row in rows
            for said in row.said
            if said.kind == "judgment"
        ]
        self.people |= meet(self.connection, {who for _, _, who in judged} - self.people.keys())
        named = {self.keys.judgment(said.asked, id_, who, said.answer): (id_, said, who) for id_, said, who in judged}
        added = journal.record(
            self.connection,
            (
                journal.Recorded(places[id_], said.question, self.people[who], said.answer, said.seconds, key, said.created, said.document)
                for key, (id_, said, who) in named.items()
            ),
        )
        self.report.count(Counter(named[key][1].asked.name for key in added))
        self.report.repeated += len(named) - len(added)
        self._know([(places[id_], said) for key, (id_, said, _) in named.items() if key in added and said.gold])

    def _lay_aside(self, rows: Sequence[_Parsed], places: Mapping[str, int]) -> None:
        new: dict[str, tuple[Said, asides.Aside]] = {}
        for row in rows:
            for said in row.said:
                if said.kind != "judgment":
                    by = said.by if said.kind in ("prediction", "gold") else self.keys.annotator(said.by, row.id, said.asked.name)
                    key = self.keys.aside(said.kind, said.asked, row.id, by, said.document or {})
                    new[key] = said, asides.Aside(places[row.id], said.question, said.kind, by, said.document or {}, key)
        added = asides.add(self.connection, (aside for _, aside in new.values()))
        counts = Counter(said.kind for key, (said, _) in new.items() if key in added)
        self.report.drafts += counts["draft"]
        self.report.skips += counts["skipped"]
        self.report.predictions += counts["prediction"]
        self._know([(aside.item, said) for key, (said, aside) in new.items() if key in added and said.gold])

    def _know(self, answers: Sequence[tuple[int, Said]]) -> None:
        """Keep known answers; the last that the file gives for an item stands."""
        by_question: dict[int, dict[int, tuple[Any, str]]] = {}
        for item, said in answers:
            known = kinds.get(said.asked.kind).parse_consensus(said.asked, kinds.get(said.asked.kind).stands_for(said.asked, said.answer))
            if self.known.setdefault((item, said.question), known) != known:
                self.report.warnings.append(
                    f"an item has two known answers to {said.asked.name!r}, {self.known[item, said.question]!r:.40} and {known!r:.40}"
                )
            note = (said.document or {}).get("note", "")
            by_question.setdefault(said.question, {})[item] = (known, note)
        for question, known_answers in by_question.items():
            gold.put(self.connection, question, known_answers)
            self.report.gold += len(known_answers)


def _at(fault: UserError, where: str) -> UserError:
    return UserError(fault.message, fault.hint, where=where)


def _has_content(row: Mapping[str, Any]) -> bool:
    return any(row.get(name) is not None for name in CONTENT_FIELDS)


def _list(row: Mapping[str, Any], field: str, where: str, faults: list[UserError]) -> Sequence[Any]:
    given = row.get(field)
    if given in (None, "") or isinstance(given, list):
        return given or ()
    faults.append(
        UserError(f"{field} must be a list, not {given!r:.60}", f'"{field}": [{{"question": …, "answer": …}}]', where=f"{where}, {field}")
    )
    return ()


def _as_document(question: Question) -> dict[str, Any]:
    return {"name": question.name, "kind": question.kind, "options": list(question.options), "settings": dict(question.settings)}
