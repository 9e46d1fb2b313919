"""Find forbidden terms in a text, in their inflected and disguised forms.

`guarantee` is found as guarantees, guaranteed, GUARANTEEING and guaran-(end of line)tee; `Best Buy` as best-buy, BestBuy and Best Buy’s; a
word of five letters or more also as gu4r4nt33 and g.u.a.r.a.n.t.e.e. `return` is not found in `unreturnable`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from preceptor.quality.text_normalization import NormalizedText, fold_term

_EDGE_BEFORE, _EDGE_AFTER = r"(?<![^\W_])", r"(?![^\W_])"
_VOWELS = "aeiou"
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # LegalZoom is Legal-Zoom too
_POSSESSIVE = r"(?:'s?)?"
_MIN_INFLECTED = 3
_MIN_DISGUISED = 5  # letters of a word that is also found with digits for letters, and letter by letter
_DISGUISES = {"a": "[a4@]", "e": "[e3]", "i": "[i1!]", "l": "[l1]", "o": "[o0]", "s": "[s5$]", "t": "[t7]"}


class TermMatcher:
    """A list of terms, compiled to be found in many texts.

    match_case: a word that the list capitalizes must be capitalized in the text, and only its possessive counts as the same word: for names
    that are words too (Apple, Chase). exceptions: phrases within which a term is allowed, such as apple pie.
    """

    def __init__(self, terms: Sequence[str], *, match_case: bool = False, inflected: bool = True, exceptions: Sequence[str] = ()) -> None:
        self._capitals = [_count_capitals(term) for term in terms] if match_case else []
        self._pattern = re.compile("|".join(f"(?P<t{k}>{_term_pattern(term, match_case, inflected)})" for k, term in enumerate(terms)))
        self._innocent = re.compile("|".join(_term_pattern(phrase, False, True) for phrase in exceptions)) if exceptions else None

    def spans(self, text: str, seen: NormalizedText) -> list[tuple[int, int]]:
        """Find the spans of the terms in `text`, whose folded form is `seen`."""
        innocent = [found.span() for found in self._innocent.finditer(seen.text)] if self._innocent else []
        spans = []
        for found in self._pattern.finditer(seen.text):
            if any(start <= found.start() and found.end() <= end for start, end in innocent):
                continue
            start, end = seen.original_span(*found.span())
            if not self._capitals or _has_capitals(text[start:end], self._capitals[int((found.lastgroup or "t0")[1:])]):
                spans.append((start, end))
        return spans


def inflect_word(word: str) -> list[str]:
    """Return a word of lower-case letters with its regular English forms, the longest first.

    Plurals, past forms and -ing forms; possessives are matched separately.
    """
    if len(word) < _MIN_INFLECTED or not word.isalpha():
        return [word]
    found = {word, word + "s"}
    if word.endswith(("s", "x", "z", "ch", "sh")):
        found |= {word + "es"}
    if word.endswith("y") and word[-2] not in _VOWELS:
        found |= {word[:-1] + "ies", word[:-1] + "ied", word + "ing"}
    elif word.endswith(("ee", "oe", "ye")):
        found |= {word + "d", word + "ing"}
    elif word.endswith("e"):
        found |= {word + "d", word[:-1] + "ing"}
    else:
        found |= {word + "ed", word + "ing"}
        if word[-1] not in _VOWELS + "wxy" and word[-2] in _VOWELS and word[-3] not in _VOWELS:
            found |= {word + word[-1] + "ed", word + word[-1] + "ing"}
    return sorted(found, key=lambda form: (-len(form), form))


def _term_pattern(term: str, match_case: bool, inflected: bool) -> str:
    words = [_HUMP.split(word) for word in re.split(r"[\s-]+", term.strip()) if word]
    inflects = inflected and not match_case
    joined = [
        "-?".join(_word_pattern(fold_term(part), inflects and k == len(parts) - 1) for k, part in enumerate(parts)) for parts in words
    ]
    # scripts that put no spaces between words have no edges to ask for
    before, after = ("", "") if any(letter >= "\u0e00" for letter in term) else (_EDGE_BEFORE, _EDGE_AFTER)
    return before + "[ -]?".join(joined) + (_POSSESSIVE if inflected else "") + after


def _word_pattern(word: str, inflected: bool) -> str:
    shapes = inflect_word(word) if inflected else [word]
    either = [re.escape(shape).replace("'", "'?") for shape in shapes]
    if len(word) >= _MIN_DISGUISED and word.isalpha():
        either.append(word[0] + "".join(_DISGUISES.get(letter, letter) for letter in word[1:]))
        either.append("[ ._-]".join(word))
    return f"(?:{'|'.join(either)})" if len(either) > 1 else either[0]


def _count_capitals(term: str) -> int:
    """Count the words of a term that begin with a capital."""
    return sum(word[:1].isupper() for word in re.split(r"[\s-]+", term))


def _has_capitals(found: str, required: int) -> bool:
    words: list[str] = re.split(r"[\s-]+", found)
    return sum(word[:1].isupper() for word in words) >= min(required, len(words))
