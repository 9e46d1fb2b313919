"""Learn from experts who write answers, and then from how they correct the model's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.models.adapters import RANK, Adapter, refuse_packed
from preceptor.models.causal import check_causal
from preceptor.recipes.completing import Completing
from preceptor.recipes.examples import Examples, read_rows
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_writer
from preceptor.recipes.imitating.corrections import Learnt
from preceptor.recipes.imitating.regret import words
from preceptor.recipes.imitating.rounds import Rounds, Wish
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.retention import Retention, retain
from preceptor.recipes.settling import identity, settle
from preceptor.recipes.sft import as_sft, planned, prepare, preview_sft
from preceptor.registry import OptionsBase

ROUNDS = 3


class ImitateOptions(OptionsBase):
    """What can be tuned about `imitate`."""

    rounds: int | None = Field(
        None, ge=0, le=20, description=f"rounds of corrections; 0: behaviour cloning; none: {ROUNDS} where people can be asked, else 0"
    )
    budget: int = Field(50, ge=1, description="answers a round that experts are asked to correct")
    pool: int = Field(400, ge=1, description="prompts a round that the model answers, of which those are chosen")
    samples: int = Field(3, ge=0, le=32, description="further answers to each, by which the model may contradict itself")
    learnt: Learnt = Field("human", description="of a correction: what the expert wrote alone; or the whole answer, what stands with it")
    adapter: Adapter = Field("lora", description="small matrices beside frozen weights: lora, dora, lora-top (upper third); or none")
    rank: int = Field(RANK, ge=1, le=512, description="width of the adapter")
    epochs: float = Field(3.0, gt=0, description="passes over the training rows, at most, in each round from the base on")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    max_tokens: int = Field(1024, ge=4, description="longer rows are left out and counted, never cut")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: Retention = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@dataclass(frozen=True)
class Imitating(Completing):
    """`Completing`, of what experts wrote and corrected."""

    recipe: str = "imitate"
    told: tuple[str, ...] = ()

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        return [*self.told, *super().notes(examples, max_tokens)]


@recipes.register("imitate", options=ImitateOptions)
def train_imitate(run: Run, options: ImitateOptions) -> Model:
    """Behaviour cloning of the answers that experts wrote, then rounds of DAgger, see `Rounds`. Supports: what `sft` supports; a
    question with answers to choose among, whose right one is the correction; answers that come later.

    Raises Waiting, a UserError, where a round's corrections aren't there yet; the same run goes on from there. Refuses: rounds where
    nobody can be asked, and what `sft` refuses.
    """
    check_causal(run.base)
    refuse_packed(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    count = rounds_of(run, options)
    with locked(run.folder):
        claim(run.folder, {**identity(run, "imitate", options), "rounds": count})
        if (model := finished(run)) is not None:
            return model
        sft = as_sft(options)
        prepared = prepare(run, sft)
        teaches = Imitating(run.base, prepared.tokenizer, options.adapter, options.rank)
        task = replace(prepared.task, objective=teaches)
        plan, measured = settle(task, planned(task, sft), options.dtype, options.learning_rate)
        rounds = Rounds(task, plan, prepared.tokenizer, Wish(options.budget, options.pool, options.samples, options.learnt))
        task = rounds.hold(count)
        trainer, retained = retain(task, plan, options.retention, prepared.tokenizer, partial(of_writer, run))
        rounds.close(trainer.model)
        about = {"imitation": {"curve": rounds.curve, "change": rounds.change.to_dict(), "rounds": rounds.told, "learnt": options.learnt}}
        task = replace(task, objective=replace(teaches, told=tuple(words(rounds.curve, rounds.change, rounds.told, count))))
        return finish(task, trainer, prepared.tokenizer, measured={**measured, **retained, **about}, options=options.model_dump())


def preview_imitate(run: Run, options: ImitateOptions) -> dict[str, Any]:
    """What round 0 would train on, and how many corrections would be asked for; nothing is trained, asked or written."""
    count = rounds_of(run, options)
    return {**preview_sft(run, as_sft(options)), "rounds_of_corrections": count, "corrections": count * options.budget}


train_imitate.preview = preview_imitate


def rounds_of(run: Run, options: ImitateOptions) -> int:
    """How many rounds of corrections there will be; UserError where some are asked for and nobody can be asked."""
    if run.ask is None and options.rounds:
        raise UserError(
            f"rounds={options.rounds} needs experts who correct what the model says, and nobody can be asked",
            "preceptor train imitate --ask-people …, or rounds=0: behaviour cloning of the answers that there are",
        )
    return (ROUNDS if run.ask is not None else 0) if options.rounds is None else options.rounds
