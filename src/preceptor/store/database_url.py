"""Addresses of databases: parsed, refused in words, and shown without their passwords."""

from __future__ import annotations

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from preceptor.errors import UserError

_FORMS = "sqlite:///PATH, or postgresql+psycopg://USER@HOST/DATABASE"
_ENCODED = "in a user's name or password write @ as %40, / as %2F, : as %3A, ? as %3F, % as %25"
_HIDDEN = "***"
_SECRET = ("password", "passfile", "sslpassword")


def parse_database_url(url: str) -> URL:
    """The parts of an address; UserError, without quoting a secret, for one that is of no database that can be used."""
    scheme = url.partition("://")[0] if "://" in url else ""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # whose words may hold the password
        shown = f"{scheme}://…" if scheme.replace("+", "").isalnum() else "an address without a scheme"
        raise UserError(f"{shown} can't be read, and names no database that can be used", f"{_FORMS}; {_ENCODED}") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise unknown_database(parsed)
    if "@" in (parsed.host or ""):  # what follows the first @ of the password was taken for the host
        raise UserError("the password in the database's address holds an @ of its own", _ENCODED)
    return parsed


def unknown_database(url: URL) -> UserError:
    """The fault of an address of a database, or of a driver for one, that isn't known."""
    return UserError(f"{shown_database_url(url)!r} names no database that can be used", _FORMS)


def shown_database_url(url: URL) -> str:
    """An address as it may be printed: no password in it, wherever one stands."""
    host = url.host.rpartition("@")[2] if url.host else url.host
    query = {name: _HIDDEN if name in _SECRET else value for name, value in url.query.items()}
    return url.set(host=host, query=query).render_as_string(hide_password=True).replace("%2A%2A%2A", _HIDDEN)
