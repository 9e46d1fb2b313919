"""Names and keys that are the same when the same file comes again, so that nothing enters twice."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from preceptor.domain import Item, Question
from preceptor.project.contents import content_id

PSEUDONYM = "import:"
"""What the names begin with of people about whom a file says nothing."""


class Twins:
    """Items of one file without ids: the same content is the same item, unless it came with other metadata; then it is another.

    Their ids are made from the content and, from the second on, a number: the same when the same file comes again.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, ...]] = {}

    def own(self, item: Item) -> Item:
        """The item under an id of its own, where its content was there with other metadata."""
        place, beside = hash(item.id), hash(json.dumps(item.metadata, sort_keys=True, ensure_ascii=False))
        seen = self._seen.setdefault(place, (beside,))
        if beside not in seen:
            seen = self._seen[place] = (*seen, beside)
        number = seen.index(beside) + 1
        if number == 1:
            return item
        return replace(item, id=f"{item.id}-{number}")  # in the group of the first: they mustn't be on two sides of a split


def is_made(id_: str, content: Mapping[str, Any]) -> bool:
    """Whether an item's id was made from its content."""
    made = content_id(content)
    return id_ == made or (id_.startswith(f"{made}-") and id_.removeprefix(f"{made}-").isdigit())


class Keys:
    """Of one file: what it says n times has n keys."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._once = _Hashes()
        self._more: dict[int, int] = {}  # of what comes twice, which is little

    def annotator(self, given: str, item: str, question: str = "") -> str:
        """The name given, else a pseudonym; several answers to one question about one item are those of several people."""
        if given:
            return given
        number = self._ordinal(f"{item}\0{question}")
        return f"{PSEUDONYM}{self._file}" + (f"#{number}" if number > 1 else "")

    def judgment(self, question: Question, item: str, annotator: str, answer: Any) -> str:
        """A judgment's key: the same answer of the same person to the same version of a question, as often as the file says it."""
        return self._key([question.name, question.version, item, annotator, answer])

    def aside(self, kind: str, question: Question, item: str, by: str, document: Mapping[str, Any]) -> str:
        """The key of what stands beside judgments, wherever among them: others may have been added since."""
        return self._key([kind, question.name, item, by, {name: value for name, value in document.items() if name != "at"}])

    def _key(self, said: list[Any]) -> str:
        text = json.dumps(said, ensure_ascii=False)
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        return f"{PSEUDONYM}{digest}#{self._ordinal(text)}"

    def _ordinal(self, what: str) -> int:
        place = hash(what)
        if self._once.add(place):
            return 1
        self._more[place] = self._more.get(place, 1) + 1
        return self._more[place]


class _Hashes:
    """A set of hashes in one array: a file has millions of keys, and a set of Python's takes five times the memory."""

    def __init__(self) -> None:
        self._table, self._count = array("q", bytes(8 * 1024)), 0

    def add(self, value: int) -> bool:
        """Put a hash in; whether it wasn't there."""
        if not self._put(value or 1):  # 0 marks a free place
            return False
        self._count += 1
        if 2 * self._count > len(self._table):
            before, self._table = self._table, array("q", bytes(16 * len(self._table)))
            for each in filter(None, before):
                self._put(each)
        return True

    def _put(self, value: int) -> bool:
        table, mask = self._table, len(self._table) - 1
        at = value & mask
        while held := table[at]:
            if held == value:
                return False
            at = (at + 1) & mask
        table[at] = value
        return True
