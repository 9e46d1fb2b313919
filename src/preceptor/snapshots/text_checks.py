"""Check rows for duplicates, leakage, templates, personal data, empty texts and undecided answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from preceptor.quality.leakage import GroupLeak, TextLeak, find_group_leaks, find_leaks
from preceptor.reporting.charts import histogram
from preceptor.snapshots.builder import find_named_kinds, row_texts
from preceptor.snapshots.snapshot_checks import CheckChart, CheckContext, CheckFinding, SuspectRow, format_row_share

if TYPE_CHECKING:
    from preceptor.quality.leakage import TemplateLeak


_MAX_OTHERS = 20  # other items that a suspect names


def check_duplicates(subject: CheckContext) -> CheckFinding:
    """Find rows that are the same or nearly the same as another, verified; those with different answers come first."""
    rows, clusters = subject.rows, subject.clusters
    found = []
    for places in subject.duplicate_groups:
        answers = Counter(rows[at].answer for at in places)
        apart = len(answers) > 1 and bool(subject.snapshot.answers)
        for at in places:
            partner = int(clusters.partner[at])
            how = "the same text as" if clusters.is_exact[at] else f"nearly the same as ({clusters.overlap[at]:.2f})"
            otherwise = f"; answered {' and '.join(map(repr, answers))}" if apart else ""
            others = tuple(rows[other].id for other in places if other != at)[:_MAX_OTHERS]
            more = {"cluster": rows[places[0]].id, "overlap": round(float(clusters.overlap[at]), 4)}
            found.append(SuspectRow(rows[at].id, f"{how} {rows[partner].id}{otherwise}", float(clusters.overlap[at]) + apart, others, more))
    same = sum(bool(clusters.is_exact[at]) for places in subject.duplicate_groups for at in places)
    words = (
        f"{format_row_share(len(found), len(rows))} are the same ({same:,}) or "
        f"nearly the same as another, in {len(subject.duplicate_groups):,} clusters"
    )
    return CheckFinding(
        "duplicates",
        "Duplicates",
        words,
        len(found),
        _sort_by_score(found),
        "merge" if found else "none",
        _draw_cluster_sizes(subject.duplicate_groups),
    )


def check_leakage(subject: CheckContext) -> list[CheckFinding]:
    """Find held-out rows that are the same or nearly the same text as a training row, and those that share a long passage with one."""
    train, held = subject.split_indices["train"], subject.held_out_indices
    found = find_leaks([subject.texts[at] for at in train], [subject.texts[at] for at in held])
    texts: list[SuspectRow] = []
    quotes: list[SuspectRow] = []
    for leak in found:
        how = {
            "exact": "the same text as",
            "near": f"nearly the same ({leak.overlap:.2f}) as",
            "quote": f"{leak.overlap:.0%} of it stand in",
        }
        other = subject.rows[train[leak.train_index]].id
        suspect = _leaked_row(subject, leak, f"{how[leak.kind]} training row {other}", leak.overlap)
        (quotes if leak.kind == "quote" else texts).append(suspect)
    words = f"{format_row_share(len(texts), len(held))} that are held out are the same or nearly the same text as a training row"
    said = f"{format_row_share(len(quotes), len(held))} that are held out share a passage of 13 words or more with a training row"
    return [
        CheckFinding("leaks", "Leaks", words, len(texts), _sort_by_score(texts), _drop_action(texts)),
        CheckFinding("quotes", "Shared passages", said, len(quotes), _sort_by_score(quotes), _drop_action(quotes)),
    ]


def check_groups(subject: CheckContext) -> CheckFinding:
    """Find held-out rows whose group is in training as well."""
    train, held = subject.split_indices["train"], subject.held_out_indices
    names = [row.group for row in subject.rows]
    found = [
        _leaked_row(subject, leak, f"group {leak.group} stands in training too", 1.0)
        for leak in find_group_leaks([names[at] for at in train], [names[at] for at in held])
    ]
    words = f"{format_row_share(len(found), len(held))} that are held out are of a group that stands in training too"
    return CheckFinding("groups", "Groups on two sides", words, len(found), found, _drop_action(found))


def check_templates(subject: CheckContext) -> CheckFinding:
    """Find held-out rows made from the same template as training rows, which whoever has seen the template knows."""
    from preceptor.quality.leakage import find_template_leaks

    train, held = subject.split_indices["train"], subject.held_out_indices
    found = [
        _leaked_row(subject, leak, f"made from a form that training has seen: {leak.frame}", 0.5, frame=leak.frame)
        for leak in find_template_leaks([subject.texts[at] for at in train], [subject.texts[at] for at in held])
    ]
    words = f"{format_row_share(len(found), len(held))} that are held out are made from a form that training rows are made from"
    return CheckFinding("templates", "Forms on two sides", words, len(found), found, _drop_action(found))


def _leaked_row(subject: CheckContext, leak: TextLeak | GroupLeak | TemplateLeak, reason: str, score: float, **more: str) -> SuspectRow:
    """Return a held-out row as a suspect, with the training row that leaks it."""
    row, other = subject.rows[subject.held_out_indices[leak.test_index]], subject.rows[subject.split_indices["train"][leak.train_index]]
    return SuspectRow(row.id, reason, score, (other.id,), {"split": row.split, **more})


def _draw_cluster_sizes(copies: Sequence[Sequence[int]]) -> list[CheckChart]:
    if len(copies) < 2:
        return []
    sizes = Counter(min(len(places), 10) for places in copies)
    bars = [(f"{size}" if size < 10 else "10+", float(sizes[size])) for size in range(2, max(sizes) + 1)]
    title = "Clusters of duplicates by their size"
    return [CheckChart(title, str(histogram(title, bars, x_label="rows of a cluster", y_label="clusters")))]


def _sort_by_score(found: Sequence[SuspectRow]) -> list[SuspectRow]:
    return sorted(found, key=lambda suspect: (-suspect.score, suspect.item))


def _drop_action(found: Sequence[SuspectRow]) -> str:
    return "drop" if found else "none"


_MAX_DRAWN_KINDS = 6  # kinds that a chart has room for


def check_personal_data(subject: CheckContext) -> CheckFinding:
    """Find rows with personal data in any of their texts, by kinds; the values themselves are never reported."""
    from preceptor.quality.pii import find_pii

    owners: list[int] = []
    texts: list[str] = []
    for at, row in enumerate(subject.rows):
        parts = row_texts(row, targets=subject.snapshot.target_kind == "text")
        owners += [at] * len(parts)
        texts += parts
    kinds: dict[int, Counter[str]] = {}
    for each in find_pii(_iterate_with_progress(texts, subject)):
        kinds.setdefault(owners[each.index], Counter())[each.kind] += 1
    named = {at: where for at, row in enumerate(subject.rows) if (where := find_named_kinds(row))}
    found = [
        SuspectRow(
            subject.rows[at].id,
            "; ".join(_describe_kinds(kinds.get(at, Counter()), named.get(at, {}))),
            float(sum(kinds.get(at, Counter()).values())),
            document={"kinds": dict(sorted(kinds.get(at, Counter()).items())), "named": sorted(named.get(at, {}))},
        )
        for at in sorted({*kinds, *named})
    ]
    total: Counter[str] = sum(kinds.values(), Counter())
    told = [f"{count:,} {kind}" for kind, count in total.most_common()]
    told += [f"{len(named):,} in the id or group of a row, of which masking texts hides the group and leaves the id"] if named else []
    words = f"{format_row_share(len(found), len(subject.rows))} hold personal data: {', '.join(told)}"
    words = words if found else "no row holds personal data of the kinds that are looked for"
    return CheckFinding("personal", "Personal data", words, len(found), found, "mask" if kinds else "none", _draw_kinds(total))


def _describe_kinds(kinds: Counter[str], named: Mapping[str, str]) -> list[str]:
    from preceptor.quality.pii import PII_KINDS

    texts = ", ".join(PII_KINDS[kind].description + (f" ({count} times)" if count > 1 else "") for kind, count in sorted(kinds.items()))
    return [*([texts] if texts else []), *(f"in its {name}: {PII_KINDS[kind].description}" for name, kind in named.items())]


def _iterate_with_progress(texts: Sequence[str], subject: CheckContext) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number % 1000 == 0:
            subject.report_progress(number, len(texts))
        yield text


def _draw_kinds(total: Counter[str]) -> list[CheckChart]:
    if not 2 <= len(total) <= _MAX_DRAWN_KINDS:
        return []
    title = "Personal data by kind"
    bars = [(kind.replace("_", " ")[:9], float(count)) for kind, count in total.most_common()]
    return [CheckChart(title, str(histogram(title, bars, x_label="kind", y_label="times")))]


def check_empty_rows(subject: CheckContext) -> CheckFinding:
    """Find rows without any text, and texts that have no readable characters."""
    found = [
        SuspectRow(row.id, "it has no text" if not text.strip() else "it has no letter or number", 1.0)
        for row, text in zip(subject.rows, subject.texts, strict=True)
        if not any(letter.isalnum() for letter in text)
    ]
    words = f"{format_row_share(len(found), len(subject.rows))} have no text, or none with a letter or a number in it"
    return CheckFinding("empty", "Empty rows", words, len(found), found, "drop" if found else "none")


def check_undecided_rows(subject: CheckContext) -> CheckFinding:
    """Find rows in which no answer (with several labels: no set of them) reaches a probability of one half; the least decided first."""
    several = subject.snapshot.target_kind == "multilabel"
    found = []
    for row in subject.rows:
        sure = math.prod(max(chance, 1 - chance) for chance in row.target.values()) if several else max(row.target.values())
        if sure < 0.5:
            told = sorted(row.target.items(), key=lambda pair: -pair[1])[:3]
            found.append(SuspectRow(row.id, ", ".join(f"{answer} {chance:.0%}" for answer, chance in told), 1 - sure))
    found.sort(key=lambda suspect: (-suspect.score, suspect.item))
    words = f"{format_row_share(len(found), len(subject.rows))} have no answer of a probability of one half"
    return CheckFinding("undecided", "Undecided rows", words, len(found), found, "experts" if found else "none")
