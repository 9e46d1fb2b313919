"""Convert the offsets of passages from how another tool counts them to code points of the text as it is stored here, and back.

Browsers count UTF-16 code units, some programs bytes, and a text may have been normalised on its way. A passage that repeats its own words
shows how its offsets were counted. One way of counting is accepted where it fits all passages of an item; no passage is moved on its own,
and none is cut to fit.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

from preceptor.errors import UserError

CODE_POINTS, UTF_16, UTF_8 = "code points", "UTF-16 code units", "UTF-8 bytes"
_UNITS = (CODE_POINTS, UTF_16, UTF_8)
_SURROGATE_PAIR = re.compile("[\U00010000-\U0010ffff]")
_OffsetMapping = Callable[[int], int]  # an offset as the tool counts -> in code points of the stored text; -1 where no character begins


@dataclass(frozen=True, slots=True)
class QuotedSpan:
    """Part of a text by its offsets, the end exclusive. quote: its words, where the source repeats them."""

    start: int
    end: int
    quote: str | None = None


def to_code_points(text: str, passages: Sequence[QuotedSpan], counted: str = CODE_POINTS) -> tuple[list[tuple[int, int]], str]:
    """Return start and end of each passage in code points of the text, and the way of counting that fits them all.

    counted: the unit that the tool claims to count in; tried first, and trusted where no passage repeats its words. Others are tried only
    where words can confirm them: the units, of the text as it is, and as it was before its line ends or its accents were changed. Raises
    UserError where none fits.
    """
    proven = any(passage.quote is not None for passage in passages)
    for hypothesis, place in _mapping_hypotheses(text, counted) if proven else [(counted, _direct_mapping(text, counted))]:
        edges = [(place(passage.start), place(passage.end)) for passage in passages]
        if all(0 <= start < end for start, end in edges) and all(map(_matches_quote, passages, (text[start:end] for start, end in edges))):
            return edges, hypothesis
    raise _misfit_error(text, passages, _direct_mapping(text, counted))


def proven_unit(text: str, passage: QuotedSpan) -> str:
    """Return CODE_POINTS or UTF_16, whichever alone puts a passage's own words at its place; "" where both do, or neither."""
    fitting = []
    for unit in (CODE_POINTS, UTF_16) if passage.quote is not None else ():
        place = _direct_mapping(text, unit)
        start, end = place(passage.start), place(passage.end)
        if 0 <= start < end and _matches_quote(passage, text[start:end]):
            fitting.append(unit)
    return fitting[0] if len(fitting) == 1 else ""


def to_utf16(text: str, edges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return starts and ends, given in code points, in UTF-16 code units, as a browser counts."""
    pairs = _surrogate_pairs(text)
    return [(start + bisect_left(pairs, start), end + bisect_left(pairs, end)) for start, end in edges]


def parse_offset(value: Any, what: str) -> int:
    """Return an offset in a text: a whole number, also given as "3" or 3.0; raises UserError that names it by `what`."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value) < 20:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise UserError(f"{what} must be a whole number, not {value!r:.60}")


def _mapping_hypotheses(text: str, counted: str) -> Iterator[tuple[str, _OffsetMapping]]:
    """Yield ways in which offsets may have been counted, the likeliest first."""
    units = (counted, *(unit for unit in _UNITS if unit != counted))
    for unit in units:
        yield unit, _direct_mapping(text, unit)
    for form, parts, before in _earlier_forms(text):
        for unit in units:
            yield f"{unit} of the text {form}", _mapping_by_parts(parts, before, unit)


def _direct_mapping(text: str, unit: str) -> _OffsetMapping:
    length = len(text)
    if unit == CODE_POINTS or text.isascii():
        return lambda offset: offset if 0 <= offset <= length else -1
    if unit == UTF_8:
        return _mapping_by_parts(list(text), list(text), unit)
    starts = [place + number for number, place in enumerate(_surrogate_pairs(text))]

    def place(offset: int) -> int:
        before = bisect_left(starts, offset)
        within = before > 0 and starts[before - 1] == offset - 1
        return -1 if within or not 0 <= offset <= length + len(starts) else offset - before

    return place


def _surrogate_pairs(text: str) -> list[int]:
    """Return the places of the characters that are two UTF-16 code units."""
    return [] if text.isascii() else [found.start() for found in _SURROGATE_PAIR.finditer(text)]


def _mapping_by_parts(parts: list[str], before: list[str], unit: str) -> _OffsetMapping:
    """Return the mapping of places between the text's parts; `before` is what each part was when the offsets were counted."""
    width = {CODE_POINTS: len, UTF_16: _utf_16_width, UTF_8: _utf_8_width}[unit]
    counted = accumulate(map(width, before), initial=0)
    places = dict(zip(counted, accumulate(map(len, parts), initial=0), strict=True))
    return lambda offset: places.get(offset, -1)


def _earlier_forms(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield forms that the text may have had: their name, the text's parts, and what each part was."""
    if "\n" in text:
        lines = _split_parts(text, lambda before, character: before == "\r" and character == "\n")
        for name, end in ((r"with \n for \r\n", "\n"), (r"with \r\n for \n", "\r\n")):
            yield name, lines, [end if part in ("\n", "\r\n") else part for part in lines]
    for form in ("NFC", "NFD"):
        if not unicodedata.is_normalized(form, text):
            parts = _split_parts(text, _belong_together)
            yield f"in {form}", parts, [unicodedata.normalize(form, part) for part in parts]


def _split_parts(text: str, together: Callable[[str, str], bool]) -> list[str]:
    """Cut the text between all neighbours that aren't `together`."""
    cuts = [0, *(place for place in range(1, len(text)) if not together(text[place - 1], text[place])), len(text)]
    return [text[start:end] for start, end in pairwise(cuts)]


def _belong_together(before: str, character: str) -> bool:
    """Return whether normalisation may join two neighbours into one character, or reorder them."""
    if unicodedata.combining(character) or "\u1160" <= character <= "\u11ff":  # accents, and what follows in a Korean syllable
        return True
    return character > "\u0900" and unicodedata.normalize("NFC", before + character) != unicodedata.normalize("NFC", before) + character


def _utf_16_width(part: str) -> int:
    return len(part) + sum(character > "\uffff" for character in part)


def _utf_8_width(part: str) -> int:
    return len(part.encode(errors="surrogatepass"))


def _matches_quote(passage: QuotedSpan, words: str) -> bool:
    r"""Return whether the words are the passage's own; line ends, accents and a written-out "\n" may have changed on the way."""
    if passage.quote is None or passage.quote == words:
        return True
    plain = _normalize_quote(words)
    return plain == _normalize_quote(passage.quote) or plain == _normalize_quote(passage.quote.replace("\\n", "\n"))


def _normalize_quote(text: str) -> str:
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n"))


def _misfit_error(text: str, passages: Sequence[QuotedSpan], place: _OffsetMapping) -> UserError:
    """Return the error for the first passage that doesn't fit."""
    for number, passage in enumerate(passages, start=1):
        start, end = place(passage.start), place(passage.end)
        name = f"span {number} ({passage.start} to {passage.end})"
        if not 0 <= start < end:
            return UserError(f"{name} is not a passage of the text, which has {len(text):,} characters", "mend its start and end")
        if not _matches_quote(passage, text[start:end]):
            message = f"{name} holds {text[start:end]!r:.60} in the text, and {passage.quote!r:.60} by its own words"
            return UserError(
                f"{message}, however offsets are counted", "was the text changed since? Mend start and end, or take the span out"
            )
    raise AssertionError("all passages fit")
