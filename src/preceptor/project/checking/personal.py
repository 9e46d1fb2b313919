"""Personal data in rows, and what replaces it: placeholders that are the same for the same person or number in all of a project."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.evaluation.plots import histogram
from preceptor.project.checking.findings import Drawing, Finding, Suspect, rows_in_words
from preceptor.project.checking.subject import Subject
from preceptor.snapshots import Row
from preceptor.store import access

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.store import Connection

Change = Callable[[str], str]
DRAWN = 6  # kinds that a picture has room for
NAMED_BY = ("email", "iban", "url_login")  # kinds sought in ids and groups too, where most numbers are nobody's
KEPT = ("role", "format", "type", "weight", "id")  # parts of a content that say what it is, and hold nobody's words


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
    named = {at: where for at, row in enumerate(subject.rows) if (where := _named_by(row))}
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


def _named_by(row: Row) -> dict[str, str]:
    """The kinds of personal data that a row's id and group hold."""
    from preceptor.curation.personal import find

    names = {"id": row.id, "group": row.group}
    return {name: each.kind for name, text in names.items() for each in find([text], NAMED_BY)}


def _in_words(kinds: Counter[str], named: Mapping[str, str]) -> list[str]:
    from preceptor.curation.personal import KINDS

    texts = ", ".join(KINDS[kind].words + (f" ({count} times)" if count > 1 else "") for kind, count in sorted(kinds.items()))
    return [*([texts] if texts else []), *(f"in its {name}: {KINDS[kind].words}" for name, kind in named.items())]


def texts_of(row: Row, *, targets: bool) -> list[str]:
    """Every text that a row holds: the parts of its content, and with `targets` the texts that are its answers."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    _changed(row.content, note)
    return [*found, *row.target] if targets else found


def masked_rows(rows: Sequence[Row], change: Change, *, targets: bool) -> tuple[list[Row], list[str]]:
    """The rows with each of their texts changed, with `targets` their answers too, and the ids of those that it changed.

    A group that is named by somebody's data changes as well: every row of it alike, and no row its side. Ids stay, by which a row
    is known to be an item's.
    """
    found = [_masked(row, change, targets=targets) for row in rows]
    differ = (
        after.id for before, after in zip(rows, found, strict=True) if (before.content, before.target) != (after.content, after.target)
    )
    return found, sorted(differ)


def _masked(row: Row, change: Change, *, targets: bool) -> Row:
    row = replace(row, content=_changed(row.content, change), group=change(row.group) if "group" in _named_by(row) else row.group)
    if not targets:
        return row
    target: dict[str, float] = {}
    for answer, chance in row.target.items():  # two texts may differ in what is masked alone
        target[change(answer)] = round(target.get(change(answer), 0.0) + chance, 6)
    return replace(row, target=target)


def masking(connection: Connection) -> Change:
    """What replaces personal data in a text by placeholders, by this project's own key: the same value, the same placeholder."""
    from preceptor.curation.personal import find, mask, new_key

    key = bytes.fromhex(access.setting(connection, "placeholders", new_key().hex()))

    def change(text: str) -> str:
        found = list(find([text]))
        return mask(text, found, key) if found else text

    return change


def ever_masked(project: Project, digests: Iterable[str]) -> bool:
    """Whether personal data were masked in any of these snapshots of a question, however old: what was hidden once stays hidden."""
    manifests = (project.objects.path(digest) / "manifest.json" for digest in digests)
    return any("masked" in json.loads(manifest.read_text(encoding="utf-8")) for manifest in manifests if manifest.exists())


def _changed(value: Any, change: Change) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {name: part if name in KEPT else _changed(part, change) for name, part in value.items()}
    return [_changed(part, change) for part in value] if isinstance(value, list | tuple) else value


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
