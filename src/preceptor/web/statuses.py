"""The HTTP status of each kind of error."""

from __future__ import annotations

from preceptor.errors import Conflict, DamagedFile, MissingPackage, NotFound, Unavailable, UserError
from preceptor.project import Forbidden, Locked
from preceptor.web.visitors import NotSignedIn

STATUS: list[tuple[type[UserError], int]] = [
    (NotSignedIn, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Locked, 429),
    (Unavailable, 503),
    (DamagedFile, 500),
    (MissingPackage, 501),
    (UserError, 422),
]


def status_of(error: UserError) -> int:
    """The HTTP status of an error."""
    return next(code for kind, code in STATUS if isinstance(error, kind))
