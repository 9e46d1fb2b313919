"""Rows whose target is a text: what was asked, and what somebody wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from preceptor.domain import Item
from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.snapshots.checks import checks_of, clusters_of
from preceptor.snapshots.pooling import fates
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
    drafts: bool = False,
    left_out: Mapping[str, str] = {},
) -> tuple[list[Row], dict[str, Any]]:
    """Rows with the written text as their target, in canonical order, and what the manifest says of how they came about.

    texts: what was written, by item id. The same text on the same input is one row, which rests on the judgments of all;
    inputs that are the same or nearly so stay on one side. all_turns: earlier answers of a conversation are learnt too,
    unless their `weight` is 0: one hand wrote all of it. drafts: the texts correct the items' completions, which the rows' contents
    keep as `draft`. left_out: items that people took out of the set, see `build_rows`; the same text on the same input goes with
    them. UserError when there is nothing to train on.
    """
    everything = list(items)
    written = [item for item in everything if texts.get(item.id, "").strip()]
    if not written:
        raise UserError("there is nothing to take a snapshot of: no item has a text written for it", "import prompts with completions")
    inputs = [asked(item.content, all_turns=all_turns) for item in written]
    clusters, template = clusters_of([text_of(content) for content in inputs])
    groups = tie([item.group for item in written], clusters)
    copies = _copies([[content, texts[item.id]] for content, item in zip(inputs, written, strict=True)])
    every = [
        Row(
            written[same[0]].id, inputs[same[0]] | (_draft(written[same[0]]) if drafts else {}), {texts[written[same[0]].id]: 1.0}, 1.0,
            "", groups[same[0]], tuple(sorted({number for at in same for number in lineage.get(written[at].id, ())})),
        )
        for same in copies
    ]  # fmt: skip
    rows, _ = fates(every, _of_copies([[written[at].id for at in same] for same in copies], left_out))
    if not rows:
        raise UserError("there is nothing to take a snapshot of: each text was left out", "see who decided so: the page Curate")
    sides, used = split([row.group for row in rows], [()] * len(rows), fractions=fractions, seed=seed, earlier=earlier)
    rows = [replace(row, split=side) for row, side in zip(rows, sides, strict=True)]
    cluster = {written[same[0]].id: clusters[same[0]] for same in copies}
    checks = checks_of(rows, [cluster[row.id] for row in rows], template, left_out=len(everything) - len(written))
    merged = {
        "check": "merged",
        "found": len(written) - len(every),
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
    return {**{part: value for part, value in content.items() if part not in ("completion", "responses")}, "messages": turns}


def _draft(item: Item) -> dict[str, str]:
    return {"draft": str(item.content["completion"])} if item.content.get("completion") is not None else {}


def _of_copies(copies: Sequence[Sequence[str]], left_out: Mapping[str, str]) -> dict[str, str]:
    """What became of each row, by the item that stands for it: of the same text on the same input, what became of any of its items."""
    stands_for = {id_: same[0] for same in copies for id_ in same}
    found: dict[str, str] = {}
    for same in copies:
        ends = {stands_for.get(left_out[id_], left_out[id_]) for id_ in same if id_ in left_out} - {same[0]}
        if ends:
            found[same[0]] = max(ends)  # an item that stays goes before "", which is none
    return found


def _copies(pairs: Sequence[Any]) -> list[list[int]]:
    """The places of each distinct pair of input and text, in order of appearance."""
    places: dict[str, list[int]] = {}
    for at, pair in enumerate(pairs):
        places.setdefault(json.dumps(pair, sort_keys=True, ensure_ascii=False), []).append(at)
    return list(places.values())
