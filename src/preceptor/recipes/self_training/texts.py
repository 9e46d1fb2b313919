"""The texts without a judgment that a run teaches itself with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.models.tokens import encode
from preceptor.recipes.consulting import Unlabelled
from preceptor.recipes.examples import Examples
from preceptor.recipes.recipe import Row, Run

ADD = "add texts that nobody has judged: preceptor import items FILE"


def read_unlabelled(run: Run, rows: Sequence[Row]) -> list[Unlabelled]:
    """The run's texts without a judgment, each once, none that is the text of one of `rows`. UserError where there are none."""
    if run.unlabelled is None:
        raise UserError("self_train needs texts that nobody has judged, and this run has no project to get them from", "Project.train(…)")
    known, found = {row.text for row in rows}, list[Unlabelled]()
    for each in run.unlabelled():
        if each.text not in known:
            known.add(each.text)
            found.append(each)
    if not found:
        raise UserError(
            "there is nothing to self-train on: each item of the project is judged already, or (nearly) the same as a row of the "
            "snapshot, or in a group with a validation or test row",
            ADD,
        )
    return found


def to_texts(texts: Sequence[Unlabelled], tokenizer: Any, max_tokens: int, answers: int) -> Examples:
    """The texts as rows whose targets, (texts, answers), are still to be filled in."""
    count = len(texts)
    return Examples(
        encode(tokenizer, [each.text for each in texts], max_tokens),
        np.zeros((count, answers)),
        np.ones(count),
        np.ones(count, dtype=np.int64),
        [each.id for each in texts],
        [each.group for each in texts],
    )
