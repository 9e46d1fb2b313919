"""What pays: cards, by scheme, length and check digit; bank accounts, by country, length and checksum."""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.checksums import IBAN_LENGTHS, is_card, is_iban
from preceptor.curation.personal.finding import Span

_CARD = re.compile(r"(?<![\d.,])(?<!\d[ -])\d(?:[ .-]?\d){12,18}(?![\d])(?![.,]\d)")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d\d(?=[ -]?[A-Za-z0-9])")


def cards(text: str) -> Iterator[Span]:
    return (found.span() for found in _CARD.finditer(text) if is_card(re.sub(r"\D", "", found[0])))


def ibans(text: str) -> Iterator[Span]:
    for found in _IBAN.finditer(text):
        length = IBAN_LENGTHS.get(found[0][:2].upper())
        whole = (
            re.compile(rf"[A-Za-z0-9](?:[ -]?[A-Za-z0-9]){{{length - 1}}}(?![A-Za-z0-9])").match(text, found.start()) if length else None
        )
        if whole and is_iban(re.sub(r"[ -]", "", whole[0])):
            yield whole.span()
