"""Rows whose target is a text: what was asked, and what somebody wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from preceptor.domain import Item
from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.snapshots.checks import checks_of, clusters_of
from preceptor.snapshots.rows import Row
from preceptor.snapshots.split import DEFAULT_FRACTIONS, split, tie


def text_rows(
    items: Iterable[Item],
    texts: Mapping[str, str],
    lineage: Mapping[str, Sequence[int]],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int | None = None,
    earlier: int | None = None,
    all_turns: bool = False,
) -> tuple[list[Row], dict[str, Any]]:
    """Rows with the written text as their target, in canonical order, and what the manifest says of how they came about.

    texts: what was written, by item id. The same text on the same input is one row, which rests on the judgments of all;
    inputs that are the same or nearly so stay on one side. all_turns: earlier answers of a conversation are learnt too,
    unless their `weight` is 0: one hand wrote all of it. UserError when there is nothing to train on.
    """
    everything = list(items)
    written = [item for item in everything if texts.get(item.id, "").strip()]
    if not written:
        raise UserError("there is nothing to take a snapshot of: no item has a text written for it", "import prompts with completions")
    inputs = [asked(item.content, all_turns=all_turns) for item in written]
    clusters, template = clusters_of([text_of(content) for content in inputs])
    groups = tie([item.group for item in written], clusters)
    copies = _copies([[content, texts[item.id]] for content, item in zip(inputs, written, strict=True)])
    kept = [same[0] for same in copies]
    sides, used = split([groups[at] for at in kept], [()] * len(kept), fractions=fractions, seed=seed, earlier=earlier)
    rows = [
        Row(
            written[same[0]].id, inputs[same[0]], {texts[written[same[0]].id]: 1.0}, 1.0, side, groups[same[0]],
            tuple(sorted({number for at in same for number in lineage.get(written[at].id, ())})),
        )
        for same, side in zip(copies, sides, strict=True)
    ]  # fmt: skip
    checks = checks_of(rows, [clusters[at] for at in kept], template, left_out=len(everything) - len(written))
    merged = {
        "check": "merged",
        "found": len(written) - len(kept),
        "words": "rows the same as another, input and text; one is kept",
    }
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {
        "seed": used, "fractions": dict(fractions), "checks": [*checks, merged],
    }  # fmt: skip


def asked(content: Mapping[str, Any], *, all_turns: bool = False) -> dict[str, Any]:
    """What a content asks, without the answer that may stand in it: the completion, or the last turns of the assistant."""
    if "messages" not in content:
        return {part: value for part, value in content.items() if part not in ("completion", "responses")}
    turns = [dict(turn) for turn in content["messages"]]
    while turns and turns[-1]["role"] == "assistant":
        turns.pop()
    if all_turns:
        turns = [{**turn, "weight": turn.get("weight", 1)} if turn["role"] == "assistant" else turn for turn in turns]
    return {**content, "messages": turns}


def _copies(pairs: Sequence[Any]) -> list[list[int]]:
    """The places of each distinct pair of input and text, in order of appearance."""
    places: dict[str, list[int]] = {}
    for at, pair in enumerate(pairs):
        places.setdefault(json.dumps(pair, sort_keys=True, ensure_ascii=False), []).append(at)
    return list(places.values())
