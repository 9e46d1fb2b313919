"""What was taken out, in words: what rested on it, and what was made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.cli.output import table

_SHORT = 12  # characters of a digest that are shown


def told(document: Mapping[str, Any]) -> str:
    """A document of `retracting` or `erasing`, as a table of what was affected and what became of it."""
    affected = document["affected"]
    rows = [*_snapshots(affected, document), *_models(affected, document)]
    lines = [table(("affected", "before", "after", ""), rows)] if rows else ["no snapshot and no model rests on them"]
    lines += [f"{alias} still names {model}: it is a person who moves an alias" for alias, model in affected["aliases"].items()]
    if affected["answers"]:
        lines.append(f"the models affected gave {affected['answers']:,} of the answers that are kept")
    if "untouched" in document:
        kept = document["untouched"]
        lines.append(f"untouched: {len(kept['snapshots'])} snapshots and {len(kept['models'])} models keep their digests")
    elif rows:
        lines.append("make them again without it: the same command with --remake")
    return "\n".join(lines)


def _snapshots(affected: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    made = {each["before"]: each for each in document.get("snapshots", ())}
    left = {each["before"]: each["after"] for each in document.get("left", ())}
    for each in affected["snapshots"]:
        digest = left.get(each["digest"], each["digest"])
        again = made.get(digest) or {"after": left.get(each["digest"])}
        name = f"snapshot {each['name'] or ''}".rstrip()
        yield name, each["digest"][:_SHORT], (again.get("after") or "-")[:_SHORT], again.get("why") or f"{each['rows']:,} rows"


def _models(affected: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    made = {each["before"]: each for each in document.get("models", ())}
    for model in affected["models"]:
        again = made.get(model, {})
        decided = "somebody decided about its release" if model in affected["decided_about"] else ""
        yield "model", model, again.get("after") or "-", again.get("why") or decided
