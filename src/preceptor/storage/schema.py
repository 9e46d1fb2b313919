"""Define the tables in SQLAlchemy Core: annotation, training, and what is served.

Rows refer to each other by integer keys (`pk`); people know things by the text ids beside them. Times are Unix seconds. JSON is
stored as text that Python wrote, so that both databases hold the same bytes. Judgments, retractions, withdrawals, events, curations,
aliases and erasures are insert-only: triggers refuse anything else. A document's text lies in objects/ under its digest, once.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    exists,
    false,
    or_,
    text,
)

metadata = MetaData()
PK = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER autoincrements in SQLite

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))

items = Table(
    "items",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("content", Text, nullable=False),  # canonical JSON
    Column("digest", Text, nullable=False),  # sha256 of content
    Column("group", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("purpose", Text, nullable=False, server_default=""),  # only questions of this purpose are asked about it
)

questions = Table(
    "questions",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("spec", Text, nullable=False),  # options, instructions, settings as JSON
    Column("active", Boolean, nullable=False),
    UniqueConstraint("name", "version"),
)

annotators = Table(
    "annotators",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("role", Text, nullable=False),
    Column("kind", Text, nullable=False),  # person, model, import, application
    Column("created", Float, nullable=False),
    Column("skills", Text, nullable=False, server_default="[]"),  # JSON list
    Column("daily_limit", Integer),  # judgments a day; none when null
    Column("paused", Boolean, nullable=False, server_default=false()),
)

# Credentials of people and programs. Only hashes are kept: argon2 of a password, SHA-256 of a random token.
credentials = Table(
    "credentials",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("annotator", PK, ForeignKey("annotators.pk"), nullable=False),
    Column("kind", Text, nullable=False),  # invitation, crowd, token, session, password
    Column("hash", Text, nullable=False, unique=True),
    Column("scopes", Text, nullable=False),  # separated by spaces; empty for a person's own credential: their role decides
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("bound", Text),  # the browser that an invitation was first used in
    Column("revoked", Float),
    Index("credentials_annotator", "annotator", "kind"),
)

attempts = Table(  # failed ones, so that guessing is locked out on every server at once
    "attempts",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index("attempts_subject", "subject", "created"),
)

settings = Table(  # values that all servers of a project share, such as the secret that makes their random choices unpredictable
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

qualifications = Table(  # the newest of a person and question is valid
    "qualifications",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("annotator", PK, ForeignKey("annotators.pk"), nullable=False),
    Column("question", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # pass, fail
    Column("evidence", Text, nullable=False),  # JSON
    Column("by", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index("qualifications_annotator", "annotator", "question"),
)

slots = Table(
    "slots",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("item", PK, ForeignKey("items.pk"), nullable=False),
    Column("question", PK, ForeignKey("questions.pk"), nullable=False),
    Column("target_count", Integer, nullable=False),  # judgments that it needs
    Column("judgment_count", Integer, nullable=False),  # judgments that it has
    Column("leased", Integer, nullable=False),
    Column("priority", Integer, nullable=False),  # few distinct levels; higher first
    Column("tier", Integer, nullable=False, server_default="0"),  # 0 everyone, 1 reviewers, 2 experts: conflicts are escalated to them
    Column("position", BigInteger, nullable=False),  # a hash: all annotators walk the same shuffled ring, each from their own position
    Column("open", Boolean, nullable=False),  # judgment_count + leased < target_count, kept here so that an index can find it
    UniqueConstraint("item", "question"),
    Index("slots_open", "question", "tier", "priority", "position", sqlite_where=text("open = 1"), postgresql_where=text("open")),
)

leases = Table(
    "leases",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("slot", PK, ForeignKey("slots.pk"), nullable=False),
    Column("annotator", PK, ForeignKey("annotators.pk"), nullable=False),
    Column("expires", Float, nullable=False),
    Column("released", Boolean, nullable=False, server_default=false()),  # expired; kept, so that a late answer is recognised as one
    UniqueConstraint("slot", "annotator"),
    Index("leases_annotator", "annotator"),
    Index("leases_live", "expires", sqlite_where=text("released = 0"), postgresql_where=text("NOT released")),
)

passes = Table(  # items that an annotator skipped, or wants a manager to look at
    "passes",
    metadata,
    Column("slot", PK, ForeignKey("slots.pk"), primary_key=True),
    Column("annotator", PK, ForeignKey("annotators.pk"), primary_key=True),
    Column("kind", Text, nullable=False),  # skip, flag
    Column("reason", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index("passes_kind", "kind", "created"),
)

judgments = Table(
    "judgments",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("item", PK, ForeignKey("items.pk"), nullable=False),
    Column("question", PK, ForeignKey("questions.pk"), nullable=False),
    Column("annotator", PK, ForeignKey("annotators.pk"), nullable=False),
    Column("answer", Text, nullable=False),  # JSON
    Column("seconds", Float),
    Column("source", Text, nullable=False),  # live, import:FILE
    Column("key", Text, unique=True),  # the client's, so that a retry counts once
    Column("created", Float, nullable=False),
    Column("context", Text),  # JSON of its circumstances: a suggestion that was shown, an expired lease
    Index("judgments_item", "item", "question", "annotator"),
    Index("judgments_annotator", "annotator", "question", "pk"),
)

retractions = Table(
    "retractions",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("annotator", PK, ForeignKey("annotators.pk"), nullable=False),
    Column("until", PK, nullable=False),  # judgments with pk up to this one are taken out
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index("retractions_annotator", "annotator"),
)

withdrawals = Table(  # one judgment withdrawn by the annotator who gave it
    "withdrawals",
    metadata,
    Column("judgment", PK, ForeignKey("judgments.pk"), primary_key=True),
    Column("created", Float, nullable=False),
)

gold = Table(
    "gold",
    metadata,
    Column("item", PK, ForeignKey("items.pk"), primary_key=True),
    Column("question", PK, ForeignKey("questions.pk"), primary_key=True),
    Column("answer", Text, nullable=False),
    Column("explanation", Text, nullable=False),
)

external_annotations = Table(  # what other tools keep beside judgments: drafts, skips, predictions; none is ever counted as a judgment
    "external_annotations",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("item", PK, ForeignKey("items.pk"), nullable=False),
    Column("question", PK, ForeignKey("questions.pk"), nullable=False),
    Column("kind", Text, nullable=False),  # draft, skipped, prediction
    Column("by", Text, nullable=False),  # the annotator's name, or the model's
    Column("document", Text, nullable=False),  # JSON: answer, time and whatever else it came with
    Column("key", Text, nullable=False, unique=True),  # the same when the same file is imported again
    Column("created", Float, nullable=False),
    Index("external_annotations_item", "item", "question"),
)

suspects = Table(  # rows that a check found suspect, queued for a decision
    "suspects",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("item", PK, ForeignKey("items.pk"), nullable=False),
    Column("question", PK, ForeignKey("questions.pk"), nullable=False),
    Column("snapshot", Text, nullable=False),  # digest
    Column("check", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("score", Float, nullable=False),  # the highest is shown first
    Column("document", Text, nullable=False),  # JSON: what a model predicts, which other rows it concerns
    Column("created", Float, nullable=False),
    UniqueConstraint("item", "question", "check"),
    Index("suspects_queue", "question", "score"),
)

curations = Table(  # decisions about items of the training set; the newest of an item and question is valid
    "curations",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("item", PK, ForeignKey("items.pk"), nullable=False),
    Column("question", PK, ForeignKey("questions.pk"), nullable=False),
    Column("action", Text, nullable=False),  # keep, relabel, rewrite, reject, merge
    Column("document", Text, nullable=False),  # JSON: the answer, the new item, the check and the snapshot it was about
    Column("reason", Text, nullable=False),
    Column("example", Boolean, nullable=False),  # shown with the guidelines
    Column("by", Text, nullable=False),
    Column("created", Float, nullable=False),
    Index("curations_item", "question", "item"),
)

consensus = Table(
    "consensus",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("question", PK, ForeignKey("questions.pk"), nullable=False),
    Column("method", Text, nullable=False),
    Column("until", PK, nullable=False),  # the last judgment it saw
    Column("digest", Text, nullable=False),
    Column("created", Float, nullable=False),
)

# Snapshots, runs, models, reports and releases are documents with a few columns to find them by.
snapshots = Table(
    "snapshots",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("name", Text, unique=True),
    Column("question", Text, nullable=False),
    Column("created", Float, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", Text, primary_key=True),
    Column("recipe", Text, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("document", Text, nullable=False),  # base, options, seed, status, metrics
    Column("created", Float, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("id", Text, primary_key=True),
    Column("run", Text, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("manifest", Text, nullable=False),
    Column("created", Float, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("model", Text, nullable=False),
    Column("snapshot", Text, nullable=False),
    Column("split", Text, nullable=False),
    Column("created", Float, nullable=False),
)

# Which held-out contents (by a digest of their text) a model was measured on, whatever snapshot or suite they were in.
openings = Table(
    "openings",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("content", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("created", Float, nullable=False),
    UniqueConstraint("content", "model"),
)

releases = Table(
    "releases",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("model", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("document", Text, nullable=False),
    Column("created", Float, nullable=False),
)

files = Table(  # uploaded files; the bytes lie in objects/files/ under their digest, once however often they are uploaded
    "files",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("digest", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("filename", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float),
    Column("owner", PK, ForeignKey("annotators.pk")),  # the person or program that owns it; null: the project itself
    Index("files_digest", "digest"),
    Index("files_owner", "owner", "pk"),
)

jobs = Table(  # all work that is done beside the server, one job of a kind at a time
    "jobs",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),  # fine-tuning, snapshot checks, removal, upkeep
    Column("subject", Text),  # what it works on, for kinds of which there is one unfinished job for each subject
    Column("status", Text, nullable=False),  # validating_files, queued, running, paused, succeeded, failed, cancelled
    Column("credential", PK, ForeignKey("credentials.pk")),  # fine-tuning was requested with this token, whose holder owns the job
    Column("training_file", Text),  # ids of files, which may be deleted when the job has ended
    Column("validation_file", Text),
    Column("document", Text, nullable=False),  # JSON: the request, and its result
    Column("progress", Text),  # JSON, while it runs
    Column("error", Text),  # JSON: code, message and param
    Column("crashes", Integer, nullable=False),  # how many of its processes were killed
    Column("model", Text),
    Column("task", Text),  # which task of it the lease is for
    Column("worker", Text),  # who holds the lease
    Column("lease_until", Float),  # from then on another worker may take it over
    Column("created", Float, nullable=False),
    Column("started", Float),
    Column("finished", Float),
    Index("jobs_status", "kind", "status", "pk"),
    Index("jobs_subject", "kind", "subject", "pk"),
    Index("jobs_credential", "credential", "pk"),
)

job_events = Table(
    "job_events",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("job", PK, ForeignKey("jobs.pk"), nullable=False),
    Column("level", Text, nullable=False),  # info, warn, error
    Column("message", Text, nullable=False),
    Column("data", Text),  # JSON of figures
    Column("created", Float, nullable=False),
    Index("job_events_job", "job", "pk"),
)

events = Table(
    "events",
    metadata,
    Column("seq", PK, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

documents = Table(  # sources that answers may rest on; a changed document is a new version, and the old one is superseded
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
    Column("superseded", Float),  # since when it is no longer retrieved
    Column("erased", Float),
    UniqueConstraint("name", "version"),
    Index("documents_digest", "digest"),
)

chunks = Table(
    "chunks",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("document", PK, ForeignKey("documents.pk"), nullable=False),
    Column("number", Integer, nullable=False),  # its position in the document
    Column("start", Integer, nullable=False),  # characters of the document's text, the end exclusive
    Column("end", Integer, nullable=False),
    Column("heading", Text, nullable=False),  # headings above it, " > " between
    UniqueConstraint("document", "number"),
)

aliases = Table(  # names by which programs call models; the newest row of a name is active
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

answers = Table(  # answers that were served, as long as they are kept; personal data was redacted before
    "answers",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),  # as the caller has it: chatcmpl-…
    Column("model", Text, nullable=False),
    Column("alias", Text, nullable=False),  # the alias that was requested; empty when it was the model's own name
    Column("credential", PK, ForeignKey("credentials.pk")),  # whose request it was
    Column("document", Text, nullable=False),  # JSON: messages, answer, sources and citations, sampling, parts
    Column("confidence", Float),  # calibrated probability that it is right; null when it wasn't asked for
    Column("inclusion", Float, nullable=False),  # probability with which it was sampled into the stream that measures quality; 0: it wasn't
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
    Column("answer", Text, nullable=False),  # the answer's id; the answer itself may be deleted
    Column("kind", Text, nullable=False),  # thumb, stars, correction, text
    Column("document", Text, nullable=False),  # JSON: the feedback
    Column("by", Text, nullable=False),
    Column("key", Text, unique=True),  # the client's, so that a retry counts once
    Column("item", PK, ForeignKey("items.pk")),  # the item that was made from it
    Column("created", Float, nullable=False),
    Index("feedback_answer", "answer"),
)

deferrals = Table(  # answers that were deferred to a person
    "deferrals",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("answer", Text, nullable=False),  # the id that the caller waits for
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

pipeline_runs = Table(  # each resumed where it stopped
    "pipeline_runs",
    metadata,
    Column("pk", PK, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False),  # running, done, failed
    Column("document", Text, nullable=False),  # JSON: which steps are done, and their results
    Column("created", Float, nullable=False),
    Column("finished", Float),
)

erasures = Table(  # what was erased on request; of the thing itself only that it existed
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

# True of a judgment that was retracted with its annotator's others, or that its annotator has withdrawn.
RETRACTED = or_(
    exists().where(retractions.c.annotator == judgments.c.annotator, judgments.c.pk <= retractions.c.until),
    exists().where(withdrawals.c.judgment == judgments.c.pk),
)

INSERT_ONLY = ("judgments", "retractions", "withdrawals", "events", "curations", "aliases", "erasures")
