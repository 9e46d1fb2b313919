"""Check an answer's sentences and quotes against its sources.

"Supported" is a statement about wording, unless a judge is given: the sentence occurs in its source word for word, or most of its words
that carry meaning do, and every number. That neither understands nor forgives: "excludes" passes for "includes" among equal words, and a
paraphrase in other words is marked as unsupported. docs/grounding.md reports how often people agree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isnan
from typing import Any

from preceptor.retrieval.search import SearchHit
from preceptor.retrieval.text_analysis import extract_stems, find_sentence_spans, locate_quote

# How well each claim's sources support it, 0 to 1; NaN where there is nothing in it to check (a greeting, a question).
SupportScorer = Callable[[Sequence[str], Sequence[tuple[str, ...]]], Sequence[float]]

SUPPORT_THRESHOLD = 0.7  # support from which on a sentence isn't marked
MIN_QUOTE_WORDS = 3  # words of what counts as a quote
CITATION_MARKER = re.compile(r"\[(\d{1,4})\]")
_LEADING_MARKERS = re.compile(r"(?:\s*\[\d{1,4}\][,;.]?)+")
_QUOTE = re.compile(r"\"([^\"\n]+)\"|“([^”\n]+)”|«([^»\n]+)»")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_VERDICTS = frozenset(extract_stems("yes no maybe true false unknown"))  # answers that state nothing by themselves


def cite_answer(answer: str, hits: Sequence[SearchHit], support: SupportScorer | None = None) -> dict[str, Any]:
    """Find the citations and the unsupported sentences of an answer, as JSON.

    `citations`: each with `start`, `end` (characters of the answer: its sentence, or a quote within), the hit's `document`, `version`,
    `chunk`, `source_start`, `source_end` (characters of the document's text), `text` (of those characters) and `marker` (the number that
    the model wrote, None where it wrote none and the source was found for it). `unsupported`: `start`, `end`, `text`, `why`.

    A sentence is checked against the sources that it cites, or against all where it cites none. One that only says yes or no, or for which
    `support` returns NaN, states nothing to check. support: `lexical_support` where none is given.
    """
    said = [sentence for span in _answer_spans(answer) if (sentence := _AnswerSentence.parse(answer, span, len(hits))).claim]
    texts = [hit.text for hit in hits]
    scores = _score_sentences(said, texts, support or lexical_support)
    citations = [each for sentence, score in zip(said, scores, strict=True) for each in _build_citations(sentence, hits, score)]
    unsupported = [
        {"start": sentence.start, "end": sentence.end, "text": answer[sentence.start : sentence.end], "why": why}
        for sentence, score in zip(said, scores, strict=True)
        if (why := _unsupported_reason(sentence, score, len(hits)))
    ]
    return {"citations": citations, "unsupported": unsupported}


@dataclass(frozen=True, slots=True)
class CitationCounts:
    """The counts of one answer from which citation recall and precision are computed.

    stated: sentences that state something; cited: those of them that a source which they cite supports; supported: those that any source
    supports; markers: the citations of such sentences; correct_markers: those whose source alone supports its sentence.
    """

    stated: int
    cited: int
    supported: int
    markers: int
    correct_markers: int


def count_citations(answer: str, hits: Sequence[SearchHit], support: SupportScorer | None = None) -> CitationCounts:
    """Count the sentences and markers of an answer from which citation recall and precision are computed (Gao et al. 2023, ALCE).

    Recall is `cited` of `stated`, precision `correct_markers` of `markers`.
    """
    said = [sentence for span in _answer_spans(answer) if (sentence := _AnswerSentence.parse(answer, span, len(hits))).claim]
    texts, check = [hit.text for hit in hits], support or lexical_support
    anywhere = _score_sentences([replace(sentence, cited_sources=()) for sentence in said], texts, check)
    stated = [(sentence, score) for sentence, score in zip(said, anywhere, strict=True) if not isnan(score)]
    together = _score_sentences([sentence for sentence, _ in stated], texts, check)
    alone = [replace(sentence, cited_sources=(at,)) for sentence, _ in stated for at in sentence.cited_sources]
    return CitationCounts(
        len(stated),
        sum(score >= SUPPORT_THRESHOLD for (sentence, _), score in zip(stated, together, strict=True) if sentence.cited_sources),
        sum(score >= SUPPORT_THRESHOLD for _, score in stated),
        sum(len(sentence.cited_sources) + len(sentence.unknown_markers) for sentence, _ in stated),
        sum(score >= SUPPORT_THRESHOLD for score in _score_sentences(alone, texts, check)),
    )


def lexical_support(claims: Sequence[str], sources: Sequence[tuple[str, ...]]) -> list[float]:
    """Return the share of each claim's words that its sources contain; half of that where they lack a number of it.

    NaN for a claim without any such word.
    """
    return [_lexical_overlap(claim, "\n".join(texts)) for claim, texts in zip(claims, sources, strict=True)]


def _lexical_overlap(claim: str, text: str) -> float:
    words = [stem for stem in extract_stems(claim) if stem not in _VERDICTS]
    if not words:
        return float("nan")
    known, numbers = set(extract_stems(text)), set(_NUMBER.findall(text))
    share = sum(word in known for word in words) / len(words)
    return share if set(_NUMBER.findall(claim)) <= numbers else share / 2


@dataclass(frozen=True)
class _AnswerSentence:
    """A sentence of an answer.

    start, end: in the answer, its markers included. claim: its text without them. quotes: (start, end, text) each. cited_sources: indices
    of the hits that it cites; unknown_markers: other numbers.
    """

    start: int
    end: int
    claim: str
    quotes: tuple[tuple[int, int, str], ...]
    cited_sources: tuple[int, ...]
    unknown_markers: tuple[int, ...]

    @classmethod
    def parse(cls, answer: str, span: tuple[int, int], hits: int) -> _AnswerSentence:
        start, end = span
        text = answer[start:end]
        numbers = list(dict.fromkeys(int(found) for found in CITATION_MARKER.findall(text)))
        inside = ((found.start() + 1, found.end() - 1) for found in _QUOTE.finditer(text))
        quotes = tuple(
            (start + begin, start + stop, text[begin:stop]) for begin, stop in inside if len(text[begin:stop].split()) >= MIN_QUOTE_WORDS
        )
        claim = " ".join(CITATION_MARKER.sub("", text).split()).strip()
        known = tuple(number - 1 for number in numbers if 1 <= number <= hits)
        return cls(start, end, claim if any(map(str.isalnum, claim)) else "", quotes, known, tuple(set(numbers) - {at + 1 for at in known}))


def _answer_spans(answer: str) -> list[tuple[int, int]]:
    """Return the spans of the answer's sentences; markers after a sentence's end belong to it."""
    found: list[tuple[int, int]] = []
    for start, end in find_sentence_spans(answer):
        leading = _LEADING_MARKERS.match(answer, start, end)
        if leading is not None and found:
            found[-1] = (found[-1][0], leading.end())
            start = leading.end() + len(answer[leading.end() : end]) - len(answer[leading.end() : end].lstrip())
        if start < end:
            found.append((start, end))
    return found


def _score_sentences(said: Sequence[_AnswerSentence], texts: Sequence[str], support: SupportScorer) -> list[float]:
    """Score each sentence: 1 where it, or all that it quotes, occurs in its sources word for word; else what `support` returns."""
    of = [tuple(texts[at] for at in (sentence.cited_sources or range(len(texts)))) for sentence in said]
    scores = [1.0 if _is_verbatim(sentence, sources) else float("nan") for sentence, sources in zip(said, of, strict=True)]
    asked = [number for number, score in enumerate(scores) if isnan(score)]
    for number, score in zip(asked, support([said[number].claim for number in asked], [of[number] for number in asked]), strict=True):
        scores[number] = float(score)
    return scores


def _is_verbatim(sentence: _AnswerSentence, sources: Sequence[str]) -> bool:
    whole = sentence.claim.strip(" .\"“”«»'")
    if len(extract_stems(whole)) > 1 and any(locate_quote(whole, text) for text in sources):
        return True
    outside = sentence.claim
    for *_, quote in sentence.quotes:
        outside = outside.replace(" ".join(quote.split()), "")
    bare = not [stem for stem in extract_stems(outside) if stem not in _VERDICTS]
    return bare and bool(sentence.quotes) and all(any(locate_quote(quote, text) for text in sources) for *_, quote in sentence.quotes)


def _unsupported_reason(sentence: _AnswerSentence, score: float, hits: int) -> str:
    """Say why a sentence is unsupported; "" where it isn't."""
    if sentence.unknown_markers:
        return f"it cites [{sentence.unknown_markers[0]}], and there are {hits} sources"
    if isnan(score) or score >= SUPPORT_THRESHOLD:
        return ""
    return "the source that it cites doesn't say so" if sentence.cited_sources else "no source says so"


def _build_citations(sentence: _AnswerSentence, hits: Sequence[SearchHit], score: float) -> list[dict[str, Any]]:
    places = [(at, at + 1) for at in sentence.cited_sources]
    if not places and hits and score >= SUPPORT_THRESHOLD:
        words = set(extract_stems(sentence.claim))
        best = max(
            range(len(hits)),
            key=lambda at: (_find_verbatim(sentence, hits[at].text) is not None, len(words & set(extract_stems(hits[at].text)))),
        )
        return [_build_citation(sentence, hits[best], None)]
    return [_build_citation(sentence, hits[at], marker) for at, marker in places]


def _build_citation(sentence: _AnswerSentence, hit: SearchHit, marker: int | None) -> dict[str, Any]:
    exact = _find_verbatim(sentence, hit.text)
    start, end, (source_start, source_end) = exact or (sentence.start, sentence.end, _nearest_sentence(sentence.claim, hit.text))
    return {
        "start": start, "end": end, "document": hit.document, "version": hit.version, "chunk": hit.chunk,
        "source_start": hit.start + source_start, "source_end": hit.start + source_end, "text": hit.text[source_start:source_end],
        "marker": marker,
    }  # fmt: skip


def _find_verbatim(sentence: _AnswerSentence, text: str) -> tuple[int, int, tuple[int, int]] | None:
    """Find a quote of the sentence, or all of it, word for word in a source: its span in the answer and in the text."""
    for start, end, quote in sentence.quotes:
        if (found := locate_quote(quote, text)) is not None:
            return start, end, found
    whole = sentence.claim.strip(" .\"“”«»'")
    found = locate_quote(whole, text) if len(extract_stems(whole)) > 1 else None
    return None if found is None else (sentence.start, sentence.end, found)


def _nearest_sentence(claim: str, text: str) -> tuple[int, int]:
    """Find the sentence of a source that shares most words with a claim; the whole source where none shares any."""
    words = set(extract_stems(claim))
    shared = [(len(words & set(extract_stems(text[start:end]))), start, end) for start, end in find_sentence_spans(text)]
    most, start, end = max(shared, key=lambda each: each[0], default=(0, 0, 0))
    return (start, end) if most else (0, len(text))
