"""Where somebody lives: a house and street beside words that say so, or a whole postal address, which need no words."""

from __future__ import annotations

import re
from collections.abc import Iterator

from preceptor.curation.personal.finding import Span

_STREET = re.compile(
    r"\b\d{1,5}[A-Za-z]?,? (?:[NSEW]\.? )?(?:(?:[A-Z][\w'.-]+|\d+(?:st|nd|rd|th)) ){1,3}"
    r"(?:Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Boulevard|Blvd|Court|Ct|Way|Place|Pl|Terrace|Square|Close|Crescent)\b"
)
_LIVES = re.compile(
    r"(?:lives?|living|lived|resid\w+|moved|home|residence|(?:his|her|their|your|whose|customer's|patient's|client's) (?:\w+ )?address|"
    r"address (?:on file|is|we have)|(?:customer|patient|client|tenant|neighbou?r) (?:at|in|of)|"
    r"(?:ship|deliver|send|sent|post)(?:ped|ed)? (?:it )?to)\b[^.?!;]{0,50}$",
    re.I,
)
_TOWN = r"[A-ZÀ-Þ][\w.'-]+(?: [A-ZÀ-Þ][\w.'-]+| (?:am|an der|im|sur|de|la|le|les|upon|del|den) [A-ZÀ-Þ][\w'-]+){0,3}"
_ZIP = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY]) "
    r"\d{5}(?:-\d{4})?"
)
_POSTCODE = r"[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}"
_CANADIAN = r"[ABCEGHJ-NPRSTVXY]\d[A-Z] ?\d[A-Z]\d"
_AUSTRALIAN = r"(?:NSW|VIC|QLD|WA|SA|TAS|ACT|NT) \d{4}"
_HOUSE = r"(?:\d{1,5}[a-zA-Z]?(?:[-/]\d{1,4})?)"
_FLAT = r"(?:,? (?:Apt|Apartment|Unit|Suite|Ste|Flat|Floor|#)\.? ?#?\w{1,5})?"
_POSTAL = (
    re.compile(rf"{_STREET.pattern}\.?{_FLAT},? {_TOWN},? (?:[A-Z]{{2,3}} ?,? )?(?:{_ZIP}|{_POSTCODE}|{_CANADIAN}|{_AUSTRALIAN})\b"),
    re.compile(  # Hauptstraße 12, 10115 Berlin
        rf"\b[A-ZÄÖÜ][\w.-]*(?:straße|strasse|str\.|weg|platz|allee|gasse|ring|damm|ufer|straat|laan|weg|gracht|gatan|vägen|gade|vej|gata)"
        rf" {_HOUSE},? (?:[A-Z]{{1,2}}-)?(?:\d{{3}} \d\d|\d{{4,5}}(?: ?[A-Z]{{2}})?) {_TOWN}"
    ),
    re.compile(  # 12 bis, rue de Rivoli, 75001 Paris
        rf"\b{_HOUSE}(?: bis| ter)?,? (?:rue|avenue|av\.|boulevard|bd|place|chemin|allée|impasse|quai|cours|route) "
        rf"[\w' .-]{{2,40}}?,? \d{{5}} {_TOWN}",
        re.I,
    ),
    re.compile(  # Calle Mayor, 5, 28013 Madrid · Via Roma 10, 00184 Roma · Rua Augusta, 1500, 01304-001 São Paulo
        rf"\b(?:calle|c/|avenida|avda\.?|plaza|paseo|via|viale|corso|piazza|vicolo|rua|travessa|praça|ul\.|aleja) ?"
        rf"[\w' .-]{{2,40}}?,? (?:n[°º.]* ?)?{_HOUSE}"
        rf"(?:,? \d{{1,2}}[ºª°]? ?\w{{0,4}})?,? (?:[\w' ]{{2,20}}, )?(?:\d{{5}}|\d{{5}}-\d{{3}}|\d{{4}}-\d{{3}}|\d\d-\d{{3}}),? {_TOWN}",
        re.I,
    ),
    re.compile(r"\bP\.? ?O\.? ?Box \d{1,6},? " + _TOWN + rf",? (?:{_ZIP}|{_POSTCODE}|{_CANADIAN}|{_AUSTRALIAN})\b"),
)


def homes(text: str) -> Iterator[Span]:
    """A house and street where words say that somebody lives there."""
    return (found.span() for found in _STREET.finditer(text) if _LIVES.search(text[max(0, found.start() - 80) : found.start()]))


def postal_addresses(text: str) -> Iterator[Span]:
    """House, street, postcode and town, whosever they are; it may run over lines."""
    one_line = re.sub(r"[\n\r\v\f\x85\u2028\u2029\u00a0]", " ", text)
    return (found.span() for form in _POSTAL for found in form.finditer(one_line))
