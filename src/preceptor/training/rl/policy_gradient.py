"""Train a causal model by policy gradients on rewards: GRPO (Shao et al., 2024) and RLOO (Ahmadian et al., 2024).

Both go from options to the finished model alike, and differ in how rewards become a loss: each answer is compared with the others to the
same prompt. The manifest describes the course in figures, in sentences, and in answers to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from preceptor.models.adapters import refuse_quantized
from preceptor.models.causal_lm import ChatTokenizer, check_causal, prepare_tokenizer
from preceptor.models.chat_template import uses_plain_template
from preceptor.registry import OptionsBase
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.training.examples import TrainingExamples, list_excluded_rows, read_rows
from preceptor.training.forgetting import BaselineCapabilities
from preceptor.training.forgetting import retention_summary_lines as retention_words
from preceptor.training.hyperparameters import resolve_hyperparameters
from preceptor.training.model_manifest import save_trained_model, training_manifest
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.recipe import TrainingRun, recipes
from preceptor.training.rl.composite_reward import RewardPartSpec, RewardSpec, build_reward
from preceptor.training.rl.policy_trainer import PolicyObjective, PolicyTrainer
from preceptor.training.rl.reward_hacking import CONFIDENCE, selection_score
from preceptor.training.rl.reward_hacking import PolicyEvaluation as Seen
from preceptor.training.rl.rollouts import (
    PROMPT_EXCLUSION_REASONS,
    PolicyGradientMethod,
    RolloutTarget,
    build_prompt_examples,
    centered_advantages,
    fill_missing_answers,
    leave_one_out_advantages,
    load_samples,
    standardized_advantages,
    tokenize_prompts,
)
from preceptor.training.run_folder import run_recipe
from preceptor.training.sft import PREVIEW_ROWS, build_completion_examples, mark_supervised_tokens
from preceptor.training.trainer import checkpoint_step, run_trainer
from preceptor.types import Estimate, Model


def policy_manifest(trainer: PolicyTrainer) -> dict[str, Any]:
    """Return the run's course: `reward` on held-out prompts before and now, `looks`, and `samples` of the weights that were kept.

    These weights are the best of all evaluations on these very prompts, so the intervals of their reward hold for all evaluations together.
    """
    looks, step = trainer.monitor.evaluations, selected_step(trainer)
    now = next(look for look in looks if look.step == step)
    groups, chosen = trainer.validation.groups, 1 - (1 - CONFIDENCE) / max(1, len(looks) - 1)
    reward = {
        "base": estimate_mean(looks[0].proxy, clusters=groups).to_dict(),
        "now": estimate_mean(now.proxy, clusters=groups, confidence=chosen).to_dict(),
        "change": compare_paired(now.proxy, looks[0].proxy, clusters=groups, confidence=chosen).to_dict(),
    }
    tally = {"rounds": trainer.tally.rounds, "groups": trainer.tally.groups, "equal": trainer.tally.equal}
    stopped = [trainer.stop.explanation] if trainer.stop else []
    asked = [] if trainer.reward_feedback is None else trainer.reward_feedback.summary_lines()
    return {
        **training_manifest(trainer),
        "best_step": step,
        "reward": reward,
        "looks": trainer.monitor.to_table(),
        "groups": tally,
        "stopped": None if trainer.stop is None else {"sign": trainer.stop.sign, "summary": trainer.stop.explanation},
        "samples": load_samples(trainer.run.folder, step),
        "summary": [*policy_summary_lines(reward, looks, now, tally), *stopped, *trainer.monitor.summary_lines(), *asked],
    }


def selected_step(trainer: PolicyTrainer) -> int:
    """Return the step whose weights the trainer holds."""
    if trainer.stop is None:
        return int(trainer.state.best_global_step)
    return max(checkpoint_step(folder) for folder in trainer.checkpoints.glob("checkpoint-*"))


def policy_summary_lines(reward: Mapping[str, Any], looks: Sequence[Seen], now: Seen, tally: Mapping[str, int]) -> list[str]:
    """Return the rewards and the divergence in plain sentences."""
    base, change = Estimate.from_dict(reward["base"]), Estimate.from_dict(reward["change"])
    clear = "clearly up" if change.low > 0 else "clearly down" if change.high < 0 else "not clearly another"
    told_ = [
        f"The reward on {len(now.proxy):,} held-out prompts is "
        f"{Estimate.from_dict(reward['now'])} after {now.step:,} steps, the base's was "
        f"{base}: {clear}, by {change}. Those weights are kept; as they were chosen by these prompts, the intervals hold for all "
        f"{len(looks) - 1} looks together.",
        f"The policy is {now.kl:.2f} nats an answer from its base, and answers have {now.lengths.mean():.0f} tokens "
        f"({looks[0].lengths.mean():.0f} at first).",
    ]
    if selection_score(now) <= selection_score(looks[0]):
        by = "the reward" if now.measured is None else "the judge of human preference"
        told_.append(f"No look was better than the base by {by}: use the base, or mend what is rewarded.")
    if tally["equal"]:
        told_.append(
            f"In {tally['equal']:,} of {tally['groups']:,} groups all answers earned the same, so that there was nothing to prefer in them."
        )
    return told_


ADAPTER_RANK, EVALUATION_COUNT, MAX_HELD_OUT_PROMPTS = (
    16,
    8,
    128,
)  # width of the adapter; evaluations on held-out prompts in a run; held-out prompts at most
UNLIMITED_PATIENCE = 10**9  # evaluations without a better reward, which is noisy: the monitor ends a run, not patience


class PolicyGradientOptions(OptionsBase):
    """Options that `grpo` and `rloo` share; the defaults suit a small model and some hundred prompts."""

    rewards: RewardSpec = Field(
        (RewardPartSpec(part="exact"),), description="what answers earn: exact, regex:PATTERN, model:ID, policy:FILE, …, each with *WEIGHT"
    )
    num_generations: int = Field(8, ge=2, le=64, description="answers sampled for each prompt, compared with each other")
    max_new_tokens: int = Field(64, ge=1, description="tokens of an answer, at most")
    temperature: float = Field(1.0, gt=0, le=2, description="sampling temperature, also that of the trained policy")
    beta: float = Field(0.02, ge=0, description="coefficient of the KL divergence from the base, in units of reward per nat")
    max_kl: float | None = Field(15.0, gt=0, description="KL divergence per answer, in nats, at which the run stops; none: no limit")
    epochs: float = Field(1.0, gt=0, description="passes over the training prompts")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: 2e-4 for an adapter, 1e-5 for all weights")
    batch_size: int = Field(8, ge=1, description="prompts a step, each with all its answers")
    adapter: Literal["lora", "dora", "none"] = Field("lora", description="low-rank adapter; none: all weights")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: chosen by a short measurement")


def train_policy(run: TrainingRun, options: PolicyGradientOptions, name: str, method: PolicyGradientMethod) -> Model:
    """Train a policy in rounds of answers, rewards and one update each, over the prompts of the train split; the rest as `sft`."""
    check_causal(run.base)
    refuse_quantized(run.base)

    def train() -> Model:
        prepared = prepare_policy(run, options, name, method)
        task, tokenizer = prepared.task, prepared.tokenizer
        rate = options.learning_rate or prepared.objective.learning_rates[0]
        plan, measured = resolve_hyperparameters(
            _placeholder_rollouts(task, options), policy_train_config(run, options), options.dtype, rate
        )
        knowledge = (
            BaselineCapabilities(task, tokenizer, run.general) if run.general and (run.general.texts or run.general.suites) else None
        )
        trainer = run_trainer(lambda: PolicyTrainer(task, plan, "training", max_kl=options.max_kl), task, tokenizer)
        seen = policy_manifest(trainer)
        kept = {} if knowledge is None else {"retention": _retention_manifest(knowledge, trainer.model)}
        return save_trained_model(
            task, trainer, tokenizer, measured={**measured, **kept}, options=options.model_dump(mode="json"), seen=seen
        )

    return run_recipe(run, name, options, train)


def preview_policy(run: TrainingRun, options: PolicyGradientOptions) -> dict[str, Any]:
    """Return which prompts would be used, and which left out, in the form of `preview_completions`; nothing is sampled.

    All tokens of the answers will be supervised.
    """
    check_causal(run.base)
    refuse_quantized(run.base)
    rewards, chat = build_reward(options.rewards, run), ChatTokenizer(run.base)
    splits = {"train": read_rows(run, "train", answers=False), "validation": read_rows(run, "validation", answers=False)}
    found = {split: tokenize_prompts(rows, chat, room=options.max_new_tokens) for split, rows in splits.items()}
    rewards.check([splits[split][number] for split, (tokens, _) in found.items() for number in tokens], options.max_new_tokens)
    reasons = {split: [refused[number] for number in sorted(refused)] for split, (_, refused) in found.items()}
    refusals = [(split, splits[split][number].id, reason) for split, (_, refused) in found.items() for number, reason in refused.items()]
    return {
        "template": "plain: prompt, then completion" if uses_plain_template(chat.tokenizer) else "the tokenizer's own",
        "rows": {split: len(tokens) for split, (tokens, _) in found.items()},
        "tokens": {split: sum(map(len, tokens.values())) for split, (tokens, _) in found.items()},
        "supervised_tokens": dict.fromkeys(splits, 0),
        "answers": round(options.epochs * len(found["train"][0])) * options.num_generations,
        "longest": {split: max(map(len, tokens.values()), default=0) for split, (tokens, _) in found.items()},
        "left_out": {split: {reason: said.count(reason) for reason in sorted(set(said))} for split, said in reasons.items()},
        "left_out_rows": list_excluded_rows(refusals, PROMPT_EXCLUSION_REASONS),
        "examples": [
            {"id": splits["train"][number].id, "tokens": mark_supervised_tokens(chat.tokenizer, ids, [False] * len(ids))}
            for number, ids in list(found["train"][0].items())[:PREVIEW_ROWS]
        ],
    }


@dataclass(frozen=True)
class PreparedPolicy:
    """A run's prompts as tokens, and the objective, before anything is sampled."""

    task: TrainingTask
    tokenizer: Any
    objective: PolicyObjective


def prepare_policy(run: TrainingRun, options: PolicyGradientOptions, name: str, method: PolicyGradientMethod) -> PreparedPolicy:
    """Prepare the prompts and the objective of a run.

    Raises UserError where a reward can't be built, a split is empty, or none of its prompts can be used.
    """
    rewards, tokenizer, chat = build_reward(options.rewards, run), prepare_tokenizer(run.base), ChatTokenizer(run.base)
    rows = {"train": read_rows(run, "train", answers=False), "validation": read_rows(run, "validation", answers=False)}
    train, held = (build_prompt_examples(found, chat, room=options.max_new_tokens, split=split) for split, found in rows.items())
    rewards.check([*train.targets, *held.targets], options.max_new_tokens)
    answered = build_completion_examples(fill_missing_answers(rows["validation"]), tokenizer, max_tokens=chat.limit, split="validation")
    objective = PolicyObjective(
        run.base, tokenizer, options.adapter, ADAPTER_RANK, recipe=name, rewards=rewards, method=method,
        end_tokens=chat.end_tokens | {tokenizer.eos_token_id}, num_generations=options.num_generations,
        max_new_tokens=options.max_new_tokens, temperature=options.temperature, parity_rows=answered,
    )  # fmt: skip
    return PreparedPolicy(
        TrainingTask(run, chat.limit, objective, train, held.sample(MAX_HELD_OUT_PROMPTS, run.seed)), tokenizer, objective
    )


def policy_train_config(run: TrainingRun, options: PolicyGradientOptions) -> TrainConfig:
    """Return the configuration for the prompts; what is resolved by measuring is still open."""
    return TrainConfig(
        epochs=options.epochs, min_steps=1, batch_size=options.batch_size, weight_decay=0.0, patience=UNLIMITED_PATIENCE,
        evals_per_epoch=max(1, round(EVALUATION_COUNT / options.epochs)), seed=run.seed,
    )  # fmt: skip


def _placeholder_rollouts(task: TrainingTask, options: PolicyGradientOptions) -> TrainingTask:
    """Return the task with placeholder answers of the longest kind, by which number formats are timed."""
    prompts, zeros = task.train, np.zeros(options.max_new_tokens)
    tokens = [[*ids, *([ids[-1]] * options.max_new_tokens)] for ids in prompts.tokens]
    targets = [RolloutTarget(np.arange(len(ids)) >= len(ids) - options.max_new_tokens, zeros, zeros, 0.0) for ids in tokens]
    return replace(task, train=TrainingExamples(tokens, targets, prompts.weights, prompts.supervised_counts, prompts.ids, prompts.groups))


def _retention_manifest(knowledge: BaselineCapabilities, model: Any) -> Mapping[str, Any]:
    """Return what was retained of the base's general capabilities; only the divergence in the loss or reward protects them."""
    about: dict[str, Any] = {"asked": "none", "remedy": "none", "alpha": 1.0, "suites": knowledge.suite_changes(model)}
    if knowledge.general.texts:
        standing = knowledge.score(model)
        about |= {"kept": standing.kept.to_dict(), "texts": len(knowledge.base_log_probabilities), "origin": knowledge.general.origin}
    return {**about, "summary": retention_words(about)}


class GRPOOptions(PolicyGradientOptions):
    """Options of the recipe `grpo`."""

    loss_type: Literal["dr_grpo", "grpo"] = Field(
        "dr_grpo",
        description="dr_grpo: all groups and tokens count alike (Liu et al. 2025); grpo: by group's deviation and answer's length",
    )


@recipes.register("grpo", options=GRPOOptions)
def train_grpo(run: TrainingRun, options: GRPOOptions) -> Model:
    """Train by group-relative policy optimisation (Shao et al. 2024) in the form of Liu et al. 2025.

    Advantages are rewards less their group's mean, and KL to the base is part of the loss, by the estimator whose gradient is right (see
    `kl_losses`).

    Supports: prompts, conversations, row weights, adapters, resume, human feedback while it trains. Assumes: a base whose answers to a
    prompt sometimes earn more than at other times. Refuses: what `sft` refuses, rewards that aren't finite or never differ within a group,
    prompts none of which leaves room for an answer. Leaves out, counted by reason: prompts that can't be used.
    """
    return train_policy(run, options, "grpo", grpo_method(options))


def preview_grpo(run: TrainingRun, options: GRPOOptions) -> dict[str, Any]:
    """Return which prompts would be used; nothing is sampled, trained or written."""
    return preview_policy(run, options)


train_grpo.preview = preview_grpo


def grpo_method(options: GRPOOptions) -> PolicyGradientMethod:
    """Return how the options turn rewards into the loss."""
    if options.loss_type == "dr_grpo":
        return PolicyGradientMethod(centered_advantages, in_loss=options.beta, share="longest")
    return PolicyGradientMethod(standardized_advantages, in_loss=options.beta, share="own")


class RLOOOptions(PolicyGradientOptions):
    """Options of the recipe `rloo`."""


@recipes.register("rloo", options=RLOOOptions)
def train_rloo(run: TrainingRun, options: RLOOOptions) -> Model:
    """Train by REINFORCE with the mean of the other answers as baseline (Ahmadian et al. 2024, "Back to Basics").

    Whole answers are rewarded, and KL to the base is subtracted from their reward. Supports, assumes, refuses and leaves out what `grpo`
    does.
    """
    return train_policy(run, options, "rloo", PolicyGradientMethod(leave_one_out_advantages, in_reward=options.beta))


def preview_rloo(run: TrainingRun, options: RLOOOptions) -> dict[str, Any]:
    """Return which prompts would be used; nothing is sampled, trained or written."""
    return preview_policy(run, options)


train_rloo.preview = preview_rloo
