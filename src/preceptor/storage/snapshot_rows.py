"""Build the rows of a snapshot from items and consensus: split without leaks, checked, pooled and joined.

A row is an input with its target and the numbers of the judgments it rests on. A group's split is a hash of its name: it stays where
it is when items are added later, so that no model is ever tested on what an earlier one was trained on; duplicates share a split.
Checks find what spoils training and evaluation: duplicates, leaks, empty and undecided rows. Rows that are the same are merged into
one, whose target pools all their judgments. Rows of several questions whose answers are texts can be joined to one training set, and
pairs of answers from files become rows that say which of two is better.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from preceptor.consensus.multilabel import MultilabelConsensus
from preceptor.errors import UserError
from preceptor.quality import find_leaks, find_near_duplicates
from preceptor.quality.leakage import cluster_duplicates, separate_templates
from preceptor.types import ComposedConsensus, Consensus, FloatArray, Item, render_content, strip_answer

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A row of a snapshot: an input with its target.

    target: answer -> probability (absent answers have none); with several labels, the probability that each applies.
    weight: how much the row counts. split: train, validation or test. group: what shares a split. lineage: judgment numbers.
    """

    id: str
    content: Mapping[str, Any]
    target: Mapping[str, float]
    weight: float
    split: str
    group: str
    lineage: tuple[int, ...] = ()

    @property
    def text(self) -> str:
        """The content as one plain text."""
        return render_content(self.content)

    @property
    def answer(self) -> str:
        """The most probable answer; a tie goes to the first in the target."""
        return max(self.target, key=lambda answer: self.target[answer])

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that more likely apply than not, where each has a probability of its own."""
        return tuple(label for label, chance in self.target.items() if chance > 0.5)

    def digest_fields(self) -> list[Any]:
        """Return what the snapshot's digest covers: input, target, weight and split; no ids, numbers or times."""
        return [self.content, self.target, self.weight, self.split]


MAX_SEEDS = 64  # tried in turn until every class is in every split
DEFAULT_FRACTIONS = {"train": 0.7, "validation": 0.15, "test": 0.15}


def tie_groups(groups: Sequence[str], clusters: Sequence[int]) -> list[str]:
    """Join groups wherever a cluster (of duplicates) spans several; return one name a row, the alphabetically first of those joined."""
    parent = {group: group for group in groups}

    def root(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    first: dict[int, str] = {}
    for group, cluster in zip(groups, clusters, strict=True):
        one, other = sorted((root(group), root(first.setdefault(cluster, group))))
        parent[other] = one
    return [root(group) for group in groups]


def split_groups(
    groups: Sequence[str],
    answers: Sequence[Collection[str]],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int | None = None,
    earlier: int | None = None,
    rare: bool = False,
) -> tuple[list[str], int]:
    """Return the split of each row, and the seed used; `answers` (the top one of each row, or its labels) must all be in every split.

    Without a seed it is `earlier`, that of the snapshot before, whatever a split then lacks: no row may change its split. Without
    that too it is the first seed under which no split falls short of half its fraction. UserError names the class that can't be
    everywhere; with `rare` (among many labels some are) the seed is taken under which fewest are missing, in training fewest of all.
    """
    check_fractions(fractions)
    if seed is None and earlier is not None:
        return _assign_splits(groups, earlier, fractions), earlier
    tried = [seed] if seed is not None else list(range(MAX_SEEDS))
    whole: tuple[list[str], int] | None = None
    for candidate in tried:
        sides = _assign_splits(groups, candidate, fractions)
        if _missing_answers(sides, answers, fractions):
            continue
        if candidate == seed or _is_balanced(sides, fractions):
            return sides, candidate
        whole = whole or (sides, candidate)
    if whole is not None:
        return whole
    if rare:
        return _fewest_missing(groups, answers, tried, fractions)
    side, answer = _missing_answers(_assign_splits(groups, tried[0], fractions), answers, fractions)[0]
    where = f"with seed {seed}" if seed is not None else f"with any of {MAX_SEEDS} seeds"
    distinct = len({group for group, said in zip(groups, answers, strict=True) if answer in said})
    raise UserError(
        f"no row of class {answer!r} in the {side} split {where}: its rows stand in {distinct} group{'s' if distinct != 1 else ''}",
        "judge more items of that class, split into fewer sides, or group items more finely",
    )


def check_fractions(fractions: Mapping[str, float]) -> None:
    """Raise UserError unless the fractions name known splits, are positive for train, and sum to one."""
    if unknown := sorted(set(fractions) - set(SPLITS)):
        raise UserError(f"no split is called {unknown[0]!r}", f"splits: {', '.join(SPLITS)}")
    if min(fractions.values()) < 0 or fractions.get("train", 0) <= 0 or abs(sum(fractions.values()) - 1) > 1e-9:
        raise UserError(f"split fractions must be positive and sum to one, not {dict(fractions)}", "train=0.7 validation=0.15 test=0.15")


def _assign_splits(groups: Sequence[str], seed: int, fractions: Mapping[str, float]) -> list[str]:
    side = {group: _hash_split(group, seed, fractions) for group in set(groups)}
    return [side[group] for group in groups]


def _is_balanced(sides: Sequence[str], fractions: Mapping[str, float]) -> bool:
    found = Counter(sides)
    return all(found[side] >= fraction * len(sides) / 2 for side, fraction in fractions.items())


def _hash_split(group: str, seed: int, fractions: Mapping[str, float]) -> str:
    draw = int.from_bytes(hashlib.sha256(f"{seed}/{group}".encode()).digest()[:8], "big") / 2**64
    for side in SPLITS:
        draw -= fractions.get(side, 0.0)
        if draw < 0:
            return side
    return SPLITS[0]  # the fractions fell short of one by a rounding


def _fewest_missing(
    groups: Sequence[str], answers: Sequence[Collection[str]], seeds: Sequence[int], fractions: Mapping[str, float]
) -> tuple[list[str], int]:
    def lack(seed: int) -> tuple[bool, int, int]:
        sides = _assign_splits(groups, seed, fractions)
        missing = [side for side, _ in _missing_answers(sides, answers, fractions)]
        return not _is_balanced(sides, fractions), missing.count("train"), len(missing)

    best = min(seeds, key=lack)
    return _assign_splits(groups, best, fractions), best


def _missing_answers(sides: Sequence[str], answers: Sequence[Collection[str]], fractions: Mapping[str, float]) -> list[tuple[str, str]]:
    present = {(side, answer) for side, said in zip(sides, answers, strict=True) for answer in said}
    wanted = [side for side in SPLITS if fractions.get(side, 0.0) > 0]
    every = sorted({answer for said in answers for answer in said})
    return [(side, answer) for side in wanted for answer in every if (side, answer) not in present]


def check_rows(rows: Sequence[SnapshotRow], labels: Sequence[str] = (), *, classes: bool = False) -> list[dict[str, Any]]:
    """Return the checks of a snapshot's rows, computed again.

    labels: all labels, where several may apply. classes: whether exactly one answer is right.
    """
    texts = [row.text for row in rows]
    near = find_near_duplicates(texts).cluster.tolist()
    clusters, template = separate_templates(texts, near)
    return summarize_checks(rows, clusters, template, left_out=0, labels=labels, classes=classes, near=near)


def summarize_checks(
    rows: Sequence[SnapshotRow],
    clusters: Sequence[int],
    template: int,
    *,
    left_out: int,
    labels: Sequence[str] = (),
    classes: bool = False,
    near: Sequence[int] | None = None,
) -> list[dict[str, Any]]:
    """Return the checks of rows: duplicates, leaks, empty and undecided rows, and missing labels.

    clusters, template: of `cluster_duplicates`. left_out: the number of items without judgments. near: `find_near_duplicates` of the rows'
    texts, where it is known.
    """
    tied = sum(size for size in Counter(clusters).values() if size > 1)
    at = {side: [place for place, row in enumerate(rows) if row.split == side] for side in SPLITS}
    by_side = {side: [rows[place] for place in places] for side, places in at.items()}
    train, held = at["train"], at["validation"] + at["test"]
    known = None if near is None else [near[place] for place in train + held]
    found = find_leaks([rows[place].text for place in train], [rows[place].text for place in held], clusters=known)
    quotes = sum(leak.kind == "quote" for leak in found)
    empty = sum(not row.text.strip() for row in rows)
    unsure = sum((_label_set_certainty(row) if labels else max(row.target.values())) < 0.5 for row in rows)
    crossing = len({row.group for row in by_side["train"]} & {row.group for side in SPLITS[1:] for row in by_side[side]})
    return [
        _check_entry("groups on two sides", crossing, "groups that stand in train and in another split"),
        _check_entry("leaks", len(found) - quotes, "held-out rows that are the same or nearly the same text as a train row"),
        _check_entry("quotes", quotes, "held-out rows that share a passage of 13 words or more with a train row"),
        _check_entry("duplicates", tied, "rows that are the same or nearly the same as another; each such cluster is on one side"),
        _check_entry("template", template, "rows made from one template (more than a fifth of all); not tied together"),
        _check_entry("empty", empty, "rows without any text"),
        _check_entry("undecided", unsure, "rows in which no answer reaches a probability of one half"),
        _check_entry("left out", left_out, "items without a judgment"),
        *([_label_check(by_side, labels)] if labels else []),
        *([_class_check(by_side)] if classes else []),
    ]


def _label_set_certainty(row: SnapshotRow) -> float:
    """Return the probability of a row's most probable set of labels."""
    return math.prod(max(chance, 1 - chance) for chance in row.target.values())


def _label_check(by_side: Mapping[str, Sequence[SnapshotRow]], labels: Sequence[str]) -> dict[str, Any]:
    applied = {side: {label for row in rows for label in row.labels} for side, rows in by_side.items()}
    lacking = _missing_labels(labels, applied)
    return _check_entry("rare labels", len(lacking), f"labels that apply to no row of a split{_list_labels(lacking)}")


def _class_check(by_side: Mapping[str, Sequence[SnapshotRow]]) -> dict[str, Any]:
    said = {side: {row.answer for row in rows} for side, rows in by_side.items()}
    lacking = _missing_labels(sorted({answer for answers in said.values() for answer in answers}), said)
    return _check_entry("rare classes", len(lacking), f"classes of which a split has no row{_list_labels(lacking)}")


def _missing_labels(labels: Sequence[str], there: Mapping[str, Collection[str]]) -> list[str]:
    """Return the labels that are missing in a split that has rows."""
    return [label for label in labels if any(label not in there[side] for side in SPLITS if there[side])]


def _list_labels(labels: Sequence[str]) -> str:
    return f": {', '.join(labels[:10])}{' …' if len(labels) > 10 else ''}" if labels else ""


def _check_entry(check: str, found: int, words: str) -> dict[str, Any]:
    return {"check": check, "found": int(found), "summary": words}


TARGET_DECIMALS = 6  # decimals of target probabilities: the last bits differ between machines


def pool_row(row: SnapshotRow, others: Sequence[SnapshotRow]) -> SnapshotRow:
    """Return a row with the judgments of the rows that were merged into it.

    Its target is the mean of the targets, weighted by how many judgments each rests on.
    """
    rows = [row, *others]
    counts = [max(len(each.lineage), 1) for each in rows]
    answers = sorted({answer for each in rows for answer in each.target})
    chance = {
        answer: round(
            sum(each.target.get(answer, 0.0) * count for each, count in zip(rows, counts, strict=True)) / sum(counts), TARGET_DECIMALS
        )
        for answer in answers
    }
    several = any(answer in row.target and not row.target[answer] for answer in answers)  # each of several labels keeps its own, zeros too
    lineage = tuple(sorted({number for each in rows for number in each.lineage}))
    return replace(row, target={answer: value for answer, value in chance.items() if value > 0 or several}, lineage=lineage)


def apply_exclusions(rows: Sequence[SnapshotRow], left_out: Mapping[str, str]) -> tuple[list[SnapshotRow], int]:
    """Return the rows that stay, with those that were merged into them, and how many were left out.

    left_out: item ids, each with the item that it is merged into, "" where it is only left out. A row that is merged into an item which
    is itself merged follows it.
    """
    stays = {row.id for row in rows if row.id not in left_out}
    merged: dict[str, list[SnapshotRow]] = {}
    for row in rows:
        if row.id not in stays and (into := resolve_merge(row.id, left_out)) in stays:
            merged.setdefault(into, []).append(row)
    kept = [pool_row(row, merged[row.id]) if row.id in merged else row for row in rows if row.id in stays]
    return kept, len(rows) - len(kept)


def resolve_merge(name: str, became: Mapping[str, str]) -> str:
    """Follow the merges from a name to the last one; return the name itself where it was merged into nothing."""
    seen: set[str] = set()
    while name in became and name not in seen:
        seen.add(name)
        name = became[name]
    return name


def build_text_rows(
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
) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Build rows with the written texts as their targets, in canonical order; return them and the manifest's record of how they were made.

    texts: what was written, by item id. The same text on the same input is one row, which rests on the judgments of all;
    inputs that are the same or nearly so stay in one split. all_turns: earlier answers of a conversation are trained on too,
    unless their `weight` is 0: one annotator wrote all of it. drafts: the texts correct the items' completions, which the rows' contents
    keep as `draft`. left_out: items that people excluded, see `build_rows`; the same text on the same input is excluded with
    them. Raises UserError when there is nothing to train on.
    """
    everything = list(items)
    written = [item for item in everything if texts.get(item.id, "").strip()]
    if not written:
        raise UserError("there is nothing to take a snapshot of: no item has a text written for it", "import prompts with completions")
    inputs = [strip_answer(item.content, all_turns=all_turns) for item in written]
    clusters, template = cluster_duplicates([render_content(content) for content in inputs])
    groups = tie_groups([item.group for item in written], clusters)
    copies = _group_copies([[content, texts[item.id]] for content, item in zip(inputs, written, strict=True)])
    every = [
        SnapshotRow(
            written[same[0]].id, inputs[same[0]] | (_draft_content(written[same[0]]) if drafts else {}), {texts[written[same[0]].id]: 1.0},
            1.0,
            "", groups[same[0]], tuple(sorted({number for at in same for number in lineage.get(written[at].id, ())})),
        )
        for same in copies
    ]  # fmt: skip
    rows, _ = apply_exclusions(every, _exclusions_of_copies([[written[at].id for at in same] for same in copies], left_out))
    if not rows:
        raise UserError("there is nothing to take a snapshot of: each text was left out", "see who decided so: the page Curate")
    sides, used = split_groups([row.group for row in rows], [()] * len(rows), fractions=fractions, seed=seed, earlier=earlier)
    rows = [replace(row, split=side) for row, side in zip(rows, sides, strict=True)]
    cluster = {written[same[0]].id: clusters[same[0]] for same in copies}
    checks = summarize_checks(rows, [cluster[row.id] for row in rows], template, left_out=len(everything) - len(written))
    merged = {
        "check": "merged",
        "found": len(written) - len(every),
        "summary": "rows the same as another, input and text; one is kept",
    }
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {
        "seed": used, "fractions": dict(fractions), "checks": [*checks, merged],
    }  # fmt: skip


def _draft_content(item: Item) -> dict[str, str]:
    return {"draft": str(item.content["completion"])} if item.content.get("completion") is not None else {}


def _exclusions_of_copies(copies: Sequence[Sequence[str]], left_out: Mapping[str, str]) -> dict[str, str]:
    """Return the exclusion or merge of each row, by the id of the first of the items with its text and input; any of them decides."""
    stands_for = {id_: same[0] for same in copies for id_ in same}
    found: dict[str, str] = {}
    for same in copies:
        ends = {stands_for.get(left_out[id_], left_out[id_]) for id_ in same if id_ in left_out} - {same[0]}
        if ends:
            found[same[0]] = max(ends)  # an item that stays takes precedence over "", which is none
    return found


def _group_copies(pairs: Sequence[Any]) -> list[list[int]]:
    """Return the positions of each distinct pair of input and text, in order of appearance."""
    places: dict[str, list[int]] = {}
    for at, pair in enumerate(pairs):
        places.setdefault(json.dumps(pair, sort_keys=True, ensure_ascii=False), []).append(at)
    return list(places.values())


def build_rows(
    items: Iterable[Item],
    consensus: Consensus,
    lineage: Mapping[str, Sequence[int]],
    *,
    fractions: Mapping[str, float] = DEFAULT_FRACTIONS,
    seed: int | None = None,
    earlier: int | None = None,
    all_turns: bool = False,
    drafts: bool = False,
    rare: bool = False,
    left_out: Mapping[str, str] = {},
) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Build rows in canonical order; return them and the manifest's record of how they were made (seed, fractions, checks).

    Items without judgments are left out and counted. Exact and near duplicates are tied to one split.
    left_out: items that people excluded, each with the one that it was merged into, or "". They still tie others to
    their split, so that no row changes its own because another was excluded.
    Texts that people wrote become targets as they are, see `build_text_rows`; where several labels may apply, each has its own
    probability. rare: an answer may be missing in a split, as where it is the position of a response. Raises UserError for other answers
    that aren't labels.
    """
    if (written := _written_texts(consensus)) is not None:
        how: dict[str, Any] = {"fractions": fractions, "seed": seed, "earlier": earlier, "left_out": left_out}
        return build_text_rows(items, written, lineage, all_turns=all_turns, drafts=drafts, **how)
    columns, several = target_answers(consensus), isinstance(consensus, MultilabelConsensus)
    if isinstance(consensus, ComposedConsensus) or not all(isinstance(answer, str | int | float) for answer in columns):
        raise UserError(
            f"answers made by {consensus.method!r} can't be frozen yet: a snapshot's targets are labels or texts",
            "freeze a question of kind choice, multilabel, rating, compare or write; all answers leave by preceptor export consensus",
        )
    place = {item: index for index, item in enumerate(consensus.items)}
    everything = list(items)
    judged = [item for item in everything if item.id in place and consensus.judgment_counts[place[item.id]] > 0]
    if not judged:
        raise UserError("there is nothing to take a snapshot of: no item has a judgment", "judge some items first: preceptor status")
    clusters, template = cluster_duplicates([item.text for item in judged])
    chances = consensus.applies if isinstance(consensus, MultilabelConsensus) else consensus.posterior
    targets = [_round_target(columns, chances[place[item.id]], zeros=several) for item in judged]
    groups = tie_groups([item.group for item in judged], clusters)
    every = [
        SnapshotRow(item.id, item.content, target, 1.0, "", group, tuple(lineage.get(item.id, ())))
        for item, target, group in zip(judged, targets, groups, strict=True)
    ]
    kept, _ = apply_exclusions(every, left_out)
    if not kept:
        raise UserError("there is nothing to take a snapshot of: each judged item was left out", "see who decided so: the page Curate")
    said = [list(row.labels) if several else [row.answer] for row in kept]
    sides, used = split_groups([row.group for row in kept], said, fractions=fractions, seed=seed, earlier=earlier, rare=several or rare)
    rows = [replace(row, split=side) for row, side in zip(kept, sides, strict=True)]
    cluster = dict(zip((row.id for row in every), clusters, strict=True))
    checks = summarize_checks(
        rows, [cluster[row.id] for row in rows], template, left_out=len(everything) - len(judged), labels=columns if several else (),
        classes=not several,
    )  # fmt: skip
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {"seed": used, "fractions": dict(fractions), "checks": checks}


def _written_texts(consensus: Consensus) -> dict[str, str] | None:
    """Return what was written for each item, where the answers are texts."""
    if not isinstance(consensus, ComposedConsensus) or not all(
        isinstance(answer, dict) and "text" in answer for answer in consensus.composed
    ):
        return None
    return {item: answer["text"] for item, answer in zip(consensus.items, consensus.composed, strict=True)}


def target_answers(consensus: Consensus) -> tuple[Any, ...]:
    """Return the answers that a row's target has probabilities of: classes of which one is right, or labels that may each apply."""
    return consensus.labels if isinstance(consensus, MultilabelConsensus) else consensus.answers


def _round_target(columns: Sequence[Any], chances: FloatArray, *, zeros: bool) -> dict[str, float]:
    return {
        str(answer): float(chance) for answer, chance in zip(columns, chances.round(TARGET_DECIMALS), strict=True) if chance > 0 or zeros
    }


def join_rows(sets: Iterable[Sequence[SnapshotRow]], *, earlier: int | None = None) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Join sets of rows, in canonical order; return them and the manifest's record (seed, fractions, checks).

    Each row's split is found again by its group. The same text on the same input in two sets is one row, which rests on the judgments of
    both.
    """
    found: dict[str, SnapshotRow] = {}
    for row in (row for rows in sets for row in rows):
        key = json.dumps([dict(row.content), dict(row.target)], sort_keys=True, ensure_ascii=False)
        same = found.get(key)
        found[key] = row if same is None else replace(same, lineage=tuple(sorted({*same.lineage, *row.lineage})))
    every = list(found.values())
    clusters, template = cluster_duplicates([row.text for row in every])
    groups = tie_groups([row.group for row in every], clusters)
    sides, used = split_groups(groups, [()] * len(every), earlier=earlier)
    rows = [replace(row, split=side, group=group) for row, side, group in zip(every, sides, groups, strict=True)]
    about = {"seed": used, "fractions": dict(DEFAULT_FRACTIONS), "checks": summarize_checks(rows, clusters, template, left_out=0)}
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), about


def build_pair_rows(
    items: Sequence[Item],
    targets: Mapping[str, Mapping[str, float]],
    lineage: Mapping[str, Sequence[int]],
    *,
    fractions: Mapping[str, float],
) -> tuple[list[SnapshotRow], dict[str, Any]]:
    """Build a row for each item in canonical order; return them and the manifest's record of how they were made. targets: by item id.

    Prompts that are the same or nearly so stay in one split, whatever their answers are.
    """
    clusters, template = cluster_duplicates([render_content(strip_answer(item.content)) for item in items])
    groups = tie_groups([item.group for item in items], clusters)
    sides, used = split_groups(groups, [()] * len(items), fractions=fractions)
    rows = [
        SnapshotRow(item.id, item.content, targets[item.id], 1.0, side, group, tuple(lineage.get(item.id, ())))
        for item, side, group in zip(items, sides, groups, strict=True)
    ]
    checks = summarize_checks(rows, clusters, template, left_out=0)
    return sorted(rows, key=lambda row: (row.split, row.text, row.id)), {"seed": used, "fractions": dict(fractions), "checks": checks}
