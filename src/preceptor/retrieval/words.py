"""A text's words that carry meaning, as they are compared with another text's."""

from __future__ import annotations

import re

_WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?")
_EVERYWHERE = """
a an the and or but if of in on at by for from to with as is are was were be been being has have had do does did it its this that
these those he she they his her their i we you your our my not no than then so such there here which who whom what when where how
will would can could may might must shall should also into over under about after before during
"""
_STOP = frozenset(_EVERYWHERE.split())
_STEM = 6  # letters: "payment" and "payments", "covered" and "coverage" are one


def stems(text: str) -> tuple[str, ...]:
    """A text's words that carry meaning, shortened to their beginnings; numbers whole."""
    words = (word.lower().replace(",", "") if word[0].isdigit() else word.lower() for word in _WORD.findall(text))
    return tuple(word if word[0].isdigit() else word[:_STEM].rstrip("s") for word in words if word not in _STOP)
