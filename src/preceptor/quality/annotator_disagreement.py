"""Find systematic disagreement: what somebody answers again and again where others answer differently, as with ambiguous guidelines.

Each judgment is compared with the known answer of its item, or else with the answer of most others. Each person's confusions are then
compared with other people's in the same cell by the exact test of two shares (Fisher 1935), adjusted over all people and pairs at once
(Benjamini–Hochberg). So an item that everybody finds hard accuses nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from preceptor.consensus.judgments import Judgments, encode_column
from preceptor.errors import UserError
from preceptor.quality.significance import benjamini_hochberg, check_significance_level, format_estimate, format_percent
from preceptor.statistics import estimate_proportion
from preceptor.statistics.intervals import ratio_mean
from preceptor.types import Estimate, FloatArray, IntArray

_BLOCK_ROWS = 50_000  # judgments compared with the others' at a time


@dataclass(frozen=True)
class SystematicDisagreement:
    """One thing that a person (or a group of people) does and others don't.

    kind: "confusion" (gives `answer` where others give `others_answer`), "adds" or "leaves out" (the label `answer`), "bias" and "scale"
    (ratings), "start", "end" and "length" (passages). count, total: judgments that show it, of those compared; share: their ratio.
    others_share: other people's. p_value: adjusted for all comparisons. items: those that show it. summary: all this in words. size: how
    much, where it is a quantity.
    """

    who: str
    is_group: bool
    kind: str
    answer: Any
    others_answer: Any
    count: int
    total: int
    share: Estimate
    others_share: float
    p_value: float
    items: tuple[Any, ...]
    summary: str
    size: Estimate | None = None


@dataclass(frozen=True)
class DisagreementSummary:
    """The systematic disagreements of a set of judgments.

    disagreements: what is significant, the clearest first. comparison_count: how many comparisons were made. level: the expected share of
    false discoveries.
    """

    disagreements: tuple[SystematicDisagreement, ...]
    comparison_count: int
    level: float

    @property
    def summary(self) -> str:
        """The result in one line."""
        if not self.comparison_count:
            return "nobody's judgments can be compared: too few items have answers of several people, or known ones"
        told = f"{self.comparison_count:,} comparisons of people with others; of what is named, {format_percent(self.level)} may be chance"
        named = (
            f"{len(self.disagreements):,} systematic disagreement{'' if len(self.disagreements) == 1 else 's'}"
            if self.disagreements
            else "no systematic disagreement"
        )
        return f"{named} in {told}"


class JudgmentCodes(NamedTuple):
    """Judgments as codes, (rows,): annotator, item, answer, and the reference answer it is compared with (−1: none)."""

    who: IntArray
    item: IntArray
    answer: IntArray
    reference: IntArray


@dataclass(frozen=True, eq=False)
class _CellTests:
    """Cells above the others' share: annotator, reference, answer, count, total, the others' share, p; and how many cells were tested."""

    who: IntArray
    reference: IntArray
    answer: IntArray
    count: IntArray
    total: IntArray
    others_share: FloatArray
    p: FloatArray
    tests: int


def find_confusions(
    judgments: Judgments, *, gold: Mapping[Any, Any] | None = None, groups: Mapping[Any, str] | None = None, level: float = 0.05
) -> DisagreementSummary:
    """Find who gives one answer where others give another, more often than other people do: people, and groups where `groups` names them.

    gold: known answers by item, which take precedence over those of others. groups: each person's group. Raises UserError for a known
    answer that isn't among the judgments' answers.
    """
    check_significance_level(level)
    known, answers = _known_answers(judgments, gold or {}), judgments.n_answers
    alone = JudgmentCodes(
        _as_int64(judgments.annotator_code),
        _as_int64(judgments.item_code),
        _as_int64(judgments.answer_code),
        _reference_answers(judgments, known, None),
    )
    found = [(run_cell_tests(alone, judgments.n_annotators, answers, answers - 1), alone, judgments.annotators, False)]
    if groups:
        names, code = encode_column([str(groups.get(who, who)) for who in judgments.annotators], "groups")
        together = alone._replace(reference=_reference_answers(judgments, known, _as_int64(code)))
        found.append(
            (run_group_cell_tests(together, _as_int64(code), len(names), answers, answers - 1), _with_groups(together, code), names, True)
        )
    return collect_disagreements(found, judgments.items, lambda code: ("confusion", judgments.answers[code]), level)


def find_label_confusions(
    annotator: Sequence[Any],
    item: Sequence[Any],
    answer: Sequence[Sequence[Any]],
    labels: Sequence[Any],
    *,
    gold: Mapping[Any, Sequence[Any]] | None = None,
    groups: Mapping[Any, str] | None = None,
    level: float = 0.05,
) -> DisagreementSummary:
    """Find who adds a label where others don't give it, or leaves it out where they do. answer: the labels of each judgment."""
    check_significance_level(level)
    people, who = encode_column(annotator, "annotator")
    items, what = encode_column(item, "item")
    parts = []
    for number, label in enumerate(labels):
        has = np.array([label in each for each in answer], dtype=np.int64)
        known = np.full(len(items), -1)
        for place, name in enumerate(items):
            if gold and name in gold:
                known[place] = int(label in gold[name])
        parts.append(_binary_codes(_as_int64(who), _as_int64(what), has, known, number))
    rows = JudgmentCodes(*(np.concatenate([getattr(part, name) for part in parts]) for name in JudgmentCodes._fields))
    return find_binary_disagreements(rows, people, items, labels, groups, level)


def find_binary_disagreements(
    rows: JudgmentCodes, people: Sequence[Any], items: Sequence[Any], labels: Sequence[Any], groups: Mapping[Any, str] | None, level: float
) -> DisagreementSummary:
    """Find who adds or leaves out labels, of rows whose codes are 2 · label, plus 1 where the label is given."""
    found = [(run_cell_tests(rows, len(people), 2 * len(labels), 1), rows, people, False)]
    if groups:
        names, code = encode_column([str(groups.get(who, who)) for who in people], "groups")
        found.append((run_group_cell_tests(rows, _as_int64(code), len(names), 2 * len(labels), 1), _with_groups(rows, code), names, True))
    return collect_disagreements(found, items, lambda code: ("adds" if code % 2 else "leaves out", labels[code // 2]), level)


def run_cell_tests(rows: JudgmentCodes, people: int, answers: int, wrong: int) -> _CellTests:
    """Compare each person's cells (reference, answer) with all others' together; return those above the others' share, with exact p.

    wrong: how many wrong answers each reference has.
    """
    from scipy.stats import hypergeom  # slow to import

    used = rows.reference >= 0
    who, reference, said = rows.who[used], rows.reference[used], rows.answer[used]
    of = np.zeros((people, answers), dtype=np.int64)
    np.add.at(of, (who, reference), 1)
    keys, counts = np.unique((who * answers + reference) * answers + said, return_counts=True)
    place, told = np.divmod(keys, answers)
    person, compared = np.divmod(place, answers)
    off = compared != told
    person, compared, told, counts = person[off], compared[off], told[off], counts[off]
    everybody = np.zeros((answers, answers), dtype=np.int64)
    np.add.at(everybody, (compared, told), counts)
    total = of.sum(axis=0)
    seen, rest, others = of[person, compared], total[compared] - of[person, compared], everybody[compared, told] - counts
    more = (rest > 0) & (counts >= 2) & (counts * rest > others * seen)
    p = np.asarray(hypergeom.sf(counts - 1, seen + rest, counts + others, seen))
    comparable = (of > 0) & (total - of > 0)
    usual = others / np.maximum(rest, 1)
    tests = int(comparable.sum()) * wrong
    return _CellTests(person[more], compared[more], told[more], counts[more], seen[more], usual[more], p[more], tests)


def run_group_cell_tests(rows: JudgmentCodes, group: IntArray, groups: int, answers: int, wrong: int) -> _CellTests:
    """Run the same tests on groups, whose share must also be above other people's by Welch's t, since people of a group differ."""
    pooled = run_cell_tests(_with_groups(rows, group), groups, answers, wrong)
    p = np.array([
        max(each, _between_people_p(rows, group, *cell))
        for *cell, each in zip(pooled.who, pooled.reference, pooled.answer, pooled.p, strict=True)
    ])  # fmt: skip
    return replace(pooled, p=p)


def collect_disagreements(
    found: Sequence[tuple[_CellTests, JudgmentCodes, Sequence[Any], bool]], items: Sequence[Any], naming: Any, level: float
) -> DisagreementSummary:
    """Return what is significant at `level` over all comparisons of all parts, the clearest first."""
    tests = sum(part.tests for part, *_ in found)
    adjusted = np.split(
        benjamini_hochberg(np.concatenate([part.p for part, *_ in found]), tests), np.cumsum([len(part.p) for part, *_ in found])[:-1]
    )
    named = [
        _make_disagreement(part, cell, float(p[cell]), rows, names, is_group, items, naming)
        for (part, rows, names, is_group), p in zip(found, adjusted, strict=True)
        for cell in np.flatnonzero(p <= level).tolist()
    ]
    return DisagreementSummary(tuple(sorted(named, key=lambda each: (each.p_value, -each.count))), tests, level)


def _make_disagreement(
    part: _CellTests, cell: int, p: float, rows: JudgmentCodes, names: Sequence[Any], is_group: bool, items: Sequence[Any], naming: Any
) -> SystematicDisagreement:
    who, reference, said = int(part.who[cell]), int(part.reference[cell]), int(part.answer[cell])
    kind, told = naming(said)
    others = naming(reference)[1]
    shows = (rows.who == who) & (rows.reference == reference) & (rows.answer == said)
    share = estimate_proportion(int(part.count[cell]), int(part.total[cell]))
    name = f"the group {names[who]!r}" if is_group else str(names[who])
    does = {
        "confusion": f"says {told!r} where others say {others!r}",
        "adds": f"adds {told!r} where others don't give it",
        "leaves out": f"leaves out {told!r} where others give it",
    }[kind]
    words = f"{name} {does}: {describe_share(int(part.count[cell]), int(part.total[cell]), share, float(part.others_share[cell]))}"
    shown = tuple(items[code] for code in np.unique(rows.item[shows]).tolist())
    of = int(part.total[cell])
    return SystematicDisagreement(
        str(names[who]), is_group, kind, told, others, int(part.count[cell]), of, share, float(part.others_share[cell]), p, shown, words
    )


def describe_share(count: int, of: int, share: Estimate, usual: float) -> str:
    """Describe a share beside other people's, as in "31 of 40 (78 %, 62 % to 88 %); other people do in 9 %"."""
    return f"{count:,} of {of:,} ({format_estimate(share)}); other people do in {format_percent(usual)}"


def _reference_answers(judgments: Judgments, known: IntArray, group: IntArray | None) -> IntArray:
    """Return each judgment's reference, (rows,): the known answer, else that of most others (of other groups), −1 where they tie."""
    found = np.full(len(judgments), -1, dtype=np.int64)
    own = None if group is None else group[judgments.annotator_code]
    for start in range(0, len(judgments), _BLOCK_ROWS):
        part = slice(start, start + _BLOCK_ROWS)
        votes = judgments.votes[judgments.item_code[part]]
        if own is None:
            votes[np.arange(len(votes)), judgments.answer_code[part]] -= judgments.weight[part]
        else:
            votes -= _votes_of_group(judgments, own, part)
        first = votes.argmax(axis=1)
        best = votes[np.arange(len(votes)), first]
        clear = (best > 1e-9) & ((votes >= best[:, None] - 1e-9).sum(axis=1) == 1)
        found[part] = np.where(clear, first, -1)
    fixed = known[judgments.item_code]
    return np.asarray(np.where(fixed >= 0, fixed, found), dtype=np.int64)


def _votes_of_group(judgments: Judgments, own: IntArray, part: slice) -> FloatArray:
    """Return the votes on each row's item by people of the row's own group, (rows, answers)."""
    groups = int(own.max()) + 1
    key = judgments.item_code.astype(np.int64) * groups + own
    distinct, code = np.unique(key, return_inverse=True)
    table = np.zeros((len(distinct), judgments.n_answers))
    np.add.at(table, (code, judgments.answer_code), judgments.weight)
    return np.asarray(table[code[part]])


def _binary_codes(who: IntArray, item: IntArray, has: IntArray, known: IntArray, label: int) -> JudgmentCodes:
    """Return the rows of one label: given or not, and the reference, known or that of most others."""
    given, people = np.bincount(item, has)[item] - has, np.bincount(item)[item] - 1
    most = np.where(2 * given == people, -1, (2 * given > people).astype(np.int64))
    reference = np.where(known[item] >= 0, known[item], most)
    return JudgmentCodes(who, item, 2 * label + has, np.where(reference >= 0, 2 * label + reference, -1))


def _between_people_p(rows: JudgmentCodes, group: IntArray, who: int, reference: int, said: int) -> float:
    """Return the one-sided p that the members' share is above other people's, each person a unit (Welch 1947); 1 for a lone person."""
    used = rows.reference == reference
    of = np.bincount(rows.who[used], minlength=len(group)).astype(np.float64)
    count = np.bincount(rows.who[used & (rows.answer == said)], minlength=len(group)).astype(np.float64)
    sides = [(count[(of > 0) & side], of[(of > 0) & side]) for side in (group == who, group != who)]
    if min(len(sizes) for _, sizes in sides) < 2:
        return 1.0
    here, there = (ratio_mean(totals, sizes) for totals, sizes in sides)
    spread = sum(
        max(mean.variance if np.isfinite(mean.variance) else 0.0, _min_variance(*side))
        for mean, side in ((here, sides[0]), (there, sides[1]))
    )
    return float(stdtr(min(here.df, there.df), (there.value - here.value) / np.sqrt(spread)))


def _min_variance(totals: FloatArray, sizes: FloatArray) -> float:
    """Return the variance of a share of independent judgments, with one added of each kind: a floor for people who are all alike."""
    share = (totals.sum() + 1) / (sizes.sum() + 2)
    return float(share * (1 - share) / sizes.sum())


def _known_answers(judgments: Judgments, gold: Mapping[Any, Any]) -> IntArray:
    place = {answer: code for code, answer in enumerate(judgments.answers)}
    known = np.full(judgments.n_items, -1, dtype=np.int64)
    for item, answer in gold.items():
        if item in judgments.item_index:
            if answer not in place:
                raise UserError(f"the known answer {answer!r} of item {item!r} is not among the answers", where="gold")
            known[judgments.item_index[item]] = place[answer]
    return known


def _with_groups(rows: JudgmentCodes, group: NDArray[Any]) -> JudgmentCodes:
    return rows._replace(who=_as_int64(group)[rows.who])


def _as_int64(code: NDArray[Any]) -> IntArray:
    return code.astype(np.int64)
