"""What reinforcement teaches: more of those answers of the policy's own that earn more, not far from its base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.adapters import inner
from preceptor.models.causal import start_causal, stop_at
from preceptor.models.completion import Head, at_places, loss_at_places, padded
from preceptor.models.rollouts import sample
from preceptor.models.tokens import TokenIds
from preceptor.recipes.completing import Completing
from preceptor.recipes.examples import Examples
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.objective import Validated
from preceptor.recipes.reinforcing.losses import divergence_losses, policy_losses
from preceptor.recipes.reinforcing.prompts import REASONS
from preceptor.recipes.reinforcing.rounds import Answers, Drawn, Method
from preceptor.recipes.rewarding.rewards import Rewards
from preceptor.recipes.rewarding.sampled import Sampled

GAP = 0.05  # nats a token between what was drawn and what training makes of it, at most, in float32
COARSE = 0.25  # in bfloat16, whose kernels differ with the shape of a batch


@dataclass(frozen=True)
class Reinforcing(Completing):
    """Answers to prompts are drawn from the policy, scored by `rewards`, and learnt as `method` says; the base is the reference.

    ends: tokens that end an answer. held: validation rows with answers, by which parity is proved.
    """

    recipe: str = "grpo"
    rewards: Rewards = field(default_factory=lambda: Rewards({}))
    method: Method = field(default_factory=lambda: Method(lambda rewards: rewards))
    ends: frozenset[int] = frozenset()
    choices: int = 2
    max_new_tokens: int = 1
    temperature: float = 1.0
    held: Examples | None = None
    _base: list[tuple[Any, Head]] = field(default_factory=list, compare=False, repr=False)

    def answers(self, model: Any, prompts: Examples, *, choices: int, seed: int) -> Answers:
        """Answers of the model as it is now to each prompt, what they earn, and how probable they are to the base."""
        drawn = sample(
            model, self.tokenizer, prompts.tokens, choices=choices, max_tokens=self.max_new_tokens, temperature=self.temperature,
            seed=seed, ends=self.ends,
        )  # fmt: skip
        samples = [
            Sampled(row.id, row.content, answer.text, answer.ended, row.target)
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
        return Answers(prompts, rollouts, self.said_by_base(model, tokens, masks), samples, self.rewards.look(samples))

    def said_by_base(self, model: Any, tokens: Sequence[TokenIds], masks: Sequence[Any]) -> list[FloatArray]:
        """Log-probabilities of the marked tokens of each row under the base: the model without its adapter, or the base itself."""
        if model is not inner(model):
            with model.disable_adapter():
                return self.said(model, self._head(model), tokens, masks)
        if not self._base:
            base = start_causal(self.base, self.tokenizer).to(model.device).eval()
            self._base.append((base, Head.of(base)))
        return self.said(*self._base[0], tokens, masks)

    def said(self, model: Any, head: Head, tokens: Sequence[TokenIds], masks: Sequence[Any]) -> list[FloatArray]:
        """Log-probabilities at the sampling temperature of the marked tokens of each row, float64."""

        def read(logits: Any, wanted: Any) -> tuple[Any]:
            return (self._log_probability(logits, wanted).double(),)

        return [np.asarray(row.numpy()) for (row,) in at_places(model, tokens, masks, self.pad_id, read, head=head)]

    def check_drawn(self, model: Any, rows: Examples, most: float) -> None:
        """UserError unless training makes of drawn tokens what they were drawn with: their ratio is 1 before the first update."""
        few = rows.take(range(min(8, len(rows))))
        targets: list[Drawn] = list(few.targets)
        found = self.said(model, self._head(model), few.tokens, [each.mask for each in targets])
        gap = float(np.concatenate([np.abs(now - each.drawn) for now, each in zip(found, targets, strict=True)]).mean())
        if not gap <= most:
            raise UserError(
                f"answers are drawn with other probabilities than training sees: {gap:.2f} nats a token apart, {most} at most",
                "take dtype=float32; if that doesn't help, this base computes otherwise with kept keys and values",
            )

    def batch(self, examples: Examples, rows: Sequence[int]) -> dict[str, Any]:
        targets: list[Drawn] = [examples.targets[row] for row in rows]
        places = {
            "drawn": np.concatenate([each.drawn for each in targets]),
            "base": np.concatenate([each.base for each in targets]),
            "advantages": np.concatenate([np.full(len(each.drawn), each.advantage) for each in targets]),
        }
        return {
            **padded([examples.tokens[row] for row in rows], [each.mask for each in targets], self.pad_id),
            **{name: torch.as_tensor(column, dtype=torch.float32) for name, column in places.items()},
            "weights": torch.as_tensor(examples.weights[list(rows)], dtype=torch.float32),
            "rows": torch.as_tensor(np.asarray(rows, dtype=np.int64)),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """What the batch's answers add to the round's loss, a scalar with gradients."""
        counts = inputs["supervised"].sum(dim=1)
        weights = inputs["weights"].repeat_interleave(counts)
        wanted = inputs["input_ids"][inputs["supervised"]]

        def loss(logits: Any, part: slice) -> Any:
            said, drawn = self._log_probability(logits, wanted[part]), inputs["drawn"][part]
            losses = policy_losses(said, drawn, inputs["advantages"][part])
            if self.method.in_loss:
                losses = losses + self.method.in_loss * divergence_losses(said, drawn, inputs["base"][part])
            return (losses * weights[part]).sum()

        return loss_at_places(model, self._head(model), inputs, loss)

    def validate(self, model: Any, examples: Examples) -> Validated:
        """What an answer to each held-out prompt loses, its reward taken negative, with the means of what was seen."""
        found = self.answers(model, examples, choices=1, seed=0)
        return Validated(-found.scored.total, np.ones(len(examples)), found.figures())

    @property
    def rates(self) -> tuple[float, ...]:
        return (1e-5,) if self.adapter == "none" else (2e-4,)

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        assert self.held is not None
        return super().probes(model, self.held)

    def before_saving(self, model: Any, examples: Examples) -> None:
        stop_at(model, set(self.ends), self.tokenizer)

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        left_out = sum(examples.left_out.values())
        told = f"{left_out:,} of {left_out + len(examples):,} training prompts were left out: {told_reasons(examples.left_out, REASONS)}."
        return [*([told] if left_out else []), *self.rewards.words()]

    def extra(self, examples: Examples) -> dict[str, Any]:
        return {"answers": []}

    def _log_probability(self, logits: Any, wanted: Any) -> Any:
        scores = torch.log_softmax(logits.float() / self.temperature, dim=-1)
        return scores.gather(-1, wanted[:, None])[:, 0]
