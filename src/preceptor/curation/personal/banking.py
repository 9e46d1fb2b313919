"""What pays: cards, by scheme, length and check digit; bank accounts, by country, length and checksum."""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.checksums import IBAN_LENGTHS, is_card, is_iban
from preceptor.curation.personal.finding import Span

_CARD = re.compile(r"(?<![\d.,])(?<!\d\d[ -])(?<!\W\d[ -])\d(?:[ .-]?\d){12,}(?![\d])(?![.,]\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?=[ -]?[A-Za-z0-9])")


def cards(text: str) -> Iterator[Span]:
    """Numbers in a plain text; the longest that ends where a group of digits ends."""
    for run in _CARD.finditer(text):
        start = run.start()
        while found := next((end for end in _ends(text, start, run.end()) if is_card(re.sub(r"\D", "", text[start:end]))), 0):
            yield start, found
            start = found + 1


def _ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where a number from `start` on may end within a run of digits and separators, the farthest first."""
    for at in range(min(start + 38, end), start + 12, -1):
        if text[at - 1].isdigit() and (at == end or text[at] == " "):
            yield at


def ibans(text: str) -> Iterator[Span]:
    for found in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(found[0][:2].upper())
        whole = (
            re.compile(rf"[A-Za-z0-9](?:[ -]?[A-Za-z0-9]){{{length - 1}}}(?![A-Za-z0-9])").match(text, found.start()) if length else None
        )
        if whole and is_iban(re.sub(r"[ -]", "", whole[0])):
            yield whole.span()
