"""Where a text's sentences stand, by rules for English; other languages are cut at sentence ends only."""

from __future__ import annotations

import re
from collections.abc import Iterator

_NAMES = "dr mr mrs ms prof st e.g i.e cf vs gen col capt lt sgt rev hon gov sen rep"
_NUMBERS = "no nos fig eq pp art sec ch vol approx"
_OTHERS = """
sr jr etc al est min max dept inc ltd co corp llc jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun
u.s u.k u.n e.u a.m p.m ph.d m.d b.c a.d
"""
_BEFORE_NAMES, _BEFORE_NUMBERS = frozenset(_NAMES.split()), frozenset(_NUMBERS.split())
_ABBREVIATIONS = frozenset(f"{_NAMES} {_NUMBERS} {_OTHERS}".split())
_LONGEST = 12  # characters that tell an abbreviation or a point's number from a word
# a mark is looked for where its run begins and is taken whole, so that a long run is read once and not from each of its places
_END = re.compile(r"(?<![.!?…])(?P<mark>[.!?…]++)(?P<close>[\"'”’)\]]*+)(?=\s|$)|[。！？]")
_NEXT = re.compile(r"\s*(\S?)")
_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")  # as str.splitlines cuts


def sentences(text: str) -> tuple[str, ...]:
    """A text's sentences in their order, one space between words; a line break ends one, an abbreviation, an initial or a decimal
    point doesn't."""
    return tuple(" ".join(text[start:end].split()) for start, end in sentence_spans(text))


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each of a text's sentences, in characters, without the space around them."""
    lines = ((line.end() - len(line[0].lstrip()), line[0].strip()) for line in _LINE.finditer(text))
    return [(at + start, at + end) for at, line in lines for start, end in _spans(line)]


def _spans(line: str) -> Iterator[tuple[int, int]]:
    start = 0
    ends = [end.end() for end in _END.finditer(line) if _ends(line, end)]
    for end in [*ends, len(line)]:
        piece = line[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        start = end


def _ends(line: str, end: re.Match[str]) -> bool:
    """Whether this mark ends its sentence."""
    if end["mark"] is None or not end["mark"].startswith("."):
        return True
    after = _NEXT.match(line, end.end())[1]  # type: ignore[index]  # it matches everywhere
    if not after:
        return True
    before = line[max(0, end.start() - _LONGEST) : end.start()]
    word = re.split(r"\s", before)[-1].lstrip("([\"'“‘").lower()
    if word in _BEFORE_NAMES or (word in _BEFORE_NUMBERS and after.isdigit()) or (before.isdigit() and end.start() < _LONGEST):
        return False
    is_initial = len(word) == 1 and word.isalpha() and after.isupper()
    return not (is_initial or after.islower() or (word in _ABBREVIATIONS and not after.isupper()))
