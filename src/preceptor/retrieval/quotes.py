"""Where a quote stands in a text, to the character: case, space, and the form of quotation marks, dashes and brackets don't count."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

_SAME = str.maketrans({**dict.fromkeys("‘’‚‛`´", "'"), **dict.fromkeys("“”„‟«»", '"'), **dict.fromkeys("‐‑‒–—−", "-"), "[": "(", "]": ")"})


@lru_cache(maxsize=512)
def folded(text: str) -> tuple[str, tuple[int, ...]]:
    """A text without space, in one case and form, and of each of its characters where it stands in the text."""
    kept: list[str] = []
    places: list[int] = []
    for at, character in enumerate(text):
        if character.isspace():
            continue
        for each in unicodedata.normalize("NFKC", character).casefold().translate(_SAME):
            if not each.isspace():
                kept.append(each)
                places.append(at)
    return "".join(kept), tuple(places)


def located(quote: str, text: str) -> tuple[int, int] | None:
    """(start, end) of the first place in a text where a quote stands as whole words and numbers; None where it doesn't, or is empty."""
    wanted, (whole, places) = folded(quote)[0], folded(text)
    at = whole.find(wanted) if wanted else -1
    while at >= 0:
        start, end = places[at], places[at + len(wanted) - 1] + 1
        if _begins(text, start) and _ends(text, end):
            return start, end
        at = whole.find(wanted, at + 1)
    return None


def _begins(text: str, start: int) -> bool:
    """Whether no word or number goes across this place: 5 doesn't begin within 15 or 0.5."""
    before, here = text[max(0, start - 2) : start], text[start]
    if here.isdigit() and len(before) == 2 and before[1] in ".," and before[0].isdigit():
        return False
    return not (before[-1:].isalnum() and here.isalnum())


def _ends(text: str, end: int) -> bool:
    last, after = text[end - 1], text[end : end + 2]
    if last.isdigit() and len(after) == 2 and after[0] in ".," and after[1].isdigit():
        return False
    return not (last.isalnum() and after[:1].isalnum())
