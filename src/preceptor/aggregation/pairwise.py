"""Which option is better, from comparisons of two: Bradley–Terry with ties, order bias and people who differ."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import Field

from preceptor.aggregation.comparisons import Comparisons
from preceptor.aggregation.davidson import PSEUDO_ANNOTATORS, RELIABILITY, Davidson
from preceptor.aggregation.judgments import Floats
from preceptor.aggregation.preferences import Preferences
from preceptor.aggregation.sandwich import FEW, Clustering, Sandwich
from preceptor.registry import OptionsBase


class PairwiseOptions(OptionsBase):
    """How comparisons are turned into strengths."""

    shrinkage: float = Field(0.1, gt=0, description="1 / variance of the normal prior on strengths, in log-odds")
    order_bias: bool = Field(True, description="learn how much standing left helps")
    reliability: bool = Field(False, description="weigh people by how reliable they seem, where all see one truth and none has a taste")
    confidence: float = Field(0.95, gt=0, lt=1, description="of all intervals")
    iterations: int = Field(500, ge=1, description="most L-BFGS steps")


def pairwise(*, left: Any, right: Any, winner: Any, annotator: Any = None, prompt: Any = None, **options: Any) -> Preferences:
    """Strengths of options from comparisons, one row a comparison (lists, arrays or pandas Series of equal length).

    left, right: ids of the options shown. winner: "left", "right" or "tie"; None or NaN is a comparison without an
    answer, and left out. annotator, prompt: whose comparison it is, and what both options answer; rows of one
    annotator, and of one prompt, are taken as dependent in all intervals. options: see PairwiseOptions.

    Strengths are of the average of the people asked, careless ones included, and intervals cover what other people of their kind would
    say. With `reliability` those who seem to guess count for less. That is right where people see one truth (which of two weights is
    heavier), and wrong where they differ by taste: who differs from the others is then taken for careless, equal options are told
    apart in two rounds of three, and a small lead is trebled.

    The model and its equations are in `davidson`, the intervals in `sandwich`. Raises UserError for unequal lengths,
    missing ids, an unknown winner, an option compared with itself, and more than MOST_OPTIONS options.
    """
    chosen = PairwiseOptions.parse(options, of="pairwise")
    comparisons = Comparisons.of(left, right, winner, annotator, prompt)
    separable = comparisons.order_is_separable() if chosen.order_bias else False
    model, x, converged = _fit(comparisons, chosen, has_order=separable)
    spread = _sandwich(model, x, comparisons)
    notes = comparisons.notes() + _notes(model, x, comparisons, spread)
    if chosen.order_bias and not separable:
        notes.append("order bias can't be told from strength here and is taken as none: show pairs in both orders")
    if not converged:
        notes.append("the fit did not converge: allow more `iterations`")
    return Preferences(comparisons, model, x, spread, chosen.confidence, converged, tuple(notes))


def _fit(comparisons: Comparisons, chosen: PairwiseOptions, *, has_order: bool) -> tuple[Davidson, Floats, bool]:
    """First with everyone alike, on comparisons folded by pair and outcome; from there with annotators' reliability."""
    rows = comparisons
    has_ties = bool((rows.sign == 0).any())
    model = Davidson(
        rows.left, rows.right, rows.sign, rows.annotator, np.ones(len(rows)), len(rows.options), chosen.shrinkage, has_order, has_ties
    )  # fmt: skip
    left, right, sign, count = rows.cells
    alike = replace(model, left=left, right=right, sign=sign, count=count, annotator=np.zeros(len(sign), dtype=np.int32))
    x, converged = alike.fit(alike.begin(), limit=chosen.iterations)
    if chosen.reliability and len(rows.annotators) > 1:
        model = replace(model, nodes=RELIABILITY, pseudo=PSEUDO_ANNOTATORS)
        x, converged = model.fit(np.concatenate([x, model.begin()[len(x) :]]), limit=chosen.iterations)
    return model, x, converged


def _notes(model: Davidson, x: Floats, comparisons: Comparisons, spread: Sandwich) -> list[str]:
    """What a reader must know of the people."""
    said = [
        f"few {way.name} ({len(way)}, fewer than {FEW}): intervals are by wild bootstrap, and may still be too narrow" for way in spread.few
    ]
    if len(comparisons.annotators) == 1:
        said.append("there is one annotator: intervals say nothing of other people")
    against = model.contrary(x)
    if len(model.nodes) > 1 and len(against):
        shown = ", ".join(repr(comparisons.annotators[w]) for w in against[:5])
        said.append(
            f"{len(against)} annotators choose consistently against the others ({shown}) and count for little; "
            "if that is taste and no mistake, leave `reliability` off: the average of all is then given"
        )
    return said


def _sandwich(model: Davidson, x: Floats, comparisons: Comparisons) -> Sandwich:
    inverse = np.asarray(np.linalg.inv(model.information(x)))
    ways = [Clustering.of(name, model.scores(x, code), code) for name, code in comparisons.clusters.items()]
    crossed = None
    if len(ways) == 2:
        first, second = comparisons.clusters.values()
        both = np.unique(first.astype(np.int64) * (1 + int(second.max())) + second, return_inverse=True)[1].astype(np.int32)
        crossed = Clustering.of("annotators within prompts", model.scores(x, both), both)
    return Sandwich(inverse, ways, crossed)
