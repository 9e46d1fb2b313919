"""Select golden sources and distractors for a question, and cite the golden one in the answer.

Golden sources support the answer; distractors are what a search would return too. The answer to be learnt ends with a quote from a golden
source and that source's number.
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

SourceSearch = Callable[[str, int], Sequence[GroundingSource]]  # (question, count) -> at most so many sources, best first

SEARCH_DEPTH = 20  # distractors are taken from so many results of a search (Zhang et al. 2024)
MAX_DISTRACTOR_OVERLAP = 0.6  # a source that shares so much of its words with a golden one may well be golden itself
MIN_PIECE_OVERLAP = 0.9  # a source that shares so much of its words with a golden one is a piece of it


@dataclass(frozen=True)
class SourceSelection:
    """The sources that a question is shown with, in their order, and the places of the golden ones; none where it has distractors alone."""

    sources: tuple[GroundingSource, ...]
    golden: frozenset[int]


@dataclass(frozen=True)
class SourceSelector:
    """Select the sources of a row.

    search: finds sources for a question. golden: share of rows that are shown with a golden source. count: sources in all. seed: of the
    sampling.
    """

    search: SourceSearch
    golden: float
    count: int
    seed: int

    def select_sources(self, row: TrainingRow, question: str, answers: Sequence[str]) -> SourceSelection | None:
        """Select the row's sources, sampled by seed and row; None where no source is known to support the answer.

        Golden are the row's own sources that are marked so, or all where none is; without any, the retrieved ones that contain an answer
        word for word. Where the search finds pieces of a golden source, those are shown, as serving would show them.
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
        most = max(1, self.count // 2)  # pieces that support the answer leave room for distractors
        shown = (pieces or golden)[:most] if draw.random() < self.golden else []
        wanted = self.count - len(shown)
        taken = [distractors[at] for at in sorted(draw.permutation(len(distractors))[:wanted])]
        order = draw.permutation(len(shown) + len(taken))
        together = [*shown, *taken]
        return SourceSelection(tuple(together[at] for at in order), frozenset(place for place, at in enumerate(order) if at < len(shown)))


def split_row_sources(content: Mapping[str, Any]) -> tuple[list[GroundingSource], list[GroundingSource]]:
    """Return the golden sources of a row's content, and its others: where none is marked `golden`, all are."""
    given = [each if isinstance(each, Mapping) else {"text": str(each)} for each in content.get("sources") or ()]
    marked = [bool(each.get("golden")) for each in given]
    found = [GroundingSource(str(each["text"]), str(each.get("title") or "")) for each in given]
    if not any(marked):
        return found, []
    return [each for each, yes in zip(found, marked, strict=True) if yes], [
        each for each, yes in zip(found, marked, strict=True) if not yes
    ]


def contains_answer(text: str, answer: str) -> bool:
    """Return whether a text contains an answer word for word.

    A single word without a digit (yes, no) is found anywhere, and doesn't count.
    """
    says_much = len(extract_stems(answer)) > 1 or any(map(str.isdigit, answer))
    return says_much and locate_quote(answer.strip().rstrip("."), text) is not None


def word_overlap(source: GroundingSource, golden: Sequence[GroundingSource]) -> float:
    """Return the largest share of a source's words that occur in one golden source."""
    words = set(extract_stems(source.text))
    return max((len(words & set(extract_stems(each.text))) / len(words) for each in golden), default=0.0) if words else 1.0


def build_row_search(rows: Sequence[TrainingRow]) -> SourceSearch:
    """Build a search among the rows' own sources, where a project has no documents."""
    return build_word_search([source for row in rows for part in split_row_sources(row.content) for source in part])


def build_word_search(sources: Sequence[GroundingSource]) -> SourceSearch:
    """Build a search by the words that question and source share, rare ones counting more; ties keep the order of the sources."""
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
    """Return whether a source is of a golden document, or much like a golden text.

    As a distractor it would teach to ignore right sources.
    """
    return (source.document != "" and source.document in {each.document for each in golden}) or word_overlap(
        source, golden
    ) >= MAX_DISTRACTOR_OVERLAP


MAX_QUOTE_WORDS = 40  # longer quotes are cut off
_CITATION = re.compile(r'(?<!\s)\s*(?:"[^"]*"\s*)?(?:\[\d+\]\s*)+\.?\s*$')


def add_citation(answer: str, question: str, choice: SourceSelection, *, quotes: bool) -> str:
    """Return the answer followed by a quote (with `quotes`) and the number of the golden source; unchanged where none is shown.

    The quote is the sentence of a golden source that shares most words with the answer and the question, one that contains the answer
    first. An answer that has a citation already keeps it, since people wrote it so.
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
    """Return an answer without its quote and source numbers, as it is compared with a reference."""
    return _CITATION.sub("", text).strip()
