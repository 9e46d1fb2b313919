"""Texts as rules see them: what only looks different is made alike, and each place is still known in the text as it was written.

plain    all kinds of space are one space, words broken at a line's end are whole, quotes and dashes are ASCII, letters in their
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
_ALIKE = _QUOTES | _DASHES | _BLANKS
_PAIRS = "аa еe оo рp сc уy хx іi јj ѕs ԁd һh кk мm тt вb нh ɡg ıi αa οo νv ιi κk ρp τt υu χx γy ωw εe ηn μu"
_LOOKS_LATIN = {pair[0]: pair[1] for pair in _PAIRS.split()}
_SPECIAL = re.compile(
    r"(?P<broken>(?<=[^\W\d_])[-\u00ad\u2010\u2011][ \t]*\r?\n\s*(?=[^\W\d_]))"
    r"|(?P<space> *[^\S ]\s*| {2,})"
    r"|(?P<emphasis>[*`]+|(?<![^\W_])_+|_+(?![^\W_]))"
    r"|(?P<other>[^\x00-\x7f][\u0300-\u036f]*|[A-Za-z][\u0300-\u036f]+)"
)
_SPACES = re.compile(r" {2,}")


@dataclass(frozen=True)
class Seen:
    """A text made alike, and where each of its characters stood: character k came from starts[k] up to ends[k]."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """A place in this text as a place in the text as it was written."""
        return (self.starts[start], self.ends[end - 1]) if end > start else (self.starts[start], self.starts[start])


def plain(text: str) -> Seen:
    """A text without what only looks different; capitals and accents stay."""
    pieces, starts, ends = list[str](), list[int](), list[int]()
    at = 0
    for found in _SPECIAL.finditer(text):
        _copy(text, at, found.start(), pieces, starts, ends)
        at = found.end()
        replaced = _replaced(found)
        if replaced == " " and pieces and pieces[-1].endswith(" "):
            continue  # a space made of something odd, beside another
        pieces.append(replaced)
        starts += [found.start()] * len(replaced)
        ends += [at] * len(replaced)
    _copy(text, at, len(text), pieces, starts, ends)
    return _one_space(Seen("".join(pieces), starts, ends))


def folded(seen: Seen) -> Seen:
    """A plain text in lower case, without accents and look-alikes."""
    if seen.text.isascii():
        return Seen(seen.text.lower(), seen.starts, seen.ends)
    return _mapped(seen, fold_letter)


def fold(text: str) -> str:
    """A term as `folded` shows it."""
    return folded(plain(text)).text


def fold_letter(letter: str) -> str:
    """One letter in lower case, without accents, and Latin if it looks so."""
    if letter.isascii():
        return letter.lower()
    bare = "".join(part for part in unicodedata.normalize("NFD", letter.casefold()) if not unicodedata.combining(part))
    return "".join(_LOOKS_LATIN.get(part, part) for part in bare)


def _replaced(found: re.Match[str]) -> str:
    if found["broken"] or found["emphasis"]:
        return ""
    if found["space"]:
        return " "
    letters = unicodedata.normalize("NFKC", found["other"])
    shown = (letter for letter in letters if unicodedata.category(letter) not in ("Cf", "Cc") and not "\ufe00" <= letter <= "\ufe0f")
    return "".join(" " if letter.isspace() else _ALIKE.get(letter, letter) for letter in shown)


def _copy(text: str, start: int, end: int, pieces: list[str], starts: list[int], ends: list[int]) -> None:
    if end > start:
        pieces.append(text[start:end])
        starts += range(start, end)
        ends += range(start + 1, end + 1)


def _one_space(seen: Seen) -> Seen:
    """Runs of spaces that came together only now, as when something invisible stood between them."""
    if "  " not in seen.text:
        return seen
    keep = [k for k, letter in enumerate(seen.text) if letter != " " or k == 0 or seen.text[k - 1] != " "]
    return Seen(_SPACES.sub(" ", seen.text), [seen.starts[k] for k in keep], [seen.ends[k] for k in keep])


def _mapped(seen: Seen, change: Callable[[str], str]) -> Seen:
    pieces, starts, ends = list[str](), list[int](), list[int]()
    for letter, start, end in zip(seen.text, seen.starts, seen.ends, strict=True):
        changed = change(letter)
        pieces.append(changed)
        starts += [start] * len(changed)
        ends += [end] * len(changed)
    return Seen("".join(pieces), starts, ends)
