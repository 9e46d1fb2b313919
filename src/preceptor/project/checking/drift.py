"""Whether batches of the set are alike, and the set is like what a model meets in use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from preceptor.curation.drift import BatchDrift, Drift, batches_of, drift
from preceptor.curation.representing import representing
from preceptor.errors import UserError
from preceptor.evaluation.plots import Row, interval_plot
from preceptor.evaluation.wording import decimal
from preceptor.project.checking.findings import Drawing, Finding, Suspect, excerpt
from preceptor.project.checking.subject import Subject
from preceptor.store import items, provenance

AT_ONCE = 60.0  # seconds within which all rows came in: then time parts nothing
FIELD = "batch"  # of the metadata: names an item's batch


def batches(subject: Subject) -> Finding:
    """Rows of batches (the metadata's `batch`, else by when items came) whose answers or lengths differ from the others'."""
    rows, named = subject.rows, _batches(subject)
    said = [row.answer for row in rows] if subject.is_classes else None
    lengths = _lengths(subject.texts)
    found = drift(named, labels=said, lengths=lengths, groups=[row.group for row in rows])
    suspects: dict[str, Suspect] = {}
    for each in found.batches:
        for at in _of(each, named, said, lengths) if each.drifted else ():
            suspects.setdefault(rows[at].id, Suspect(rows[at].id, f"batch {each.batch}: {each.words}", float(each.distance.value)))
    count = len({each.batch for each in found.batches if each.drifted})
    return Finding(
        "batches",
        "Batches that differ",
        found.words,
        count,
        list(suspects.values()),
        "none",
        _drawn(found, "Distance of each batch from the rest"),
    )


def live(subject: Subject) -> Finding:
    """Inputs in use that are unlike any row of the set, and whether the two can be told apart."""
    if not subject.live:
        raise UserError("it needs a sample of live inputs: --live FILE")
    lengths = [*_lengths(subject.texts), *_lengths(subject.live)]
    between = drift(["the set"] * len(subject.texts) + ["live"] * len(subject.live), lengths=lengths)
    told = [each for each in between.batches if each.batch == "live"]
    words, rows, drawings = [each.words for each in told], [], _drawn(between, "Lengths: the set and live inputs")
    differ = any(each.drifted for each in told)
    if subject.with_vectors:
        found = representing(subject.vectors, subject.vectors_of(subject.live), groups=[row.group for row in subject.rows])
        words = [found.words, *words]
        differ = differ or not found.representative
        rows = [
            Suspect(
                f"{subject.live_name}, input {each.live + 1}",
                f"{excerpt(subject.live[each.live])}: {each.reason}",
                float(each.distance),
                (subject.rows[each.nearest].id,),
            )
            for each in found.far
        ]
    return Finding("live", "Live inputs", "; ".join(words), len(rows) if rows else int(differ), rows, "none", drawings)


def _batches(subject: Subject) -> list[str]:
    ids = [row.id for row in subject.rows]
    with subject.project.database.reading() as connection:
        metadata = items.metadata(connection, ids)
        came = provenance.came(connection, ids)
    named = [metadata.get(id_, {}).get(FIELD) for id_ in ids]
    if all(name is not None for name in named) and len(set(map(str, named))) > 1:
        return [str(name) for name in named]
    times = [came.get(id_, 0.0) for id_ in ids]
    if max(times) - min(times) < AT_ONCE:
        raise UserError(f"all rows came in at once; a field {FIELD!r} of the items' metadata would name their batches")
    return batches_of(times)


def _of(found: BatchDrift, named: Sequence[str], said: Sequence[str] | None, lengths: Sequence[int]) -> list[int]:
    """The places of a batch's rows that make it differ: those with more frequent answers, or of lengths that are rare elsewhere."""
    here = [at for at, name in enumerate(named) if name == found.batch]
    if found.what == "answers" and said is not None:
        more = {change.answer for change in found.changes if change.difference.value > 0}
        return [at for at in here if said[at] in more]
    elsewhere = [lengths[at] for at, name in enumerate(named) if name != found.batch]
    low, high = np.quantile(elsewhere, (0.05, 0.95))
    return [at for at in here if not low <= lengths[at] <= high]


def _lengths(texts: Sequence[str]) -> list[int]:
    """Characters of each text: words are no measure where a script has no spaces."""
    return [len(text) for text in texts]


def _drawn(found: Drift, title: str) -> list[Drawing]:
    rows = [Row(f"{each.batch}: {each.what}", each.distance, strong=each.drifted) for each in found.batches]
    if not rows:
        return []
    caption = "0: like all other rows; 1: nothing in common. Those in colour differ by more than chance."
    return [Drawing(title, str(interval_plot(title, rows[:16], show=decimal, limits=(0.0, 1.0))), caption)]
