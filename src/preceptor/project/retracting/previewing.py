"""What a retraction would change, before it is made: the same fit that would follow it, beside the one that stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from preceptor.domain import Consensus
from preceptor.project.guiding.agreeing import Standing
from preceptor.store import people, questions, tallies

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class Change:
    """An item whose most probable answer would be another; `after` is None where nobody else has judged it."""

    item: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Effect:
    """What would become of one question: judgments taken out, items they are about, and those whose top answer changes."""

    question: str
    judgments: int
    items: int
    changes: Sequence[Change]

    @property
    def unanswered(self) -> int:
        """Items that would be left without any judgment."""
        return sum(change.after is None for change in self.changes)


@dataclass(frozen=True)
class Preview:
    """What retracting somebody would change, question by question; `judgments` in all, those about retired questions too."""

    annotator: str
    judgments: int
    effects: Sequence[Effect]

    @property
    def changes(self) -> int:
        """Items and questions whose top answer would change."""
        return sum(len(effect.changes) for effect in self.effects)


def preview_retraction(project: Project, annotator: str) -> Preview:
    """What `project.retract` would change now; nothing is written. UserError when nobody is called so."""
    with project.database.reading() as connection:
        counts = tallies.standing_of(connection, people.known_key(connection, annotator))
        asked = [question.name for _, question in questions.active(connection)]
        standings = [Standing.of(connection, name) for name in asked if name in counts]
    effects = [effect for standing in standings if (effect := _effect(standing, annotator)).judgments]
    return Preview(annotator, sum(counts.values()), effects)


def _effect(standing: Standing, annotator: str) -> Effect:
    kept = [row for row, who in enumerate(standing.columns[1]) if who != annotator]
    theirs = {what for what, who in zip(standing.columns[0], standing.columns[1], strict=True) if who == annotator}
    gone = len(standing.columns[0]) - len(kept)
    what, who, said, numbers = standing.columns
    others = ([what[row] for row in kept], [who[row] for row in kept], [said[row] for row in kept], [numbers[row] for row in kept])
    before = _tops(standing.fit()) if gone else {}
    after = _tops(replace(standing, columns=others).fit()) if kept else {}
    changes = [Change(item, top, after.get(item)) for item, top in before.items() if after.get(item) != top]
    return Effect(standing.question.name, gone, len(theirs), sorted(changes, key=lambda change: (change.after is None, change.item)))


def _tops(fitted: Consensus) -> dict[str, Any]:
    return dict(zip(fitted.items, fitted.top, strict=True))
