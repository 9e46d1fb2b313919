"""Record users' feedback on a model's answers and turn it into items with the right question, ranked by their value for training.

Feedback is biased: those who give it aren't like those who don't. It provides training data and shows where to look first; quality is
measured on answers sampled at random (`live_quality`). Customers' ratings are judgments of an annotator of the kind "customer", whose
reliability the consensus estimates like anybody's.
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
_PRIOR_GOOD_SHARE = 0.6  # the expected rating of an answer without confidence
_REVIEW_SURPRISE = 0.5  # the surprise from which a person rates the answer, too
COMMENT_TITLE = "What was said of the response"


class UserFeedback:
    """The feedback on one project's answers."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def submit(
        self, answer: str, kind: str, said: Any, *, by: str, key: str | None = None, visitor: AuthenticatedVisitor | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Store feedback on a logged answer; return it as a JSON object, and whether it is new. It is durable when this returns.

        kind and said: thumb "up" or "down", stars 1 to 5, correction or text a string. by: the program that passes it on. key: the
        program's idempotency key: the same feedback again counts once, other feedback raises ConflictError. visitor: who asks; None:
        somebody with access. Raises NotFoundError for an answer that isn't logged or belongs to somebody else, UserError for invalid
        feedback.
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
        """Return an answer as its caller received it: where it was deferred, the person's, without the model's confidence.

        Raises NotFoundError where it isn't logged or isn't the visitor's, ConflictError while there is no answer yet.
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
        """Return the path of the page on which whoever has the link may rate an answer."""
        return f"/feedback/{answer}?sign={self._signature(answer)}"

    def is_valid_signature(self, answer: str, sign: str) -> bool:
        """Return whether a link to this answer's feedback page is signed by the project."""
        return hmac.compare_digest(sign.encode(errors="replace"), self._signature(answer).encode())

    def _signature(self, answer: str) -> str:
        secret = self.project.cache.get_secret()  # anybody may request a page, which must not block writers
        return hmac.new(secret.encode(), f"feedback {answer}".encode(errors="replace"), "sha256").hexdigest()[:32]

    def _create_item(self, connection: Connection, kept: LoggedResponse, row: Mapping[Any, Any], chosen: ClassifierTask | None) -> int:
        """Create the item that feedback leads to; return its key. chosen: the task of a classification model, None for a generative one."""
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
    """The customers of a program, as an annotator, with their feedback on one answer."""

    def __init__(self, project: Project, connection: Connection, key: int, kept: LoggedResponse, row: Mapping[Any, Any]) -> None:
        self.project, self.connection, self.key, self.response, self.row = project, connection, key, kept, row
        self.value = row["document"][row["kind"]]

    def add_thumb(self) -> int:
        """Add a judgment whether the answer is good; a person rates it, too, where it is surprising."""
        return self._add_rating("live-good", GOOD_RATING if self.value == "up" else BAD_RATING, float(self.value == "up"))

    def add_stars(self) -> int:
        """Add a judgment of how good the answer is; a person rates it, too, where it is surprising."""
        return self._add_rating("live-stars", self.value, (self.value - 1) / 4)

    def add_correction(self) -> int:
        """Add the correction as a training target, a pair with the model's answer; a person checks it."""
        item, question = self._open_write_item("corrected", ())
        feedback.request_one_more(self.connection, question, item)
        self._add_judgment(item, question, "live-answer", {"text": self.value, "from": strip_nul(self.response.text)})
        return item

    def add_choice(self, chosen: ClassifierTask) -> int:
        """Add a judgment of the question that the model was trained on; a person checks it. Raises UserError where it is none of the
        answers.
        """
        if self.value not in chosen.answers:
            raise UserError(
                f"{self.value!r:.80} is none of the model's answers", f"one of: {', '.join(chosen.answers)}", where="correction"
            )
        question, asked = get_choice_question(self.connection, self.project, chosen.question, self.response.model, chosen.answers)
        about = {"answer": self.response.id, "model": self.response.model, "alias": self.response.alias, "feedback": self.row["id"]}
        id_ = f"corrected-{self.row['id'].removeprefix('feedback-')}"
        item = make_choice_item(id_, self.response.messages[0]["content"], asked.purpose, about)
        key = open_item_slot(self.connection, question, item, target_count=2, priority=_surprise_priority(self._surprise(0.0)))
        self._add_judgment(key, question, asked.name, self.value)
        return key

    def add_comment(self) -> int:
        """Queue the comment for a person, who writes what should have been answered."""
        return self._open_write_item("commented", ({"title": COMMENT_TITLE, "text": self.value},))[0]

    def _add_rating(self, name: str, answer: Any, good: float) -> int:
        item, id_ = open_rating_item(self.connection, self.project, self.response)
        question, _ = get_live_question(self.connection, self.project, name)
        surprise = self._surprise(good)
        slots.open_slots(self.connection, question, [(item, id_)], target_count=0, priority=_surprise_priority(surprise))
        drawn = self.response.inclusion > 0 and name == "live-good"  # its slot must be like those of all sampled answers
        if surprise >= _REVIEW_SURPRISE and not drawn:
            feedback.request_one_more(self.connection, question, item, waits=True)
        feedback.request_one_more(self.connection, question, item)
        self._add_judgment(item, question, name, answer)
        return item

    def _open_write_item(self, why: str, beside: tuple[dict[str, str], ...]) -> tuple[int, int]:
        """Open an item that one person is asked about; return (item, question)."""
        question, _ = get_live_question(self.connection, self.project, "live-answer")
        about = {"answer": self.response.id, "model": self.response.model, "alias": self.response.alias, "feedback": self.row["id"]}
        more = {"sources": list(beside)} if beside else {}
        item = make_write_item(f"{why}-{self.row['id'].removeprefix('feedback-')}", self.response.messages, self.response.text, more, about)
        return open_item_slot(self.connection, question, item, target_count=1, priority=_surprise_priority(self._surprise(0.0))), question

    def _surprise(self, good: float) -> float:
        """Return how far the feedback lies from what was expected of the answer, 0 to 1."""
        return abs(good - (_PRIOR_GOOD_SHARE if self.response.confidence is None else self.response.confidence))

    def _add_judgment(self, item: int, question: int, name: str, answer: Any) -> None:
        asked = self.project.cache.question_by_key(self.connection, question)
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
    """Return the feedback stored under a key before. Raises ConflictError where that was different."""
    before = feedback.by_key(connection, key)
    if before is None or (before["answer"], before["document"]) != (answer, document):
        raise ConflictError("something else was said under this key", "take a new key for each thing said", where="key")
    return _feedback_document(before)


def _feedback_document(row: Mapping[Any, Any]) -> dict[str, Any]:
    told = {"id": row["id"], "object": "feedback", "answer": row["answer"], "kind": row["kind"]}
    return {**told, **row["document"], "created": int(row["created"])}
