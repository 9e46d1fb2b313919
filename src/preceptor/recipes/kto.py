"""Fine-tune a causal language model on thumbs: single answers that people call good or bad, without pairs."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import RANK, Adapter, refuse_packed
from preceptor.models.causal import check_causal, start_tokenizer
from preceptor.models.template import is_plain
from preceptor.recipes.completing import SHOWN
from preceptor.recipes.examples import longest_row, read_rows
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_writer
from preceptor.recipes.left_out import named, told_reasons
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.preferring.liking import Liking, balanced, figures, in_words, thumb_shown
from preceptor.recipes.preferring.reference import with_reference
from preceptor.recipes.preferring.thumbs import FEWEST, REASONS, Judged, goodness, judged, shares, to_thumbs
from preceptor.recipes.recipe import Run, Split, recipes
from preceptor.recipes.retention import WithoutTexts, retain
from preceptor.recipes.settling import identity, settle
from preceptor.registry import OptionsBase

PATIENCE, EVALUATIONS = 3, 2


class KtoOptions(OptionsBase):
    """What can be tuned about `kto`; the defaults suit a small model, an adapter and some hundred responses or more."""

    good: str | None = Field(None, description="the answers that call a response good, with commas between; none: told by their names")
    adapter: Adapter = Field("lora", description="small matrices beside frozen weights: lora, dora, lora-top (upper third); or none")
    epochs: float = Field(3.0, gt=0, description="passes over the training rows, at most")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    batch_size: int = Field(16, ge=FEWEST, description="rows a step, from which the distance from the base is estimated, 8 at least")
    beta: float = Field(0.1, gt=0, description="how near to the base the model stays")
    desirable: float | None = Field(None, gt=0, description="weight of good responses; none: such that both kinds count about the same")
    undesirable: float | None = Field(None, gt=0, description="weight of bad responses; none: likewise")
    targets: Literal["soft", "hard"] = Field("soft", description="the probability that a response is good, or the more probable word")
    max_tokens: int = Field(1024, ge=4, description="longer rows are left out and counted, never cut")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: WithoutTexts = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("kto", options=KtoOptions)
def train_kto(run: Run, options: KtoOptions) -> Model:
    """Kahneman–Tversky optimisation (Ethayarajh et al. 2024) with the posterior of each response, see `liking`. Supports: answers of a
    choice or rating about one response, conversations, adapters, row weights, resume.

    Assumes: rows with a prompt and one response, and a target that says how good it is. Refuses: a base that isn't a causal model,
    packed weights without a GPU, answers of which none is known to mean good, an empty split or one of fewer than 8 responses, training
    responses that are all called the same, a folder that another process or another run holds. Leaves out, counted by reason: rows
    without a response, those that are too long or can't be rendered.
    """
    check_causal(run.base)
    refuse_packed(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    good = goodness(run.snapshot, options.good)
    with locked(run.folder):
        claim(run.folder, identity(run, "kto", options))
        if (model := finished(run)) is not None:
            return model
        task, objective = prepare(run, options)
        plan = Plan(
            epochs=options.epochs, min_steps=1, batch_size=options.batch_size,
            weight_decay=0.0, patience=PATIENCE, evaluations=EVALUATIONS, seed=run.seed,
        )  # fmt: skip
        plan, measured = settle(task, plan, options.dtype, options.learning_rate)
        trainer, retained = retain(task, plan, options.retention, objective.tokenizer, partial(of_writer, run))
        seen = figures(*objective.rewards(trainer.model, task.validation), task.validation.groups)
        words = [_said(good), *_left_out(task), *in_words(seen)]
        about = {"weights_of": {"desirable": objective.desirable, "undesirable": objective.undesirable}, "beta": objective.beta}
        thumbs = {"thumbs": {"responses": len(task.validation), **{name: each.to_dict() for name, each in seen.items()}}}
        told = replace(task, objective=replace(objective, told=tuple(words)))
        return finish(
            told, trainer, objective.tokenizer, measured={**measured, **retained, **about, **thumbs}, options=options.model_dump()
        )


def preview_kto(run: Run, options: KtoOptions) -> dict[str, Any]:
    """Counts of rows, tokens and learnt tokens of each split, those left out by reason, and the first rows token by token; nothing is
    trained or written."""
    check_causal(run.base)
    refuse_packed(run.base)
    tokenizer = start_tokenizer(run.base)
    limit = longest_row(run, tokenizer, options)
    found = _judged(run, options, tokenizer, limit)
    examples = {split: to_thumbs(each, split, limit, run.seed) for split, each in found.items()}
    left_out = [(split, id_, reason) for split, each in found.items() for id_, reason in each.left_out]
    return {
        "template": "plain: prompt, then completion" if is_plain(tokenizer) else "the tokenizer's own",
        "rows": {split: len(each) for split, each in examples.items()},
        "tokens": {split: sum(each.lengths) for split, each in examples.items()},
        "supervised_tokens": {split: sum(sum(thumb.supervised) for thumb in each.targets) for split, each in examples.items()},
        "longest": {split: max(each.lengths) for split, each in examples.items()},
        "left_out": {split: each.reasons for split, each in found.items()},
        "left_out_rows": named(left_out, REASONS),
        "examples": [thumb_shown(tokenizer, examples["train"], row) for row in range(min(SHOWN, len(examples["train"])))],
        "notes": [_said(goodness(run.snapshot, options.good))],
    }


train_kto.preview = preview_kto


def prepare(run: Run, options: KtoOptions) -> tuple[Task, Liking]:
    """Both splits' rows as tokens with what the base makes of them, and what is taught; UserError for splits that can't be learnt."""
    tokenizer = start_tokenizer(run.base)
    limit = longest_row(run, tokenizer, options)
    found = _judged(run, options, tokenizer, limit)
    train, validation = (to_thumbs(each, split, limit, run.seed) for split, each in found.items())
    desirable, undesirable = balanced(*shares(train))
    objective = Liking(
        run.base, tokenizer, options.adapter, RANK, beta=options.beta,
        desirable=options.desirable or desirable, undesirable=options.undesirable or undesirable,
    )  # fmt: skip
    return with_reference(Task(run, limit, objective, train, validation), objective)


def _judged(run: Run, options: KtoOptions, tokenizer: Any, limit: int) -> dict[str, Judged]:
    good = goodness(run.snapshot, options.good)
    splits: tuple[Split, ...] = ("train", "validation")
    return {split: judged(read_rows(run, split, answers=False), good, tokenizer, limit, options.targets) for split in splits}


def _said(good: dict[str, float]) -> str:
    """Which answers were taken to mean what."""
    told = []
    for share, word in ((1.0, "good"), (0.5, "half good"), (0.0, "bad")):
        if found := [repr(answer) for answer, each in good.items() if each == share]:
            told.append(f"{', '.join(found)} {'means' if len(found) == 1 else 'mean'} {word}")
    return "; ".join(told) + "."


def _left_out(task: Task) -> list[str]:
    count = sum(task.train.left_out.values())
    told = f"{count:,} of {count + len(task.train):,} training rows were left out: {told_reasons(task.train.left_out, REASONS)}."
    return [told] if count else []
