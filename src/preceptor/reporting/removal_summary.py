"""Summarize a retraction or an erasure as text: what depended on it, what was rebuilt, what a search found; for commands and pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_DIGEST_LENGTH = 12  # characters of a digest that are shown
_MAX_LISTED = 10  # names of one kind that are listed

AFFECTED_HEADER = ("affected", "before", "after", "")
NOTHING_AFFECTED = "no snapshot and no model rests on them"
REBUILD_LABEL = "make them again without it"


def removal_headline(document: Mapping[str, Any]) -> str:
    """Return the headline of a retraction's or an erasure's document."""
    if "annotator" in document:
        return f"{_count_noun(document['judgments'], 'judgment')} of {document['annotator']!r} no longer count"
    done = "would be erased" if document.get("dry_run") else "were erased before" if document.get("erased_before") else "erased"
    counts = {"item": len(document["items"]), "judgment": sum(document["judgments"].values()), "answer": document["answers"]}
    return f"{', '.join(_count_noun(count, name) for name, count in counts.items())} {done}"


def affected_rows(document: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the affected artifacts and what became of them, a row each, under `AFFECTED_HEADER`; empty where nothing was affected."""
    return [*_snapshot_rows(document), *_model_rows(document)]


def can_be_rebuilt(document: Mapping[str, Any]) -> bool:
    """Return whether anything was affected, and nothing was rebuilt."""
    return bool(affected_rows(document)) and "untouched" not in document


def further_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield further lines: aliases, answers, what stays, and what a search found."""
    rested = document["affected"]
    yield from (f"{alias} still names {model}: it is a person who moves an alias" for alias, model in rested["aliases"].items())
    if rested["answers"]:
        yield f"the models affected gave {rested['answers']:,} of the answers that are kept"
    if (kept := document.get("untouched")) is not None:
        yield f"untouched: {len(kept['snapshots'])} snapshots and {len(kept['models'])} models keep their digests"
    if alike := document.get("alike"):
        yield f"the same text stands in other items, which stay: {', '.join(alike[:_MAX_LISTED])}"
    if (search := document.get("search")) is not None:
        places = [*(f"{count} in {place}" for place, count in search["tables"].items()), *search["files"]]
        where = f": {', '.join(places[:_MAX_LISTED])}" if places else ""
        yield f"searched for {_count_noun(search['texts'], 'text')}: found in {_count_noun(search['found'], 'place')}{where}"
        yield from (f"note: {words}" for words in [*search["notes"], *search["beyond"]])
        if not search["compact"]:
            yield "note: others read the database now, so that its file keeps what was freed: run the same again when they are done"


def has_remains(document: Mapping[str, Any]) -> bool:
    """Return whether a search found anything, or couldn't cover everything."""
    search = document.get("search")
    return search is not None and bool(search["found"] or not search.get("whole", True))


def _count_noun(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _snapshot_rows(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    made = {each["before"]: each for each in document.get("snapshots", ())}
    left = {each["before"]: each["after"] for each in document.get("left", ())}
    for each in document["affected"]["snapshots"]:
        digest = left.get(each["digest"], each["digest"])
        again = made.get(digest) or {"after": left.get(each["digest"])}
        name = f"snapshot {each['name'] or ''}".rstrip()
        yield (
            name,
            each["digest"][:_DIGEST_LENGTH],
            (again.get("after") or "-")[:_DIGEST_LENGTH],
            again.get("why") or _count_noun(each["rows"], "row"),
        )


def _model_rows(document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    made = {each["before"]: each for each in document.get("models", ())}
    for model in document["affected"]["models"]:
        again = made.get(model, {})
        decided = "somebody decided about its release" if model in document["affected"]["decided_about"] else ""
        yield "model", model, again.get("after") or "-", again.get("why") or decided
