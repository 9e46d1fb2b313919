"""Which of a model's answers experts are asked about: those it is least sure of, none much like another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import rankdata

from preceptor.domain.items import text_of
from preceptor.domain.results import FloatArray
from preceptor.recipes.imitating.drafts import Draft, Prompt, word_vectors

LEAST = 0.01  # novelty of a prompt that was asked before, so that doubt decides where all were


def choose(drafts: Sequence[Draft], budget: int, known: Sequence[Prompt] = ()) -> list[Draft]:
    """At most `budget` of the drafts, the most valuable first, each with its value, 0 to 1.

    Doubt is the mean rank of `surprise` and `disputed` among the drafts: the one knows how flat the model's distribution is, the
    other whether that changes what it says. One after the other the draft is taken whose doubt times novelty is largest;
    novelty is 1 minus the likeness to what is nearest among `known` prompts, which experts answered, and those taken.
    """
    if not drafts:
        return []
    doubt, vectors = doubts(drafts), word_vectors([text_of(each.content) for each in (*drafts, *known)])
    mine = vectors[: len(drafts)]
    nearest = (mine @ vectors[len(drafts) :].T).max(axis=1).toarray().ravel() if known else np.zeros(len(drafts))
    taken: list[Draft] = []
    open_ = np.ones(len(drafts), dtype=bool)
    while len(taken) < min(budget, len(drafts)):
        value = doubt * (1 - nearest).clip(LEAST, 1)
        best = int(np.where(open_, value, -1.0).argmax())
        taken.append(replace(drafts[best], value=round(float(value[best]), 6)))
        open_[best] = False
        nearest = np.maximum(nearest, (mine @ mine[[best]].T).toarray().ravel())
    return taken


def doubts(drafts: Sequence[Draft]) -> FloatArray:
    """How unsure the model is of each draft beside the others, above 0 to 1, (drafts,)."""
    columns = ([draft.surprise for draft in drafts], [draft.disputed for draft in drafts])
    return np.asarray(np.mean([rankdata(column) / len(drafts) for column in columns], axis=0))
