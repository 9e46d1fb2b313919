"""The tables of what is served: documents, aliases, answers, what came of them, turns of the loop, and what was erased.

They stand beside those of `schema`, under the same rules. A document's text lies in objects/ under its digest, once.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Table, Text, UniqueConstraint

from preceptor.store.schema import PK, metadata

documents = Table(  # what answers may rest on; a changed document is a new version, and the old one is superseded
    "documents",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("digest", Text, nullable=False),  # of its extracted text, which lies in objects/
    Column("media", Text, nullable=False),  # text, markdown, html, pdf
    Column("title", Text, nullable=False),
    Column("metadata", Text, nullable=False),  # JSON: jurisdiction, product, date, …
    Column("created", Float, nullable=False),
    Column("superseded", Float),  # since when it is no longer found
    Column("erased", Float),
    UniqueConstraint("name", "version"),
    Index("documents_digest", "digest"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("document", PK, ForeignKey("documents.pk"), nullable=False),
    Column("number", Integer, nullable=False),  # its place in the document
    Column("start", Integer, nullable=False),  # characters of the document's text, the end exclusive
    Column("end", Integer, nullable=False),
    Column("heading", Text, nullable=False),  # headings above it, " > " between
    UniqueConstraint("document", "number"),
)

aliases = Table(  # names that programs call models by; the newest of a name stands
    "aliases",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("name", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index("aliases_name", "name", "pk"),
)

answers = Table(  # what was served, as long as it is kept; personal data was taken out before
    "answers",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),  # as the caller has it: chatcmpl-…
    Column("model", Text, nullable=False),
    Column("alias", Text, nullable=False),  # by which it was called; empty when by its own name
    Column("credential", PK, ForeignKey("credentials.pk")),  # who asked
    Column("document", Text, nullable=False),  # JSON: messages, answer, sources and citations, sampling, parts
    Column("confidence", Float),  # calibrated probability that it is right; null when it wasn't asked for
    Column("inclusion", Float, nullable=False),  # probability with which it was drawn into the stream that measures quality; 0: it wasn't
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Index("answers_created", "created"),
    Index("answers_expires", "expires"),
)

feedback = Table(
    "feedback",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("answer", Text, nullable=False),  # the answer's id; the answer itself may be gone
    Column("kind", Text, nullable=False),  # thumb, stars, correction, text
    Column("document", Text, nullable=False),  # JSON: what was said
    Column("by", Text, nullable=False),
    Column("key", Text, unique=True),  # the client's, so that a retry counts once
    Column("item", PK, ForeignKey("items.pk")),  # what it became
    Column("created", Float, nullable=False),
    Index("feedback_answer", "answer"),
)

deferrals = Table(  # answers that a person gives in a model's place
    "deferrals",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("answer", Text, nullable=False),  # the id under which the caller waits for it
    Column("item", PK, ForeignKey("items.pk"), nullable=False),
    Column("question", PK, ForeignKey("questions.pk"), nullable=False),
    Column("credential", PK, ForeignKey("credentials.pk"), nullable=False),
    Column("status", Text, nullable=False),  # waiting, answered, expired, cancelled
    Column("document", Text, nullable=False),  # JSON: the draft, its confidence, in the end the person's answer
    Column("created", Float, nullable=False),
    Column("deadline", Float, nullable=False),
    Column("answered", Float),
    Index("deferrals_status", "status", "pk"),
    Index("deferrals_item", "item"),
)

cycles = Table(  # turns of the loop, each taken up again where it was left
    "cycles",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),  # running, done, failed
    Column("document", Text, nullable=False),  # JSON: which steps are done, and what they made
    Column("created", Float, nullable=False),
    Column("finished", Float),
)

erasures = Table(  # what was removed on request; of the thing itself only that it was there
    "erasures",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("kind", Text, nullable=False),  # item, document, person
    Column("name", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("document", Text, nullable=False),  # JSON: what was affected, digests before and after
    Column("created", Float, nullable=False),
    Index("erasures_name", "name"),
)

INSERT_ONLY = ("aliases", "erasures")
