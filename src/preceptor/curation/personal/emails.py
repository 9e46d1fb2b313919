"""Mailboxes of people: an address, also as `jane (at) example (dot) com`. Mailboxes of a role (support@, info@) are nobody's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.finding import Span

_LOCAL, _DOMAIN = r"[\w.+%'-]{0,63}\w", r"\w(?:[\w-]{0,61}\w)?"
_TOP = r"com|org|net|edu|gov|io|co|uk|de|fr|es|it|nl|eu|info|me|ca|au|us|ch|at|in"
_AT, _DOT = r"\s*[(\[{<]\s*at\s*[)\]}>]\s*", r"\s*(?:\.|[(\[{<]\s*dot\s*[)\]}>]|\sdot\s)\s*"
_EMAILS = [  # a sign that costs little to look for, then the form that costs much
    (re.compile(r"@|[(\[{<]\s*at\b", re.I), re.compile(rf"(?<![\w.@+%-])({_LOCAL})(?:@| @ |{_AT})({_DOMAIN}(?:\.{_DOMAIN})+)", re.I)),
    (
        re.compile(r"[(\[{<]\s*at\b", re.I),
        re.compile(rf"(?<![\w.@+%-])({_LOCAL}){_AT}({_DOMAIN}(?:{_DOT}{_DOMAIN}){{0,4}}{_DOT}(?:{_TOP}))\b", re.I),
    ),
    (
        re.compile(r" dot ", re.I),
        re.compile(rf"\b(\w+(?: (?:dot|underscore|dash) \w+){{0,5}}) at ({_DOMAIN}(?: dot {_DOMAIN}){{0,4}} dot (?:{_TOP}))\b", re.I),
    ),
]
_ROLE = re.compile(
    r"(?:abuse|accounts?|admin|appointments?|billing|bookings?|care|careers|claims|clients?|complaints?|compliance|contact(?:us)?|"
    r"customers?(?:[._-]?(?:care|service|services|support))?|disputes?|dpo|enquir(?:y|ies)|feedback|finance|fraud|hello|help(?:desk)?|hr|"
    r"info|inquir(?:y|ies)|jobs|legal|mail|marketing|media|members?|news(?:letter)?|no-?reply|office|orders?|payments?|postmaster|press|"
    r"privacy|reception|refunds?|returns?|sales|security|service|services|shop|support|team|tech|webmaster|welcome)",
    re.IGNORECASE,
)
_LINK = re.compile(r"://[^\s/]*$")  # what stands before @ in a link is a login


def emails(text: str) -> Iterator[Span]:
    """Addresses in a plain text."""
    seen = set[Span]()
    for sign, form in _EMAILS:
        for found in form.finditer(text) if sign.search(text) else ():
            if (
                not _ROLE.fullmatch(found[1])
                and found.span() not in seen
                and not _LINK.search(text, max(0, found.start() - 80), found.start())
            ):
                seen.add(found.span())
                yield found.span()
