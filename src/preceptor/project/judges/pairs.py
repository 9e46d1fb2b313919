"""What a judge learns from: claims beside texts, and whether the texts support them, from files and made from others."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from preceptor.domain.items import sources_of
from preceptor.errors import UserError
from preceptor.evaluation.judges.altering import altered
from preceptor.retrieval.sentences import sentences

COLUMNS = {
    "sources": ("premise", "sources", "source", "document", "evidence", "context"),
    "claim": ("claim", "hypothesis", "statement"),
    "label": ("label", "verdict", "answer", "supported", "human_label"),
    "group": ("group", "document_id", "doc_id"),
}
SURE = 0.65  # from which on a claim counts as supported enough to be made wrong
SENTENCES, SHORT, LONG = 25, 6, 35  # of each pair's sources at most, and their words
_YES = "supported support supports entailment entailed entails yes true consistent faithful"
_NO = """contradicted contradiction contradicts refuted refutes not_found neutral unsupported not_supported not_entailment not_entailed
inconsistent unfaithful hallucinated no false"""
YES, NO = frozenset(_YES.split()), frozenset(_NO.split())


@dataclass(frozen=True)
class Pair:
    """A claim beside its sources. supported: how likely people say that they support it, 0 to 1. group: what stays on one side."""

    claim: str
    sources: tuple[str, ...]
    supported: float
    group: str


def read_pairs(files: Sequence[str | Path]) -> list[Pair]:
    """Pairs of files with columns for the source text, the claim and the label (COLUMNS; YES and NO, or a share from 0 to 1).

    The same pair in several rows is one, with the mean of their labels: a row may be one person's answer. UserError for a file
    without such columns, and for a label that says neither.
    """
    return merged(pair for path in files for pair in _of_file(Path(path)))


def with_altered(pairs: Sequence[Pair]) -> list[Pair]:
    """These pairs, and more that need no label: claims that people found supported made wrong, sentences of the sources as claims
    that they support, and these made wrong."""
    more: list[Pair] = []
    for pair in pairs:
        if pair.supported >= SURE and (wrong := altered(pair.claim, pair.sources)):
            more.append(replace(pair, claim=wrong, supported=0.0))
    for sources, group in {pair.sources: pair.group for pair in pairs}.items():
        found = {sentence for source in sources for sentence in sentences(source) if SHORT <= len(sentence.split()) <= LONG}
        for sentence in sorted(found, key=lambda sentence: _name([sentence]))[:SENTENCES]:
            if wrong := altered(sentence, sources):
                more += [Pair(sentence, sources, 1.0, group), Pair(wrong, sources, 0.0, group)]
    known = {(pair.claim, pair.sources) for pair in pairs}
    return [*pairs, *merged(pair for pair in more if (pair.claim, pair.sources) not in known)]


def merged(pairs: Iterable[Pair]) -> list[Pair]:
    """Each pair once, with the mean of what is said of it, in the order of first appearance."""
    said: dict[tuple[str, tuple[str, ...]], list[Pair]] = defaultdict(list)
    for pair in pairs:
        said[pair.claim, pair.sources].append(pair)
    return [Pair(*key, sum(pair.supported for pair in each) / len(each), each[0].group) for key, each in said.items()]


def _of_file(path: Path) -> Iterator[Pair]:
    from preceptor.formats import read

    rows = read(path, "plain")
    for row in rows:
        found = {what: next((row[name] for name in names if row.get(name) not in (None, "")), None) for what, names in COLUMNS.items()}
        if missing := [what for what in ("sources", "claim", "label") if found[what] is None]:
            names = ", ".join(COLUMNS[missing[0]])
            raise UserError(f"the row has no {missing[0]}", f"name its column one of: {names}", where=rows.where)
        claim, sources = str(found["claim"]).strip(), _sources(found["sources"])
        if not claim:
            raise UserError("the claim is empty", "leave the row out", where=rows.where)
        group = str(found["group"] or _name(sources))
        yield Pair(claim, sources, _supported(found["label"], rows.where), group)


def _sources(value: Any) -> tuple[str, ...]:
    return sources_of({"sources": value if isinstance(value, list) else [value]})


def _supported(label: Any, where: str) -> float:
    if isinstance(label, bool):
        return float(label)
    word = str(label).strip().lower().replace(" ", "_").replace("-", "_")
    if word in YES or word in NO:
        return float(word in YES)
    try:
        share = float(word)
    except ValueError:
        share = -1.0
    if 0 <= share <= 1:
        return share
    raise UserError(
        f"the label {label!r:.40} says neither supported nor not", "supported, contradicted or not_found; or a share, 0 to 1", where=where
    )


def _name(sources: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(sources).encode("utf-8", "surrogatepass")).hexdigest()[:16]
