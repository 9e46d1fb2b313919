"""Log served responses for as long as the project says, without the personal data that was in them.

Feedback, drift and lineage start here. A share of the responses is sampled at random to measure live quality; each stores its inclusion
probability, so that verdicts on the sample estimate all responses (Horvitz and Thompson, 1952).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preceptor.annotation.access_control import DAY_SECONDS, AuthenticatedVisitor, is_owned_by
from preceptor.storage import answers
from preceptor.workspace import PiiRedactor

if TYPE_CHECKING:
    from preceptor.project import Project


ChatMessages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class LoggedResponse:
    """A logged response. document: messages, answers (text and finish), citations, log_probabilities, and other fields given when logging.

    alias: by which the model was called, empty where by its own name. inclusion: its inclusion probability, 0 where it wasn't sampled to
    measure quality. expires: Unix time; None: never.
    """

    id: str
    model: str
    alias: str
    credential: int | None
    document: Mapping[str, Any]
    confidence: float | None
    inclusion: float
    created: float
    expires: float | None

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation before the answer."""
        return list(self.document["messages"])

    @property
    def text(self) -> str:
        """The answer; of several, the first."""
        return str(self.document["answers"][0]["text"])

    @property
    def is_complete(self) -> bool:
        """Whether its caller stayed until its end."""
        return not self.document.get("hung_up", False)


class ResponseLog:
    """The logged responses of one project, as [serving] of preceptor.toml configures them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self._options = project.config.serving
        self._redactor: PiiRedactor | None = None

    def log_response(
        self,
        id_: str,
        *,
        model: str,
        alias: str = "",
        visitor: AuthenticatedVisitor | None = None,
        turns: ChatMessages,
        text: str,
        others: Sequence[str] = (),
        finish: Sequence[str] = (),
        confidence: float | None = None,
        inclusion: float | None = None,
        log_probabilities: Sequence[float] = (),
        cited: Mapping[str, Any] | None = None,
        **about: Any,
    ) -> bool:
        """Log a response in one transaction; return whether responses are logged at all.

        others: further answers to the same request. finish: why each ended. inclusion: None samples by [serving] eval_sample_rate. cited:
        as `GroundedConversation.check_citations` returns it. about: further JSON, such as the sampling parameters.
        """
        if self._options.retention_days == 0:
            return False
        document: dict[str, Any] = {"messages": [dict(turn) for turn in turns], **about}
        ends = [*finish, *[""] * (1 + len(others) - len(finish))]
        document["answers"] = [{"text": each, "finish": end} for each, end in zip([text, *others], ends, strict=True)]
        document["log_probabilities"] = [round(each, 4) for each in log_probabilities]
        document |= {name: [_drop_span_text(span) for span in spans] for name, spans in (cited or {}).items()}
        if self._options.redact_pii:
            document = self._redact_document(document, text)
        row: dict[str, Any] = {"id": id_, "model": model, "alias": alias, "credential": visitor.credential if visitor else None}
        row |= {"document": json.dumps(document), "confidence": confidence}
        row["inclusion"] = self.sample_inclusion(id_) if inclusion is None else inclusion
        with self.project.database.writing() as connection:
            answers.add(connection, row, seconds=self._options.retention_days * DAY_SECONDS)
        return True

    def get(self, id_: str, visitor: AuthenticatedVisitor | None = None) -> LoggedResponse:
        """Return a response by its id. visitor: who asks; None: the project itself.

        Raises NotFoundError where it isn't logged, has expired, or belongs to somebody else.
        """
        with self.project.database.reading() as connection:
            found = _response_from_row(answers.get(connection, id_))
            if visitor is not None and not is_owned_by(connection, visitor, found.credential):
                raise answers.answer_not_found(id_)
        return found

    def list_since(self, moment: float, *, measured: bool = False, limit: int | None = None) -> list[LoggedResponse]:
        """List the responses since a moment (Unix time), in order. measured: only those that were sampled to measure quality."""
        with self.project.database.reading() as connection:
            return [_response_from_row(row) for row in answers.list_since(connection, moment, measured=measured, limit=limit)]

    def delete_expired(self) -> int:
        """Delete expired responses; return their number."""
        with self.project.database.reading() as connection:
            if not answers.has_expired(connection):
                return 0
        with self.project.database.writing() as connection:
            return answers.delete_expired(connection)

    def sample_inclusion(self, id_: str) -> float:
        """Return the inclusion probability of a response that is sampled to measure quality, else 0; a hash of its id decides."""
        share = self._options.eval_sample_rate
        draw = int.from_bytes(hashlib.sha256(id_.encode()).digest()[:8]) / 2**64
        return share if draw < share else 0.0

    def _redact_document(self, document: dict[str, Any], text: str) -> dict[str, Any]:
        """Redact personal data in all texts; offsets into the answer are adjusted, and names of documents stay."""
        if self._redactor is None:
            with self.project.database.writing() as connection:
                self._redactor = PiiRedactor.from_connection(connection)
        moved = self._redactor.offset_mapping(text)
        spans = {name: [_move_span(span, moved) for span in document[name]] for name in ("citations", "unsupported") if name in document}
        rest = {name: value for name, value in document.items() if name not in spans}
        return {**self._redactor.redact_document(rest), **spans}


def _drop_span_text(span: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the offsets in the answer and in the document, without the texts, which are stored there."""
    return {name: value for name, value in span.items() if name != "text"}


def _move_span(span: Mapping[str, Any], moved: Any) -> dict[str, Any]:
    return {**span, **{name: moved(span[name]) for name in ("start", "end") if name in span}}


def _response_from_row(row: Mapping[Any, Any]) -> LoggedResponse:
    fields = {name: row[name] for name in ("id", "model", "alias", "credential", "confidence", "inclusion", "created", "expires")}
    return LoggedResponse(document=json.loads(row["document"]), **fields)
