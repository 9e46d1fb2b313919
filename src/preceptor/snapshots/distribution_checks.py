"""Check the balance of answers and slices, drift between batches and shift against live inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.number_format import format_decimal, format_percent
from preceptor.quality.balance import BalanceSummary, check_balance
from preceptor.quality.covariate_shift import detect_covariate_shift
from preceptor.quality.drift import BatchDrift, DriftSummary, batches_by_time, detect_drift
from preceptor.reporting.charts import IntervalRow, histogram, interval_plot
from preceptor.snapshots.snapshot_checks import CheckChart, CheckContext, CheckFinding, SuspectRow, make_excerpt
from preceptor.storage import items, provenance

_MAX_SLICE_VALUES, _MAX_NAMED_ANSWERS = 12, 12  # values of a field that slices the rows; answers that a chart names


def check_answer_balance(subject: CheckContext) -> CheckFinding:
    """Find rows of answers that are rare, of groups that make up much of the set, and of slices that lack answers."""
    rows, answers = subject.rows, subject.snapshot.answers
    said = [", ".join(subject.snapshot.row_answers(row)) or "none" for row in rows] if answers else [""] * len(rows)
    known = list(answers) if answers and subject.snapshot.target_kind != "multilabel" else None
    found = check_balance(said, answers=known, groups=[row.group for row in rows], slices=_find_slices(subject))
    suspects = [SuspectRow(rows[at].id, each.summary, 1.0 / (1 + place)) for place, each in enumerate(found.findings) for at in each.rows]
    first: dict[str, SuspectRow] = {}
    for suspect in suspects:  # a row of several imbalances is listed with the first
        first.setdefault(suspect.item, suspect)
    told = "; ".join([found.summary, *(each.summary for each in found.findings if not each.rows)])
    return CheckFinding(
        "balance", "Balance", told, len(found.findings), list(first.values()), "none", _draw_shares(found) if answers else []
    )


def _find_slices(subject: CheckContext) -> Mapping[str, Sequence[str]]:
    """Return the fields of the items' metadata that have few values and are present in nearly every row."""
    with subject.project.database.reading() as connection:
        found = items.metadata(connection, [row.id for row in subject.rows])
    fields = sorted({name for fields in found.values() for name in fields})
    slices: dict[str, Sequence[str]] = {}
    for name in fields:
        values = [found.get(row.id, {}).get(name) for row in subject.rows]
        plain = [value if isinstance(value, str) else f"{value}" for value in values if isinstance(value, str | int | bool)]
        if 2 <= len(set(plain)) <= _MAX_SLICE_VALUES and len(plain) >= 0.9 * len(values):
            slices[name] = ["" if value is None else str(value) for value in values]
    return slices


def _draw_shares(found: BalanceSummary) -> list[CheckChart]:
    """Draw each answer's share with its interval; of more answers than can be named, their rows from the most to the least frequent."""
    if len(found.answers) < 2:
        return []
    title = "Rows of each answer"
    caption = f"As even as {found.effective_answers:.1f} equally frequent answers would be; there are {len(found.answers)}."
    ordered = sorted(found.answers, key=lambda each: -each.rows)
    if len(ordered) <= _MAX_NAMED_ANSWERS:
        rows = [IntervalRow(make_excerpt(each.answer, 30), each.share, strong=True) for each in ordered]
        return [CheckChart(title, str(interval_plot(title, rows, show=format_percent, limits=(0.0, 1.0))), caption)]
    bars = [(str(place), float(each.rows)) for place, each in enumerate(ordered, start=1)]
    return [CheckChart(title, str(histogram(title, bars, x_label="answers, the most frequent first", y_label="rows")), caption)]


_SAME_TIME_SECONDS = 60.0  # seconds within which all rows came in: then time separates no batches
_BATCH_FIELD = "batch"  # metadata field that names an item's batch


def check_batches(subject: CheckContext) -> CheckFinding:
    """Find rows of batches (the metadata's `batch`, else by when items came) whose answers or lengths differ from the others'."""
    rows, named = subject.rows, _assign_batches(subject)
    said = [row.answer for row in rows] if subject.has_single_label else None
    lengths = _text_lengths(subject.texts)
    found = detect_drift(named, labels=said, lengths=lengths, groups=[row.group for row in rows])
    suspects: dict[str, SuspectRow] = {}
    for each in found.batches:
        for at in _find_drifted_rows(each, named, said, lengths) if each.drifted else ():
            suspects.setdefault(rows[at].id, SuspectRow(rows[at].id, f"batch {each.batch}: {each.summary}", float(each.distance.value)))
    count = len({each.batch for each in found.batches if each.drifted})
    return CheckFinding(
        "batches",
        "Batches that differ",
        found.summary,
        count,
        list(suspects.values()),
        "none",
        _draw_distances(found, "Distance of each batch from the rest"),
    )


def check_live_inputs(subject: CheckContext) -> CheckFinding:
    """Find live inputs that are unlike any row of the set, and test whether the two can be told apart."""
    if not subject.live_texts:
        raise UserError("it needs a sample of live inputs: --live FILE")
    lengths = [*_text_lengths(subject.texts), *_text_lengths(subject.live_texts)]
    between = detect_drift(["the set"] * len(subject.texts) + ["live"] * len(subject.live_texts), lengths=lengths)
    told = [each for each in between.batches if each.batch == "live"]
    words, rows, drawings = [each.summary for each in told], [], _draw_distances(between, "Lengths: the set and live inputs")
    differ = any(each.drifted for each in told)
    if subject.with_vectors:
        found = detect_covariate_shift(
            subject.vectors, subject.encode_texts(subject.live_texts), groups=[row.group for row in subject.rows]
        )
        words = [found.summary, *words]
        differ = differ or not found.representative
        rows = [
            SuspectRow(
                f"{subject.live_name}, input {each.live_index + 1}",
                f"{make_excerpt(subject.live_texts[each.live_index])}: {each.reason}",
                float(each.distance),
                (subject.rows[each.nearest].id,),
            )
            for each in found.distant_inputs
        ]
    return CheckFinding("live", "Live inputs", "; ".join(words), len(rows) if rows else int(differ), rows, "none", drawings)


def _assign_batches(subject: CheckContext) -> list[str]:
    ids = [row.id for row in subject.rows]
    with subject.project.database.reading() as connection:
        metadata = items.metadata(connection, ids)
        came = provenance.item_arrival_times(connection, ids)
    named = [metadata.get(id_, {}).get(_BATCH_FIELD) for id_ in ids]
    if all(name is not None for name in named) and len(set(map(str, named))) > 1:
        return [str(name) for name in named]
    times = [came.get(id_, 0.0) for id_ in ids]
    if max(times) - min(times) < _SAME_TIME_SECONDS:
        raise UserError(f"all rows came in at once; a field {_BATCH_FIELD!r} of the items' metadata would name their batches")
    return batches_by_time(times)


def _find_drifted_rows(found: BatchDrift, named: Sequence[str], said: Sequence[str] | None, lengths: Sequence[int]) -> list[int]:
    """Return the positions of a batch's rows that make it differ: those with more frequent answers, or of lengths rare elsewhere."""
    here = [at for at, name in enumerate(named) if name == found.batch]
    if found.quantity == "answers" and said is not None:
        more = {change.answer for change in found.changes if change.difference.value > 0}
        return [at for at in here if said[at] in more]
    elsewhere = [lengths[at] for at, name in enumerate(named) if name != found.batch]
    low, high = np.quantile(elsewhere, (0.05, 0.95))
    return [at for at in here if not low <= lengths[at] <= high]


def _text_lengths(texts: Sequence[str]) -> list[int]:
    """Return the characters of each text: words are no measure where a script has no spaces."""
    return [len(text) for text in texts]


def _draw_distances(found: DriftSummary, title: str) -> list[CheckChart]:
    rows = [IntervalRow(f"{each.batch}: {each.quantity}", each.distance, strong=each.drifted) for each in found.batches]
    if not rows:
        return []
    caption = "0: like all other rows; 1: nothing in common. Those in colour differ by more than chance."
    return [CheckChart(title, str(interval_plot(title, rows[:16], show=format_decimal, limits=(0.0, 1.0))), caption)]
