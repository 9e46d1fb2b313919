"""Text from outside that a model reads as data: nothing in it becomes a mark of the conversation that it stands in."""

from __future__ import annotations

from collections.abc import Collection

from preceptor.models.template import HEADINGS, MARKS


def defused(text: str, special: Collection[str] = ()) -> str:
    """The text with a space within each mark of a chat template and each special token, so that none is left; the rest as it is.

    special: the tokenizer's own special tokens, as `special_texts` gives them; one of a single character becomes a space.
    """
    marks = sorted({mark for mark in special if mark}, key=len, reverse=True)
    text = HEADINGS.sub(lambda found: f" {found[0]}", text)
    while True:
        found = MARKS.sub(lambda mark: _apart(mark[0]), text)
        for mark in marks:
            found = found.replace(mark, _apart(mark))
        if found == text:
            return found
        text = found


def _apart(mark: str) -> str:
    return f"{mark[0]} {mark[1:]}" if len(mark) > 1 else " "
