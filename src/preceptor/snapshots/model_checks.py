"""Check labels against a model's out-of-fold predictions, and row lengths against a base model's limit.

A label may be wrong where a model that hasn't seen the row predicts another answer, with more confidence than it usually has in that
answer. Lengths are what the chosen base would read of each row: texts that are cut, and rows that training would leave out.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.number_format import format_estimate, format_percent
from preceptor.model_ancestry import resolve_base_folder
from preceptor.models import load_tokenizer
from preceptor.models.loading import get_context_length
from preceptor.quality.label_errors import LabelConfusion, LabelErrors, SuspectLabel, find_label_errors
from preceptor.reporting.charts import IntervalRow, histogram, interval_plot
from preceptor.snapshots.snapshot_checks import CheckChart, CheckContext, CheckFinding, SuspectRow, format_row_share, make_excerpt
from preceptor.training.examples import RowTokenization, measure_row_tokens
from preceptor.training.logistic_regression import predict_out_of_fold

_MAX_DRAWN_PAIRS, _MAX_LABEL_CHARS = 8, 22  # pairs of answers in the chart, and characters of each
_MAX_MODEL_ANSWERS = 5  # answers whose predicted probabilities are kept


def check_labels(subject: CheckContext) -> CheckFinding:
    """Find rows whose label is likely wrong, by confident learning on out-of-fold probabilities (Northcutt et al. 2021)."""
    if not subject.has_single_label:
        raise UserError("only answers of which one is right can be told wrong by a model")
    answers, rows = subject.snapshot.answers, subject.rows
    targets = np.array([[row.target.get(answer, 0.0) for answer in answers] for row in rows])
    groups = [row.group for row in rows]
    subject.report_progress(0, 3)
    vectors = subject.vectors
    subject.report_progress(1, 3)
    model = predict_out_of_fold(vectors, targets, groups)
    subject.report_progress(2, 3)
    found = find_label_errors(targets, model.probabilities, answers, groups=groups)
    suspects = [_suspect_row(subject, each, model.probabilities[each.row]) for each in found.suspects]
    words = (
        f"{found.summary}; models on {subject.encoder} agree with the answers "
        f"of rows that they didn't see in {format_estimate(model.accuracy)}"
    )
    return CheckFinding(
        "labels", "Label errors", words, len(suspects), suspects, "experts" if suspects else "none", _draw_confusions(found)
    )


def _suspect_row(subject: CheckContext, doubt: SuspectLabel, probabilities: np.ndarray) -> SuspectRow:
    first = np.argsort(-probabilities, kind="stable")[:_MAX_MODEL_ANSWERS]
    thought = {subject.snapshot.answers[at]: round(float(probabilities[at]), 4) for at in first}
    return SuspectRow(
        subject.rows[doubt.row].id, doubt.reason, float(doubt.score), document={"model": thought, "thought": doubt.predicted_label}
    )


def _confusion_title(pair: LabelConfusion) -> str:
    return f"{make_excerpt(pair.given_label, _MAX_LABEL_CHARS)} → {make_excerpt(pair.likely_label, _MAX_LABEL_CHARS)}"


def _draw_confusions(found: LabelErrors) -> list[CheckChart]:
    pairs = found.confusions[:_MAX_DRAWN_PAIRS]
    if not pairs:
        return []
    title = "Answers that stand in another's place"
    rows = [
        IntervalRow(
            f"{make_excerpt(pair.given_label, _MAX_LABEL_CHARS)} → {make_excerpt(pair.likely_label, _MAX_LABEL_CHARS)}",
            pair.share,
            strong=True,
        )
        for pair in pairs
    ]
    caption = "Of the rows that were answered the first, the share that seems to be the second."
    return [CheckChart(title, str(interval_plot(title, rows, show=format_percent, limits=(0.0, 1.0))), caption)]


_MAX_BARS = 24


def check_truncation(subject: CheckContext) -> CheckFinding:
    """Find rows that the base would read only in part, or couldn't be trained on, by the default limits of training."""
    if subject.base is None:
        raise UserError("it needs the model that the rows shall train: --base NAME")
    writes = subject.snapshot.target_kind == "text"
    recipe = "sft" if writes else "classify"
    folder = resolve_base_folder(subject.project, subject.base)
    tokenizer = load_tokenizer(folder)
    limit = min(_default_max_tokens(recipe), get_context_length(folder, tokenizer))
    splits = {side: [subject.rows[at] for at in places] for side, places in subject.split_indices.items() if places}
    facts = measure_row_tokens(splits, tokenizer, limit, writes=writes)
    wrong = [fact for fact in facts if fact.problem]
    found = [
        SuspectRow(
            fact.id, fact.explanation, float(fact.tokens) / limit, document={"tokens": fact.tokens, "lost": make_excerpt(fact.truncated)}
        )
        for fact in wrong
    ]
    found.sort(key=lambda suspect: (-suspect.score, suspect.item))
    told = f"which reads {limit:,} tokens by {recipe}'s max_tokens or its own limit"
    words = f"{format_row_share(len(found), len(facts))} don't fit {subject.base}, {told}"
    left_out = any(fact.problem != "cut" for fact in wrong)
    return CheckFinding(
        "truncation", "Lengths for the base", words, len(found), found, "drop" if left_out else "none", _draw_lengths(facts, limit)
    )


def _default_max_tokens(recipe: str) -> int:
    """Return how many tokens of a row a recipe reads by default."""
    from preceptor.training import recipes

    return int(recipes.get(recipe).Options.model_fields["max_tokens"].default)


def _draw_lengths(facts: list[RowTokenization], limit: int) -> list[CheckChart]:
    if not facts:
        return []
    longest = max(fact.tokens for fact in facts)
    width = max(1, -(-longest // _MAX_BARS))
    counts = Counter(fact.tokens // width for fact in facts)
    bars = [(f"{place * width}", float(counts[place])) for place in range(longest // width + 1)]
    title = "Tokens of a row"
    return [CheckChart(title, str(histogram(title, bars, x_label="tokens, from", y_label="rows")), f"{limit:,} tokens are read.")]
