"""Rows without personal data: placeholders in each of their texts that are the same for the same person or number in all of a project."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from preceptor.curation.personal import find
from preceptor.snapshots import Row

if TYPE_CHECKING:
    from preceptor.project.project import Project

Change = Callable[[str], str]
NAMED_BY = ("email", "iban", "url_login")  # kinds sought in ids and groups too, where most numbers are nobody's
KEPT = ("role", "format", "type", "weight", "id")  # parts of a content that say what it is, and hold nobody's words


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
    row = replace(row, content=_changed(row.content, change), group=change(row.group) if "group" in named_by(row) else row.group)
    if not targets:
        return row
    target: dict[str, float] = {}
    for answer, chance in row.target.items():  # two texts may differ in what is masked alone
        target[change(answer)] = round(target.get(change(answer), 0.0) + chance, 6)
    return replace(row, target=target)


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


def named_by(row: Row) -> dict[str, str]:
    """The kinds of personal data that a row's id and group hold."""
    names = {"id": row.id, "group": row.group}
    return {name: each.kind for name, text in names.items() for each in find([text], NAMED_BY)}
