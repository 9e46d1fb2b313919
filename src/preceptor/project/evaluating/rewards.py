"""Measuring a reward model on comparisons that it never saw: does it take the side that people do, and how sure is it of that?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation import reliability
from preceptor.project import proving
from preceptor.project.evaluating.pairs import both_sides, examples, first_of_each, judged, shares, taken
from preceptor.project.evaluating.rows import Scored, row_sections
from preceptor.snapshots import Row, Snapshot
from preceptor.statistics import preference_estimates

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.recipes.preferring.pairs import Pair


def scores(model: Model) -> bool:
    """Whether a model gives rewards, neither writing texts nor choosing among answers."""
    return bool(model.manifest["recipe"] == "reward")


def sections(
    project: Project, model: Model, snapshot: Snapshot, rows: Sequence[Row], *, truth: Mapping[str, Any] | None, base: str | Path | None
) -> dict[str, Any]:
    """What a report says of a reward model. UserError when parity fails, or when the split has no pair that it can read."""
    proved = proving.proved(project, model, base)
    pairs, left_out = _pairs(judged(project, snapshot, rows, truth))
    margins = _margins(model, pairs)
    chances, groups = np.array([pair.probability for pair in pairs]), [pair.group for pair in pairs]
    words = np.array([[len(text.split()) for text in (pair.chosen, pair.rejected)] for pair in pairs], dtype=np.float64)
    decided = np.array([not pair.tie for pair in pairs])
    known, first = {row.id: row for row in rows}, first_of_each(pairs)
    return {
        "parity": proved,
        "models": {
            "tuned": {
                **preference_estimates(margins, chances, words, groups),
                "reliability": reliability(both_sides(margins)[decided], shares(chances)[decided]),
                "parameters": model.manifest["parameters"],
            }
        },
        "pairs": {"measured": len(pairs), "ties": int((~decided).sum()), "left_out": left_out},
        "examples": examples(known, pairs, margins),
        **row_sections(
            project, model, snapshot,
            Scored(
                [known[pairs[at].id] for at in first], [pairs[at].chosen for at in first], {"accuracy": taken(margins)[first]},
                given=truth is not None,
            ),
        ),
    }  # fmt: skip


def _pairs(rows: Sequence[Row]) -> tuple[list[Pair], dict[str, int]]:
    """The rows' pairs, and how many rows have none, by reason in words."""
    from preceptor.recipes.preferring.pairs import REASONS, pairs_of

    found = [pairs_of(row) for row in rows]
    pairs = [pair for each in found for pair in each if pair.chosen.strip() != pair.rejected.strip()]
    counts = {"no pair": sum(not each for each in found), "the same twice": sum(map(len, found)) - len(pairs)}
    if all(pair.tie for pair in pairs):
        raise UserError("no pair of the split has a better side: there is nothing to measure", "judge more items, or choose another split")
    return pairs, {REASONS[reason]: count for reason, count in counts.items() if count}


def _margins(model: Model, pairs: Sequence[Pair]) -> FloatArray:
    """Log-odds that the preferred side is better, (pairs,)."""
    from preceptor.models.rewards import RewardModel
    from preceptor.models.template import turns_of

    reward = RewardModel(model.path)
    prompts = [turns_of(pair.content, "")[:-1] for pair in pairs]
    return reward.score(prompts, [pair.chosen for pair in pairs]) - reward.score(prompts, [pair.rejected for pair in pairs])
