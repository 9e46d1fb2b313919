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

from preceptor.annotation.access_control import AuthenticatedVisitor
from preceptor.config import CUSTOMERS_PREFIX
from preceptor.errors import ConflictError, UserError
from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.monitoring.live_quality import CUSTOMER_KIND, open_rating_item
from preceptor.monitoring.live_questions import (
    BAD_RATING,
    GOOD_RATING,
    MAX_PRIORITY,
    ClassifierTask,
    find_classifier_task,
    get_choice_question,
    get_live_question,
    make_choice_item,
    make_write_item,
    open_item_slot,
    strip_nul,
)
from preceptor.monitoring.response_log import LoggedResponse, ResponseLog
from preceptor.questions import kinds
from preceptor.storage import Connection, feedback, judgment_log, people, slots
from preceptor.types import Annotator
from preceptor.workspace import text_redactor

if TYPE_CHECKING:
    from preceptor.project import Project


FEEDBACK_KINDS = ("thumb", "stars", "correction", "text")
MAX_FEEDBACK_LENGTH, MAX_FEEDBACK_KEY_LENGTH = 20_000, 200  # characters
_PRIOR_GOOD_SHARE = 0.6  # how good an answer is taken to be that nothing is known of
_REVIEW_SURPRISE = 0.5  # how much somebody's word must surprise for a person to look at it too
COMMENT_TITLE = "What was said of the response"


class UserFeedback:
    """What is said of the answers of one project."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def submit(
        self, answer: str, kind: str, said: Any, *, by: str, key: str | None = None, visitor: AuthenticatedVisitor | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Keep what somebody says of an answer that is kept; as a document, and whether it is new. It is kept when this returns.

        kind and said: thumb "up" or "down", stars 1 to 5, correction or text a text. by: the program that passes it on. key: theirs;
        the same again counts once, and with something else is a Conflict. visitor: who asks, None: somebody who may. NotFound for an
        answer that isn't kept or is another's, UserError for what can't be said.
        """
        value = _check_value(kind, said)
        own = None if key is None else f"{by}/{_check_key(key)}"
        kept = self.get_delivered_response(answer, visitor)
        chosen = find_classifier_task(self.project, kept.model) if kind == "correction" else None
        with self.project.database.writing() as connection:
            clean = text_redactor(self.project, connection)
            document = {kind: clean(value) if isinstance(value, str) and kind != "thumb" else value}
            row = feedback.add(connection, answer=answer, kind=kind, document=document, by=by, key=own)
            if row is None:
                return _find_repeated(connection, str(own), answer, document), False
            feedback.set_item(connection, row["id"], self._create_item(connection, kept, row, chosen))
            return _feedback_document(row), True

    def get_delivered_response(self, answer: str, visitor: AuthenticatedVisitor | None = None) -> LoggedResponse:
        """An answer as its caller heard it: where it was left to a person, theirs, of which the model's confidence says nothing.

        NotFound where it isn't kept or is another's than the visitor's, Conflict while there is no answer yet.
        """
        kept = ResponseLog(self.project).get(answer, visitor)
        deferral = DeferredAnswers(self.project).find_by_answer(answer)
        if deferral is None:
            return kept
        if deferral.text is None:
            raise ConflictError(
                "this answer was left to a person, and there is none yet", f"GET /v1/deferrals/{deferral.id}", where="answer"
            )
        theirs = {**kept.document, "answers": [{"text": deferral.text, "finish": "stop"}]}
        return replace(kept, id=f"{kept.id}-by-a-person", document=theirs, confidence=None, inclusion=0.0)

    def page_path(self, answer: str) -> str:
        """The path of a page on which who has it may say what they think of an answer."""
        return f"/feedback/{answer}?sign={self._signature(answer)}"

    def is_valid_signature(self, answer: str, sign: str) -> bool:
        """Whether a link to this answer's page is one of ours."""
        return hmac.compare_digest(sign.encode(errors="replace"), self._signature(answer).encode())

    def _signature(self, answer: str) -> str:
        secret = self.project.cached_secret()  # anybody may ask for a page, and must keep nobody from writing
        return hmac.new(secret.encode(), f"feedback {answer}".encode(errors="replace"), "sha256").hexdigest()[:32]

    def _create_item(self, connection: Connection, kept: LoggedResponse, row: Mapping[Any, Any], chosen: ClassifierTask | None) -> int:
        """What it becomes; the item's key. chosen: what the model chose among, None of one that writes."""
        customers = Annotator(f"{CUSTOMERS_PREFIX}{row['by']}", "annotator", CUSTOMER_KIND)
        people.add(connection, [customers])
        give = _CustomerFeedback(self.project, connection, people.get_key(connection, customers.id), kept, row)
        become: Mapping[str, Callable[[], int]] = {
            "thumb": give.add_thumb,
            "stars": give.add_stars,
            "correction": give.add_correction if chosen is None else partial(give.add_choice, chosen),
            "text": give.add_comment,
        }
        return become[row["kind"]]()


class _CustomerFeedback:
    """Who uses a program, as an annotator, with what they said of one answer."""

    def __init__(self, project: Project, connection: Connection, key: int, kept: LoggedResponse, row: Mapping[Any, Any]) -> None:
        self.project, self.connection, self.key, self.response, self.row = project, connection, key, kept, row
        self.value = row["document"][row["kind"]]

    def add_thumb(self) -> int:
        """A judgment whether it is good; a person looks too where it surprises."""
        return self._add_rating("live-good", GOOD_RATING if self.value == "up" else BAD_RATING, float(self.value == "up"))

    def add_stars(self) -> int:
        """A judgment of how good it is; a person looks too where it surprises."""
        return self._add_rating("live-stars", self.value, (self.value - 1) / 4)

    def add_correction(self) -> int:
        """A target at once, and with the model's answer a pair; a person looks whether it is right."""
        item, question = self._open_write_item("corrected", ())
        feedback.request_one_more(self.connection, question, item)
        self._add_judgment(item, question, "live-answer", {"text": self.value, "from": strip_nul(self.response.text)})
        return item

    def add_choice(self, chosen: ClassifierTask) -> int:
        """A judgment of the question that the model was trained on; a person looks whether it is right. UserError for no answer of it."""
        if self.value not in chosen.answers:
            raise UserError(
                f"{self.value!r:.80} is none of the model's answers", f"one of: {', '.join(chosen.answers)}", where="correction"
            )
        question, asked = get_choice_question(self.connection, self.project, chosen.question, self.response.model, chosen.answers)
        about = {"answer": self.response.id, "model": self.response.model, "alias": self.response.alias, "feedback": self.row["id"]}
        id_ = f"corrected-{self.row['id'].removeprefix('feedback-')}"
        item = make_choice_item(id_, self.response.messages[0]["content"], asked.purpose, about)
        key = open_item_slot(self.connection, question, item, wanted=2, priority=_surprise_priority(self._surprise(0.0)))
        self._add_judgment(key, question, asked.name, self.value)
        return key

    def add_comment(self) -> int:
        """Read by a person, who writes what should have been answered."""
        return self._open_write_item("commented", ({"title": COMMENT_TITLE, "text": self.value},))[0]

    def _add_rating(self, name: str, answer: Any, good: float) -> int:
        item, id_ = open_rating_item(self.connection, self.project, self.response)
        question, _ = get_live_question(self.connection, self.project, name)
        surprise = self._surprise(good)
        slots.open_slots(self.connection, question, [(item, id_)], wanted=0, priority=_surprise_priority(surprise))
        drawn = self.response.inclusion > 0 and name == "live-good"  # its slot is as it is for all that were drawn
        if surprise >= _REVIEW_SURPRISE and not drawn:
            feedback.request_one_more(self.connection, question, item, waits=True)
        feedback.request_one_more(self.connection, question, item)
        self._add_judgment(item, question, name, answer)
        return item

    def _open_write_item(self, why: str, beside: tuple[dict[str, str], ...]) -> tuple[int, int]:
        """(item, question), of which one person is asked."""
        question, _ = get_live_question(self.connection, self.project, "live-answer")
        about = {"answer": self.response.id, "model": self.response.model, "alias": self.response.alias, "feedback": self.row["id"]}
        more = {"sources": list(beside)} if beside else {}
        item = make_write_item(f"{why}-{self.row['id'].removeprefix('feedback-')}", self.response.messages, self.response.text, more, about)
        return open_item_slot(self.connection, question, item, wanted=1, priority=_surprise_priority(self._surprise(0.0))), question

    def _surprise(self, good: float) -> float:
        """How far what is said of the answer lies from what was thought of it, 0 to 1."""
        return abs(good - (_PRIOR_GOOD_SHARE if self.response.confidence is None else self.response.confidence))

    def _add_judgment(self, item: int, question: int, name: str, answer: Any) -> None:
        asked = self.project.question_by_key(self.connection, question)
        parsed = kinds.get(asked.kind).parse(asked, answer)
        judgment_log.add_judgment(self.connection, item, question, self.key, parsed, seconds=None, key=f"{self.row['id']}/{name}")


def _check_value(kind: str, said: Any) -> Any:
    if kind not in FEEDBACK_KINDS:
        raise UserError(f"feedback can't be a {kind!r:.40}", f"kinds: {', '.join(FEEDBACK_KINDS)}", where="kind")
    if kind == "thumb" and said not in ("up", "down"):
        raise UserError(f"a thumb is up or down, not {said!r:.40}", '{"thumb": "up"}', where="thumb")
    if kind == "stars" and (isinstance(said, bool) or not isinstance(said, int) or not 1 <= said <= 5):
        raise UserError(f"stars are a whole number from 1 to 5, not {said!r:.40}", '{"stars": 4}', where="stars")
    if kind in ("correction", "text"):
        _check_feedback_text(kind, said)
    return said


def _check_feedback_text(kind: str, said: Any) -> None:
    if not isinstance(said, str) or not said.strip():
        raise UserError(f"the {kind} is empty", "say something, or leave it out", where=kind)
    if len(said) > MAX_FEEDBACK_LENGTH:
        raise UserError(f"the {kind} has {len(said):,} characters, more than {MAX_FEEDBACK_LENGTH:,}", "shorten it", where=kind)
    try:
        said.encode()
    except UnicodeEncodeError:
        raise UserError(f"the {kind} holds half a character", "send whole ones", where=kind) from None


def _check_key(key: str) -> str:
    if not 0 < len(key) <= MAX_FEEDBACK_KEY_LENGTH or not key.isprintable():
        raise UserError(
            f"a key has 1 to {MAX_FEEDBACK_KEY_LENGTH} characters that can be printed", "a random one for each thing said", where="key"
        )
    return key


def _surprise_priority(surprise: float) -> int:
    return 1 + round((MAX_PRIORITY - 1) * surprise)


def _find_repeated(connection: Connection, key: str, answer: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What was said under a key before; Conflict where that was something else."""
    before = feedback.by_key(connection, key)
    if before is None or (before["answer"], before["document"]) != (answer, document):
        raise ConflictError("something else was said under this key", "take a new key for each thing said", where="key")
    return _feedback_document(before)


def _feedback_document(row: Mapping[Any, Any]) -> dict[str, Any]:
    told = {"id": row["id"], "object": "feedback", "answer": row["answer"], "kind": row["kind"]}
    return {**told, **row["document"], "created": int(row["created"])}
