"""What a reader should know of pairs: what all of them have in common, and how a trained model judges those that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from preceptor.domain.results import Estimate, FloatArray
from preceptor.recipes.examples import Examples
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.preferring.rendering import WORDS, Sides
from preceptor.statistics import preference_estimates

FEWEST = 10  # pairs, of which that all go one way is no chance
CHOSE = "Validation rows chose these weights, which flatters what they say of them: go by the report on test rows."
FELL = 0.2  # share of its log-probability that the chosen answer may lose before it is told


def warnings(examples: Examples) -> list[str]:
    """Sentences on what was left out, corrections among the pairs, and preferences that all go one way."""
    told = []
    if left_out := sum(examples.left_out.values()):
        told.append(f"{left_out:,} of {len(examples) + left_out:,} training pairs were left out: {told_reasons(examples.left_out, WORDS)}.")
    ties = sum(each.tie for each in examples.targets)
    if ties:
        told.append(f"{ties:,} of the training pairs are ties, which count a quarter and hold both answers together.")
    return [*told, *one_way(examples.targets)]


def one_way(sides: Sequence[Sides]) -> list[str]:
    """A sentence where all of `FEWEST` pairs or more prefer the answer of the same kind: the longer, the shorter, the first shown."""
    decided = [each for each in sides if not each.tie]
    if len(decided) < FEWEST:
        return []
    gaps = [each.characters[0] - each.characters[1] for each in decided]
    for way, found in (("longer", all(gap > 0 for gap in gaps)), ("shorter", all(gap < 0 for gap in gaps))):
        if found:
            return [
                f"In each of {len(decided):,} pairs the {way} answer is the better one: a model that learns nothing but to write {way} "
                "answers does as well on them. normalise=length takes length out of the comparison; pairs that go the other way show more."
            ]
    if all(each.first for each in decided):
        return [
            f"In each of {len(decided):,} pairs the first response is the better one. The model doesn't see places; but where people saw "
            "them in this order, they may have chosen the place."
        ]
    return []


def held_out(sums: FloatArray, margins: FloatArray, sides: Sequence[Sides], groups: Sequence[str]) -> dict[str, Any]:
    """What the manifest says of pairs that weren't trained on: figures with intervals, see `preference_estimates`, and what became of the
    chosen and the rejected answer's log-probability, in nats an answer and as a share of what it was."""
    lengths = np.array([each.characters for each in sides], dtype=np.float64)
    found = preference_estimates(margins, np.array([each.posterior for each in sides]), lengths, np.asarray(groups))
    before = np.array([each.reference for each in sides])
    change = (sums - before).mean(axis=0)
    return {
        "pairs": len(sides),
        **{name: estimate.to_dict() for name, estimate in found.items()},
        "chosen_change": float(change[0]),
        "rejected_change": float(change[1]),
        "chosen_change_share": float(change[0] / -before[:, 0].mean()),
    }


def said_of(figures: dict[str, Any], nll: float | None) -> list[str]:
    """The same in sentences."""
    told = []
    if "accuracy" in figures:
        right = Estimate.of(figures["accuracy"])
        told.append(
            f"Of validation pairs the model has moved towards the answer that people prefer in {right.as_share()}"
            + (f"; people prefer the longer one in {Estimate.of(figures['longer_wins']).as_share()}." if "longer_wins" in figures else ".")
        )
        told.append("That may be chance: more pairs, or more judgments on each, would tell." if right.low <= 0.5 else CHOSE)
    loss = Estimate.of(figures["log_loss"])
    told.append(f"People's cross-entropy is {loss.value:.3f} nats a pair [{loss.low:.3f}, {loss.high:.3f}]; of a coin it is 0.693.")
    if figures["chosen_change_share"] < -FELL:
        what = "a cross-entropy on chosen answers (nll=0.2) holds them" if not nll else "more of it (a larger nll) holds them"
        told.append(f"The chosen answers lost {-figures['chosen_change_share']:.0%} of their own log-probability too: {what}.")
    return told
