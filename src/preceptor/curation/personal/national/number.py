"""What a country's number looks like, and how one is found in a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from preceptor.curation.personal.finding import Span

_FIGURE_BEFORE = re.compile(r"(?<!\w)[\d.,/-]*\d $")  # then the number is a part of a longer one
_BEFORE, _AFTER = 60, 30  # characters in which a cue stands


@dataclass(frozen=True)
class Number:
    """One country's number of a person.

    form: as it is written, with its separators. valid: whether letters and digits without separators, in capitals, are
    one: its check digits, its date. cue: words that must stand beside it, where chance makes such numbers too often;
    bare: a second form, without separators, that always needs the cue.
    mixed: letters stand between its digits, so that it has no six in a row.
    """

    kind: str
    words: str
    form: str
    valid: Callable[[str], bool]
    cue: str = ""
    bare: str = ""
    mixed: bool = False

    def spans(self, text: str) -> Iterator[Span]:
        """Where such numbers stand in a plain text."""
        for form, needs_cue in self._forms:
            for found in form.finditer(text):
                if " " in found[0] and _FIGURE_BEFORE.search(text, max(0, found.start() - 12), found.start()):
                    continue
                if self.valid(re.sub(r"[\W_]", "", found[0]).upper()) and (not needs_cue or self._is_called(text, *found.span())):
                    yield found.span()

    @cached_property
    def _forms(self) -> list[tuple[re.Pattern[str], bool]]:
        forms = [(self.form, bool(self.cue) and not self.bare), (self.bare, True)]
        return [(re.compile(rf"(?<![\w+])(?<!\d[./,-])(?:{form})(?![\w-])(?![.,/ ]\d)"), cued) for form, cued in forms if form]

    @cached_property
    def _cue(self) -> re.Pattern[str]:
        return re.compile(rf"(?<![a-zà-ÿ])(?:{self.cue})(?![a-zà-ÿ])", re.IGNORECASE)

    def _is_called(self, text: str, start: int, end: int) -> bool:
        return bool(self._cue.search(text[max(0, start - _BEFORE) : start]) or self._cue.search(text[end : end + _AFTER]))
