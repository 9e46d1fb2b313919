"""What a run's base knew, and how much of it a model made of it still does: the same general texts and questions, paired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from preceptor.domain.general import General
from preceptor.domain.results import Estimate, FloatArray
from preceptor.errors import UserError
from preceptor.models.completion import Head
from preceptor.models.knowledge import MEASURED, readable_texts, right_choices, text_log_probabilities
from preceptor.recipes.examples import Examples
from preceptor.recipes.folder import remembered
from preceptor.recipes.plan import Task
from preceptor.recipes.teaching import lessons
from preceptor.statistics import kept, suite_change

WATCHED = 32


@dataclass(frozen=True)
class Standing:
    """Where a model stands: kept, the share of general log-probability that is left; its validation loss in nats; gain, the share
    of the way from the base's validation loss to that of the model as trained."""

    kept: Estimate
    loss: float
    gain: float


class Knowledge:
    """The base's figures on general texts and questions, measured once and kept in the run's folder."""

    def __init__(self, task: Task, tokenizer: Any, general: General) -> None:
        self.task, self.tokenizer, self.general = task, tokenizer, general
        limit = min(MEASURED, task.max_tokens)
        self.texts = list(readable_texts(tokenizer, general.texts, max_tokens=limit).values())
        if not self.texts:
            raise UserError(f"no general text fits {limit} tokens of this model's", "name shorter ones: [general] in preceptor.toml")
        known = remembered(task.run.folder / "knew.json", partial(self._of_base))
        self.before, self.loss = np.array(known["texts"]), float(known["loss"])
        self.right = {name: np.array(right) for name, right in known["suites"].items()}

    def standing(self, model: Any, trained_loss: float | None = None) -> Standing:
        """trained_loss: validation loss of the model as trained, against which the gain is counted; its own when None."""
        loss = self.task.objective.validate(model, self.task.validation).loss
        gained, most = self.loss - loss, self.loss - (loss if trained_loss is None else trained_loss)
        share = gained / most if most > 0 else float(gained >= most)
        return Standing(kept(self.before, text_log_probabilities(model, self.tokenizer, self.texts)), loss, share)

    def watched(self) -> Examples:
        """A few validation rows with what the base says of them: how far training leads away from it, see `Completing.validate`."""
        few, base = self.task.validation.take(range(min(WATCHED, len(self.task.validation)))), self.task.new_model()
        return replace(few, lessons=lessons(base, Head.of(base), few.tokens, few.targets, self.tokenizer.pad_token_id))

    def suites(self, model: Any) -> dict[str, dict[str, Any]]:
        """Each suite's accuracy before and after, the paired change, and whether the base knew enough of it for the change to count."""
        return {name: self._suite(model, name, before) for name, before in self.right.items()}

    def _suite(self, model: Any, name: str, before: FloatArray) -> dict[str, Any]:
        questions = self.general.suites[name]
        after = right_choices(model, self.tokenizer, questions, max_tokens=self.task.max_tokens)
        return suite_change(before, after, [each.chance for each in questions])

    def _of_base(self) -> Mapping[str, Any]:
        base, limit = self.task.new_model(), self.task.max_tokens
        return {
            "texts": text_log_probabilities(base, self.tokenizer, self.texts).tolist(),
            "loss": self.task.objective.validate(base, self.task.validation).loss,
            "suites": {
                name: right_choices(base, self.tokenizer, questions, max_tokens=limit).tolist()
                for name, questions in self.general.suites.items()
            },
        }
