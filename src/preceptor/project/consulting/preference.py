"""`Run.measure`: what a reward model that the run isn't rewarded by says of answers to held-out prompts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Estimate
from preceptor.errors import UserError
from preceptor.project.bases import MODEL, earlier, start_folder
from preceptor.recipes.consulting import Written
from preceptor.statistics import mean

if TYPE_CHECKING:
    from preceptor.project.project import Project


@dataclass(frozen=True)
class PreferenceJudge:
    """A reward model in a folder. weights: their digest."""

    folder: Path
    weights: str

    def __call__(self, written: Sequence[Written]) -> Mapping[str, Estimate]:
        """preference: the mean reward, in log-odds, with an interval over prompts. UserError for an answer that it can't read whole."""
        from preceptor.models.template import turns_of

        if not written:
            raise UserError("the judge was given nothing to judge", "have some validation rows")
        prompts = [turns_of(each.content, "")[:-1] for each in written]
        rewards = self._model.score(prompts, [each.text for each in written])
        return {"preference": mean(rewards, clusters=[each.id for each in written], within=(-math.inf, math.inf))}

    @cached_property
    def _model(self) -> Any:
        from preceptor.models.rewards import RewardModel

        return RewardModel(self.folder)


def preference_judge(project: Project, name: str, options: Mapping[str, Any]) -> PreferenceJudge:
    """A reward model by its id or folder. UserError where it is none, or the run's options name it: it would judge its own pupil."""
    from preceptor.models.rewards import is_reward
    from preceptor.models.saving import weights_digest

    model, folder = earlier(project, name), start_folder(project, name)
    if not is_reward(folder):
        raise UserError(f"{name} is not a reward model", "train one on comparisons: preceptor train reward")
    texts = [str(value) for value in options.values()]
    ids = {found for text in texts for found in re.findall(rf"{MODEL}[0-9a-f]+", text)}
    if any(name in text for text in texts) or (model is not None and any(model.id.startswith(each) for each in ids)):
        raise UserError(
            f"{name} is what the run is rewarded by, and can't be its judge", "train a second reward model, on other comparisons"
        )
    return PreferenceJudge(folder, weights_digest(folder))
