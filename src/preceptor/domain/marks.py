"""Marks by which chat templates say whose turn it is, and text from outside in which none is left: a model reads it as data."""

from __future__ import annotations

import re
from collections.abc import Collection

MARKS = re.compile(
    r"<\|im_(?:start|end)\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<\|(?:start|end)_header_id\|>|<\|eot_id\|>"
    r"|<\|(?:user|assistant|system|end|endoftext)\|>"
)
HEADINGS = re.compile(r"^### (?:Instruction|Response|Assistant):", re.MULTILINE)  # a base without a template may well read these


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
