"""Answers that a model isn't sure of, given by people in its place: asked for, waited for, returned, and learnt from.

A person's answer is a judgment like any other, kept through any crash; that a caller has it is only noted. So a deferral is
read from the judgments each time that somebody asks for it, and nothing has to run between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from preceptor.annotation.access_control import AuthenticatedVisitor, is_owned_by
from preceptor.errors import NotFoundError, UserError
from preceptor.monitoring.live_questions import (
    MAX_PRIORITY,
    get_choice_question,
    get_live_question,
    make_choice_item,
    make_write_item,
    open_item_slot,
)
from preceptor.storage import Connection, deferrals, events, items, slots
from preceptor.storage.connection import now
from preceptor.workspace import text_redactor

if TYPE_CHECKING:
    from preceptor.project import Project


_ANSWER_QUESTION = "live-answer"
_MAX_WAIT_SECONDS = 7 * 86400.0  # seconds that a caller may wait


@dataclass(frozen=True, slots=True)
class DeferredAnswer:
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
    def from_row(cls, row: Mapping[Any, Any]) -> Self:
        """From its row."""
        document = row["document"]
        told = document["model"], document["confidence"], document.get("text")
        return cls(row["id"], row["answer"], row["status"], *told, row["created"], row["deadline"], row["answered"])

    def to_dict(self) -> dict[str, Any]:
        """As a caller sees it."""
        moments = {name: None if value is None else int(value) for name, value in self._timestamps.items()}
        told = {"model": self.model, "confidence": self.confidence, "text": self.text}
        return {"id": self.id, "object": "deferral", "answer": self.answer, "status": self.status, **told, **moments}

    @property
    def _timestamps(self) -> dict[str, float | None]:
        return {"created": self.created, "deadline": self.deadline, "answered": self.answered}


class DeferredAnswers:
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
        if not 0 < seconds <= _MAX_WAIT_SECONDS:
            raise UserError(f"a person has some seconds to answer, up to {_MAX_WAIT_SECONDS:.0f}, not {seconds:g}", "3600 is an hour")
        id_ = _deferral_id(answer)
        about = {"model": model, "confidence": confidence}
        learnt = self._training_question(model) if choices else ""
        with self.project.database.writing() as connection:
            clean = text_redactor(self.project, connection)
            shown = [{"role": turn["role"], "content": clean(turn["content"])} for turn in turns]
            item_id, told = f"deferred-{answer}", {"answer": answer, **about}
            if choices:
                question, asked = get_choice_question(connection, self.project, learnt, model, choices)
                item = make_choice_item(item_id, shown[0]["content"], asked.purpose, {**told, "suggestions": {asked.name: draft}})
            else:
                question, _ = get_live_question(connection, self.project, _ANSWER_QUESTION)
                beside = {"sources": [{name: clean(text) for name, text in source.items()} for source in sources]} if sources else {}
                item = make_write_item(item_id, shown, clean(draft), beside, told)
            key = open_item_slot(connection, question, item, wanted=1, priority=MAX_PRIORITY + held)
            row = {"id": id_, "answer": answer, "item": key, "question": question, "credential": credential, "document": about}
            if deferrals.add(connection, {**row, "deadline": now() + seconds}):
                events.record_event(connection, "answer deferred", {"deferral": id_, "item": item.id, **about})
        return id_

    def get(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> DeferredAnswer:
        """How it stands now. visitor: who asks, None: the project itself; NotFound when it is another's, as when there is none."""
        with self.project.database.reading() as connection:
            row = deferrals.get(connection, id_)
            changed = row["status"] == "waiting" and (now() > row["deadline"] or self._find_answer(connection, row) is not None)
            if visitor is not None and not is_owned_by(connection, visitor, row["credential"]):
                raise deferrals.deferral_not_found(id_)
        return self._finalize(id_) if changed else DeferredAnswer.from_row(row)

    def find_by_answer(self, answer: str) -> DeferredAnswer | None:
        """That of an answer, by its id; None where the answer wasn't left to a person."""
        try:
            return self.get(_deferral_id(answer))
        except NotFoundError:
            return None

    def list_answered(self, ids: Sequence[str]) -> dict[str, str]:
        """People's answers that have come in time, of these deferrals: one query for all, and a settling for each answer."""
        with self.project.database.reading() as connection:
            come = deferrals.filter_answered(connection, ids)
        return {id_: text for id_ in come if (text := self._finalize(id_).text) is not None}

    def get_answer_text(self, id_: str) -> str | None:
        """The person's answer; None while there is none, or when it came too late for the caller."""
        return self.get(id_).text

    def release_connection(self, id_: str) -> None:
        """The caller holds the line no longer, and comes back for the answer."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            slots.set_priorities(connection, row["question"], {items.by_key(connection, row["item"]).id: MAX_PRIORITY})

    def cancel(self, id_: str, *, by: str) -> DeferredAnswer:
        """Nobody waits for it any more: people aren't asked, unless one has it in hand. One that has ended stays as it is."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            if deferrals.finalize(connection, id_, "cancelled", row["document"]):
                self._close_slot(connection, row)
                events.record_event(connection, "deferral cancelled", {"deferral": id_}, actor=by)
            return DeferredAnswer.from_row(deferrals.get(connection, id_))

    def finalize_due(self) -> int:
        """End those that were answered, and those whose time is over, so that people aren't asked about them; how many."""
        with self.project.database.reading() as connection:
            ripe = deferrals.list_due(connection)
        return len([self._finalize(id_) for id_ in ripe])

    def _finalize(self, id_: str) -> DeferredAnswer:
        """With the answer that a person has given in time; else, when the time is over, expired."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            found = self._find_answer(connection, row)
            if found is not None and found[2] <= row["deadline"]:
                text = found[0]["text"] if isinstance(found[0], Mapping) else str(found[0])
                document = {**row["document"], "text": text, "by": found[1]}
                deferrals.finalize(connection, id_, "answered", document, answered=found[2])
            elif now() > row["deadline"] and deferrals.finalize(connection, id_, "expired", row["document"]):
                self._close_slot(connection, row)
                events.record_event(connection, "deferral expired", {"deferral": id_})
            return DeferredAnswer.from_row(deferrals.get(connection, id_))

    def _training_question(self, model: str) -> str:
        """The name of the question that a model was trained on."""
        return str(self.project.load_snapshot(self.project.model(model).manifest["snapshot"]).question["name"])

    @staticmethod
    def _find_answer(connection: Connection, row: Mapping[Any, Any]) -> tuple[Any, str, float] | None:
        return deferrals.find_human_answer(connection, row["item"], row["question"])

    @staticmethod
    def _close_slot(connection: Connection, row: Mapping[Any, Any]) -> None:
        slots.set_target_counts(connection, row["question"], {items.by_key(connection, row["item"]).id: 0})


def _deferral_id(answer: str) -> str:
    """One an answer, known to nobody who doesn't know the answer's."""
    return f"deferral-{hashlib.sha256(answer.encode(errors='replace')).hexdigest()[:24]}"
