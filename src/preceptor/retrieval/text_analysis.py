"""Analyse text: sentences, search terms, content stems, and the position of a quote.

Sentences are split by rules for English; other languages are cut at sentence ends only. Content stems are the words that carry meaning, in
the form in which texts are compared. Search terms are words without case, accents and English endings. A quote is located to the character,
ignoring case, white space, and the form of quotation marks, dashes and brackets.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

_NAMES = "dr mr mrs ms prof st e.g i.e cf vs gen col capt lt sgt rev hon gov sen rep"
_NUMBERS = "no nos fig eq pp art sec ch vol approx"
_OTHERS = """
sr jr etc al est min max dept inc ltd co corp llc jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun
u.s u.k u.n e.u a.m p.m ph.d m.d b.c a.d
"""
_BEFORE_NAMES, _BEFORE_NUMBERS = frozenset(_NAMES.split()), frozenset(_NUMBERS.split())
_ABBREVIATIONS = frozenset(f"{_NAMES} {_NUMBERS} {_OTHERS}".split())
_MAX_ABBREVIATION = 12  # characters within which an abbreviation or a list item's number is told from a word
# a run of marks is matched from its beginning and as a whole, so that a long run is read once and not from each of its positions
_SENTENCE_END = re.compile(r"(?<![.!?…])(?P<mark>[.!?…]++)(?P<close>[\"'”’)\]]*+)(?=\s|$)|[。！？]")
_NEXT_CHARACTER = re.compile(r"\s*(\S?)")
_LINE = re.compile(r"[^\n\r\v\f\x1c-\x1e\x85\u2028\u2029]+")  # as str.splitlines cuts


def split_sentences(text: str) -> tuple[str, ...]:
    """Split a text into its sentences in their order, one space between words.

    A line break ends one; an abbreviation, an initial or a decimal point doesn't.
    """
    return tuple(" ".join(text[start:end].split()) for start, end in find_sentence_spans(text))


def find_sentence_spans(text: str) -> list[tuple[int, int]]:
    """Find (start, end) of each of a text's sentences, in characters, without the white space around them."""
    lines = ((line.end() - len(line[0].lstrip()), line[0].strip()) for line in _LINE.finditer(text))
    return [(at + start, at + end) for at, line in lines for start, end in _line_spans(line)]


def _line_spans(line: str) -> Iterator[tuple[int, int]]:
    start = 0
    ends = [end.end() for end in _SENTENCE_END.finditer(line) if _ends_sentence(line, end)]
    for end in [*ends, len(line)]:
        piece = line[start:end]
        if piece.strip():
            yield start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())
        start = end


def _ends_sentence(line: str, end: re.Match[str]) -> bool:
    """Return whether this mark ends its sentence."""
    if end["mark"] is None or not end["mark"].startswith("."):
        return True
    after = _NEXT_CHARACTER.match(line, end.end())[1]  # type: ignore[index]  # it matches everywhere
    if not after:
        return True
    before = line[max(0, end.start() - _MAX_ABBREVIATION) : end.start()]
    word = re.split(r"\s", before)[-1].lstrip("([\"'“‘").lower()
    if word in _BEFORE_NAMES or (word in _BEFORE_NUMBERS and after.isdigit()) or (before.isdigit() and end.start() < _MAX_ABBREVIATION):
        return False
    is_initial = len(word) == 1 and word.isalpha() and after.isupper()
    return not (is_initial or after.islower() or (word in _ABBREVIATIONS and not after.isupper()))


_CONTENT_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")
_STOP_WORD_TEXT = """
a an the and or but if of in on at by for from to with as is are was were be been being has have had do does did it its this that
these those he she they his her their i we you your our my not no than then so such there here which who whom what when where how
will would can could may might must shall should also into over under about after before during
"""
_STOP_WORDS = frozenset(_STOP_WORD_TEXT.split())
_STEM_LETTERS = 6  # letters of a stem: "payment" and "payments", "covered" and "coverage" are one


def extract_stems(text: str) -> tuple[str, ...]:
    """Extract a text's words that carry meaning, shortened to their beginnings; numbers whole."""
    words = (word.lower().replace(",", "") if word[0].isdigit() else word.lower() for word in _CONTENT_WORD.findall(text))
    return tuple(word if word[0].isdigit() else word[:_STEM_LETTERS].rstrip("s") for word in words if word not in _STOP_WORDS)


_WORD = re.compile(r"\w+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")  # written without spaces: each character is a term


def extract_terms(text: str) -> list[str]:
    """Extract the search terms of a text in its order; none from a text without letters and digits."""
    found: list[str] = []
    for word in _WORD.findall(text):
        if word.isascii() or not _CJK.search(word):
            found.append(_normalize_term(word))
        else:
            found += _CJK.sub(lambda sign: f" {sign[0]} ", word).casefold().split()
    return found


@lru_cache(maxsize=1 << 18)
def _normalize_term(word: str) -> str:
    plain = word.casefold()
    if not plain.isascii():
        plain = "".join(sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))
    return str(_english_stemmer().stemWord(plain))


@lru_cache(maxsize=1)
def _english_stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


_EQUIVALENT_CHARACTERS = str.maketrans(
    {**dict.fromkeys("‘’‚‛`´", "'"), **dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‐‑‒–—−", "-"), "[": "(", "]": ")"}
)


@lru_cache(maxsize=512)
def fold_text(text: str) -> tuple[str, tuple[int, ...]]:
    """Return a text without white space, in one case and form, and for each of its characters the position in the text."""
    kept: list[str] = []
    places: list[int] = []
    for at, character in enumerate(text):
        if character.isspace():
            continue
        for each in unicodedata.normalize("NFKC", character).casefold().translate(_EQUIVALENT_CHARACTERS):
            if not each.isspace():
                kept.append(each)
                places.append(at)
    return "".join(kept), tuple(places)


def locate_quote(quote: str, text: str) -> tuple[int, int] | None:
    """Find (start, end) of the first position in a text where a quote occurs as whole words and numbers.

    None where it doesn't occur, or is empty.
    """
    wanted, (whole, places) = fold_text(quote)[0], fold_text(text)
    at = whole.find(wanted) if wanted else -1
    while at >= 0:
        start, end = places[at], places[at + len(wanted) - 1] + 1
        if _starts_word(text, start) and _ends_word(text, end):
            return start, end
        at = whole.find(wanted, at + 1)
    return None


def _starts_word(text: str, start: int) -> bool:
    """Return whether no word or number spans this position: 5 doesn't begin within 15 or 0.5."""
    before, here = text[max(0, start - 2) : start], text[start]
    if here.isdigit() and len(before) == 2 and before[1] in ".," and before[0].isdigit():
        return False
    return not (before[-1:].isalnum() and here.isalnum())


def _ends_word(text: str, end: int) -> bool:
    last, after = text[end - 1], text[end : end + 2]
    if last.isdigit() and len(after) == 2 and after[0] in ".," and after[1].isdigit():
        return False
    return not (last.isalnum() and after[:1].isalnum())
