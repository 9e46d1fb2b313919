"""A judge's scores of cases, kept as they come: what was scored once is neither scored nor paid for again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import isnan
from typing import TYPE_CHECKING

import numpy as np

from preceptor.domain import digest_of
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.judges import Case, Judge
from preceptor.formats.atomic import atomic_write, full_disk_in_words
from preceptor.formats.checksums import sealed_json, unsealed_json

if TYPE_CHECKING:
    from preceptor.project.project import Project

AT_ONCE = 256  # cases between two looks at the disk
SCORES = "scores"  # the folder in a project's own

Progress = Callable[[int, int], None]


def judge_scores(project: Project, judge: Judge, cases: Sequence[Case], progress: Progress | None = None) -> FloatArray:
    """The judge's score of each case, (cases,), NaN where it gave no verdict.

    Kept by the judge's digest and what the cases say, some hundred at a time: after a failure it goes on where it was.
    """
    found: list[FloatArray] = []
    for start in range(0, len(cases), AT_ONCE):
        found.append(_some(project, judge, cases[start : start + AT_ONCE]))
        if progress is not None:
            progress(min(start + AT_ONCE, len(cases)), len(cases))
    return np.concatenate(found) if found else np.empty(0)


def _some(project: Project, judge: Judge, cases: Sequence[Case]) -> FloatArray:
    key = digest_of([judge.digest, [[case.text, list(case.sources), case.context] for case in cases]])
    path = project.folder / SCORES / f"{key[:32]}.json"
    with suppress(FileNotFoundError, ValueError):  # never scored, or altered on disk since: it is scored again
        return np.array([np.nan if score is None else score for score in unsealed_json(path.read_bytes())], dtype=np.float64)
    scores = np.asarray(judge.scores(cases), dtype=np.float64)
    if scores.shape != (len(cases),):
        raise UserError(f"{judge.name} gave scores of shape {scores.shape} for {len(cases)} cases", "a judge gives one score a case")
    with full_disk_in_words(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(sealed_json([None if isnan(score) else score for score in scores.tolist()]))
    return scores
