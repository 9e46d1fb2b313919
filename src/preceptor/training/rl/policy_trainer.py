"""Train a policy on its own rollouts: the objective, and the trainer's loop over rounds.

At each step the policy answers some prompts, the answers are rewarded, and the policy is updated on them once: answers that earn more
become more probable, within the reach of the base. The samples depend on the run's seed and the step alone, so that a run that was killed
resumes to the same weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from preceptor.errors import UserError
from preceptor.formats.durable_files import read_json
from preceptor.generation.rollouts import sample_rollouts
from preceptor.models.adapters import unwrap_model
from preceptor.models.atomic_folder import discard_folder
from preceptor.models.batching import TokenIds
from preceptor.models.causal_lm import prepare_causal, set_stop_tokens
from preceptor.models.completion_scoring import LMHead, collate_completions, loss_at_positions, map_completion_positions
from preceptor.training.examples import TrainingExamples, format_exclusion_reasons
from preceptor.training.objective import TrainConfig, TrainingTask, ValidationResult
from preceptor.training.recipe import HeldOutAnswer, SampledAnswer
from preceptor.training.rl.composite_reward import CompositeReward, RewardScores
from preceptor.training.rl.reward_correction import RewardFeedback
from preceptor.training.rl.reward_hacking import PolicyEvaluation as Seen
from preceptor.training.rl.reward_hacking import RewardHackingMonitor, RewardHackingStop, distinct_bigram_share
from preceptor.training.rl.rollouts import (
    PROMPT_EXCLUSION_REASONS,
    SAMPLES_FOLDER,
    PolicyGradientMethod,
    PolicyRollouts,
    PolicyRound,
    RolloutTarget,
    build_policy_round,
    kl_losses,
    policy_losses,
    save_samples,
)
from preceptor.training.sft import SFTObjective
from preceptor.training.trainer import AdaptiveMicroBatcher, RecipeTrainer, checkpoint_step
from preceptor.types import Estimate, FloatArray

MAX_SAMPLING_GAP = 0.05  # nats a token between the log-probabilities of sampling and of training, at most, in float32
MAX_BFLOAT16_GAP = 0.25  # in bfloat16, whose kernels differ with the shape of a batch


@dataclass(frozen=True)
class PolicyObjective(SFTObjective):
    """Sample answers from the policy, score them by `rewards`, and learn from them by `method`; the base is the reference.

    end_tokens: tokens that end an answer. num_generations: answers to a prompt. max_new_tokens: of an answer, at most. temperature: of
    sampling, and of the policy that is trained. parity_rows: validation rows with answers, with which parity is verified.
    """

    recipe: str = "grpo"
    rewards: CompositeReward = field(default_factory=lambda: CompositeReward({}))
    method: PolicyGradientMethod = field(default_factory=lambda: PolicyGradientMethod(lambda rewards: rewards))
    end_tokens: frozenset[int] = frozenset()
    num_generations: int = 2
    max_new_tokens: int = 1
    temperature: float = 1.0
    parity_rows: TrainingExamples | None = None
    _base: list[tuple[Any, LMHead]] = field(default_factory=list, compare=False, repr=False)

    def sample_rollouts(self, model: Any, prompts: TrainingExamples, *, choices: int, seed: int) -> PolicyRollouts:
        """Sample the model's answers to each prompt, with their rewards and their log-probabilities under the base."""
        drawn = sample_rollouts(
            model, self.tokenizer, prompts.tokens, choices=choices, max_tokens=self.max_new_tokens, temperature=self.temperature,
            seed=seed, ends=self.end_tokens,
        )  # fmt: skip
        samples = [
            SampledAnswer(row.id, row.content, answer.text, answer.ended, row.target)
            for row, group in zip(prompts.targets, drawn, strict=True)
            for answer in group
        ]
        tokens = [[*prompt, *answer.tokens] for prompt, group in zip(prompts.tokens, drawn, strict=True) for answer in group]
        masks = [
            np.arange(len(prompt) + len(answer.tokens)) >= len(prompt)
            for prompt, group in zip(prompts.tokens, drawn, strict=True)
            for answer in group
        ]
        rollouts = [answer for group in drawn for answer in group]
        return PolicyRollouts(prompts, rollouts, self.base_log_probabilities(model, tokens, masks), samples, self.rewards.score(samples))

    def base_log_probabilities(self, model: Any, tokens: Sequence[TokenIds], masks: Sequence[Any]) -> list[FloatArray]:
        """Return the log-probabilities of the marked tokens of each row under the base.

        The base is the model without its adapter where it has one, else a copy of the base itself.
        """
        if model is not unwrap_model(model):
            with model.disable_adapter():
                return self.policy_log_probabilities(model, self._head(model), tokens, masks)
        if not self._base:
            base = prepare_causal(self.base, self.tokenizer).to(model.device).eval()
            self._base.append((base, LMHead.from_model(base)))
        return self.policy_log_probabilities(*self._base[0], tokens, masks)

    def policy_log_probabilities(self, model: Any, head: LMHead, tokens: Sequence[TokenIds], masks: Sequence[Any]) -> list[FloatArray]:
        """Return the log-probabilities at the sampling temperature of the marked tokens of each row, float64."""

        def read(logits: Any, wanted: Any) -> tuple[Any]:
            return (self._log_probability(logits, wanted).double(),)

        return [np.asarray(row.numpy()) for (row,) in map_completion_positions(model, tokens, masks, self.pad_id, read, head=head)]

    def check_sampling_gap(self, model: Any, rows: TrainingExamples, most: float) -> None:
        """Raise UserError unless training computes the probabilities that tokens were sampled with.

        Their ratio is 1 before the first update.
        """
        few = rows.select(range(min(8, len(rows))))
        targets: list[RolloutTarget] = list(few.targets)
        found = self.policy_log_probabilities(model, self._head(model), few.tokens, [each.mask for each in targets])
        gap = float(np.concatenate([np.abs(now - each.sampled_log_probabilities) for now, each in zip(found, targets, strict=True)]).mean())
        if not gap <= most:
            raise UserError(
                f"answers are drawn with other probabilities than training sees: {gap:.2f} nats a token apart, {most} at most",
                "take dtype=float32; if that doesn't help, this base computes otherwise with kept keys and values",
            )

    def batch(self, examples: TrainingExamples, rows: Sequence[int]) -> dict[str, Any]:
        """Return the padded tokens of these rollouts, with the log-probabilities and advantages of their answers' tokens."""
        targets: list[RolloutTarget] = [examples.targets[row] for row in rows]
        places = {
            "drawn": np.concatenate([each.sampled_log_probabilities for each in targets]),
            "base": np.concatenate([each.base_log_probabilities for each in targets]),
            "advantages": np.concatenate([np.full(len(each.sampled_log_probabilities), each.advantage) for each in targets]),
        }
        return {
            **collate_completions([examples.tokens[row] for row in rows], [each.mask for each in targets], self.pad_id),
            **{name: torch.as_tensor(column, dtype=torch.float32) for name, column in places.items()},
            "weights": torch.as_tensor(examples.weights[list(rows)], dtype=torch.float32),
            "rows": torch.as_tensor(np.asarray(rows, dtype=np.int64)),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Return what the batch's answers add to the round's loss, a scalar with gradients."""
        counts = inputs["supervised"].sum(dim=1)
        weights = inputs["weights"].repeat_interleave(counts)
        wanted = inputs["input_ids"][inputs["supervised"]]

        def loss(logits: Any, part: slice) -> Any:
            said, drawn = self._log_probability(logits, wanted[part]), inputs["drawn"][part]
            losses = policy_losses(said, drawn, inputs["advantages"][part])
            if self.method.in_loss:
                losses = losses + self.method.in_loss * kl_losses(said, drawn, inputs["base"][part])
            return (losses * weights[part]).sum()

        return loss_at_positions(model, self._head(model), inputs, loss)

    def validate(self, model: Any, examples: TrainingExamples) -> ValidationResult:
        """Return the negative reward of one answer to each held-out prompt as its loss, with the means of what was measured."""
        found = self.sample_rollouts(model, examples, choices=1, seed=0)
        return ValidationResult(-found.scored.total, np.ones(len(examples)), found.figures())

    @property
    def learning_rates(self) -> tuple[float, ...]:
        return (1e-5,) if self.adapter == "none" else (2e-4,)

    def parity_probes(self, model: Any, examples: TrainingExamples) -> Mapping[str, Any]:
        """Return the probes of `SFTObjective` on `parity_rows`."""
        assert self.parity_rows is not None
        return super().parity_probes(model, self.parity_rows)

    def before_saving(self, model: Any, examples: TrainingExamples) -> None:
        """Set the stop tokens of the model."""
        set_stop_tokens(model, set(self.end_tokens), self.tokenizer)

    def summary_lines(self, examples: TrainingExamples, max_tokens: int) -> list[str]:
        """Return sentences on excluded prompts and on the rewards."""
        left_out = sum(examples.excluded.values())
        told = (
            f"{left_out:,} of {left_out + len(examples):,} training prompts were left "
            f"out: {format_exclusion_reasons(examples.excluded, PROMPT_EXCLUSION_REASONS)}."
        )
        return [*([told] if left_out else []), *self.rewards.summary_lines()]

    def manifest_fields(self, examples: TrainingExamples) -> dict[str, Any]:
        """Return an empty list of answers, since the model generates texts."""
        return {"answers": []}

    def _log_probability(self, logits: Any, wanted: Any) -> Any:
        scores = torch.log_softmax(logits.float() / self.temperature, dim=-1)
        return scores.gather(-1, wanted[:, None])[:, 0]


BACKWARD_TOKENS = 2048  # tokens of a forward and backward pass, at most
MAX_FLAT_ROUNDS = 12  # rounds in a row without a difference of rewards, after which there is nothing left to learn
_SEED_STRIDE = 2**20  # more than a run's steps: seeds of rounds and evaluations never coincide


@dataclass
class RoundTally:
    """Count the rounds so far.

    groups: all groups of answers to a prompt. equal: groups whose answers all earned the same. flat: rounds in a row in which all groups
    were equal.
    """

    rounds: int = 0
    groups: int = 0
    equal: int = 0
    flat: int = 0

    @property
    def informative_groups(self) -> int:
        """Number of groups whose answers earned differently."""
        return self.groups - self.equal

    def add(self, round_: PolicyRound) -> None:
        """Count a round."""
        self.rounds, self.groups, self.equal = self.rounds + 1, self.groups + round_.groups, self.equal + round_.equal_groups
        self.flat = self.flat + 1 if round_.equal_groups == round_.groups else 0


@dataclass
class RecentRollouts:
    """Collect training answers since the last evaluation, about which people may be asked."""

    rollouts: list[PolicyRollouts] = field(default_factory=list)

    def scored(self) -> RewardScores:
        """Return the scores of all collected answers."""
        found = [each.scored for each in self.rollouts]
        parts = {name: np.concatenate([each.by_part[name] for each in found]) for name in found[0].by_part}
        return RewardScores(np.concatenate([each.total for each in found]), parts, np.concatenate([each.disagreement for each in found]))

    def samples(self) -> list[Any]:
        """Return all collected answers."""
        return [sample for each in self.rollouts for sample in each.samples]


class PolicyTrainer(RecipeTrainer):
    """Train a policy; its validation rows are held-out prompts, and its validation is their reward."""

    objective: PolicyObjective

    def __init__(self, task: TrainingTask, plan: TrainConfig, stage: str, *, max_kl: float | None = None) -> None:
        super().__init__(task, plan, stage)
        self.run, self.prompts, self.micro_batcher = task.run, task.train, AdaptiveMicroBatcher(task.run.folder, BACKWARD_TOKENS)
        looks = 2 + plan.steps(len(self.batches)) // self.args.eval_steps
        long = any(name.startswith("length>=") for name in self.objective.rewards.names)
        self.monitor = RewardHackingMonitor(task.run.folder / "looks.json", looks, max_kl, may_lengthen=long)
        self.stop: RewardHackingStop | None = None
        ask, path = task.run.ask, task.run.folder / "in-doubt.json"
        self.reward_feedback = None if ask is None else RewardFeedback(ask, path, task.run.measure)
        self.tally, self.recent_rollouts = RoundTally(), RecentRollouts()

    def get_train_dataloader(self) -> Any:
        """Return the loader of the batches of prompt numbers."""
        loader = DataLoader(self.prompts, batch_sampler=self.batches, collate_fn=lambda rows: {"rows": torch.as_tensor(rows)})
        return self.accelerator.prepare_data_loader(loader)

    def train(self, *arguments: Any, **named: Any) -> Any:
        """Train, after evaluating the base first, or after collecting people's answers where the run resumes."""
        if self.state.global_step == 0:
            self.validate()
        elif self.reward_feedback is not None:
            self.reward_feedback.collect_answers(self.state.global_step)
        return super().train(*arguments, **named)

    def run_step(self, model: Any, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Any:
        """Run a round: sample and reward answers, and take a step on their loss, in pieces."""
        round_ = self._run_round(inputs["rows"].tolist())
        if not len(round_.rows):
            self._step_rows, found = "", torch.zeros((), device=self.args.device)  # no gradient: the weights stay
            self.training_logger.count_step(round_.rows, [], 0.0, self.micro_batcher.token_limit)
            return found
        self.train_rows, self.lengths = round_.rows, round_.rows.lengths
        return super().run_step(model, self.objective.batch(round_.rows, range(len(round_.rows))), num_items_in_batch)

    def compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None) -> Any:
        """Return the loss of the answers, whose weights make it the round's."""
        with self.accelerator.autocast():
            loss = self.objective.loss(model, inputs)
        return (loss, None) if return_outputs else loss

    def validate(self) -> ValidationResult:
        """Evaluate one answer to each held-out prompt, sampled with the same seed every time.

        The monitor observes the evaluation, and may end the training. The weights that are kept are those that the judge of human
        preference scores best, or without one the reward.
        """
        step, held = self.state.global_step, self.validation
        with self.accelerator.autocast():
            seen = self.objective.sample_rollouts(self.model, held, choices=1, seed=self.run.seed * _SEED_STRIDE)
        judged = self._judge_estimate(seen)
        texts = [sample.text for sample in seen.samples]
        self.stop = self.monitor.observe(
            Seen(step, seen.scored.total, seen.lengths, distinct_bigram_share(texts), float(seen.kl.mean()), measured=judged)
        )
        save_samples(self.run.folder, step, seen)
        if self.stop is not None:
            self.control.should_training_stop = True
        elif self.reward_feedback is not None and self.recent_rollouts.rollouts and step < self.state.max_steps:
            self.reward_feedback.submit_queries(step, self.recent_rollouts.samples(), self.recent_rollouts.scored())
        self.recent_rollouts = RecentRollouts()
        worth = seen.scored.total if judged is None else np.full(len(held), judged.value)
        figures = {**seen.figures(), **({} if judged is None else {"judge": judged.value})}
        return ValidationResult(-worth, np.ones(len(held)), figures)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Save a checkpoint unless the monitor has stopped the run, and collect people's answers, which count from here on."""
        if self.stop is not None:
            return
        super()._save_checkpoint(model, trial)
        if self.reward_feedback is not None and self.state.global_step < self.state.max_steps:
            self.reward_feedback.collect_answers(self.state.global_step)

    def save_extra_state(self, checkpoint: Path) -> None:
        """Save the counts of rounds in the checkpoint too."""
        super().save_extra_state(checkpoint)
        (checkpoint / "tally.json").write_text(json.dumps(vars(self.tally)))

    def restore_state(self, checkpoint: Path) -> None:
        """Restore the counts of rounds too."""
        super().restore_state(checkpoint)
        self.tally = RoundTally(**read_json(checkpoint / "tally.json"))

    def load_best_weights(self) -> int:
        """Load the best weights; after a stop by the monitor those that it calls the last good ones."""
        if self.stop is not None:
            kept = sorted(self.checkpoints.glob("checkpoint-*"), key=checkpoint_step)
            good = [folder for folder in kept if checkpoint_step(folder) <= self.stop.last_good]
            if not good:
                raise no_model_kept_error(self.stop, self.run.folder / SAMPLES_FOLDER)
            for folder in kept:
                if folder != good[-1]:
                    discard_folder(folder)
        return super().load_best_weights()

    def _run_round(self, rows: Sequence[int]) -> PolicyRound:
        step, objective = self.state.global_step, self.objective
        with self.accelerator.autocast():
            answers = objective.sample_rollouts(
                self.model, self.prompts.select(rows), choices=objective.num_generations, seed=self.run.seed * _SEED_STRIDE + 1 + step
            )
            round_ = build_policy_round(answers, self._corrected_rewards(answers), objective.method, objective.max_new_tokens)
            if not self.tally.rounds and len(round_.rows):
                objective.check_sampling_gap(self.model, round_.rows, MAX_BFLOAT16_GAP if self.plan.bfloat16 else MAX_SAMPLING_GAP)
        self.tally.add(round_)
        self._check_signal(round_)
        figures = {**answers.figures(), "equal_groups": round_.equal_groups / round_.groups}
        self.training_logger.figures |= figures
        self.training_logger.log.write(step + 1, {"round": figures})
        return round_

    def _corrected_rewards(self, answers: PolicyRollouts) -> FloatArray:
        if self.reward_feedback is None:
            return answers.scored.total
        self.recent_rollouts.rollouts.append(answers)
        return self.reward_feedback.corrected_rewards(answers.samples, answers.scored)

    def _check_signal(self, round_: PolicyRound) -> None:
        """Raise UserError where no round so far had a signal; where earlier ones had, stop after `MAX_FLAT_ROUNDS` in a row without one."""
        if self.tally.flat < min(MAX_FLAT_ROUNDS, self.state.max_steps):
            return
        if not self.tally.informative_groups:
            raise no_signal_error(self.tally, round_)
        self.control.should_training_stop = self.control.should_evaluate = self.control.should_save = True

    def _judge_estimate(self, seen: PolicyRollouts) -> Estimate | None:
        if self.run.measure is None:
            return None
        written = [HeldOutAnswer(sample.id, sample.content, sample.text) for sample in seen.samples]
        return next(iter(self.run.measure(written).values()), None)


def no_model_kept_error(stop: RewardHackingStop, samples: Path) -> UserError:
    """Return the error for a run that the monitor stopped before it was better than its base.

    samples: the folder of its answers.
    """
    mend = "take a smaller learning_rate, a larger beta or a larger max_kl" if stop.sign == "budget" else "mend the reward"
    return UserError(
        f"no look before the guard stopped the run was better than the base, so that no model is kept: {stop.explanation}",
        f"Its answers at each look lie in {samples}: read them, and {mend}.",
    )


def no_signal_error(tally: RoundTally, round_: PolicyRound) -> UserError:
    """Return the error for a reward that never differs between the answers to a prompt."""
    total = round_.answers.scored.total
    same = f"the reward is {total[0]:g} for every answer" if np.ptp(total) == 0 else "all answers to one prompt earn the same"
    return UserError(
        f"{same}: in {tally.rounds:,} rounds of {tally.groups:,} groups there was nothing to learn from",
        "begin with a model that sometimes does it right (sft), raise the temperature or num_generations, or reward steps on the way",
    )
