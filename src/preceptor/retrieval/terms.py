"""The words of a text as they are searched for: without case, accents and English endings."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

_WORD = re.compile(r"\w+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af]")  # written without spaces: a character is a word


def terms(text: str) -> list[str]:
    """Each word of a text in its order; nothing in a text without letters and digits."""
    found: list[str] = []
    for word in _WORD.findall(text):
        if word.isascii() or not _CJK.search(word):
            found.append(_term(word))
        else:
            found += _CJK.sub(lambda sign: f" {sign[0]} ", word).casefold().split()
    return found


@lru_cache(maxsize=1 << 18)
def _term(word: str) -> str:
    plain = word.casefold()
    if not plain.isascii():
        plain = "".join(sign for sign in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(sign))
    return str(_stemmer().stemWord(plain))


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")
