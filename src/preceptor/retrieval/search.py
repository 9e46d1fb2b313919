"""Define search hits, metadata filters, and ranking metrics (recall, nDCG).

Filters select by their metadata the documents that a search may find; ranking metrics measure how well one query's ranking finds what is
relevant.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np

from preceptor.errors import UserError


@dataclass(frozen=True, slots=True)
class SearchHit:
    """A retrieved chunk.

    start, end: characters of the extracted text of this version of the document, the end exclusive; text: those characters; heading: the
    headings above it, joined by " > "; score: the fused one, comparable only within one search.
    """

    document: str
    version: int
    chunk: int
    start: int
    end: int
    text: str
    heading: str
    score: float
    metadata: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Return the hit as a JSON-serializable dictionary."""
        return asdict(self)


VALID_FROM, VALID_UNTIL = "valid_from", "valid_until"
VALID_ON = "valid_on"  # a filter: documents valid on that day, instead of those valid today
RANGE_KEYS = ("after", "before")
_FILTER_HINT = 'a value, several of which one must hold, or {"after": …, "before": …}, each end included'
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def validate_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Validate a document's metadata and return it: texts, numbers and booleans by name; valid_from and valid_until are days, 2026-01-31.

    Raises UserError otherwise.
    """
    for name, value in metadata.items():
        if not isinstance(name, str) or not name or name == VALID_ON:
            raise UserError(f"metadata can't have the name {name!r:.60}", "jurisdiction, product, date, …", where="metadata")
        if not isinstance(value, str | int | float | bool):
            raise UserError(f"metadata {name} is no text, number, yes or no: {value!r:.60}", "give one value a name", where="metadata")
        if name in (VALID_FROM, VALID_UNTIL):
            _check_day(name, value)
    return dict(metadata)


def matches_filters(metadata: Mapping[str, Any], filters: Mapping[str, Any], *, today: str = "") -> bool:
    """Return whether a document with this metadata may be found.

    Every filter must hold. A value: equal, as text. A sequence: equal to one of them. {"after", "before"}: between them, both included,
    compared as numbers where both are numbers, else as text, which is right for dates as 2026-01-31; {} requires any value. A document
    without a value for a filter doesn't pass. valid_from and valid_until must include `valid_on`, by default today.
    """
    day = str(filters.get(VALID_ON) or today or datetime.now(UTC).date().isoformat())
    if str(metadata.get(VALID_FROM, day)) > day or str(metadata.get(VALID_UNTIL, day)) < day:
        return False
    return all(name in metadata and _matches_value(metadata[name], wanted) for name, wanted in filters.items() if name != VALID_ON)


def check_filters(filters: Mapping[str, Any]) -> None:
    """Validate filters.

    Raises UserError for unknown range keys and for a day that isn't one.
    """
    for name, wanted in filters.items():
        if isinstance(wanted, Mapping) and (unknown := sorted(set(wanted) - set(RANGE_KEYS))):
            raise UserError(f"the filter {name} has no {unknown[0]!r}", _FILTER_HINT, where=name)
        if name == VALID_ON:
            _check_day(name, wanted)


def parse_filters(written: Sequence[str]) -> dict[str, Any]:
    """Parse the filters of a command line: name=value (several: one of them), name>=value, name<=value.

    Raises UserError where one is none of these.
    """
    filters: dict[str, Any] = {}
    for each in written:
        found = re.fullmatch(r"([^<>=]+)(<=|>=|=)(.*)", each, re.DOTALL)
        if found is None:
            raise UserError(f"a filter is written name=value, name>=value or name<=value, not {each!r:.60}", "--filter jurisdiction=EU")
        name, sign, value = found[1].strip(), found[2], found[3].strip()
        held = filters.get(name)
        if sign == "=":
            filters[name] = value if held is None else [*(held if isinstance(held, list) else [held]), value]
        else:
            filters[name] = {**(held if isinstance(held, dict) else {}), "after" if sign == ">=" else "before": value}
    return filters


def _matches_value(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, Mapping):
        return all(_is_ordered(wanted["after"], value) if end == "after" else _is_ordered(value, wanted["before"]) for end in wanted)
    if isinstance(wanted, Sequence) and not isinstance(wanted, str):
        return any(_format_value(value) == _format_value(each) for each in wanted)
    return _format_value(value) == _format_value(wanted)


def _is_ordered(first: Any, second: Any) -> bool:
    try:
        return float(first) <= float(second)
    except ValueError:
        return str(first) <= str(second)


def _format_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_day(name: str, value: Any) -> None:
    try:
        if not _DAY.fullmatch(str(value)):
            raise ValueError
        date.fromisoformat(str(value))
    except ValueError:
        raise UserError(f"{name} isn't a day: {value!r:.60}", "write it 2026-01-31", where=name) from None


def recall_at_k(ranking: Sequence[Hashable], relevance: Mapping[Hashable, float], k: int) -> float:
    """Return the share of what is relevant (above 0) among the first k; nan where nothing is."""
    relevant = {each for each, grade in relevance.items() if grade > 0}
    return len(relevant & set(ranking[:k])) / len(relevant) if relevant else float("nan")


def dcg(gains: Sequence[float]) -> float:
    """Compute the discounted cumulative gain Σ gain_i / log2(i + 1), i from 1 (Järvelin & Kekäläinen 2002)."""
    return float(np.sum(np.asarray(gains, dtype=np.float64) / np.log2(np.arange(2, len(gains) + 2))))


def ndcg_at_k(ranking: Sequence[Hashable], relevance: Mapping[Hashable, float], k: int, *, exponential: bool = True) -> float:
    """Compute the DCG of the first k over that of the best order of all that was judged; nan where nothing is relevant.

    Gains are 2^grade − 1 (Burges et al. 2005), or the grades themselves. What nobody judged has none.
    """
    gain = (lambda grade: 2.0**grade - 1) if exponential else float
    best = dcg(sorted((gain(grade) for grade in relevance.values()), reverse=True)[:k])
    return dcg([gain(relevance.get(each, 0.0)) for each in ranking[:k]]) / best if best > 0 else float("nan")


def unjudged_share(ranking: Sequence[Hashable], relevance: Mapping[Hashable, float], k: int) -> float:
    """Return the share of the first k that nobody judged: how far the other metrics may be too low.

    0 where nothing was found.
    """
    shown = ranking[:k]
    return sum(each not in relevance for each in shown) / len(shown) if shown else 0.0
