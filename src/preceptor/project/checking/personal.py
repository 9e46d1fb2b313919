"""Rows that hold personal data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from preceptor.evaluation.plots import histogram
from preceptor.project.checking.findings import Drawing, Finding, Suspect, rows_in_words
from preceptor.project.checking.subject import Subject
from preceptor.project.curating.masking import named_by, texts_of

DRAWN = 6  # kinds that a picture has room for


def personal(subject: Subject) -> Finding:
    """Rows with personal data in any of their texts, by kinds; the values themselves are told nowhere."""
    from preceptor.curation.personal import find

    owners: list[int] = []
    texts: list[str] = []
    for at, row in enumerate(subject.rows):
        parts = texts_of(row, targets=subject.snapshot.target_kind == "text")
        owners += [at] * len(parts)
        texts += parts
    kinds: dict[int, Counter[str]] = {}
    for each in find(_counted(texts, subject)):
        kinds.setdefault(owners[each.index], Counter())[each.kind] += 1
    named = {at: where for at, row in enumerate(subject.rows) if (where := named_by(row))}
    found = [
        Suspect(
            subject.rows[at].id,
            "; ".join(_in_words(kinds.get(at, Counter()), named.get(at, {}))),
            float(sum(kinds.get(at, Counter()).values())),
            document={"kinds": dict(sorted(kinds.get(at, Counter()).items())), "named": sorted(named.get(at, {}))},
        )
        for at in sorted({*kinds, *named})
    ]
    total: Counter[str] = sum(kinds.values(), Counter())
    told = [f"{count:,} {kind}" for kind, count in total.most_common()]
    told += [f"{len(named):,} in the id or group of a row, of which masking texts hides the group and leaves the id"] if named else []
    words = f"{rows_in_words(len(found), len(subject.rows))} hold personal data: {', '.join(told)}"
    words = words if found else "no row holds personal data of the kinds that are looked for"
    return Finding("personal", "Personal data", words, len(found), found, "mask" if kinds else "none", _drawn(total))


def _in_words(kinds: Counter[str], named: Mapping[str, str]) -> list[str]:
    from preceptor.curation.personal import KINDS

    texts = ", ".join(KINDS[kind].words + (f" ({count} times)" if count > 1 else "") for kind, count in sorted(kinds.items()))
    return [*([texts] if texts else []), *(f"in its {name}: {KINDS[kind].words}" for name, kind in named.items())]


def _counted(texts: Sequence[str], subject: Subject) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number % 1000 == 0:
            subject.tell(number, len(texts))
        yield text


def _drawn(total: Counter[str]) -> list[Drawing]:
    if not 2 <= len(total) <= DRAWN:
        return []
    title = "Personal data by kind"
    bars = [(kind.replace("_", " ")[:9], float(count)) for kind, count in total.most_common()]
    return [Drawing(title, str(histogram(title, bars, x_label="kind", y_label="times")))]
