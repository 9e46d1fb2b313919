"""Names and keys that are the same when the same file comes again, so that nothing enters twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

from preceptor.domain import Question

PSEUDONYM = "import:"
"""What the names begin with of people about whom a file says nothing."""


class Keys:
    """Of one file: what it says n times has n keys."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._seen: Counter[int] = Counter()

    def annotator(self, given: str, item: str, question: str = "") -> str:
        """The name given, else a pseudonym; several answers to one question about one item are those of several people."""
        if given:
            return given
        number = self._ordinal(f"{item}\0{question}")
        return f"{PSEUDONYM}{self._file}" + (f"#{number}" if number > 1 else "")

    def judgment(self, question: Question, item: str, annotator: str, answer: Any) -> str:
        """A judgment's key: the same answer of the same person to the same version of a question, as often as the file says it."""
        return self._key([question.name, question.version, item, annotator, answer])

    def aside(self, kind: str, question: Question, item: str, by: str, document: Any) -> str:
        """The key of what stands beside judgments."""
        return self._key([kind, question.name, item, by, document])

    def _key(self, said: list[Any]) -> str:
        text = json.dumps(said, ensure_ascii=False)
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        return f"{PSEUDONYM}{digest}#{self._ordinal(text)}"

    def _ordinal(self, what: str) -> int:
        place = hash(what)
        self._seen[place] += 1
        return self._seen[place]
