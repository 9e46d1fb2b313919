"""Items that people left out of a training set, and how a snapshot tells of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.store import curations
from preceptor.store.curations import Curated

if TYPE_CHECKING:
    from preceptor.store import Connection

LEFT_OUT = {"reject": "rejected", "rewrite": "rewritten", "merge": "merged"}  # decisions after which an item is in no later snapshot
WITHDRAWN = "its rewriting was taken back"
NAMED = 10  # reasons that are told, the most frequent first


def left_out(connection: Connection, question: int) -> dict[str, Curated]:
    """The decision for which each item is left out of later snapshots, by item id.

    What a rewriting made goes with the rewriting, once that is taken back or another decision took its place.
    """
    found = {item: found for item, found in curations.standing(connection, question).items() if found.action in LEFT_OUT}
    made, withdrawn = curations.rewritings(connection, question)
    return found | {item: replace(made[item], item=item, action="reject", document={}, reason=WITHDRAWN) for item in withdrawn}


def curated_check(reasons: Counter[str]) -> dict[str, Any]:
    """The check that counts items left out because somebody decided so, by reasons."""
    told = [f"{count:,} {reason}" for reason, count in reasons.most_common(NAMED)]
    more = " …" if len(reasons) > NAMED else ""
    words = f"items left out because somebody decided so: {'; '.join(told)}{more}"
    return {"check": "curated", "found": reasons.total(), "words": words, "reasons": dict(reasons.most_common())}


def reason_of(action: str, reason: str) -> str:
    """A decision and its reason in a few words."""
    done = LEFT_OUT[action]
    return f"{done}: {reason}" if reason and action != "merge" else done
