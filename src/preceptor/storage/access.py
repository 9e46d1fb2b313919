"""Store credentials: invitations, tokens, passwords, sessions, and what a server must remember to check them.

A secret is a long random text of which only the SHA-256 is kept (it can't be guessed, so it needs no slow hash); a
password is kept as the argon2 hash that the caller made. Looking a secret up by its hash leaks nothing by its time.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, insert, not_, or_, select, update

from preceptor.storage import schema
from preceptor.storage.connection import insert_if_new, insert_or_update, now

ATTEMPTS_KEPT = 86400.0  # seconds
credentials, attempts, settings = schema.credentials, schema.attempts, schema.settings


@dataclass(frozen=True, slots=True)
class AccessCredential:
    """The credential behind a secret: whose it is, its kind, and what it allows (no scopes: what the annotator's role allows).

    bound_browser: the browser that an invitation is bound to.
    """

    key: int
    annotator: int
    name: str
    role: str
    kind: str
    scopes: tuple[str, ...]
    expires: float | None
    bound_browser: str | None


def issue_secret(connection: Connection, annotator: int, kind: str, *, scopes: str = "", seconds: float | None = None) -> str:
    """Issue a secret of an annotator (kind: invitation, crowd, token, session), valid for `seconds` or for good; return it."""
    secret = secrets.token_urlsafe(32)
    row = {"annotator": annotator, "kind": kind, "hash": _digest(secret), "scopes": scopes, "created": now()}
    connection.execute(insert(credentials).values(**row, expires=None if seconds is None else now() + seconds))
    return secret


def find_credential(connection: Connection, secret: str) -> AccessCredential | None:
    """Return the credential of a secret, None where it is unknown, expired or revoked."""
    return _credential_from_row(connection.execute(_BY_HASH, {"hash": _digest(secret), "now": now()}).mappings().first())


def credential_holder(connection: Connection, key: int) -> int | None:
    """Return the key of the annotator who holds or held a credential; None where there is none."""
    return connection.execute(select(credentials.c.annotator).where(credentials.c.pk == key)).scalar()


def begin_session(connection: Connection, annotator: int, *, seconds: float) -> tuple[AccessCredential, str]:
    """Begin a session of an annotator and return it with its secret; their expired sessions are deleted."""
    connection.execute(delete(credentials).where(*_sessions(annotator), credentials.c.expires < now()))
    secret = issue_secret(connection, annotator, "session", seconds=seconds)
    begun = find_credential(connection, secret)
    assert begun is not None  # it was issued in this transaction
    return begun, secret


def end_sessions(connection: Connection, annotator: int, *, besides: int | None = None) -> None:
    """End an annotator's sessions, except `besides`. Unlike revoking it leaves no trace: they may sign in again."""
    connection.execute(delete(credentials).where(*_sessions(annotator), credentials.c.pk != (besides or 0)))


def end_session(connection: Connection, secret: str) -> None:
    """End the session of a secret."""
    one = credentials.c.hash == _digest(secret), credentials.c.kind == "session", credentials.c.revoked.is_(None)
    connection.execute(delete(credentials).where(*one))


def is_crowd_link_closed(connection: Connection, annotator: int) -> bool:
    """Tell whether a crowd's link must not lead to an annotator: their sessions were revoked, or they have credentials of their own."""
    theirs = credentials.c.kind == "session"
    closed = or_(and_(theirs, credentials.c.revoked.is_not(None)), and_(not_(theirs), credentials.c.revoked.is_(None)))
    return connection.execute(select(credentials.c.pk).where(credentials.c.annotator == annotator, closed).limit(1)).first() is not None


def bind_invitation(connection: Connection, key: int, browser: str) -> bool:
    """Bind an invitation to the first browser that uses it; return False when it is bound to another."""
    theirs = update(credentials).where(credentials.c.pk == key, or_(credentials.c.bound.is_(None), credentials.c.bound == browser))
    return connection.execute(theirs.values(bound=browser)).rowcount == 1


def revoke_credentials(connection: Connection, annotator: int, kind: str | None = None) -> int:
    """Revoke all credentials of an annotator, or those of a kind; return how many."""
    theirs = update(credentials).where(credentials.c.annotator == annotator, credentials.c.revoked.is_(None))
    if kind is not None:
        theirs = theirs.where(credentials.c.kind == kind)
    return int(connection.execute(theirs.values(revoked=now())).rowcount)


def list_tokens(connection: Connection, annotator: int) -> list[tuple[str, float | None]]:
    """Return (scopes, expiry) of an annotator's valid tokens, in order of their issue."""
    theirs = credentials.c.annotator == annotator, credentials.c.kind == "token", credentials.c.revoked.is_(None), not_(_expired(now()))
    query = select(credentials.c.scopes, credentials.c.expires).where(*theirs).order_by(credentials.c.pk)
    return [(row.scopes, row.expires) for row in connection.execute(query)]


def expire_tokens(connection: Connection, annotator: int, moment: float) -> None:
    """Let an annotator's tokens expire at a moment (Unix time), except those that expire before it."""
    theirs = credentials.c.annotator == annotator, credentials.c.kind == "token", credentials.c.revoked.is_(None)
    later = or_(credentials.c.expires.is_(None), credentials.c.expires > moment)
    connection.execute(update(credentials).where(*theirs, later).values(expires=moment))


def set_password(connection: Connection, annotator: int, hashed: str) -> None:
    """Store the argon2 hash of a new password; the one before is no longer valid."""
    revoke_credentials(connection, annotator, "password")
    row = {"annotator": annotator, "kind": "password", "hash": hashed, "scopes": "", "created": now()}
    connection.execute(insert(credentials).values(row))


def find_password(connection: Connection, annotator: int) -> tuple[int, str] | None:
    """Return (key, argon2 hash) of an annotator's password, None where they have none."""
    theirs = credentials.c.annotator == annotator, credentials.c.kind == "password", credentials.c.revoked.is_(None)
    row = connection.execute(select(credentials.c.pk, credentials.c.hash).where(*theirs)).first()
    return (row.pk, row.hash) if row else None


def record_attempt(connection: Connection, subject: str) -> int:
    """Record an attempt by or at a subject (a name, an address), which counts as failed until removed; return its key."""
    connection.execute(delete(attempts).where(attempts.c.created < now() - ATTEMPTS_KEPT))
    key = connection.execute(insert(attempts).values(subject=subject, created=now()).returning(attempts.c.pk)).scalar_one()
    return int(key)


def remove_attempts(connection: Connection, keys: Iterable[int]) -> None:
    """Remove these attempts: they have succeeded."""
    connection.execute(delete(attempts).where(attempts.c.pk.in_(list(keys))))


def count_failures(connection: Connection, subject: str, within: float) -> int:
    """Return the number of failed attempts of a subject in the last `within` seconds."""
    query = select(func.count()).where(attempts.c.subject == subject, attempts.c.created > now() - within)
    return int(connection.execute(query).scalar_one())


def reset_failures(connection: Connection, subject: str) -> None:
    """Delete all failed attempts at a subject after a success."""
    connection.execute(delete(attempts).where(attempts.c.subject == subject))


def get_or_create_setting(connection: Connection, name: str, default: str) -> str:
    """Return a value that all servers of the project share; it is set to `default` where there is none."""
    connection.execute(insert_if_new(connection, settings), {"name": name, "value": default})
    return str(connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar_one())


def find_setting(connection: Connection, name: str) -> str | None:
    """Return a value that all servers of the project share, None where there is none."""
    return connection.execute(select(settings.c.value).where(settings.c.name == name)).scalar()


def set_setting(connection: Connection, name: str, value: str) -> None:
    """Set a value that all servers of the project share."""
    row, always = {"name": name, "value": value}, settings.c.name == name
    connection.execute(insert_or_update(connection.dialect.name, settings, row, unique=("name",), where=always))


def _sessions(annotator: int) -> tuple[ColumnElement[bool], ...]:
    return credentials.c.annotator == annotator, credentials.c.kind == "session", credentials.c.revoked.is_(None)


def _expired(moment: Any) -> ColumnElement[bool]:
    return func.coalesce(credentials.c.expires < moment, False)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _credential_from_row(row: Mapping[Any, Any] | None) -> AccessCredential | None:
    if row is None:
        return None
    scopes = tuple(row["scopes"].split())
    return AccessCredential(row["pk"], row["annotator"], row["name"], row["role"], row["kind"], scopes, row["expires"], row["bound"])


_VALID = (
    select(
        credentials.c.pk,
        credentials.c.annotator,
        schema.annotators.c.id.label("name"),
        schema.annotators.c.role,
        credentials.c.kind,
        credentials.c.scopes,
        credentials.c.expires,
        credentials.c.bound,
    )
    .join_from(credentials, schema.annotators, credentials.c.annotator == schema.annotators.c.pk)
    .where(credentials.c.revoked.is_(None))
)
_BY_HASH = _VALID.where(
    credentials.c.hash == bindparam("hash"),
    credentials.c.kind != "password",
    not_(_expired(bindparam("now"))),
)
