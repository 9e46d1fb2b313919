"""Compare a model and its base, each with and without retrieved sources.

The figures, where CONDITION is a key of `CONDITION_NAMES`:

accuracy_CONDITION            the mean of a metric of each answer without its citations, by default the share that equals the reference
citation_recall_CONDITION     of the sentences that state something, the share supported by a source which they cite
citation_precision_CONDITION  of all citations, the share whose source supports its sentence
golden_cited_CONDITION        of the questions with known golden sources (which support their answer), the share whose answer cites one
golden_found                  of the same questions, the share with a golden source among those retrieved
both_above_CONDITION          accuracy with training and sources minus that of the other condition, question by question

Whether a source supports a sentence is decided by a judge or the wording, not by people: none of these is a hallucination rate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.retrieval.citations import CitationCounts
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.types import Estimate, FloatArray

CONDITION_NAMES = {"base": "the base", "tuned": "tuned", "rag": "the base with sources", "both": "tuned, with sources"}
CONDITIONS_WITH_SOURCES = ("rag", "both")
_MAX_EXAMPLES = 10


@dataclass(frozen=True)
class RagCondition:
    """The answers and scores of one condition, one value a question.

    correctness: (n,). Only with sources: citations, what each answer cites; golden_found and golden_cited, (n,) each, whether a golden
    source was retrieved and cited: 1, 0, or NaN where nothing says which sources are golden.
    """

    texts: Sequence[str]
    correctness: FloatArray
    citations: Sequence[CitationCounts] = ()
    golden_found: FloatArray | None = None
    golden_cited: FloatArray | None = None


def rag_ablation_section(
    conditions: Mapping[str, RagCondition], *, ids: Sequence[str], prompts: Sequence[str], references: Sequence[str | None],
    groups: Sequence[str],
    title: str, metric: str,
) -> dict[str, Any]:  # fmt: skip
    """Build the report section of a RAG ablation.

    conditions: answers and scores by their keys in `CONDITION_NAMES`, all of the same questions in the same order, `both` among them.
    """
    figures: dict[str, Estimate] = {
        f"accuracy_{name}": estimate_mean(condition.correctness, clusters=groups) for name, condition in conditions.items()
    }
    for name in CONDITIONS_WITH_SOURCES:
        if name in conditions:
            figures |= _citation_estimates(name, conditions[name], groups)
    known = ~np.isnan(_golden_column(conditions["both"].golden_found, len(ids)))
    if known.any():
        figures["golden_found"] = estimate_mean(
            _golden_column(conditions["both"].golden_found, len(ids))[known], clusters=_known_groups(groups, known)
        )
    differences = {
        f"both_above_{name}": compare_paired(conditions["both"].correctness, condition.correctness, clusters=groups)
        for name, condition in conditions.items()
        if name != "both"
    }
    return {
        "kind": "rag_ablation",
        "title": title,
        "summary": ablation_sentences(figures, differences, conditions),
        "figures": {**figures, **differences},
        "charts": _figure_groups(conditions),
        "rows": len(ids),
        "groups": len(set(groups)),
        "metric": metric,
        "examples": _ablation_examples(conditions, ids, prompts, references),
    }


def _figure_groups(conditions: Mapping[str, RagCondition]) -> dict[str, dict[str, str]]:
    """Group the figures that a report shows on one scale: each row's name, and the figure that it shows."""
    cited = ("citation_recall", "citation_precision", "golden_cited")
    return {
        "accuracy": {CONDITION_NAMES[name]: f"accuracy_{name}" for name in CONDITION_NAMES if name in conditions},
        "accuracy_above": {
            f"above {CONDITION_NAMES[name]}": f"both_above_{name}" for name in CONDITION_NAMES if name in conditions and name != "both"
        },
        **{part: {CONDITION_NAMES[name]: f"{part}_{name}" for name in CONDITIONS_WITH_SOURCES if name in conditions} for part in cited},
    }


def ablation_sentences(
    figures: Mapping[str, Estimate], differences: Mapping[str, Estimate], conditions: Mapping[str, RagCondition]
) -> list[str]:
    """Say whether training and sources together are above each alone, only where the interval says so."""
    sentences = []
    for name in ("tuned", "rag"):
        if (difference := differences.get(f"both_above_{name}")) is not None:
            verdict = "is above" if difference.low > 0 else "is below" if difference.high < 0 else "is neither clearly above nor below"
            sentences.append(
                f"Tuned with sources {verdict} {'tuning' if name == 'tuned' else 'sources'} alone: {100 * difference.value:+.1f} points of"
                f" accuracy, {100 * difference.low:+.1f} to {100 * difference.high:+.1f}."
            )
    if "base" not in conditions:
        sentences.append("The base isn't available, so only the model's own two conditions are shown.")
    sentences.append("Citations are checked by wording or a judge, not by people; hallucination is measured by the suite faithfulness.")
    return sentences


def _citation_estimates(name: str, condition: RagCondition, groups: Sequence[str]) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    parts = {
        "recall": [(each.cited, each.stated) for each in condition.citations],
        "precision": [(each.correct_markers, each.markers) for each in condition.citations],
    }
    for part, shares in parts.items():
        if any(whole for _, whole in shares):
            found[f"citation_{part}_{name}"] = _pooled_share(shares, groups)
    golden = _golden_column(condition.golden_cited, len(groups))
    known = ~np.isnan(golden)
    if known.any():
        found[f"golden_cited_{name}"] = estimate_mean(golden[known], clusters=_known_groups(groups, known))
    return found


def _pooled_share(shares: Sequence[tuple[int, int]], groups: Sequence[str]) -> Estimate:
    """Estimate the pooled share of cases that hold; those of one group depend on each other."""
    values = [float(at < some) for some, whole in shares for at in range(whole)]
    return estimate_mean(values, clusters=[group for (_, whole), group in zip(shares, groups, strict=True) for _ in range(whole)])


def _golden_column(values: FloatArray | None, count: int) -> FloatArray:
    return np.full(count, np.nan) if values is None else values


def _known_groups(groups: Sequence[str], known: Any) -> list[str]:
    return [group for group, yes in zip(groups, known, strict=True) if yes]


def _ablation_examples(
    conditions: Mapping[str, RagCondition], ids: Sequence[str], prompts: Sequence[str], references: Sequence[str | None]
) -> list[dict[str, Any]]:
    """Return the questions on which the conditions differ most, the worst for training with sources first."""
    others = np.mean([condition.correctness for name, condition in conditions.items() if name != "both"], axis=0)
    order = np.argsort(conditions["both"].correctness - others, kind="stable")[:_MAX_EXAMPLES].tolist()
    return [
        {
            "id": ids[row],
            "prompt": prompts[row],
            "reference": references[row],
            "answer": conditions["both"].texts[row],
            "summary": "; ".join(
                f"{CONDITION_NAMES[name]}: {condition.texts[row][:200]!r}" for name, condition in conditions.items() if name != "both"
            ),
        }
        for row in order
    ]
