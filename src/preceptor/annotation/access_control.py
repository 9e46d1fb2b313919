"""Manage who may use a project: people, invitations, tokens, passwords, sessions, roles and their scopes."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from preceptor.annotation.row_parser import MAX_NAME_LENGTH, check_annotator_name
from preceptor.errors import ConflictError, NotFoundError, UserError
from preceptor.registry import suggest_name
from preceptor.storage import access, annotation_stats, events, people
from preceptor.storage.connection import now
from preceptor.types import Annotator

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


SCOPES = {
    "annotate": "ask for work and answer it",
    "review": "see what others answered about an item after answering it, and decide it",
    "read": "read progress, consensus, people and exports",
    "items": "add items",
    "manage": "questions, people, retractions, gold",
    "chat": "chat with released models and their bases, under /v1",
    "train": "upload files and start fine-tuning jobs, under /v1",
}
ROLES = {
    "annotator": ("annotate",),
    "reviewer": ("annotate", "review"),
    "expert": ("annotate", "review"),
    "owner": ("annotate", "review", "read", "items", "manage", "chat", "train"),
}
DAY_SECONDS = 86400.0
SESSION_DAYS = 30
MAX_SIGN_IN_ATTEMPTS, LOCK_SECONDS = 5, 900.0  # failed attempts, and the seconds within which they lock a name or address out
MIN_PASSWORD_LENGTH = 10  # characters of a password
_WORKER_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class AccessForbidden(UserError):
    """The caller isn't known, or may not do this."""


class SignInLocked(UserError):
    """Too many attempts to sign in failed; the hint says how long the lock lasts."""


@dataclass(frozen=True, slots=True)
class AuthenticatedVisitor:
    """An authenticated person or program, and what they may do.

    credential: the key of the credential they came with. annotator: the key of the person or program.
    """

    name: str
    role: str
    scopes: frozenset[str]
    credential: int
    annotator: int

    def has_scope(self, scope: str) -> bool:
        """Tell whether the visitor has a scope (a key of SCOPES)."""
        return scope in self.scopes


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A session that has begun: its visitor, and the secret by which their browser authenticates.

    Only the secret's hash is stored, so that nobody who reads the database, its backup or its replica can sign in as anybody.
    """

    visitor: AuthenticatedVisitor
    secret: str = field(repr=False)


def visible_owner(visitor: AuthenticatedVisitor | None) -> int | None:
    """Return the owner whose files, jobs and answers a visitor sees: themselves (the annotator's key), whichever of their tokens they use.

    None means everybody's: for visitors who manage the project, and for the project itself (no visitor).
    """
    return None if visitor is None or visitor.has_scope("manage") else visitor.annotator


def is_owned_by(connection: Connection, visitor: AuthenticatedVisitor, credential: int | None) -> bool:
    """Tell whether what a credential created belongs to a visitor: to the same program or person, or they manage the project."""
    seen = visible_owner(visitor)
    return seen is None or (credential is not None and access.credential_holder(connection, credential) == seen)


class AccessControl:
    """Access to one project: invites people, issues and revokes credentials, and authenticates visitors."""

    def __init__(self, project: Project) -> None:
        self.project = project

    def invite(
        self,
        name: str,
        role: str = "annotator",
        *,
        skills: Iterable[str] = (),
        daily_limit: int | None = None,
        days: float = 14,
        by: str = "system",
        within: frozenset[str] | None = None,
    ) -> dict[str, Any]:
        """Invite a person; return a link, valid for so many days and in the first browser that opens it, and a token for programs.

        Somebody who exists already gets the role and a new link; their old links end. within: the scopes of the inviter, who can grant no
        more than these (AccessForbidden); None: the project itself invites.
        """
        _check_granted_scopes(ROLES.get(role, ()), within)
        if days <= 0:
            raise UserError(f"a link is valid for a number of days above zero, not {days:g}", "--days 14")
        if daily_limit is not None and daily_limit < 1:
            raise UserError(f"a daily limit is a whole number from 1, not {daily_limit}", "leave it out for none")
        self.project.add_annotator(_check_invited_name(name), role)
        with self.project.database.writing() as connection:
            key = people.get_key(connection, name)
            access.revoke_credentials(connection, key, "invitation")
            access.end_sessions(connection, key)
            fields: dict[str, Any] = {"role": role, "skills": tuple(skills), "daily_limit": daily_limit}
            people.update_annotator(connection, key, **fields)
            secret = access.issue_secret(connection, key, "invitation", seconds=days * DAY_SECONDS)
            token = access.issue_secret(connection, key, "token")
            events.record_event(connection, "person invited", {"annotator": name, **fields, "days": days}, actor=by)
        return {"annotator": name, "role": role, "link": f"{self._address}/join/{secret}", "token": token, "days": days}

    def invite_crowd(self, name: str, *, daily_limit: int | None = None, days: float = 14, by: str = "system") -> dict[str, Any]:
        """Return a link for an external crowd: everybody with PROLIFIC_PID (or `worker`) in it is an annotator of that name."""
        crowd = f"crowd:{_check_invited_name(name)}"
        with self.project.database.writing() as connection:
            people.add(connection, [Annotator(crowd, "annotator", "crowd", daily_limit=daily_limit)])
            key = people.get_key(connection, crowd)
            people.update_annotator(connection, key, daily_limit=daily_limit)
            access.revoke_credentials(connection, key, "crowd")
            secret = access.issue_secret(connection, key, "crowd", seconds=days * DAY_SECONDS)
            events.record_event(connection, "crowd invited", {"crowd": name, "daily_limit": daily_limit, "days": days}, actor=by)
        where = "?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
        return {"crowd": name, "link": f"{self._address}/crowd/{secret}{where}", "days": days}

    def issue_application_token(
        self, name: str, scopes: Iterable[str], *, days: float | None = None, by: str = "system", within: frozenset[str] | None = None
    ) -> dict[str, Any]:
        """Issue a token for a program, with these scopes and no more. within: as for `invite`."""
        wanted = tuple(dict.fromkeys(scopes))
        if not wanted:
            raise UserError("a program's token needs scopes", f"scopes: {', '.join(SCOPES)}")
        for scope in wanted:
            if scope not in SCOPES:
                raise UserError(f"no scope is called {scope!r}{suggest_name(scope, SCOPES)}", f"scopes: {', '.join(SCOPES)}")
        _check_granted_scopes(wanted, within)
        with self.project.database.writing() as connection:
            people.add(connection, [Annotator(_check_invited_name(name), "annotator", "application")])
            key = people.get_key(connection, name)
            if people.get(connection, key).kind != "application":
                raise ConflictError(f"{name!r} is a person", "give the program a name of its own")
            token = access.issue_secret(
                connection, key, "token", scopes=" ".join(wanted), seconds=None if days is None else days * DAY_SECONDS
            )
            events.record_event(connection, "token issued", {"application": name, "scopes": list(wanted)}, actor=by)
        return {"application": name, "scopes": list(wanted), "token": token}

    def rotate_token(self, name: str, *, hours: float = 0, by: str, within: frozenset[str] | None = None) -> dict[str, Any]:
        """Replace the tokens of a program or person by a new one; the old ones end after so many hours.

        It allows what these allowed, and ends when the last of them would have. Files, jobs, models and answers belong to the program and
        stay its own. When two rotate at the same moment the later one's token is valid. Raises NotFoundError where there is no token to
        replace, since this must not let anybody back in whose access was revoked. within: as for `invite`.
        """
        if not 0 <= hours <= 24 * 366:
            raise UserError(f"the old token may stay for some hours, up to a year, not {hours:g}", "--hours 24", where="hours")
        with self.project.database.writing() as connection:
            events.lock_log(connection)
            key = people.get_key(connection, name)
            there = access.list_tokens(connection, key)
            if not there:
                raise NotFoundError(f"{name!r} has no token that could be replaced", f"give them one: preceptor people invite {name}")
            scopes = list(dict.fromkeys(scope for each, _ in there for scope in each.split()))
            person = people.get(connection, key)
            _check_granted_scopes(scopes or ROLES[person.role], within)
            ends = [expires for _, expires in there if expires is not None]
            seconds = max(ends) - now() if len(ends) == len(there) else None
            if hours:
                access.expire_tokens(connection, key, now() + hours * 3600)
            else:
                access.revoke_credentials(connection, key, "token")
            token = access.issue_secret(connection, key, "token", scopes=" ".join(scopes), seconds=seconds)
            events.record_event(connection, "token rotated", {"annotator": name, "scopes": scopes, "hours": hours}, actor=by)
        kind = "application" if person.kind == "application" else "annotator"
        return {kind: name, "scopes": scopes or list(ROLES[person.role]), "token": token, "hours": hours}

    def revoke_credentials(self, name: str, *, by: str) -> int:
        """End all links, tokens, passwords and sessions of somebody; return how many they were."""
        with self.project.database.writing() as connection:
            count = access.revoke_credentials(connection, people.get_key(connection, name))
            events.record_event(connection, "access revoked", {"annotator": name, "credentials": count}, actor=by)
        return count

    def set_paused(self, name: str, paused: bool, *, by: str) -> None:
        """Pause or resume an annotator: while paused they are assigned nothing."""
        with self.project.database.writing() as connection:
            people.update_annotator(connection, people.get_key(connection, name), paused=paused)
            events.record_event(connection, "person paused" if paused else "person unpaused", {"annotator": name}, actor=by)

    # Authentication

    def authenticate_token(self, token: str) -> AuthenticatedVisitor | None:
        """Return the visitor of a bearer token; None when it isn't valid."""
        with self.project.database.reading() as connection:
            found = access.find_credential(connection, token)
        return _visitor_from_credential(found) if found is not None and found.kind == "token" else None

    def authenticate_session(self, secret: str) -> AuthenticatedVisitor | None:
        """Return the visitor of a session's secret; None when it has ended, or never began."""
        with self.project.database.reading() as connection:
            found = access.find_credential(connection, secret)
        return _visitor_from_credential(found) if found is not None and found.kind == "session" else None

    def end_session(self, secret: str) -> None:
        """End the session of a secret, here and wherever its cookie has been copied to."""
        with self.project.database.writing() as connection:
            access.end_session(connection, secret)

    def accept_invitation(self, secret: str, browser: str) -> BrowserSession:
        """Begin a session by an invitation from a browser (a random name in its cookie); AccessForbidden says why not."""
        with self.project.database.writing() as connection:
            found = access.find_credential(connection, secret)
            if found is None or found.kind != "invitation":
                raise AccessForbidden("this link is not valid, or no longer", "ask the manager of the project for a new one")
            theirs = access.bind_invitation(connection, found.key, browser)
            if theirs:
                return self._begin_session(connection, found.annotator)
            events.record_event(connection, "invitation used twice", {"annotator": found.name}, actor=found.name)
        raise AccessForbidden(  # outside the transaction, so that the event is kept
            "this link has been used in another browser; each person has a link of their own",
            "go on in that browser, sign in with your password, or ask the manager of the project for a new link",
        )

    def join_crowd(self, secret: str, worker: str) -> BrowserSession:
        """Begin a session of a crowd's worker, by the crowd's link."""
        if not _WORKER_NAME.fullmatch(worker):
            raise AccessForbidden("this link lacks who you are", "open it from the page of your study, which adds PROLIFIC_PID to it")
        with self.project.database.writing() as connection:
            found = access.find_credential(connection, secret)
            if found is None or found.kind != "crowd":
                raise AccessForbidden("this study's link is not valid, or no longer", "return it on the page of your study")
            name, limit = f"{found.name.removeprefix('crowd:')}:{worker}", people.get(connection, found.annotator).daily_limit
            people.add(connection, [Annotator(name)])
            key = people.get_key(connection, name)
            if people.get(connection, key).role != "annotator" or access.is_crowd_link_closed(connection, key):
                raise AccessForbidden("this study is closed to you", "return it on the page of your study")
            people.update_annotator(connection, key, daily_limit=limit)
            return self._begin_session(connection, key)

    def set_password(self, name: str, password: str, *, session: int | None = None) -> None:
        """Set somebody's password, stored as its argon2 hash; their sessions end, except the one in which they set it."""
        from argon2 import PasswordHasher

        if len(password) < MIN_PASSWORD_LENGTH:
            raise UserError(f"a password has at least {MIN_PASSWORD_LENGTH} characters", "several words are easy to keep", where="password")
        if len(password) > 1000:
            raise UserError("a password has at most 1,000 characters", "a shorter one will do", where="password")
        hashed = PasswordHasher().hash(password)
        with self.project.database.writing() as connection:
            key = people.get_key(connection, name)
            access.set_password(connection, key, hashed)
            access.end_sessions(connection, key, besides=session)
            events.record_event(connection, "password set", {"annotator": name}, actor=name)

    def sign_in(self, name: str, password: str, address: str) -> BrowserSession:
        """Begin a session by name and password; SignInLocked after five failures in a quarter of an hour, AccessForbidden otherwise.

        An unknown name takes as long as a wrong password, and gets the same message.
        """
        from argon2 import PasswordHasher
        from argon2.exceptions import InvalidHashError, VerificationError

        subjects = (f"name {name[:200]}", f"address {address}")
        self._check_attempts(subjects, already=0)
        with self.project.database.writing() as connection:
            noted = [access.record_attempt(connection, subject) for subject in subjects]
        self._check_attempts(subjects, already=1)  # including attempts that others have made at the same moment
        with self.project.database.reading() as connection:
            key = people.find_key(connection, name)
            kept = access.find_password(connection, key) if key is not None else None
        try:
            PasswordHasher().verify(kept[1] if kept else _dummy_password_hash(), password)
        except (VerificationError, InvalidHashError):
            kept = None
        if kept is None or key is None:
            raise AccessForbidden("the name or the password is wrong", "or you have no password yet: open your link, then set one")
        with self.project.database.writing() as connection:
            access.remove_attempts(connection, noted)
            access.reset_failures(connection, subjects[0])  # but not the address: whoever knows one password could guess all others from it
            return self._begin_session(connection, key)

    def _begin_session(self, connection: Connection, annotator: int) -> BrowserSession:
        begun, secret = access.begin_session(connection, annotator, seconds=SESSION_DAYS * DAY_SECONDS)
        return BrowserSession(_visitor_from_credential(begun), secret)

    def _check_attempts(self, subjects: tuple[str, str], *, already: int) -> None:
        """Raise SignInLocked when no attempt is left, counting `already` that are being made.

        An address has four times as many attempts as a name.
        """
        with self.project.database.reading() as connection:
            for subject, tries in zip(subjects, (MAX_SIGN_IN_ATTEMPTS, 4 * MAX_SIGN_IN_ATTEMPTS), strict=True):
                if access.count_failures(connection, subject, LOCK_SECONDS) - already >= tries:
                    raise SignInLocked(
                        "too many failed attempts", f"wait {LOCK_SECONDS / 60:.0f} minutes, or ask the manager of the project for a link"
                    )

    @property
    def _address(self) -> str:
        return quote(self.project.address, safe=":/[]?=&%")


def _check_granted_scopes(scopes: Iterable[str], within: frozenset[str] | None) -> None:
    """Raise AccessForbidden for a scope that the grantor doesn't have."""
    if within is not None and (more := set(scopes) & SCOPES.keys() - within):
        raise AccessForbidden(f"you can't let others do what you may not: {', '.join(sorted(more))}", "ask an owner of the project")


def _check_invited_name(name: str) -> str:
    """Return a name that can stand in a URL and isn't mistaken for another; UserError for any other."""
    odd = any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in check_annotator_name(name))
    if odd or name != name.strip() or name in (".", "..") or len(name) > MAX_NAME_LENGTH:
        raise UserError(
            f"nobody can be invited as {name!r:.60}",
            f"a name is one line of at most {MAX_NAME_LENGTH} characters, without spaces around it",
            where="name",
        )
    return name


_DUMMY_HASH: list[str] = []


def _dummy_password_hash() -> str:
    """Return the hash of a password that nobody has, made once, so that an unknown name costs as much time as a known one."""
    from argon2 import PasswordHasher

    if not _DUMMY_HASH:
        _DUMMY_HASH.append(PasswordHasher().hash(secrets.token_urlsafe(32)))
    return _DUMMY_HASH[0]


def _visitor_from_credential(credential: access.AccessCredential) -> AuthenticatedVisitor:
    scopes = frozenset(credential.scopes or ROLES[credential.role])
    return AuthenticatedVisitor(credential.name, credential.role, scopes, credential.key, credential.annotator)


def list_annotators(project: Project) -> list[Annotator]:
    """Return all annotators, people and models, in order of arrival."""
    with project.database.reading() as connection:
        return people.list_annotators(connection)


def get_annotator(project: Project, name: str) -> Annotator:
    """Return an annotator with their current settings; raises UserError with the nearest name when there is none."""
    with project.database.reading() as connection:
        return people.get(connection, people.get_key(connection, name))


def count_active_judgments(project: Project, name: str) -> dict[str, int]:
    """Return the number of an annotator's valid judgments, by question."""
    with project.database.reading() as connection:
        return annotation_stats.count_valid_by_question(connection, people.get_key(connection, name))
