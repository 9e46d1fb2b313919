"""Answers that may be wrong: a model that hasn't seen a row says another answer, and is surer of it than it usually is of that one."""

from __future__ import annotations

import numpy as np

from preceptor.curation.label_errors import Doubt, LabelErrors, label_errors
from preceptor.errors import UserError
from preceptor.evaluation.plots import Row, interval_plot
from preceptor.evaluation.wording import percent, spread
from preceptor.project.checking.findings import Drawing, Finding, Suspect, excerpt
from preceptor.project.checking.subject import Subject
from preceptor.recipes.out_of_fold import out_of_fold

DRAWN, LABEL = 8, 22  # pairs of answers, and characters of each
THOUGHT = 5  # answers of which the model's probabilities are kept


def labels(subject: Subject) -> Finding:
    """Rows that confident learning counts as wrong, on probabilities from models that didn't see them (Northcutt et al. 2021)."""
    if not subject.is_classes:
        raise UserError("only answers of which one is right can be told wrong by a model")
    answers, rows = subject.snapshot.answers, subject.rows
    targets = np.array([[row.target.get(answer, 0.0) for answer in answers] for row in rows])
    groups = [row.group for row in rows]
    subject.tell(0, 3)
    vectors = subject.vectors
    subject.tell(1, 3)
    model = out_of_fold(vectors, targets, groups)
    subject.tell(2, 3)
    found = label_errors(targets, model.probabilities, answers, groups=groups)
    suspects = [_suspect(subject, each, model.probabilities[each.row]) for each in found.suspects]
    words = f"{found.words}; models on {subject.encoder} agree with the answers of rows that they didn't see in {spread(model.accuracy)}"
    return Finding("labels", "Label errors", words, len(suspects), suspects, "experts" if suspects else "none", _drawn(found))


def _suspect(subject: Subject, doubt: Doubt, probabilities: np.ndarray) -> Suspect:
    first = np.argsort(-probabilities, kind="stable")[:THOUGHT]
    thought = {subject.snapshot.answers[at]: round(float(probabilities[at]), 4) for at in first}
    return Suspect(subject.rows[doubt.row].id, doubt.reason, float(doubt.score), document={"model": thought, "thought": doubt.thought})


def _drawn(found: LabelErrors) -> list[Drawing]:
    pairs = found.pairs[:DRAWN]
    if not pairs:
        return []
    title = "Answers that stand in another's place"
    rows = [Row(f"{excerpt(pair.said, LABEL)} → {excerpt(pair.really, LABEL)}", pair.share, strong=True) for pair in pairs]
    caption = "Of the rows that were answered the first, the share that seems to be the second."
    return [Drawing(title, str(interval_plot(title, rows, show=percent, limits=(0.0, 1.0))), caption)]
