"""Build report sections on forgetting, slices and the comparison with the previous release.

Forgetting is measured on general texts and questions that no training has seen.
"""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.slices import RowScores, SliceProperties, compare_slices, compare_with_previous, slice_properties
from preceptor.quality import exact_key
from preceptor.release.gate import find_last_release
from preceptor.runs.general_eval_data import load_general_data
from preceptor.statistics import compare_suite_accuracy, retained_log_probability
from preceptor.storage import artifacts, items
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.types import FloatArray, Model, RetentionData

if TYPE_CHECKING:
    from preceptor.project import Project


KnowledgeScores = tuple[FloatArray, dict[str, FloatArray]]


def measure_causal_lm(general: RetentionData, folder: Path, base: Path | None) -> KnowledgeScores:
    """Return the log-probabilities of the texts, and which questions a causal model (or its base, with its tokenizer) answers right."""
    from preceptor.models.capability_probes import grade_multiple_choice, render_general_texts, text_log_probabilities
    from preceptor.models.causal_lm import ChatTokenizer, prepare_causal
    from preceptor.models.loading import load_causal

    chat = ChatTokenizer(folder)
    tokenizer = chat.tokenizer
    model = load_causal(folder) if base is None else prepare_causal(base, tokenizer).eval()
    texts = text_log_probabilities(model, tokenizer, list(render_general_texts(tokenizer, general.texts).values()))
    right = {name: grade_multiple_choice(model, tokenizer, asked, max_tokens=chat.limit) for name, asked in general.suites.items()}
    del model
    gc.collect()  # frees memory for the next model's weights
    return texts, right


def measure_classifier(general: RetentionData, folder: Path, base: Path | None) -> KnowledgeScores:
    """Return the same scores for a classifier, by its body's embeddings; see `preceptor.models.capability_probes`."""
    from preceptor.models.batching import get_max_input_tokens
    from preceptor.models.capability_probes import grade_nearest_options, retrieval_log_probabilities
    from preceptor.models.classifier import TextClassifier
    from preceptor.models.loading import prepare_classifier

    tuned = TextClassifier(folder)
    tokenizer, limit = tuned.tokenizer, get_max_input_tokens(tuned.tokenizer, tuned.model.config)
    model = tuned.model if base is None else prepare_classifier(base, tuned.answers, tokenizer.pad_token_id, several=tuned.multilabel)
    texts = retrieval_log_probabilities(model, tokenizer, general.texts, max_tokens=limit)
    return texts, {name: grade_nearest_options(model, tokenizer, asked, max_tokens=limit) for name, asked in general.suites.items()}


def measure_forgetting(
    project: Project, model: Model, base: Path | None, known: Callable[[RetentionData, Path, Path | None], KnowledgeScores]
) -> dict[str, Any]:
    """Compare a model with its base on the general data: `{"kept": Estimate, "texts", "suites": {name: …}}`.

    Empty where the project names no general data or the base is missing.
    """
    parts = load_general_data(project)
    if parts is None or base is None:
        return {}
    before, after = known(parts.test, model.path, base), known(parts.test, model.path, None)
    suites = {
        name: compare_suite_accuracy(before[1][name], after[1][name], [each.chance for each in questions])
        for name, questions in parts.test.suites.items()
    }
    texts = len(before[0])
    return {"texts": texts, "suites": suites} | ({"kept": retained_log_probability(before[0], after[0])} if texts else {})


@dataclass(frozen=True)
class ScoredRows:
    """Rows that a model was measured on, with the true answer of each, and the model's scores.

    row_scores: figure -> its value on each row, higher is better; slices are compared by the first. is_truth_given: whether the true
    answers were supplied for this evaluation, instead of those of the snapshot.
    """

    rows: Sequence[SnapshotRow]
    truths: Sequence[Any]
    row_scores: Mapping[str, FloatArray]
    is_truth_given: bool = False


def build_row_sections(project: Project, model: Model, snapshot: Snapshot, scored: ScoredRows) -> dict[str, Any]:
    """Build the report's sections about its rows.

    They are `rows` (the digest of the rows' scores), `slices`, `truth`, and `previous` where a model was released before.
    """
    names = _load_slices(project, scored.rows)
    groups = [row.group for row in scored.rows]
    kept = RowScores(
        [exact_key(row.text)[:24] for row in scored.rows],
        [hashlib.sha256(str(truth).encode("utf-8", "surrogatepass")).hexdigest()[:12] for truth in scored.truths],
        {name: np.asarray(column, dtype=np.float64) for name, column in scored.row_scores.items()},
    )
    figure, values = next(iter(kept.columns.items()))
    before = _compare_previous(project, model, snapshot, kept, groups, names) if scored.rows[0].split == "test" else {}
    return {
        "rows": {"digest": project.objects.put(kept.to_bytes()), "count": len(groups)},
        "slices": compare_slices(values, groups, names, figure=figure),
        "truth": _truth_section(snapshot, scored),
        **({"previous": before} if before else {}),
    }


def _compare_previous(
    project: Project, model: Model, snapshot: Snapshot, now: RowScores, groups: Sequence[str], names: SliceProperties
) -> dict[str, Any]:
    """Compare the model with the last release; empty where there is none."""
    released = find_last_release(project, snapshot.question["name"], besides=model.id)
    if released is None:
        return {}
    with project.database.reading() as connection:
        digest = artifacts.latest_report(connection, released.model, "test") or released.report
    told: dict[str, Any] = {"model": released.model, "by": released.by, "decision": released.decision, "report": digest}
    nothing = {"rows": 0, "left_out": len(now.keys)}
    try:
        document = json.loads(project.objects.get(digest))
        told["suites"] = _suite_figures(document)
        kept = (document.get("rows") or {}).get("digest")
        if kept is None:
            return told | nothing | {"why": "its report has no scores of rows"}
        return told | compare_with_previous(now, RowScores.from_bytes(project.objects.get(kept)), groups, names)
    except UserError as error:  # missing on disk, which must not prevent this measurement
        return told | nothing | {"why": error.message}


def _suite_figures(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a report's suites, by suite."""
    return {name: dict(suite.get("figures") or {}) for name, suite in (document.get("suites") or {}).items()}


def _load_slices(project: Project, rows: Sequence[SnapshotRow]) -> dict[str, list[str | None]]:
    """Return the slices of rows, by their items' metadata and their length."""
    with project.database.reading() as connection:
        known = items.metadata(connection, [row.id for row in rows])
    return slice_properties([known.get(row.id, {}) for row in rows], [row.text for row in rows])


def _truth_section(snapshot: Snapshot, scored: ScoredRows) -> dict[str, Any]:
    """Return the basis of the true answers: their mean probability by people, where they are the snapshot's own labels."""
    if scored.is_truth_given or snapshot.target_kind == "text":
        return {"rows": len(scored.rows), "given": scored.is_truth_given}
    several = snapshot.target_kind == "multilabel"
    sure = [_row_certainty(list(row.target.values()), several) for row in scored.rows]
    return {"rows": len(scored.rows), "given": False, "certainty": float(np.mean(sure))}


def _row_certainty(chances: Sequence[float], several: bool) -> float:
    column = np.array(chances or [1.0])
    return float(np.maximum(column, 1 - column).prod() if several else column.max())
