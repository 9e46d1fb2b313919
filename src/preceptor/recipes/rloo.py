"""Reinforce a causal model by rewards of its own answers, each held against the mean of the others (RLOO)."""

from __future__ import annotations

from typing import Any

from preceptor.domain import Model
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.reinforcing.advantages import leave_one_out
from preceptor.recipes.reinforcing.rounds import Method
from preceptor.recipes.reinforcing.running import ReinforceOptions, preview, reinforce


class RlooOptions(ReinforceOptions):
    """What can be tuned about `rloo`."""


@recipes.register("rloo", options=RlooOptions)
def train_rloo(run: Run, options: RlooOptions) -> Model:
    """REINFORCE with the mean of the other answers as baseline (Ahmadian et al. 2024, "Back to Basics"): whole answers are what is
    rewarded, and KL to the base is taken off their reward. Supports, assumes, refuses and leaves out what `grpo` does.
    """
    return reinforce(run, options, "rloo", Method(leave_one_out, in_reward=options.beta))


def preview_rloo(run: Run, options: RlooOptions) -> dict[str, Any]:
    """What would be asked; nothing is drawn, trained or written."""
    return preview(run, options)


train_rloo.preview = preview_rloo
