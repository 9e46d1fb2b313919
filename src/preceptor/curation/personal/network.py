"""Addresses of machines, and links that carry somebody's password."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from preceptor.curation.personal.finding import Span

_V4 = re.compile(r"(?<![\w.-])\d{1,3}(?:\.\d{1,3}){3}(?![\w-])(?!\.\d)")
_V6 = re.compile(r"(?<![\w:.])(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|(?:\d{1,3}\.){3}\d{1,3}|(?<=:):?)(?![\w:])", re.I)
_VERSION = re.compile(r"(?:version|versions|v\.?|release|chapter|section|§|article|clause|figure|table|ec|oid)\s*$", re.I)
_MAC = re.compile(r"(?<![\w:-])(?:[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4})(?![\w:-])", re.I)
_LOGIN = re.compile(r"\b[a-z][a-z+.-]{1,20}://[^\s/:@\"'<>]{1,80}:([^\s@\"'<>]{1,120})@[^\s\"'<>]{2,}", re.I)
_EXAMPLE = re.compile(r"[<{\[(]|pass(?:word)?|pwd|secret|x+|\*+", re.I)


def ips(text: str) -> Iterator[Span]:
    """Addresses of the internet, which tell a household; those of one's own network, of no machine and of all are nobody's."""
    for form in (_V4, _V6):
        for found in form.finditer(text):
            if _is_somebodys(found[0]) and not _VERSION.search(text[max(0, found.start() - 12) : found.start()]):
                yield found.span()


def macs(text: str) -> Iterator[Span]:
    """Addresses of network cards; all zeros and all ones are nobody's."""
    return (found.span() for found in _MAC.finditer(text) if len(set(re.sub(r"\W", "", found[0]).lower())) > 1)


def logins(text: str) -> Iterator[Span]:
    """Links with a user and a password before the host; a placeholder is no password."""
    return (found.span() for found in _LOGIN.finditer(text) if not _EXAMPLE.fullmatch(found[1]) and found[1][0] not in "<{[$")


def _is_somebodys(written: str) -> bool:
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return False
    return not (not address.is_global or address.is_multicast or len(written) < 7)
