"""An answer as it is to be learnt beside its sources: with the words of a golden one that bear it out, and that one's number."""

from __future__ import annotations

import re

from preceptor.recipes.grounded.sources import Choice
from preceptor.retrieval.quotes import located
from preceptor.retrieval.sentences import sentences
from preceptor.retrieval.words import stems

WORDS = 40  # of a quote at most: its beginning
_CITED = re.compile(r'(?<!\s)\s*(?:"[^"]*"\s*)?(?:\[\d+\]\s*)+\.?\s*$')


def cited(answer: str, question: str, choice: Choice, *, quotes: bool) -> str:
    """The answer, then a quote (with `quotes`) and the number of the golden source; as it is where none is shown.

    Quoted is the sentence of a golden source that has most of the answer's and the question's words, one that holds the answer
    first. An answer that cites already keeps what it has, for people wrote it so.
    """
    if not choice.golden or _CITED.search(answer):
        return answer
    wanted, asked = set(stems(answer)), set(stems(question))
    best: tuple[tuple[bool, int, int], str, int] | None = None
    for at in sorted(choice.golden):
        for sentence in sentences(choice.sources[at].text) or ("",):
            words = set(stems(sentence))
            value = (located(answer.rstrip(" ."), sentence) is not None, len(words & wanted), len(words & asked))
            if best is None or value > best[0]:
                best = (value, sentence, at)
    assert best is not None
    quote = " ".join(best[1].split()[:WORDS]).replace('"', "'")
    return f'{answer} "{quote}" [{best[2] + 1}]' if quotes and quote else f"{answer} [{best[2] + 1}]"


def bare(text: str) -> str:
    """An answer without the quote and the numbers after it, as it is compared with a reference."""
    return _CITED.sub("", text).strip()
