"""The kinds of personal data, each with what finds it. The order decides between two that fit the same place."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from preceptor.curation.personal.addresses import homes, postal_addresses
from preceptor.curation.personal.banking import cards, ibans
from preceptor.curation.personal.emails import emails
from preceptor.curation.personal.finding import Span
from preceptor.curation.personal.handles import handles
from preceptor.curation.personal.names import NAME_WORDS, names
from preceptor.curation.personal.national.elsewhere import ELSEWHERE
from preceptor.curation.personal.national.europe import EUROPE
from preceptor.curation.personal.network import ips, logins, macs
from preceptor.curation.personal.phones import phones
from preceptor.curation.personal.records import BIRTH_WORDS, RECORD_WORDS, birth_dates, passports, records
from preceptor.curation.personal.secrets import secrets

_ANY, _DIGIT, _CAPITAL = re.compile(r""), re.compile(r"\d"), re.compile(r"[A-ZÀ-Þ]")
_POSTCODE = re.compile(r"\d{3} ?\d|[A-Z]\d[A-Z\d]? ?\d[A-Z]")
_SIX_DIGITS = re.compile(r"\d(?:[ ./()\u00a0\u2010-\u2014\u202f-]{0,3}\d){5}")


@dataclass(frozen=True)
class Kind:
    """A kind of personal data: what it is in words, and what finds it in a plain text (`folding.plain`).

    sign, among: a pattern and words (in lower case) without which a line holds none; they only save time.
    over_lines: it is sought in the whole text as it was written, where lines and each character count.
    """

    words: str
    finder: Callable[[str], Iterator[Span]]
    sign: re.Pattern[str] = _DIGIT
    among: frozenset[str] = frozenset()
    over_lines: bool = False


KINDS: dict[str, Kind] = {
    "secret": Kind("a key, a token or a password", secrets, _ANY, over_lines=True),
    "url_login": Kind("a link with a user's password", logins, re.compile(r"://"), over_lines=True),
    "postal_address": Kind("a postal address", postal_addresses, _POSTCODE, over_lines=True),
    "email": Kind("an e-mail address of a person", emails, re.compile(r"[@＠]|\b(?i:at)\b")),
    "handle": Kind("a name in a social network", handles, re.compile("@"), over_lines=True),
    "iban": Kind("a bank account (IBAN)", ibans, re.compile(r"[A-Za-z]{2}\d\d")),
    "card": Kind("a payment card", cards, _SIX_DIGITS),
    **{number.kind: Kind(number.words, number.spans, _DIGIT if number.mixed else _SIX_DIGITS) for number in (*EUROPE, *ELSEWHERE)},
    "passport": Kind("a passport's number", passports, re.compile(r"\d{6}|[A-Z]{1,2}\d{4}|<<|<\d")),
    "ip": Kind("an internet address", ips, re.compile(r"\d\.\d{1,3}\.\d|[0-9a-fA-F:]:[0-9a-fA-F]{0,4}:")),
    "mac": Kind("a network card's address", macs, re.compile(r"[0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}\1|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.")),
    "birth_date": Kind("a date of birth", birth_dates, _DIGIT, BIRTH_WORDS),
    "record": Kind("a number of a patient, a passport, a licence or an account", records, _DIGIT, RECORD_WORDS),
    "address": Kind("a house and street where somebody lives", homes),
    "phone": Kind("a telephone number", phones, _SIX_DIGITS),
    "name": Kind("a name of a person", names, _CAPITAL, NAME_WORDS, over_lines=True),
}
