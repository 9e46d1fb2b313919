"""`model:ID`, or `model:ID+ID+ID`: what reward models say, trained on people's preferences; of several, a lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.template import turns_of
from preceptor.recipes.recipe import Row, Run
from preceptor.recipes.rewarding.sampled import Sampled

CAUTION = 1.0  # standard deviations below the mean of several models: where they differ they know little (Coste et al. 2024)


class ByModel:
    """Log-odds of a reward model; of several the mean less `CAUTION` standard deviations over them."""

    def __init__(self, names: str, run: Run) -> None:
        from preceptor.models.rewards import RewardModel

        if not (wanted := [name.strip() for name in names.split("+") if name.strip()]):
            raise UserError("reward model: no model is named", "model:m-1a2b, or model:FIRST+SECOND for a lower bound of both")
        self._models = [RewardModel(run.folder_of(name)) for name in wanted]

    def check_room(self, rows: Sequence[Row], tokens: int) -> None:
        """UserError for a row whose prompt a model can't read with an answer of so many tokens: it would end the run when it is drawn."""
        from preceptor.models.template import Unfit

        for model, row in product(self._models, rows):
            try:
                room = model.room(turns_of(row.content, "")[:-1])
            except Unfit as refused:
                raise UserError(
                    f"the reward model can't read the prompt: {refused}", "leave the row out", where=f"row {row.id!r}"
                ) from None
            if room < tokens:
                raise UserError(
                    f"the reward model reads {model.limit:,} tokens, and the prompt leaves {max(room, 0):,} for an answer of {tokens:,}",
                    "leave the row out, or take fewer max_new_tokens or a reward model that reads more", where=f"row {row.id!r}",
                )  # fmt: skip

    def score(self, samples: Sequence[Sampled]) -> FloatArray:
        return self.with_doubt(samples)[0]

    def with_doubt(self, samples: Sequence[Sampled]) -> tuple[FloatArray, FloatArray]:
        """Scores, and how much the models differ about each, both (n,)."""
        prompts = [turns_of(sample.content, "")[:-1] for sample in samples]
        texts = [sample.text for sample in samples]
        said = np.array([model.score(prompts, texts) for model in self._models], dtype=np.float64)
        if len(said) == 1:
            return said[0], np.zeros(len(samples))
        spread = said.std(axis=0, ddof=1)
        return np.asarray(said.mean(axis=0) - CAUTION * spread), np.asarray(spread)
