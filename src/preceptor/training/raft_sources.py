"""Select golden sources and distractors for a question, and cite the golden one in the answer.

Which sources a row's question is shown with: those that bear its answer out, and distractors that a search would bring too.

An answer as it is to be learnt beside its sources: with the words of a golden one that bear it out, and that one's number.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np

from preceptor.retrieval.grounded_prompt import GroundingSource
from preceptor.retrieval.text_analysis import extract_stems, locate_quote, split_sentences
from preceptor.training.recipe import TrainingRow

SourceSearch = Callable[[str, int], Sequence[GroundingSource]]  # the sources for a question, best first, at most so many

SEARCH_DEPTH = 20  # of what a search brings, distractors are taken from so many (Zhang et al. 2024)
MAX_DISTRACTOR_OVERLAP = 0.6  # share of a source's words that a golden one has too, from which on it may well be golden itself
MIN_PIECE_OVERLAP = 0.9  # the same, from which on it is a piece of the golden one


@dataclass(frozen=True)
class SourceSelection:
    """The sources that a question is shown with, in their order, and which of them are golden; none is where it is to do without."""

    sources: tuple[GroundingSource, ...]
    golden: frozenset[int]


@dataclass(frozen=True)
class SourceSelector:
    """golden: share of rows that are shown with a golden source. count: sources in all. seed: of what is drawn."""

    search: SourceSearch
    golden: float
    count: int
    seed: int

    def select_sources(self, row: TrainingRow, question: str, answers: Sequence[str]) -> SourceSelection | None:
        """The row's sources, drawn by seed and row; None where nothing says which source bears the answer out.

        Golden are the row's own sources that are marked so, or all where none is; without any, those found that hold an answer word
        for word. Where the search finds pieces of a golden source, those are shown, as serving would show them.
        """
        draw = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{self.seed}:{row.id}".encode()).digest()[:8]))
        golden, others = split_row_sources(row.content)
        found = list(self.search(question, SEARCH_DEPTH))
        if golden:
            pieces = [each for each in found if word_overlap(each, golden) >= MIN_PIECE_OVERLAP]
        else:
            golden = pieces = [each for each in found if any(contains_answer(each.text, answer) for answer in answers)]
        if not golden:
            return None
        distractors = [each for each in (*others, *found) if not _may_be_golden(each, golden)]
        most = max(1, self.count // 2)  # pieces of what bears the answer out leave room for what doesn't
        shown = (pieces or golden)[:most] if draw.random() < self.golden else []
        wanted = self.count - len(shown)
        taken = [distractors[at] for at in sorted(draw.permutation(len(distractors))[:wanted])]
        order = draw.permutation(len(shown) + len(taken))
        together = [*shown, *taken]
        return SourceSelection(tuple(together[at] for at in order), frozenset(place for place, at in enumerate(order) if at < len(shown)))


def split_row_sources(content: Mapping[str, Any]) -> tuple[list[GroundingSource], list[GroundingSource]]:
    """The golden sources of a row's content, and its others: where none is marked `golden`, all are."""
    given = [each if isinstance(each, Mapping) else {"text": str(each)} for each in content.get("sources") or ()]
    marked = [bool(each.get("golden")) for each in given]
    found = [GroundingSource(str(each["text"]), str(each.get("title") or "")) for each in given]
    if not any(marked):
        return found, []
    return [each for each, yes in zip(found, marked, strict=True) if yes], [
        each for each, yes in zip(found, marked, strict=True) if not yes
    ]


def contains_answer(text: str, answer: str) -> bool:
    """Whether a text holds an answer word for word; an answer of one word without a digit (yes, no) stands anywhere and says nothing."""
    says_much = len(extract_stems(answer)) > 1 or any(map(str.isdigit, answer))
    return says_much and locate_quote(answer.strip().rstrip("."), text) is not None


def word_overlap(source: GroundingSource, golden: Sequence[GroundingSource]) -> float:
    """The largest share of a source's words that a golden one has too."""
    words = set(extract_stems(source.text))
    return max((len(words & set(extract_stems(each.text))) / len(words) for each in golden), default=0.0) if words else 1.0


def build_row_search(rows: Sequence[TrainingRow]) -> SourceSearch:
    """A search among the rows' own sources, where a project has no documents."""
    return build_word_search([source for row in rows for part in split_row_sources(row.content) for source in part])


def build_word_search(sources: Sequence[GroundingSource]) -> SourceSearch:
    """A search by the words that question and source share, rare ones counting more; between equals the earlier comes first."""
    pool = list(dict.fromkeys(sources))
    places: dict[str, list[int]] = {}
    for at, source in enumerate(pool):
        for stem in set(extract_stems(source.text)):
            places.setdefault(stem, []).append(at)

    def find(question: str, most: int) -> list[GroundingSource]:
        scores = np.zeros(len(pool))
        for stem in set(extract_stems(question)) & set(places):
            scores[places[stem]] += log(1 + len(pool) / len(places[stem]))
        best = np.argsort(-scores, kind="stable")[:most]
        return [pool[at] for at in best.tolist() if scores[at] > 0]

    return find


def _may_be_golden(source: GroundingSource, golden: Sequence[GroundingSource]) -> bool:
    """Another piece of a golden document, or a text much like it: as a distractor it would teach not to believe what is right."""
    return (source.document != "" and source.document in {each.document for each in golden}) or word_overlap(
        source, golden
    ) >= MAX_DISTRACTOR_OVERLAP


MAX_QUOTE_WORDS = 40  # of a quote at most: its beginning
_CITATION = re.compile(r'(?<!\s)\s*(?:"[^"]*"\s*)?(?:\[\d+\]\s*)+\.?\s*$')


def add_citation(answer: str, question: str, choice: SourceSelection, *, quotes: bool) -> str:
    """The answer, then a quote (with `quotes`) and the number of the golden source; as it is where none is shown.

    Quoted is the sentence of a golden source that has most of the answer's and the question's words, one that holds the answer
    first. An answer that cites already keeps what it has, for people wrote it so.
    """
    if not choice.golden or _CITATION.search(answer):
        return answer
    wanted, asked = set(extract_stems(answer)), set(extract_stems(question))
    best: tuple[tuple[bool, int, int], str, int] | None = None
    for at in sorted(choice.golden):
        for sentence in split_sentences(choice.sources[at].text) or ("",):
            words = set(extract_stems(sentence))
            value = (locate_quote(answer.rstrip(" ."), sentence) is not None, len(words & wanted), len(words & asked))
            if best is None or value > best[0]:
                best = (value, sentence, at)
    assert best is not None
    quote = " ".join(best[1].split()[:MAX_QUOTE_WORDS]).replace('"', "'")
    return f'{answer} "{quote}" [{best[2] + 1}]' if quotes and quote else f"{answer} [{best[2] + 1}]"


def strip_citation(text: str) -> str:
    """An answer without the quote and the numbers after it, as it is compared with a reference."""
    return _CITATION.sub("", text).strip()
