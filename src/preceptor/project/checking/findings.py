"""What a check of a snapshot finds: rows with a reason each, a picture where one helps, and one thing to do about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from preceptor.errors import UserError
from preceptor.registry import did_you_mean

ACTIONS = {
    "experts": "put them before experts",
    "merge": "merge them into one",
    "drop": "leave them out",
    "mask": "mask it",
    "none": "",
}


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row that a check found. score: the higher the sooner; others: items that it is about beside its own; document: what else."""

    item: str
    reason: str
    score: float = 0.0
    others: tuple[str, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Drawing:
    """An inline SVG under its title, with a sentence or two that say how to read it."""

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True)
class Finding:
    """What one check found: in words, how many rows of how many, which, and what can be done about it (of ACTIONS)."""

    check: str
    title: str
    words: str
    found: int
    rows: Sequence[Suspect] = ()
    action: str = "none"
    drawings: Sequence[Drawing] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "check": self.check,
            "title": self.title,
            "words": self.words,
            "found": self.found,
            "action": self.action,
            "rows": [
                {"item": row.item, "reason": row.reason, "score": row.score, "others": list(row.others), "document": dict(row.document)}
                for row in self.rows
            ],
            "drawings": [{"title": each.title, "svg": str(each.svg), "caption": each.caption} for each in self.drawings],
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` was made of."""
        rows = tuple(Suspect(**{**row, "others": tuple(row["others"])}) for row in value["rows"])
        drawings = tuple(Drawing(**each) for each in value["drawings"])
        return cls(**{**value, "rows": rows, "drawings": drawings})


@dataclass(frozen=True)
class Checked:
    """All that was looked for in a snapshot. skipped: checks that couldn't be made, each with why; seconds: what it took this time."""

    snapshot: str
    question: str
    rows: int
    findings: Sequence[Finding]
    skipped: Mapping[str, str]
    seconds: float

    def finding(self, check: str) -> Finding:
        """What one check found; UserError where it wasn't made."""
        for each in self.findings:
            if each.check == check:
                return each
        if check in self.skipped:
            raise UserError(f"{check} wasn't looked for: {self.skipped[check]}")
        known = [each.check for each in self.findings]
        raise UserError(f"no check is called {check!r}{did_you_mean(check, known)}", f"checks: {', '.join(known)}")

    def to_dict(self) -> dict[str, Any]:
        return {
            "snapshot": self.snapshot,
            "question": self.question,
            "rows": self.rows,
            "findings": [each.to_dict() for each in self.findings],
            "skipped": dict(self.skipped),
            "seconds": self.seconds,
        }

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Self:
        """What `to_dict` was made of."""
        return cls(**{**value, "findings": tuple(map(Finding.of, value["findings"]))})


def excerpt(text: str, most: int = 120) -> str:
    """The beginning of a text on one line."""
    words = " ".join(text[: 4 * most].split())
    return words if len(words) <= most else words[: most - 1].rstrip() + "…"


def rows_in_words(count: int, of: int) -> str:
    """`12 of 1,000 rows`."""
    return f"{count:,} of {of:,} row{'' if of == 1 else 's'}"
