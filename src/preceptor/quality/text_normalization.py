"""Normalize texts for rules: what only looks different becomes equal, and each place is still known in the original text.

plain    all kinds of space are one space, words broken at a line's end are joined, quotes and dashes are ASCII, letters in their
         usual width, nothing invisible, no Markdown emphasis
folded   plain, in lower case, without accents, letters of other scripts that look Latin made Latin
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_QUOTES = dict.fromkeys("‘’‚‛ʼ´′＇", "'") | dict.fromkeys("“”„‟«»″", '"')
_DASHES = dict.fromkeys("‐‑‒–—―−﹘﹣－", "-")
_BLANKS = dict.fromkeys("\u2800\u3164\u115f\u1160\uffa0", " ")  # letters by name that show as nothing
_ASCII_FORMS = _QUOTES | _DASHES | _BLANKS
_LOOKALIKE_PAIRS = "аa еe оo рp сc уy хx іi јj ѕs ԁd һh кk мm тt вb нh ɡg ıi αa οo νv ιi κk ρp τt υu χx γy ωw εe ηn μu"
_LOOKS_LATIN = {pair[0]: pair[1] for pair in _LOOKALIKE_PAIRS.split()}
_SPECIAL_PATTERN = re.compile(
    r"(?P<broken>(?<=[^\W\d_])[-\u00ad\u2010\u2011][ \t]*\r?\n\s*(?=[^\W\d_]))"
    r"|(?P<space> *[^\S ]\s*| {2,})"
    r"|(?P<emphasis>[*`]+|(?<![^\W_])_+|_+(?![^\W_]))"
    r"|(?P<other>[^\x00-\x7f][\u0300-\u036f]*|[A-Za-z][\u0300-\u036f]+)"
)
_SPACES_PATTERN = re.compile(r" {2,}")


@dataclass(frozen=True)
class NormalizedText:
    """A normalized text with the original place of each of its characters: character k came from starts[k] up to ends[k]."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Return the place in the original text of a place in this one."""
        return (self.starts[start], self.ends[end - 1]) if end > start else (self.starts[start], self.starts[start])


def normalize_characters(text: str) -> NormalizedText:
    """Return a text as plain: without differences that aren't visible; capitals and accents stay."""
    pieces, starts, ends = list[str](), list[int](), list[int]()
    at = 0
    for found in _SPECIAL_PATTERN.finditer(text):
        _copy_characters(text, at, found.start(), pieces, starts, ends)
        at = found.end()
        replaced = _replacement(found)
        if replaced == " " and pieces and pieces[-1].endswith(" "):
            continue  # another space follows one already there
        pieces.append(replaced)
        starts += [found.start()] * len(replaced)
        ends += [at] * len(replaced)
    _copy_characters(text, at, len(text), pieces, starts, ends)
    return _collapse_spaces(NormalizedText("".join(pieces), starts, ends))


def fold_characters(seen: NormalizedText) -> NormalizedText:
    """Return a plain text as folded: in lower case, without accents and look-alikes."""
    if seen.text.isascii():
        return NormalizedText(seen.text.lower(), seen.starts, seen.ends)
    return _collapse_spaces(_map_letters(seen, fold_letter))  # an accent on its own leaves nothing between two spaces


def fold_term(text: str) -> str:
    """Return a term as `fold_characters` gives it."""
    return fold_characters(normalize_characters(text)).text


def fold_letter(letter: str) -> str:
    """Return a letter in lower case, without accents, and as Latin if it looks so."""
    if letter.isascii():
        return letter.lower()
    bare = "".join(part for part in unicodedata.normalize("NFD", letter.casefold()) if not unicodedata.combining(part))
    return "".join(_LOOKS_LATIN.get(part, part) for part in bare)


def _replacement(found: re.Match[str]) -> str:
    if found["broken"] or found["emphasis"]:
        return ""
    if found["space"]:
        return " "
    letters = unicodedata.normalize("NFKC", found["other"])
    shown = (letter for letter in letters if unicodedata.category(letter) not in ("Cf", "Cc") and not "\ufe00" <= letter <= "\ufe0f")
    return "".join(" " if letter.isspace() else _ASCII_FORMS.get(letter, letter) for letter in shown)


def _copy_characters(text: str, start: int, end: int, pieces: list[str], starts: list[int], ends: list[int]) -> None:
    if end > start:
        pieces.append(text[start:end])
        starts += range(start, end)
        ends += range(start + 1, end + 1)


def _collapse_spaces(seen: NormalizedText) -> NormalizedText:
    """Collapse runs of spaces that normalization created, as when something invisible stood between them."""
    if "  " not in seen.text:
        return seen
    keep = [k for k, letter in enumerate(seen.text) if letter != " " or k == 0 or seen.text[k - 1] != " "]
    return NormalizedText(_SPACES_PATTERN.sub(" ", seen.text), [seen.starts[k] for k in keep], [seen.ends[k] for k in keep])


def _map_letters(seen: NormalizedText, change: Callable[[str], str]) -> NormalizedText:
    pieces, starts, ends = list[str](), list[int](), list[int]()
    for letter, start, end in zip(seen.text, seen.starts, seen.ends, strict=True):
        changed = change(letter)
        pieces.append(changed)
        starts += [start] * len(changed)
        ends += [end] * len(changed)
    return NormalizedText("".join(pieces), starts, ends)
