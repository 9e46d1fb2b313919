"""Train a reward model on people's comparisons: one number for an answer, whose differences are log-odds that people like one better."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import Adapter, refuse_packed
from preceptor.models.loading import check_model_folder
from preceptor.models.rewards import REWARD, Reader, scale_head
from preceptor.recipes.examples import longest_row, read_rows
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_encoder
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.preferring.ranked import WORDS, Ranked, preview, probed, ranked
from preceptor.recipes.preferring.ranking import FIRST, Ranking, figures, in_words
from preceptor.recipes.preferring.three_way import NO_TIES, usual_tie
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.retention import WithoutTexts, retain
from preceptor.recipes.settling import identity, settle
from preceptor.registry import OptionsBase

WEIGHT_DECAY = 0.01


class RewardOptions(OptionsBase):
    """What can be tuned about `reward`; the defaults suit a small encoder, or a small model that writes, and some hundred pairs."""

    epochs: float = Field(3.0, gt=0, description="passes over the training pairs, at most")
    min_steps: int = Field(100, ge=1, description="steps even when that is more than `epochs`: few pairs need more passes")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    batch_size: int = Field(16, ge=1, description="pairs a step")
    adapter: Adapter = Field("none", description="none: all weights; lora, dora, lora-top: small matrices beside frozen ones, and the head")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior that one answer is better, or the more probable one alone")
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(512, ge=8, description="longer pairs are left out and counted, never cut")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evaluations: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: WithoutTexts = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("reward", options=RewardOptions)
def train_reward(run: Run, options: RewardOptions) -> Model:
    """Bradley–Terry on posteriors, −p·log σ(Δr) − (1−p)·log σ(−Δr) + 0.01·(r₁ + r₂)², ties by Davidson's third answer; afterwards
    scaled on validation pairs, so that differences are log-odds. Supports: comparisons of two or more responses, corrections of a
    draft, ties, row weights, encoders and decoders, adapters, resume.

    Assumes: rows of a `compare` question, or of a `write` question with a draft. Refuses: a base that isn't a model, packed weights
    without a GPU, an empty train or validation split, one without a pair that it can read, training pairs that are all ties, a folder
    that another process or another run holds. Leaves out, counted by reason: rows without two different answers, too long ones.
    """
    check_model_folder(run.base)
    refuse_packed(run.base)
    read_rows(run, "train", answers=False), read_rows(run, "validation", answers=False)
    with locked(run.folder):
        claim(run.folder, identity(run, REWARD, options))
        if (model := finished(run)) is not None:
            return model
        prepared = prepare(run, options)
        task, reader = prepared.task, prepared.reader
        settled = options.model_dump(include={"epochs", "min_steps", "batch_size", "patience", "evaluations"})
        plan, measured = settle(task, Plan(**settled, weight_decay=WEIGHT_DECAY, seed=run.seed), options.dtype, options.learning_rate)
        trainer, retained = retain(task, plan, options.retention, reader.tokenizer, partial(of_encoder, run))
        return _finish(prepared, trainer, {**measured, **retained}, options)


def preview_reward(run: Run, options: RewardOptions) -> dict[str, Any]:
    """What `train_reward` would read, see `preview`; nothing is trained or written."""
    check_model_folder(run.base)
    refuse_packed(run.base)
    reader = Reader.of(run.base)
    return preview(_splits(run, options, reader, longest_row(run, reader.tokenizer, options)), reader)


train_reward.preview = preview_reward


@dataclass(frozen=True)
class Prepared:
    """A run's pairs as tokens, before anything is trained."""

    task: Task
    reader: Reader
    validation: Ranked


def prepare(run: Run, options: RewardOptions) -> Prepared:
    """Read both splits as training does; UserError when none of a split's rows can be compared."""
    reader = Reader.of(run.base)
    limit = longest_row(run, reader.tokenizer, options)
    reader.tokenizer.model_max_length = limit  # a later reader refuses what training left out
    splits = _splits(run, options, reader, limit)
    train, validation = splits["train"].examples, splits["validation"].examples
    objective = Ranking(
        run.base, (REWARD,), reader.tokenizer, options.adapter,
        tie=usual_tie(train.targets[:, FIRST:], train.weights),
        probes_of=probed(read_rows(run, "validation", answers=False), reader, limit),
    )  # fmt: skip
    return Prepared(Task(run, limit, objective, train, validation), reader, splits["validation"])


def _splits(run: Run, options: RewardOptions, reader: Reader, limit: int) -> dict[str, Ranked]:
    rows = {
        "train": read_rows(run, "train", rows=options.rows, answers=False),
        "validation": read_rows(run, "validation", answers=False),
    }
    return {split: ranked(found, reader, max_tokens=limit, targets=options.targets, split=split) for split, found in rows.items()}


def _finish(prepared: Prepared, trainer: Any, measured: dict[str, Any], options: RewardOptions) -> Model:
    """Scale the rewards to log-odds, and say what validation pairs find of them."""
    task = prepared.task
    ranking: Ranking = task.objective  # type: ignore[assignment]
    scale, tie = ranking.calibrated(trainer.model, task.validation)
    scale_head(trainer.model, scale)
    found = figures(ranking, trainer.model, task.validation, prepared.validation.lengths)
    words = (f"Rewards were multiplied by {scale:.3g}, so that their differences are log-odds on validation pairs.", *in_words(found))
    if task.train.left_out:
        words += (f"{sum(task.train.left_out.values()):,} training rows were left out: {told_reasons(task.train.left_out, WORDS)}.",)
    about = {
        "calibration": {"scale": scale, **({"tie_log_odds": tie} if tie > NO_TIES else {})},
        "preference": {"pairs": len(task.validation), **{name: each.to_dict() for name, each in found.items()}},
    }
    told_task = replace(task, objective=replace(ranking, told=words))
    return finish(told_task, trainer, prepared.reader.tokenizer, measured={**measured, **about}, options=options.model_dump())
