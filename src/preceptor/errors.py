"""Errors that somebody outside the code can fix.

UserError                 bad input or state; exit code 1
├── MultipleFaults        several things are wrong in one file or folder; the first are named, all are counted
├── MissingPackage        an optional package that the call needs isn't installed
├── NotFoundError         nothing has this name or number
├── ConflictError         something with this name or id exists with other content
├── UnavailableError      the database doesn't answer, for now or for good; the same request can be sent again
├── DamagedFile           a file in a project isn't what was stored there: altered, cut short, or missing
└── GateRefused           a release gate refused or lacks evidence; exit code 3

Each says what went wrong, where, and what to do. They are rendered once in the command line and once on the pages; nothing else
prints them.
"""

from __future__ import annotations

from collections.abc import Sequence


class UserError(Exception):
    """An error that somebody outside the code can fix: `message` (what), `where` (file:line, row, field), `hint` (what to do)."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "", *, where: str = "") -> None:
        super().__init__(message, hint, where)
        self.message, self.hint, self.where = message, hint, where

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        ends = self.message.endswith((".", "?", "!"))
        advice = f"{' ' if ends else '; '}{self.hint}" if self.hint else ""
        return f"{place}{self.message}{advice}"


class MultipleFaults(UserError):
    """Several faults found at once. faults: the first of them, in order. count: the number of all."""

    def __init__(self, message: str, hint: str, faults: Sequence[UserError], count: int, *, where: str = "") -> None:
        super().__init__(message, hint, where=where)
        self.faults, self.count = tuple(faults), count


class MissingPackage(UserError):
    """An optional dependency is missing; the hint is the command that installs it."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"packages for {feature} aren't installed", f"pip install 'preceptor[{extra}]'")


class NotFoundError(UserError):
    """Nothing has this name or number."""


class ConflictError(UserError):
    """Something with this name or id exists already, with other content."""


class UnavailableError(UserError):
    """The storage doesn't answer; nothing was written, and the same request may succeed later."""


class DamagedFile(UserError):
    """A file of a project was altered or cut short on disk, or is missing."""


class GateRefused(UserError):
    """A release gate was missed, or its evidence isn't sufficient yet."""

    exit_code = 3
