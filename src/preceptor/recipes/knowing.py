"""What a run's base knew, and how much of it a model made of it still does: the same general texts and questions, paired."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from preceptor.domain.general import General
from preceptor.domain.results import Estimate
from preceptor.errors import UserError
from preceptor.recipes.folder import remembered
from preceptor.recipes.objective import Retaining
from preceptor.recipes.plan import Task
from preceptor.statistics import kept, suite_change


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
        self.teaches: Retaining = task.objective  # type: ignore[assignment]
        known = remembered(task.run.folder / "knew.json", partial(self._of_base, task.new_model()))
        if general.texts and not known["texts"]:
            raise UserError("no general text fits what this model reads", "name shorter ones: [general] in preceptor.toml")
        self.before, self.loss = np.array(known["texts"]), float(known["loss"])
        self.right = {name: np.array(right) for name, right in known["suites"].items()}

    def standing(self, model: Any, trained_loss: float | None = None) -> Standing:
        """trained_loss: validation loss of the model as trained, against which the gain is counted; its own when None."""
        loss = self.task.objective.validate(model, self.task.validation).loss
        gained, most = self.loss - loss, self.loss - (loss if trained_loss is None else trained_loss)
        share = gained / most if most > 0 else float(gained >= most)
        now = self.teaches.general_log_probabilities(model, self.general.texts, self.task.max_tokens)
        return Standing(kept(self.before, now), loss, share)

    def suites(self, model: Any) -> dict[str, dict[str, Any]]:
        """What became of each suite's accuracy, see `suite_change`."""
        return {
            name: suite_change(
                self.right[name], self.teaches.right_answers(model, asked, self.task.max_tokens), [each.chance for each in asked]
            )
            for name, asked in self.general.suites.items()
        }

    def _of_base(self, base: Any) -> dict[str, Any]:
        limit = self.task.max_tokens
        return {
            "texts": self.teaches.general_log_probabilities(base, self.general.texts, limit).tolist(),
            "loss": self.task.objective.validate(base, self.task.validation).loss,
            "suites": {name: self.teaches.right_answers(base, asked, limit).tolist() for name, asked in self.general.suites.items()},
        }
