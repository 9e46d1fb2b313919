"""Which sources a row's question is shown with: those that bear its answer out, and distractors that a search would bring too."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from preceptor.recipes.recipe import Row
from preceptor.retrieval.layout import Source
from preceptor.retrieval.quotes import located
from preceptor.retrieval.words import stems

Find = Callable[[str, int], Sequence[Source]]  # the sources for a question, best first, at most so many

SEARCHED = 20  # of what a search brings, distractors are taken from so many (Zhang et al. 2024)
ALIKE = 0.6  # share of a source's words that a golden one has too, from which on it may well be golden itself
WITHIN = 0.9  # the same, from which on it is a piece of the golden one


@dataclass(frozen=True)
class Choice:
    """The sources that a question is shown with, in their order, and which of them are golden; none is where it is to do without."""

    sources: tuple[Source, ...]
    golden: frozenset[int]


@dataclass(frozen=True)
class Chooser:
    """golden: share of rows that are shown with a golden source. count: sources in all. seed: of what is drawn."""

    find: Find
    golden: float
    count: int
    seed: int

    def choose(self, row: Row, question: str, answers: Sequence[str]) -> Choice | None:
        """The row's sources, drawn by seed and row; None where nothing says which source bears the answer out.

        Golden are the row's own sources that are marked so, or all where none is; without any, those found that hold an answer word
        for word. Where the search finds pieces of a golden source, those are shown, as serving would show them.
        """
        draw = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{self.seed}:{row.id}".encode()).digest()[:8]))
        golden, others = own_sources(row.content)
        found = list(self.find(question, SEARCHED))
        if golden:
            pieces = [each for each in found if shared(each, golden) >= WITHIN]
        else:
            golden = pieces = [each for each in found if any(holds(each.text, answer) for answer in answers)]
        if not golden:
            return None
        distractors = [each for each in (*others, *found) if not _may_be_golden(each, golden)]
        most = max(1, self.count // 2)  # pieces of what bears the answer out leave room for what doesn't
        shown = (pieces or golden)[:most] if draw.random() < self.golden else []
        wanted = self.count - len(shown)
        taken = [distractors[at] for at in sorted(draw.permutation(len(distractors))[:wanted])]
        order = draw.permutation(len(shown) + len(taken))
        together = [*shown, *taken]
        return Choice(tuple(together[at] for at in order), frozenset(place for place, at in enumerate(order) if at < len(shown)))


def own_sources(content: Mapping[str, Any]) -> tuple[list[Source], list[Source]]:
    """The golden sources of a row's content, and its others: where none is marked `golden`, all are."""
    given = [each if isinstance(each, Mapping) else {"text": str(each)} for each in content.get("sources") or ()]
    marked = [bool(each.get("golden")) for each in given]
    found = [Source(str(each["text"]), str(each.get("title") or "")) for each in given]
    if not any(marked):
        return found, []
    return [each for each, yes in zip(found, marked, strict=True) if yes], [
        each for each, yes in zip(found, marked, strict=True) if not yes
    ]


def holds(text: str, answer: str) -> bool:
    """Whether a text holds an answer word for word; an answer of one word without a digit (yes, no) stands anywhere and says nothing."""
    says_much = len(stems(answer)) > 1 or any(map(str.isdigit, answer))
    return says_much and located(answer.strip().rstrip("."), text) is not None


def shared(source: Source, golden: Sequence[Source]) -> float:
    """The largest share of a source's words that a golden one has too."""
    words = set(stems(source.text))
    return max((len(words & set(stems(each.text))) / len(words) for each in golden), default=0.0) if words else 1.0


def of_rows(rows: Sequence[Row]) -> Find:
    """A search among the rows' own sources, where a project has no documents."""
    return among([source for row in rows for part in own_sources(row.content) for source in part])


def among(sources: Sequence[Source]) -> Find:
    """A search by the words that question and source share, rare ones counting more; between equals the earlier comes first."""
    pool = list(dict.fromkeys(sources))
    places: dict[str, list[int]] = {}
    for at, source in enumerate(pool):
        for stem in set(stems(source.text)):
            places.setdefault(stem, []).append(at)

    def find(question: str, most: int) -> list[Source]:
        scores = np.zeros(len(pool))
        for stem in set(stems(question)) & set(places):
            scores[places[stem]] += log(1 + len(pool) / len(places[stem]))
        best = np.argsort(-scores, kind="stable")[:most]
        return [pool[at] for at in best.tolist() if scores[at] > 0]

    return find


def _may_be_golden(source: Source, golden: Sequence[Source]) -> bool:
    """Another piece of a golden document, or a text much like it: as a distractor it would teach not to believe what is right."""
    return (source.document != "" and source.document in {each.document for each in golden}) or shared(source, golden) >= ALIKE
