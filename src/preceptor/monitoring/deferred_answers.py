"""Defer answers of low confidence to people, who answer in the model's place; callers wait for them or fetch them later.

A person's answer is a judgment like any other, stored durably; that a caller received it is only noted. So the state of a deferral is
derived from the judgments whenever somebody asks for it, and no background process is needed.
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
_MAX_WAIT_SECONDS = 7 * 86400.0  # seconds: the longest time that a deferral may wait


@dataclass(frozen=True, slots=True)
class DeferredAnswer:
    """An answer that a person gives in a model's place.

    status: waiting, answered (then `text` is the person's), expired, cancelled. answer: the id of the response. confidence: the model's.
    created, deadline, answered: Unix seconds.
    """

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
        """Build a deferred answer from its row."""
        document = row["document"]
        told = document["model"], document["confidence"], document.get("text")
        return cls(row["id"], row["answer"], row["status"], *told, row["created"], row["deadline"], row["answered"])

    def to_dict(self) -> dict[str, Any]:
        """Return the deferral as the JSON object that a caller receives."""
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
        """Have a person answer in a model's place within so many seconds; return the deferral's id, the same for the same answer.

        answer: the id under which the caller knows it. turns: the conversation (role and content). draft: what the model would answer.
        Personal data are removed from what people see, unless [serving] redact_pii is off. sources: {"title", "text"}, shown beside it.
        choices: the answers of a classification model (`turns` is then one text): the person chooses one of them, for the question that
        the model was trained on; the draft is a suggestion, shown where [annotators] suggestions is on. credential: the caller's. held:
        whether the caller keeps the connection open, until `release_connection`; people see those first. Raises UserError where the time
        isn't above zero, or is longer than a week.
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
            key = open_item_slot(connection, question, item, target_count=1, priority=MAX_PRIORITY + held)
            row = {"id": id_, "answer": answer, "item": key, "question": question, "credential": credential, "document": about}
            if deferrals.add(connection, {**row, "deadline": now() + seconds}):
                events.record_event(connection, "answer deferred", {"deferral": id_, "item": item.id, **about})
        return id_

    def get(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> DeferredAnswer:
        """Return a deferral in its present state. visitor: who asks; None: the project itself.

        Raises NotFoundError where there is none, or it belongs to somebody else.
        """
        with self.project.database.reading() as connection:
            row = deferrals.get(connection, id_)
            changed = row["status"] == "waiting" and (now() > row["deadline"] or self._find_answer(connection, row) is not None)
            if visitor is not None and not is_owned_by(connection, visitor, row["credential"]):
                raise deferrals.deferral_not_found(id_)
        return self._finalize(id_) if changed else DeferredAnswer.from_row(row)

    def find_by_answer(self, answer: str) -> DeferredAnswer | None:
        """Return the deferral of an answer, by the answer's id; None where the answer wasn't deferred."""
        try:
            return self.get(_deferral_id(answer))
        except NotFoundError:
            return None

    def list_answered(self, ids: Sequence[str]) -> dict[str, str]:
        """Return people's answers to these deferrals that came in time, by id: one query for all, and one transaction for each answer."""
        with self.project.database.reading() as connection:
            come = deferrals.filter_answered(connection, ids)
        return {id_: text for id_ in come if (text := self._finalize(id_).text) is not None}

    def get_answer_text(self, id_: str) -> str | None:
        """Return the person's answer; None while there is none, or where it came after the deadline."""
        return self.get(id_).text

    def release_connection(self, id_: str) -> None:
        """Note that the caller no longer keeps the connection open and fetches the answer later: the item gets the usual priority."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            slots.set_priorities(connection, row["question"], {items.by_key(connection, row["item"]).id: MAX_PRIORITY})

    def cancel(self, id_: str, *, by: str) -> DeferredAnswer:
        """Cancel a deferral: nobody is asked any more, unless somebody already works on it. One that has ended stays as it is."""
        with self.project.database.writing() as connection:
            row = deferrals.get(connection, id_)
            if deferrals.finalize(connection, id_, "cancelled", row["document"]):
                self._close_slot(connection, row)
                events.record_event(connection, "deferral cancelled", {"deferral": id_}, actor=by)
            return DeferredAnswer.from_row(deferrals.get(connection, id_))

    def finalize_due(self) -> int:
        """End the deferrals that were answered or whose deadline is over, so that nobody is asked about them; return their number."""
        with self.project.database.reading() as connection:
            ripe = deferrals.list_due(connection)
        return len([self._finalize(id_) for id_ in ripe])

    def _finalize(self, id_: str) -> DeferredAnswer:
        """End a deferral with the answer that a person gave in time, or as expired where the deadline is over."""
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
        """Return the name of the question that a model was trained on."""
        return str(self.project.load_snapshot(self.project.model(model).manifest["snapshot"]).question["name"])

    @staticmethod
    def _find_answer(connection: Connection, row: Mapping[Any, Any]) -> tuple[Any, str, float] | None:
        return deferrals.find_human_answer(connection, row["item"], row["question"])

    @staticmethod
    def _close_slot(connection: Connection, row: Mapping[Any, Any]) -> None:
        slots.set_target_counts(connection, row["question"], {items.by_key(connection, row["item"]).id: 0})


def _deferral_id(answer: str) -> str:
    """Return the deferral's id, one per answer, which only who knows the answer's id can compute."""
    return f"deferral-{hashlib.sha256(answer.encode(errors='replace')).hexdigest()[:24]}"
