"""Answers that a model isn't sure of, given by people in its place: asked for, waited for, returned, and learnt from.

A person's answer is a judgment like any other, kept through any crash; that a caller has it is only noted. So a deferral is
read from the judgments each time that somebody asks for it, and nothing has to run between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from preceptor.errors import NotFound, UserError
from preceptor.project.access import Visitor, owns
from preceptor.project.live.questions import MOST, choice_question, live_question, put_item, to_choose, to_write
from preceptor.project.scrubbing import scrub
from preceptor.store import Connection, deferrals, events, items, slots
from preceptor.store.connection import now

if TYPE_CHECKING:
    from preceptor.project.project import Project

QUESTION = "live-answer"
LONGEST = 7 * 86400.0  # seconds that a caller may wait


@dataclass(frozen=True, slots=True)
class Deferral:
    """An answer that a person gives. status: waiting, answered (then `text` is theirs), expired, cancelled; times are Unix seconds."""

    id: str
    answer: str
    status: str
    model: str
    confidence: float | None
    text: str | None
    created: float
    deadline: float
    answered: float | None

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> Self:
        """From its row."""
        document = row["document"]
        told = document["model"], document["confidence"], document.get("text")
        return cls(row["id"], row["answer"], row["status"], *told, row["created"], row["deadline"], row["answered"])

    def to_dict(self) -> dict[str, Any]:
        """As a caller sees it."""
        moments = {name: None if value is None else int(value) for name, value in self._moments.items()}
        told = {"model": self.model, "confidence": self.confidence, "text": self.text}
        return {"id": self.id, "object": "deferral", "answer": self.answer, "status": self.status, **told, **moments}

    @property
    def _moments(self) -> dict[str, float | None]:
        return {"created": self.created, "deadline": self.deadline, "answered": self.answered}


class Deferrals:
    """The deferred answers of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def defer(
        self,
        answer: str,
        model: str,
        turns: Sequence[Mapping[str, str]],
        draft: str,
        confidence: float | None,
        credential: int,
        seconds: float,
        *,
        sources: Sequence[Mapping[str, str]] = (),
        choices: Sequence[str] = (),
        held: bool = False,
    ) -> str:
        """Have a person answer in a model's place, within so many seconds; the deferral's id. The same answer again is the same deferral.

        answer: the id under which the caller knows it. turns: the conversation (role and content), draft: what the model would say;
        personal data are taken out of what people see, unless [serving] scrub is off. sources: {"title", "text"}, shown beside it.
        choices: the answers that a classification model chooses among (`turns` is then one text): the person gives one of them, to the
        question that it was trained on; the draft is a guess, seen where [people] suggestions is on. credential: whose it is.
        held: whether the caller holds the line, until `let_go`; people see those before all others.
        UserError where the time isn't above zero, or longer than a week.
        """
        if not 0 < seconds <= LONGEST:
            raise UserError(f"a person has some seconds to answer, up to {LONGEST:.0f}, not {seconds:g}", "3600 is an hour")
        id_ = _id(answer)
        about = {"model": model, "confidence": confidence}
        learnt = self._learnt(model) if choices else ""
        with self.project.database.writing() as connection:
            clean = scrub(self.project, connection)
            shown = [{"role": turn["role"], "content": clean(turn["content"])} for turn in turns]
            item_id, told = f"deferred-{answer}", {"answer": answer, **about}
            if choices:
                question, asked = choice_question(connection, self.project, learnt, model, choices)
                item = to_choose(item_id, shown[0]["content"], asked.purpose, {**told, "suggestions": {asked.name: draft}})
            else:
                question, _ = live_question(connection, self.project, QUESTION)
                beside = {"sources": [{name: clean(text) for name, text in source.items()} for source in sources]} if sources else {}
                item = to_write(item_id, shown, clean(draft), beside, told)
            key = put_item(connection, question, item, wanted=1, priority=MOST + held)
            row = {"id": id_, "answer": answer, "item": key, "question": question, "credential": credential, "document": about}
            if deferrals.add(connection, {**row, "deadline": now() + seconds}):
                events.record(connection, "answer deferred", {"deferral": id_, "item": item.id, **about})
        return id_

    def get(self, id_: str, visitor: Visitor | None = None) -> Deferral:
        """How it stands now. visitor: who asks, None: the project itself; NotFound when it is another's, as when there is none."""
        with self.project.database.reading() as connection:
            row = deferrals.get(connection, id_)
            changed = row["status"] == "waiting" and (now() > row["deadline"] or self._given(connection, row) is not None)
            if visitor is not None and not owns(connection, visitor, row["credential"]):
                raise deferrals.unknown(id_)
        return self._settled(id_) if changed else Deferral.of(row)

    def of_answer(self, answer: str) -> Deferral | None:
        """That of an answer, by its id; None where the answer wasn't left to a person."""
        try:
            return self.get(_id(answer))
        except NotFound:
            return None

    def answered(self, ids: Sequence[str]) -> dict[str, str]:
        """People's answers that have come in time, of these deferrals: one query for all, and a settling for each answer."""
        with self.project.database.reading() as connection:
            come = deferrals.come(connection, ids)
        return {id_: text for id_ in come if (text := self._settled(id_).text) is not None}

    def answer_of(self, id_: str) -> str | None:
        """The person's answer; None while there is none, or when it came too late for the caller."""
        return self.get(id_).text

    def let_go(self, id_: str) -> None:
        """The caller holds the line no longer, and comes back for the answer."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            slots.prioritise(connection, row["question"], {items.by_key(connection, row["item"]).id: MOST})

    def cancel(self, id_: str, *, by: str) -> Deferral:
        """Nobody waits for it any more: people aren't asked, unless one has it in hand. One that has ended stays as it is."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            if deferrals.settle(connection, id_, "cancelled", row["document"]):
                self._stop(connection, row)
                events.record(connection, "deferral cancelled", {"deferral": id_}, actor=by)
            return Deferral.of(deferrals.get(connection, id_))

    def tidy(self) -> int:
        """End those that were answered, and those whose time is over, so that people aren't asked about them; how many."""
        with self.project.database.reading() as connection:
            ripe = deferrals.ripe(connection)
        return len([self._settled(id_) for id_ in ripe])

    def _settled(self, id_: str) -> Deferral:
        """With the answer that a person has given in time; else, when the time is over, expired."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            found = self._given(connection, row)
            if found is not None and found[2] <= row["deadline"]:
                text = found[0]["text"] if isinstance(found[0], Mapping) else str(found[0])
                document = {**row["document"], "text": text, "by": found[1]}
                deferrals.settle(connection, id_, "answered", document, answered=found[2])
            elif now() > row["deadline"] and deferrals.settle(connection, id_, "expired", row["document"]):
                self._stop(connection, row)
                events.record(connection, "deferral expired", {"deferral": id_})
            return Deferral.of(deferrals.get(connection, id_))

    def _learnt(self, model: str) -> str:
        """The name of the question that a model was trained on."""
        return str(self.project.load_snapshot(self.project.model(model).manifest["snapshot"]).question["name"])

    @staticmethod
    def _given(connection: Connection, row: Mapping[Any, Any]) -> tuple[Any, str, float] | None:
        return deferrals.given(connection, row["item"], row["question"])

    @staticmethod
    def _stop(connection: Connection, row: Mapping[Any, Any]) -> None:
        slots.want(connection, row["question"], {items.by_key(connection, row["item"]).id: 0})


def _id(answer: str) -> str:
    """One an answer, known to nobody who doesn't know the answer's."""
    return f"deferral-{hashlib.sha256(answer.encode(errors='replace')).hexdigest()[:24]}"
