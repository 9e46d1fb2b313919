"""Addresses of servers, as they may be printed."""

from __future__ import annotations

from urllib.parse import urlsplit


def shown_address(address: str) -> str:
    """An address without the user and password that may stand in it."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "the server's address"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
