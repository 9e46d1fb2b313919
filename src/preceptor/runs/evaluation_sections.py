"""Build report sections on forgetting, slices and the comparison with the previous release.

What training left of the base's general knowledge, confirmed on texts and questions that no training has seen.

What a report keeps of its test rows: slices that are worse than the rest, and the same rows under the last release.
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
    """Log-probabilities of the texts, and which questions are answered right, by a causal model, or by its base with its tokenizer."""
    from preceptor.models.capability_probes import grade_multiple_choice, render_general_texts, text_log_probabilities
    from preceptor.models.causal_lm import ChatTokenizer, prepare_causal
    from preceptor.models.loading import load_causal

    chat = ChatTokenizer(folder)
    tokenizer = chat.tokenizer
    model = load_causal(folder) if base is None else prepare_causal(base, tokenizer).eval()
    texts = text_log_probabilities(model, tokenizer, list(render_general_texts(tokenizer, general.texts).values()))
    right = {name: grade_multiple_choice(model, tokenizer, asked, max_tokens=chat.limit) for name, asked in general.suites.items()}
    del model
    gc.collect()  # the next model's weights come into memory
    return texts, right


def measure_classifier(general: RetentionData, folder: Path, base: Path | None) -> KnowledgeScores:
    """The same by the vectors of a classifier's body, see `preceptor.models.capability_probes`."""
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
    """`{"kept": Estimate, "texts", "suites": {name: …}}` of a model beside its base; empty where nothing is named or a base missing."""
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
    """Rows that a model was measured on: the true answer of each, and how right the model was.

    columns: figure -> its value on each row, higher is better; slices are told by the first. given: the true answers were brought
    along for this evaluation, and aren't the snapshot's own.
    """

    rows: Sequence[SnapshotRow]
    truths: Sequence[Any]
    row_scores: Mapping[str, FloatArray]
    is_truth_given: bool = False


def build_row_sections(project: Project, model: Model, snapshot: Snapshot, scored: ScoredRows) -> dict[str, Any]:
    """The report's sections `rows` (where the rows' scores lie), `compare_slices`, `truth`, and `previous` where a model was let out
    before.
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
    """The last release beside this model; nothing when there is none."""
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
            return told | nothing | {"why": "its report kept no rows: it was made by an earlier version"}
        return told | compare_with_previous(now, RowScores.from_bytes(project.objects.get(kept)), groups, names)
    except UserError as error:  # gone from the disk, which is no reason not to measure this one
        return told | nothing | {"why": error.message}


def _suite_figures(document: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a report's suites, by suite."""
    return {name: dict(suite.get("figures") or {}) for name, suite in (document.get("suites") or {}).items()}


def _load_slices(project: Project, rows: Sequence[SnapshotRow]) -> dict[str, list[str | None]]:
    """The slices of rows: their items' metadata, and how long they are."""
    with project.database.reading() as connection:
        known = items.metadata(connection, [row.id for row in rows])
    return slice_properties([known.get(row.id, {}) for row in rows], [row.text for row in rows])


def _truth_section(snapshot: Snapshot, scored: ScoredRows) -> dict[str, Any]:
    """What the true answers rest on: how probable people make them, on average, where they are the snapshot's own labels."""
    if scored.is_truth_given or snapshot.target_kind == "text":
        return {"rows": len(scored.rows), "given": scored.is_truth_given}
    several = snapshot.target_kind == "multilabel"
    sure = [_row_certainty(list(row.target.values()), several) for row in scored.rows]
    return {"rows": len(scored.rows), "given": False, "certainty": float(np.mean(sure))}


def _row_certainty(chances: Sequence[float], several: bool) -> float:
    column = np.array(chances or [1.0])
    return float(np.maximum(column, 1 - column).prod() if several else column.max())
