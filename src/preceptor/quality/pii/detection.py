"""Find personal data in texts by patterns, check digits and context words, and mask it with keyed placeholders.

Personal data is what identifies, reaches or bills somebody, or opens their accounts. The order of `PII_KINDS` decides between two kinds
that fit the same place. Equal values get the same placeholder, and without the key nobody can find out a value by trying candidates.
"""

from __future__ import annotations

import base64
import bisect
import hashlib
import hmac
import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from preceptor.errors import UserError
from preceptor.quality.pii.accounts import (
    BIRTH_WORDS,
    RECORD_WORDS,
    find_birth_dates,
    find_cards,
    find_ibans,
    find_ip_addresses,
    find_mac_addresses,
    find_passport_numbers,
    find_record_numbers,
    find_secrets,
    find_url_logins,
)
from preceptor.quality.pii.contacts import (
    NAME_WORDS,
    find_emails,
    find_handles,
    find_home_addresses,
    find_names,
    find_phones,
    find_postal_addresses,
    national_number,
)
from preceptor.quality.pii.national_ids import EUROPEAN_IDS, NON_EUROPEAN_IDS, TextSpan
from preceptor.quality.text_normalization import NormalizedText, normalize_characters
from preceptor.registry import suggest_name


@dataclass(frozen=True, slots=True)
class PiiFinding:
    """Personal data in one of many texts: texts[index][start:end] is `text`; start and end count code points."""

    index: int
    start: int
    end: int
    kind: str
    text: str


_ANY_SIGN, _DIGIT, _CAPITAL = re.compile(r""), re.compile(r"\d"), re.compile(r"[A-ZÀ-Þ]")
_POSTCODE_SIGN = re.compile(r"\d{3} ?\d|[A-Z]\d[A-Z\d]? ?\d[A-Z]")
_SIX_DIGITS_SIGN = re.compile(r"\d(?:[ ./()\u00a0\u2010-\u2014\u202f-]{0,3}\d){5}")


@dataclass(frozen=True)
class PiiKind:
    """A kind of personal data.

    description: in words. finder: finds it in a plain text (`text_normalization`). sign, required_words: a pattern and words (in lower
    case) without which a line holds none; the pattern only saves time. spans_lines: whether it is sought in the whole original text, where
    lines and each character count.
    """

    description: str
    finder: Callable[[str], Iterator[TextSpan]]
    sign: re.Pattern[str] = _DIGIT
    required_words: frozenset[str] = frozenset()
    spans_lines: bool = False


PII_KINDS: dict[str, PiiKind] = {
    "secret": PiiKind("a key, a token or a password", find_secrets, _ANY_SIGN, spans_lines=True),
    "url_login": PiiKind("a link with a user's password", find_url_logins, re.compile(r"://"), spans_lines=True),
    "postal_address": PiiKind("a postal address", find_postal_addresses, _POSTCODE_SIGN, spans_lines=True),
    "email": PiiKind("an e-mail address of a person", find_emails, re.compile(r"[@＠]|\b(?i:at)\b")),
    "handle": PiiKind("a name in a social network", find_handles, re.compile("@"), spans_lines=True),
    "iban": PiiKind("a bank account (IBAN)", find_ibans, re.compile(r"[A-Za-z]{2}\d\d")),
    "card": PiiKind("a payment card", find_cards, _SIX_DIGITS_SIGN),
    **{
        number.kind: PiiKind(number.description, number.spans, _DIGIT if number.has_letters else _SIX_DIGITS_SIGN)
        for number in (*EUROPEAN_IDS, *NON_EUROPEAN_IDS)
    },
    "passport": PiiKind("a passport's number", find_passport_numbers, re.compile(r"\d{6}|[A-Z]{1,2}\d{4}|<<|<\d")),
    "ip": PiiKind("an internet address", find_ip_addresses, re.compile(r"\d\.\d{1,3}\.\d|[0-9a-fA-F:]:[0-9a-fA-F]{0,4}:")),
    "mac": PiiKind(
        "a network card's address", find_mac_addresses, re.compile(r"[0-9a-fA-F]{2}([:-])[0-9a-fA-F]{2}\1|[0-9a-fA-F]{4}\.[0-9a-fA-F]{4}\.")
    ),
    "birth_date": PiiKind("a date of birth", find_birth_dates, _DIGIT, BIRTH_WORDS),
    "record": PiiKind("a number of a patient, a passport, a licence or an account", find_record_numbers, _DIGIT, RECORD_WORDS),
    "address": PiiKind("a house and street where somebody lives", find_home_addresses),
    "phone": PiiKind("a telephone number", find_phones, _SIX_DIGITS_SIGN),
    "name": PiiKind("a name of a person", find_names, _CAPITAL, NAME_WORDS, spans_lines=True),
}

DEFAULT_PII_KINDS: tuple[str, ...] = tuple(PII_KINDS)
_PLACEHOLDER_PATTERN = re.compile(r"\[[A-Z_]+-[a-z2-7]{8}\]")
"""What `mask` writes; it is never found again."""
_LINE_PATTERN = re.compile(r"[^\n\r\v\f\x85\u2028\u2029]+")
_PLAIN_LINE = re.compile(r"[ -)+-^a-~]*")  # printable ASCII without Markdown's signs: `normalize_characters` changes nothing
_UNSPACED = "\u2e80"  # from this code point on, scripts without spaces between words
_WORD_PATTERN = re.compile(r"[^\W\d_]+")


_OrderedKind = tuple[int, str, PiiKind]
_KindsBySign = Sequence[tuple[re.Pattern[str], Sequence[_OrderedKind]]]


def find_pii(texts: Iterable[str], kinds: Sequence[str] = DEFAULT_PII_KINDS, allow: Sequence[str] = ()) -> Iterator[PiiFinding]:
    """Find personal data of these kinds in each text, in order of texts and places; findings never overlap, the longer one wins.

    A number is sought within a line, so that one at a line's end doesn't run into the next line's.

    allow: values that aren't personal, such as a company's e-mail domain or hotline; compared by letters, digits and @, ignoring
    formatting. Texts are read one by one, and the findings of one are yielded before the next is read. Raises UserError for an unknown
    kind.
    """
    for kind in kinds:
        if kind not in PII_KINDS:
            raise UserError(f"no kind of personal data is called {kind!r}{suggest_name(kind, PII_KINDS)}", f"known: {', '.join(PII_KINDS)}")
    own = [strip_formatting(entry) for entry in allow]
    chosen = [(order, kind, PII_KINDS[kind]) for order, kind in enumerate(kinds)]
    whole, by_line = (_group_by_sign([each for each in chosen if each[2].spans_lines == over]) for over in (True, False))
    return (finding for index, text in enumerate(texts) for finding in _find_in_text(index, text, whole, by_line, own))


def strip_formatting(text: str) -> str:
    """Return the letters, digits and @ of a text, in lower case."""
    return re.sub(r"[^\w@]|_", "", text).lower()


def _group_by_sign(kinds: Sequence[_OrderedKind]) -> _KindsBySign:
    """Group kinds with the same sign, so that it is searched once."""
    signs = defaultdict[re.Pattern[str], list[_OrderedKind]](list)
    for each in kinds:
        signs[each[2].sign].append(each)
    return list(signs.items())


def _find_in_text(index: int, text: str, whole: _KindsBySign, by_line: _KindsBySign, own: Sequence[str]) -> list[PiiFinding]:
    found = list[tuple[int, int, int, str]]()  # to be sorted: longest first, then by the order of kinds
    for order, kind, start, end in _candidate_spans(text, whole, by_line):
        if not any(entry in strip_formatting(text[start:end]) for entry in own):
            found.append((start - end, order, start, kind))
    if not found:
        return []
    taken = [match.span() for match in _PLACEHOLDER_PATTERN.finditer(text)]
    kept = list[PiiFinding]()
    for length, _, start, kind in sorted(found):
        end = start - length
        place = bisect.bisect(taken, (start, end))
        if (place == 0 or taken[place - 1][1] <= start) and (place == len(taken) or taken[place][0] >= end):
            taken.insert(place, (start, end))
            kept.append(PiiFinding(index, start, end, kind, text[start:end]))
    return sorted(kept, key=lambda finding: finding.start)


def _candidate_spans(text: str, whole: _KindsBySign, by_line: _KindsBySign) -> Iterator[tuple[int, str, int, int]]:
    """Yield (order of the kind, kind, start, end) of all that may be personal, over the whole text or line by line."""
    for order, kind, known in _candidate_kinds(text, whole):
        yield from ((order, kind, start, end) for start, end in known.finder(text))
    for line in _LINE_PATTERN.finditer(text):
        if likely := _candidate_kinds(line[0], by_line):
            seen, offset = _normalize_line(line[0]), line.start()
            for order, kind, known in likely:
                for place in known.finder(seen.text):
                    start, end = seen.original_span(*place)
                    yield order, kind, offset + start, offset + end


def _candidate_kinds(text: str, signs: _KindsBySign) -> list[_OrderedKind]:
    """Return the kinds that a text may hold, by their signs and words."""
    found = [each for sign, kinds in signs if sign.search(text) for each in kinds]
    if not any(known.required_words for _, _, known in found):
        return found
    words = set(_WORD_PATTERN.findall(text.lower()))
    spaced = max(text) < _UNSPACED
    return [each for each in found if not (each[2].required_words and spaced and each[2].required_words.isdisjoint(words))]


def _normalize_line(line: str) -> NormalizedText:
    if _PLAIN_LINE.fullmatch(line) and "  " not in line:
        return NormalizedText(line, range(len(line)), range(1, len(line) + 1))
    return normalize_characters(line)


_PLACEHOLDER_LETTERS = 8  # of base32: 40 bits; among 100,000 values two share a placeholder in one of 200 projects


def new_mask_key() -> bytes:
    """Create a key for a project to keep: with it a value keeps its placeholder, and without it nobody can tell the value."""
    return secrets.token_bytes(32)


def mask_pii(text: str, findings: Iterable[PiiFinding], key: bytes) -> str:
    """Replace each finding in a text by a placeholder such as `[EMAIL-k3f7q2ma]`.

    findings: those of this text. Raises UserError where one doesn't fit it, or where two overlap.
    """
    pieces, at = list[str](), 0
    for finding in sorted(findings, key=lambda finding: finding.start):
        if finding.start < at or text[finding.start : finding.end] != finding.text or not finding.text:
            raise UserError(
                f"a finding ({finding.kind} at {finding.start}) doesn't fit the text",
                "mask a text with what `find` found in this very text",
            )
        pieces += [text[at : finding.start], pii_placeholder(finding.kind, finding.text, key)]
        at = finding.end
    return "".join([*pieces, text[at:]])


def pii_placeholder(kind: str, value: str, key: bytes) -> str:
    """Return the placeholder of a value: its kind, and eight letters by HMAC-SHA256 of its canonical form.

    Raises UserError for a key shorter than 16 bytes.
    """
    if len(key) < 16:
        raise UserError(f"the key has {len(key)} bytes; whoever can try all keys can try all values", "use `new_key()` once and keep it")
    digest = hmac.new(key, f"{kind}\0{_canonical_value(kind, value)}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return f"[{kind.upper()}-{base64.b32encode(digest[:5]).decode().lower()[:_PLACEHOLDER_LETTERS]}]"


def _canonical_value(kind: str, value: str) -> str:
    """Return the same text for one value however it is formatted: spaces, capitals, `(at)`, a country's prefix before a phone number."""
    if kind == "phone":
        return national_number(value)
    if kind == "email":
        value = re.sub(r"\s*[(\[{<]?\s*\bat\b\s*[)\]}>]?\s*", "@", value, flags=re.I) if "@" not in value else value
        value = re.sub(r"\s*[(\[{<]?\s*\bdot\b\s*[)\]}>]?\s*", ".", value, flags=re.I)
        return re.sub(r"\s", "", value).lower()
    return value if kind == "secret" else strip_formatting(value)
