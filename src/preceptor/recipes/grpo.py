"""Reinforce a causal model by rewards of its own answers, each held against the others to the same prompt (GRPO)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.reinforcing.advantages import centred, standardised
from preceptor.recipes.reinforcing.rounds import Method
from preceptor.recipes.reinforcing.running import ReinforceOptions, preview, reinforce


class GrpoOptions(ReinforceOptions):
    """What can be tuned about `grpo`."""

    form: Literal["dr", "original"] = Field(
        "dr", description="dr: all groups and tokens count alike (Liu et al. 2025); original: by group's deviation and answer's length"
    )


@recipes.register("grpo", options=GrpoOptions)
def train_grpo(run: Run, options: GrpoOptions) -> Model:
    """Group-relative policy optimisation (Shao et al. 2024) in the form of Liu et al. 2025: advantages are rewards less their
    group's mean, and KL to the base stands in the loss, by the estimator whose gradient is right (see `losses`).

    Supports: prompts, conversations, row weights, adapters, resume, people asked while it trains. Assumes: a base that sometimes
    earns more than at other times. Refuses: what `sft` refuses, rewards that aren't finite or never differ within a group, prompts
    none of which leaves room for an answer. Leaves out, counted by reason: prompts that can't be asked.
    """
    return reinforce(run, options, "grpo", method(options))


def preview_grpo(run: Run, options: GrpoOptions) -> dict[str, Any]:
    """What would be asked; nothing is drawn, trained or written."""
    return preview(run, options)


train_grpo.preview = preview_grpo


def method(options: GrpoOptions) -> Method:
    """How rewards become the loss."""
    if options.form == "dr":
        return Method(centred, in_loss=options.beta, share="longest")
    return Method(standardised, in_loss=options.beta, share="own")
