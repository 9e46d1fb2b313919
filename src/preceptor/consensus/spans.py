"""Consensus on labelled spans: first the stretches of text that bear a label, then where each span begins and ends."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from preceptor.consensus.aggregators import aggregators, score_annotators
from preceptor.consensus.distances import span_distances as distances
from preceptor.consensus.judgments import GOLD_DOUBT, Floats, GoldAnswers, Judgments
from preceptor.consensus.multilabel import fit_binary_decisions
from preceptor.errors import UserError
from preceptor.registry import OptionsBase
from preceptor.types import ComposedConsensus

LabelledSpan = tuple[int, int, Any]
SpanMarks = tuple[LabelledSpan, ...]
StretchLabel = tuple[int, Any]  # a stretch and a label
StretchProbabilities = dict[StretchLabel, float]

SPAN_OVERLAP = 0.5  # share of the united length from which on two spans are of the same passage
UNMARKED_PLACES = 10  # places per label and item where nobody marked anything; of 0, 1, 3, 10 and 30 the best in simulations
EM_ITERATIONS = 500


@aggregators.register("spans")
@dataclass(frozen=True)
class SpanAggregator:
    """The stretches of an item's text that bear each label, then the edges that most annotators gave.

    Answers are tuples of (start, end, label). The text is cut at every edge that anybody gave, so a long passage counts no more than a
    short one. Each stretch that somebody marked is a decision for its label, yes or no, by Dawid–Skene's model with one table an annotator,
    shrunk to the crowd's; so are some places that nobody marked, as otherwise every decision would be about somebody's mark, and false
    marks would seem the rule. Adjacent stretches with a probability above one half make a span, unless most annotators who marked both
    start a new span between them. The certainty is the probability that every passage that anybody marked was rightly kept or dropped, and
    that none was overlooked (from how often each annotator finds one, and the number of passages as Poisson); it doesn't cover exact edges.
    Spans of one label that overlap become one, unless all annotators gave the same.
    """

    class Options(OptionsBase):
        labels: tuple[Any, ...] = Field((), description="all labels, those that nobody used too")
        overlap: bool = Field(False, description="whether a stretch may bear several labels")
        smoothing: float = Field(2.0, ge=0, description="pseudo-decisions, at the mean rate of all, in a label's base rate")

    options: Options = field(default_factory=Options)

    def fit(self, judgments: Judgments, gold: GoldAnswers | None = None) -> ComposedConsensus:
        """Fit the judgments and return the spans of each item, with the probabilities of its stretches as parts.

        gold: item -> its spans. An item without judgments has no spans, at certainty 0.
        """
        j = judgments
        answers = [parse_spans(answer) for answer in j.answers]
        keys = {j.item_index[item]: parse_spans(key) for item, key in (gold or {}).items() if item in j.item_index}
        used = {label for marks in (*answers, *keys.values()) for *_, label in marks} - set(self.options.labels)
        labels = (*self.options.labels, *sorted(used, key=str))
        pages = [SpanPage([]) for _ in j.items]
        for item, annotator, answer, weight in zip(j.item_code, j.annotator_code, j.answer_code, j.weight, strict=True):
            pages[item].rows.append(AnnotatorSpans(int(annotator), answers[answer], float(weight)))
        told, finds = self._decide(pages, labels, keys, j)
        found = [
            keys.get(code, page.compose(chances, self.options.overlap))
            for code, (page, chances) in enumerate(zip(pages, told, strict=True))
        ]
        none_missed = _completeness_probability(pages, told, finds)
        sure = [
            1 - GOLD_DOUBT if code in keys else none_missed[code] * page.certainty(told[code], found[code])
            for code, page in enumerate(pages)
        ]
        alike = [1 - distances((row.marks, found[code]))[0, 1] for code, page in enumerate(pages) for row in page.rows]
        parts = [
            {"chances": [[*page.stretch(k), label, round(p, 4)] for (k, label), p in chances.items()]}
            for page, chances in zip(pages, told, strict=True)
        ]
        return ComposedConsensus.from_answers(
            j.items, [spans_to_json(marks) for marks in found], sure, j.counts, method="spans", parts=tuple(parts),
            annotators=score_annotators(j, np.array(alike, dtype=np.float64)),
        )  # fmt: skip

    def _decide(
        self, pages: Sequence[SpanPage], labels: Sequence[Any], keys: Mapping[int, SpanMarks], j: Judgments
    ) -> tuple[list[StretchProbabilities], Floats]:
        """Return the probability of each label for each marked stretch, and the rate at which each annotator finds one, (annotators,)."""
        place = {label: k for k, label in enumerate(labels)}
        cells = [(code, cell) for code, page in enumerate(pages) for cell in page.cells(labels)]
        rows = [
            (number, row.annotator, int(cell[0] in page.covered(row.marks, cell[1])))
            for number, (page, cell) in enumerate((pages[code], cell) for code, cell in cells)
            for row in page.rows
        ]
        chances: list[StretchProbabilities] = [{} for _ in pages]
        finds = np.full(j.n_annotators, 0.5)
        if not rows:
            return chances, finds
        item, annotator, answer = zip(*rows, strict=True)
        decisions = Judgments.from_columns(item=item, annotator=annotator, answer=answer, answers=[0, 1], repeats=j.repeats)
        group = np.array([place[label] for _, (_, label) in cells])
        known = {n: int(k in pages[code].covered(keys[code], label)) for n, (code, (k, label)) in enumerate(cells) if code in keys}
        told = fit_binary_decisions(
            decisions, group, len(labels), known or None, smoothing=self.options.smoothing, iterations=EM_ITERATIONS
        ).consensus
        for (code, cell), p in zip(cells, told.posterior[:, 1].tolist(), strict=True):
            chances[code] |= {cell: p} if cell[0] >= 0 else {}
        for code in decisions.annotators:
            finds[code] = told.annotators[code].confusion[1, 1]  # type: ignore[index]
        return chances, finds


def _completeness_probability(pages: Sequence[SpanPage], told: Sequence[StretchProbabilities], finds: Floats) -> Floats:
    """Return the probability that an item's annotators together overlooked no passage: exp(−rate · Π (1 − finds)), (items,).

    The rate of passages per item is the expected number found, over Σ (1 − the probability of overlooking one) over items.
    """
    overlooked = np.array([np.prod([(1 - finds[row.annotator]) for row in {r.annotator: r for r in page.rows}.values()]) for page in pages])
    passages = sum(max(chances[k, label] for k in group) for chances in told for label, group in _marked_passages(chances))
    rate = passages / max(float((1 - overlooked).sum()), 1e-9)
    return np.exp(-rate * overlooked)


class AnnotatorSpans(NamedTuple):
    """The spans that one annotator (by code) marked in an item, and the weight of the judgment."""

    annotator: int
    marks: SpanMarks
    weight: float


@dataclass(frozen=True)
class SpanPage:
    """The spans of all annotators in one item; its text is cut into stretches at every edge that anybody gave."""

    rows: list[AnnotatorSpans]

    @cached_property
    def edges(self) -> list[int]:
        return sorted({edge for row in self.rows for start, end, _ in row.marks for edge in (start, end)})

    def stretch(self, k: int) -> tuple[int, int]:
        """Return the start and end of the k-th stretch."""
        return self.edges[k], self.edges[k + 1]

    def covered(self, marks: SpanMarks, label: Any) -> frozenset[int]:
        """Return the stretches that bear a label by these marks: those of which a mark covers half or more."""
        found = set()
        for start, end, name in marks:
            if name == label:
                reach = range(max(bisect_left(self.edges, start) - 1, 0), min(bisect_left(self.edges, end), len(self.edges) - 1))
                found |= {k for k in reach if 2 * _overlap_length((start, end), self.stretch(k)) >= self.edges[k + 1] - self.edges[k]}
        return frozenset(found)

    def cells(self, labels: Sequence[Any]) -> list[StretchLabel]:
        """Return (stretch, label) for all stretches that anybody marked; stretches below 0 are places that nobody marked."""
        marked = [sorted({k for row in self.rows for k in self.covered(row.marks, label)}) for label in labels]
        return [(k, label) for label, found in zip(labels, marked, strict=True) for k in (*range(-UNMARKED_PLACES, 0), *found)]

    def compose(self, chances: StretchProbabilities, overlap: bool) -> SpanMarks:
        """Compose the stretches with a probability above one half into spans, with the edges that most annotators gave."""
        if len({row.marks for row in self.rows}) == 1:
            return self.rows[0].marks
        best: dict[int, float] = {}
        for (k, _), p in chances.items():
            best[k] = max(p, best.get(k, 0.0))
        taken: dict[Any, list[int]] = {}
        for (k, label), p in chances.items():
            if p > 0.5 and (overlap or p == best[k]):
                taken.setdefault(label, []).append(k)
        rough = [(*span, label) for label, found in taken.items() for span in self._join_stretches(sorted(found), label)]
        fine = sorted({self._fit_edges(span) for span in rough}, key=_span_order)
        clash = any(after[0] < before[1] for before, after in pairwise(fine))
        return tuple(sorted(rough, key=_span_order) if clash and not overlap else fine)

    def certainty(self, chances: StretchProbabilities, found: SpanMarks) -> float:
        """Return the probability that each passage that anybody marked was rightly kept or dropped."""
        sure = 1.0 if self.rows else 0.0
        for label, passage in _marked_passages(chances):
            there = max(chances[k, label] for k in passage)
            sure *= there if self.covered(found, label) & set(passage) else 1 - there
        return sure

    def _join_stretches(self, found: Sequence[int], label: Any) -> list[tuple[int, int]]:
        """Join adjacent stretches; split where most annotators who marked both sides start a new span."""
        runs: list[list[int]] = []
        for k in found:
            if runs and runs[-1][-1] == k - 1 and not self._is_boundary(k, label):
                runs[-1].append(k)
            else:
                runs.append([k])
        return [(self.edges[run[0]], self.edges[run[-1] + 1]) for run in runs]

    def _is_boundary(self, k: int, label: Any) -> bool:
        edge, both, anew = self.edges[k], 0.0, 0.0
        for row in self.rows:
            if {k - 1, k} <= self.covered(row.marks, label):
                both += row.weight
                anew += row.weight * any(start == edge and name == label for start, _, name in row.marks)
        return anew > both / 2

    def _fit_edges(self, span: LabelledSpan) -> LabelledSpan:
        """Return the span with the most frequent start and end among marks of about the same passage; of ties, the nearest."""
        start, end, label = span
        starts, ends = Counter[int](), Counter[int]()
        for row in self.rows:
            for one, other, name in row.marks:
                shared = _overlap_length((one, other), (start, end))
                if name == label and shared >= SPAN_OVERLAP * (max(end, other) - min(start, one)):
                    starts[one] += row.weight  # type: ignore[assignment]
                    ends[other] += row.weight  # type: ignore[assignment]
        first = min(starts, key=lambda edge: (-round(starts[edge], 9), abs(edge - start), edge), default=start)
        last = min(ends, key=lambda edge: (-round(ends[edge], 9), abs(edge - end), edge), default=end)
        return (first, last, label) if first < last else span


def parse_spans(answer: Any) -> SpanMarks:
    """Parse an answer into sorted spans, from tuples or from {"start", "end", "label"}; raises UserError for anything else."""
    try:
        marks = [(mark["start"], mark["end"], mark["label"]) if isinstance(mark, Mapping) else tuple(mark) for mark in answer]
        return tuple(sorted(((int(start), int(end), label) for start, end, label in marks), key=_span_order))
    except (TypeError, ValueError, KeyError):
        raise UserError(f"spans are (start, end, label), not {answer!r:.60}", "give a tuple of such tuples as answer") from None


def spans_to_json(marks: SpanMarks) -> list[dict[str, Any]]:
    """Return spans in the form in which answers are stored."""
    return [{"start": start, "end": end, "label": label} for start, end, label in marks]


def _span_order(mark: LabelledSpan) -> tuple[int, int, str]:
    return mark[0], mark[1], str(mark[2])


def _overlap_length(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Return how many characters two passages share."""
    return max(min(one[1], other[1]) - max(one[0], other[0]), 0)


def _marked_passages(chances: StretchProbabilities) -> list[tuple[Any, list[int]]]:
    """Return (label, adjacent stretches) of each passage that somebody marked."""
    groups: list[tuple[Any, list[int]]] = []
    for k, label in sorted(chances, key=lambda cell: (str(cell[1]), cell[0])):
        if groups and groups[-1][0] == label and groups[-1][1][-1] == k - 1:
            groups[-1][1].append(k)
        else:
            groups.append((label, [k]))
    return groups
