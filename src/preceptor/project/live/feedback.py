"""What people who use a model say of its answers, and what becomes of it: items with the right question, by what they are worth.

Feedback is biased: who says something isn't like who doesn't. It teaches, and it says where to look first; quality is measured by
answers drawn by chance (`stream`). What customers say is their judgment, of a kind of annotator of its own, whose
reliability the consensus finds out like anybody's.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from preceptor.domain import Annotator
from preceptor.errors import Conflict, UserError
from preceptor.project.access import Visitor
from preceptor.project.config import CUSTOMERS
from preceptor.project.live.deferring import Deferrals
from preceptor.project.live.kept import AnswersKept, Kept
from preceptor.project.live.questions import (
    BAD,
    GOOD,
    MOST,
    Chosen,
    choice_question,
    chosen_among,
    live_question,
    put_item,
    storable,
    to_choose,
    to_write,
)
from preceptor.project.live.stream import CUSTOMER, rated_item
from preceptor.project.scrubbing import scrub
from preceptor.questions import kinds
from preceptor.store import Connection, feedback, journal, people, slots

if TYPE_CHECKING:
    from preceptor.project.project import Project

KINDS = ("thumb", "stars", "correction", "text")
LONGEST, LONGEST_KEY = 20_000, 200  # characters
USUAL = 0.6  # how good an answer is taken to be that nothing is known of
ASKED = 0.5  # how much somebody's word must surprise for a person to look at it too
COMMENT = "What was said of the response"


class Feedback:
    """What is said of the answers of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def give(
        self, answer: str, kind: str, said: Any, *, by: str, key: str | None = None, visitor: Visitor | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Keep what somebody says of an answer that is kept; as a document, and whether it is new. It is kept when this returns.

        kind and said: thumb "up" or "down", stars 1 to 5, correction or text a text. by: the program that passes it on. key: theirs;
        the same again counts once, and with something else is a Conflict. visitor: who asks, None: somebody who may. NotFound for an
        answer that isn't kept or is another's, UserError for what can't be said.
        """
        value = _checked(kind, said)
        own = None if key is None else f"{by}/{_key(key)}"
        kept = self.heard(answer, visitor)
        chosen = chosen_among(self.project, kept.model) if kind == "correction" else None
        with self.project.database.writing() as connection:
            clean = scrub(self.project, connection)
            document = {kind: clean(value) if isinstance(value, str) and kind != "thumb" else value}
            row = feedback.add(connection, answer=answer, kind=kind, document=document, by=by, key=own)
            if row is None:
                return _same(connection, str(own), answer, document), False
            feedback.became(connection, row["id"], self._item(connection, kept, row, chosen))
            return _told(row), True

    def heard(self, answer: str, visitor: Visitor | None = None) -> Kept:
        """An answer as its caller heard it: where it was left to a person, theirs, of which the model's confidence says nothing.

        NotFound where it isn't kept or is another's than the visitor's, Conflict while there is no answer yet.
        """
        kept = AnswersKept(self.project).get(answer, visitor)
        deferral = Deferrals(self.project).of_answer(answer)
        if deferral is None:
            return kept
        if deferral.text is None:
            raise Conflict("this answer was left to a person, and there is none yet", f"GET /v1/deferrals/{deferral.id}", where="answer")
        theirs = {**kept.document, "answers": [{"text": deferral.text, "finish": "stop"}]}
        return replace(kept, id=f"{kept.id}-by-a-person", document=theirs, confidence=None, inclusion=0.0)

    def link(self, answer: str) -> str:
        """The path of a page on which who has it may say what they think of an answer."""
        return f"/feedback/{answer}?sign={self._sign(answer)}"

    def is_signed(self, answer: str, sign: str) -> bool:
        """Whether a link to this answer's page is one of ours."""
        return hmac.compare_digest(sign.encode(errors="replace"), self._sign(answer).encode())

    def _sign(self, answer: str) -> str:
        secret = self.project.secret_at_hand()  # anybody may ask for a page, and must keep nobody from writing
        return hmac.new(secret.encode(), f"feedback {answer}".encode(errors="replace"), "sha256").hexdigest()[:32]

    def _item(self, connection: Connection, kept: Kept, row: Mapping[Any, Any], chosen: Chosen | None) -> int:
        """What it becomes; the item's key. chosen: what the model chose among, None of one that writes."""
        customers = Annotator(f"{CUSTOMERS}{row['by']}", "annotator", CUSTOMER)
        people.add(connection, [customers])
        give = _Customers(self.project, connection, people.known_key(connection, customers.id), kept, row)
        become: Mapping[str, Callable[[], int]] = {
            "thumb": give.thumb,
            "stars": give.stars,
            "correction": give.correction if chosen is None else partial(give.choice, chosen),
            "text": give.text,
        }
        return become[row["kind"]]()


class _Customers:
    """Who uses a program, as an annotator, with what they said of one answer."""

    def __init__(self, project: Project, connection: Connection, key: int, kept: Kept, row: Mapping[Any, Any]) -> None:
        self.project, self.connection, self.key, self.kept, self.row = project, connection, key, kept, row
        self.said = row["document"][row["kind"]]

    def thumb(self) -> int:
        """A judgment whether it is good; a person looks too where it surprises."""
        return self._rated("live-good", GOOD if self.said == "up" else BAD, float(self.said == "up"))

    def stars(self) -> int:
        """A judgment of how good it is; a person looks too where it surprises."""
        return self._rated("live-stars", self.said, (self.said - 1) / 4)

    def correction(self) -> int:
        """A target at once, and with the model's answer a pair; a person looks whether it is right."""
        item, question = self._written("corrected", ())
        feedback.ask_one_more(self.connection, question, item)
        self._judge(item, question, "live-answer", {"text": self.said, "from": storable(self.kept.text)})
        return item

    def choice(self, chosen: Chosen) -> int:
        """A judgment of the question that the model was trained on; a person looks whether it is right. UserError for no answer of it."""
        if self.said not in chosen.answers:
            raise UserError(f"{self.said!r:.80} is none of the model's answers", f"one of: {', '.join(chosen.answers)}", where="correction")
        question, asked = choice_question(self.connection, self.project, chosen.question, self.kept.model, chosen.answers)
        about = {"answer": self.kept.id, "model": self.kept.model, "alias": self.kept.alias, "feedback": self.row["id"]}
        id_ = f"corrected-{self.row['id'].removeprefix('feedback-')}"
        item = to_choose(id_, self.kept.turns[0]["content"], asked.purpose, about)
        key = put_item(self.connection, question, item, wanted=2, priority=_level(self._surprise(0.0)))
        self._judge(key, question, asked.name, self.said)
        return key

    def text(self) -> int:
        """Read by a person, who writes what should have been answered."""
        return self._written("commented", ({"title": COMMENT, "text": self.said},))[0]

    def _rated(self, name: str, answer: Any, good: float) -> int:
        item, id_ = rated_item(self.connection, self.project, self.kept)
        question, _ = live_question(self.connection, self.project, name)
        surprise = self._surprise(good)
        slots.open_for(self.connection, question, [(item, id_)], wanted=0, priority=_level(surprise))
        drawn = self.kept.inclusion > 0 and name == "live-good"  # its slot is as it is for all that were drawn
        if surprise >= ASKED and not drawn:
            feedback.ask_one_more(self.connection, question, item, waits=True)
        feedback.ask_one_more(self.connection, question, item)
        self._judge(item, question, name, answer)
        return item

    def _written(self, why: str, beside: tuple[dict[str, str], ...]) -> tuple[int, int]:
        """(item, question), of which one person is asked."""
        question, _ = live_question(self.connection, self.project, "live-answer")
        about = {"answer": self.kept.id, "model": self.kept.model, "alias": self.kept.alias, "feedback": self.row["id"]}
        more = {"sources": list(beside)} if beside else {}
        item = to_write(f"{why}-{self.row['id'].removeprefix('feedback-')}", self.kept.turns, self.kept.text, more, about)
        return put_item(self.connection, question, item, wanted=1, priority=_level(self._surprise(0.0))), question

    def _surprise(self, good: float) -> float:
        """How far what is said of the answer lies from what was thought of it, 0 to 1."""
        return abs(good - (USUAL if self.kept.confidence is None else self.kept.confidence))

    def _judge(self, item: int, question: int, name: str, answer: Any) -> None:
        asked = self.project.asked(self.connection, question)
        parsed = kinds.get(asked.kind).parse(asked, answer)
        journal.judge(self.connection, item, question, self.key, parsed, seconds=None, key=f"{self.row['id']}/{name}")


def _checked(kind: str, said: Any) -> Any:
    if kind not in KINDS:
        raise UserError(f"feedback can't be a {kind!r:.40}", f"kinds: {', '.join(KINDS)}", where="kind")
    if kind == "thumb" and said not in ("up", "down"):
        raise UserError(f"a thumb is up or down, not {said!r:.40}", '{"thumb": "up"}', where="thumb")
    if kind == "stars" and (isinstance(said, bool) or not isinstance(said, int) or not 1 <= said <= 5):
        raise UserError(f"stars are a whole number from 1 to 5, not {said!r:.40}", '{"stars": 4}', where="stars")
    if kind in ("correction", "text"):
        _check_text(kind, said)
    return said


def _check_text(kind: str, said: Any) -> None:
    if not isinstance(said, str) or not said.strip():
        raise UserError(f"the {kind} is empty", "say something, or leave it out", where=kind)
    if len(said) > LONGEST:
        raise UserError(f"the {kind} has {len(said):,} characters, more than {LONGEST:,}", "shorten it", where=kind)
    try:
        said.encode()
    except UnicodeEncodeError:
        raise UserError(f"the {kind} holds half a character", "send whole ones", where=kind) from None


def _key(key: str) -> str:
    if not 0 < len(key) <= LONGEST_KEY or not key.isprintable():
        raise UserError(f"a key has 1 to {LONGEST_KEY} characters that can be printed", "a random one for each thing said", where="key")
    return key


def _level(surprise: float) -> int:
    return 1 + round((MOST - 1) * surprise)


def _same(connection: Connection, key: str, answer: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What was said under a key before; Conflict where that was something else."""
    before = feedback.by_key(connection, key)
    if before is None or (before["answer"], before["document"]) != (answer, document):
        raise Conflict("something else was said under this key", "take a new key for each thing said", where="key")
    return _told(before)


def _told(row: Mapping[Any, Any]) -> dict[str, Any]:
    told = {"id": row["id"], "object": "feedback", "answer": row["answer"], "kind": row["kind"]}
    return {**told, **row["document"], "created": int(row["created"])}
