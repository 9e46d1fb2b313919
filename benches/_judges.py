"""What the judge of claims is trained and measured on in benches: SummEdits and RTE-1, from the folder of shared data."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from preceptor.documents.claim_judge import ClaimPair
from preceptor.evaluation.claims import split_claims

DATA = Path(__file__).parents[2] / "shared" / "data"
HELD = ("ectsum", "qmsumm")  # earnings calls and meetings: domains that no judge here is trained on


@dataclass(frozen=True)
class Summary:
    """A summary of a document, and whether people found it consistent."""

    id: str
    domain: str
    document: str
    source: str
    claims: tuple[str, ...]
    consistent: bool
    original: str


@cache
def summaries() -> list[Summary]:
    """All of SummEdits, each summary as its claims (as a whole where the rules find none)."""
    folder = DATA / "claims" / "summedits"
    documents = {row["doc_id"]: row["doc"] for row in _lines(folder / "docs.jsonl")}
    return [
        Summary(
            row["id"], row["domain"], row["doc_id"], documents[row["doc_id"]], split_claims(row["summary"]) or (row["summary"],),
            bool(row["label"]), row["original_summary"],
        )
        for row in _lines(folder / "items.jsonl")
    ]  # fmt: skip


def held_out() -> list[Summary]:
    """The summaries of the domains that are kept for measuring."""
    return [summary for summary in summaries() if summary.domain in HELD]


def pairs() -> list[ClaimPair]:
    """What the judge learns from: claims of the other domains, and RTE-1 with the share of its ten people who said yes.

    A claim of an edited summary that the original has too is supported; one that was edited is what people said of the summary.
    """
    return [*_of_summaries([summary for summary in summaries() if summary.domain not in HELD]), *_of_rte()]


def _of_summaries(some: Sequence[Summary]) -> Iterator[ClaimPair]:
    said: dict[tuple[str, str], ClaimPair] = {}
    for summary in some:
        original = split_claims(summary.original) or (summary.original,)
        for claim in (*original, *summary.claims):
            supported = claim in original or summary.consistent
            said[summary.document, claim] = ClaimPair(claim, (summary.source,), float(supported), summary.document)
    yield from said.values()


def _of_rte() -> Iterator[ClaimPair]:
    folder = DATA / "crowds" / "snow_rte"
    yes: dict[str, list[int]] = defaultdict(list)
    with (folder / "judgments.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yes[row["item"]].append(int(row["answer"]))
    with (folder / "pairs.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            share = sum(yes[row["item"]]) / len(yes[row["item"]])
            yield ClaimPair(row["hypothesis"], (row["premise"],), share, f"rte-{row['item']}")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    return map(json.loads, path.read_text(encoding="utf-8").splitlines())
