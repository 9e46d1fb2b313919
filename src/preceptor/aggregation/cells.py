"""Models in which a judgment is right or not: what they need of the data is a sum over (item, answer) cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from preceptor.aggregation.judgments import Floats, Judgments


@dataclass(frozen=True, eq=False)
class Cells:
    """Vote weights, (item, answer) cells × sources; a source is an annotator, or an annotator's answer."""

    judgments: Judgments
    matrix: sparse.csr_array
    votes: Floats

    @classmethod
    def of(cls, judgments: Judgments, *, by_answer: bool) -> Cells:
        """Sources are annotators, or (by_answer) each annotator's answers side by side; votes: each source's, in all."""
        j = judgments
        cell = j.item_code.astype(np.int64) * j.n_answers + j.answer_code
        source = j.annotator_code.astype(np.int64) * j.n_answers + j.answer_code if by_answer else j.annotator_code
        shape = (j.n_items * j.n_answers, j.n_annotators * (j.n_answers if by_answer else 1))
        matrix = sparse.coo_array((j.weight, (cell, source)), shape=shape).tocsr()
        return cls(j, matrix, np.bincount(source, j.weight, shape[1]).astype(np.float64))

    def scores(self, gain: Floats) -> Floats:
        """Each source's gain summed where it voted; shape (items, answers)."""
        return np.asarray(self.matrix @ gain).reshape(-1, self.judgments.n_answers)

    def agree(self, posterior: Floats) -> Floats:
        """Each source's expected number of right votes, shape (sources,)."""
        return np.asarray(self.matrix.T @ posterior.ravel())
