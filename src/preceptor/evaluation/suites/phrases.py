"""What rules about whole answers share: sentences with their places, and patterns made from lists of phrases."""

from __future__ import annotations

import re
from collections.abc import Iterator

# the stops of U.S., Dr. and Mr. end no sentence
# (and a run of stops is read from its beginning only, or after the first where that ends none: else a long one costs its square)
_STOPS = r"[.!?;]++[\"')\]]*+(?=\s|$)"
_SENTENCE = re.compile(
    rf"[.!?;]{_STOPS}|\S.*?(?:(?:(?<![.!?;])(?<!\b[A-Z])(?<!\b[DM]r)|(?<=\b[A-Z][.!?;])|(?<=\b[DM]r[.!?;])){_STOPS}|$)", re.DOTALL
)
TURN = re.compile(
    r"(?:^|[,;:—-] ?|\s)(?:but|however|though|although|still|yet|that said|nevertheless|in general|generally)\b", re.IGNORECASE
)


def either(lines: str) -> str:
    """One of the phrases, a line or a `|` apart; each may be a pattern itself."""
    return "(?:" + "|".join(line.strip() for line in lines.strip().splitlines()) + ")"


def pattern(*parts: str) -> re.Pattern[str]:
    """Any of the parts, in any case."""
    return re.compile("|".join(parts), re.IGNORECASE)


def sentences(text: str) -> Iterator[tuple[int, int]]:
    """Where the sentences of a plain text begin and end; a semicolon ends one too."""
    return (found.span() for found in _SENTENCE.finditer(text))


def after_turn(sentence: str) -> str | None:
    """What follows a "but" or "however"; None where the sentence doesn't turn."""
    turn = TURN.search(sentence)
    return sentence[turn.end() :].strip(" ,:") if turn else None
