"""Sample rollouts of a policy in training, with the log-probability of each token.

A prompt is read once for all its answers; their keys and values are cached, so that each step reads one token an answer, and answers that
have ended leave the batch. Sampling uses one uniform number for each prompt, answer and position, all from the seed: the same answers come
out whatever else is sampled in the batch, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from preceptor.errors import UserError
from preceptor.generation.kv_cache import CachedModel, PaddedCache, pad_left, supports_padded_cache
from preceptor.models.adapters import unwrap_model
from preceptor.models.batching import TokenIds, run_with_halving
from preceptor.types import FloatArray

BATCH_TOKENS = 8192  # tokens whose keys and values are cached at once, answers at their longest


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled answer.

    tokens: what was sampled, with the token that ends it where `ended`. log_probabilities: of each of them in nats under the policy at the
    sampling temperature (before `top_p` narrows it), (tokens,) float64. text: without special tokens.
    """

    tokens: list[int]
    log_probabilities: FloatArray
    ended: bool
    text: str


def sample_rollouts(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[TokenIds],
    *,
    choices: int = 1,
    max_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int,
    ends: frozenset[int],
) -> list[list[Rollout]]:
    """Sample `choices` answers to each prompt, in the order of the prompts; leave the model in the mode it was in.

    A rollout ends with the first token of `ends`, or after `max_tokens`. temperature: logits are divided by it, above 0; training on these
    log-probabilities must do the same. top_p: sample only from the fewest tokens that have so much of the probability. Raises ValueError
    for an empty prompt, no tokens, no answers or a temperature of 0, and UserError for a model that can't batch rows.
    """
    if not all(prompts) or max_tokens < 1 or choices < 1 or temperature <= 0:
        raise ValueError("a prompt has at least one token, an answer one token, a prompt one answer, and a temperature above 0")
    uniform = torch.rand((len(prompts), choices, max_tokens), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found: list[list[Rollout]] = [[] for _ in prompts]
    body, training = unwrap_model(model), model.training
    if not supports_padded_cache(body):
        message = f"{body.config.model_type} can't draw many answers at once: its layers aren't attention alone"
        raise UserError(message, "take another base for reinforcement, or another recipe (sft, dpo, kto) for this one")
    model.eval()

    def draw(rows: list[int]) -> None:
        batch = _RolloutBatch(body, [prompts[row] for row in rows], uniform[rows], ends, temperature, top_p)
        for row, answers in zip(rows, batch.run(), strict=True):
            found[row] = [Rollout(*answer, tokenizer.decode(answer[0], skip_special_tokens=True)) for answer in answers]

    try:
        with torch.inference_mode():
            run_with_halving(_batch_prompts(prompts, choices, max_tokens), draw)
    finally:
        model.train(training)
    return found


class _RolloutBatch:
    """Prompts whose answers grow together. uniform: (prompts, choices, tokens) numbers in [0, 1), which determine all samples."""

    def __init__(
        self, model: Any, prompts: Sequence[TokenIds], uniform: Any, ends: frozenset[int], temperature: float, top_p: float
    ) -> None:
        self.reader, self.prompts, self.temperature, self.top_p = CachedModel(model), prompts, temperature, top_p
        self.choices, self.device = uniform.shape[1], model.device
        self.uniform = uniform.flatten(0, 1).to(self.device)
        self.ends = torch.tensor(sorted(ends), dtype=torch.long, device=self.device)

    def run(self) -> list[list[tuple[list[int], FloatArray, bool]]]:
        """Return all answers of each prompt: tokens, their log-probabilities, and whether they ended."""
        (rows, most), device = self.uniform.shape, self.device
        tokens = torch.zeros((rows, most), dtype=torch.long, device=device)
        values = torch.zeros((rows, most), dtype=torch.float64, device=device)
        lengths, ended = [most] * rows, [False] * rows
        cache = PaddedCache(self.reader.model.config)
        ids, mask = pad_left(self.prompts, device)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        logits = self.reader.next_logits(cache, ids, mask, positions)
        alive = torch.arange(rows, device=device)
        of = alive // self.choices  # from one row per prompt to one row per answer
        logits, mask, positions = logits[of], mask[of], positions[of, -1:]
        cache.repeat_rows(of.tolist())
        for place in range(most):
            drawn, values[alive, place] = self._sample_tokens(logits, self.uniform[alive, place])
            tokens[alive, place] = drawn
            over = torch.isin(drawn, self.ends)
            for row in alive[over].tolist():
                lengths[row], ended[row] = place + 1, True
            if place + 1 == most or bool(over.all()):
                break
            if bool(over.any()):
                left = (~over).nonzero()[:, 0]
                alive, mask, positions, drawn = alive[left], mask[left], positions[left], drawn[left]
                cache.keep_rows(left.tolist(), cache.width)
            mask, positions = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1), positions + 1
            logits = self.reader.next_logits(cache, drawn[:, None], mask, positions)
        said, found = tokens.tolist(), values.cpu().numpy()
        answers = [(said[row][:length], found[row, :length].copy(), ended[row]) for row, length in enumerate(lengths)]
        return [answers[first : first + self.choices] for first in range(0, rows, self.choices)]

    def _sample_tokens(self, logits: Any, uniform: Any) -> tuple[Any, Any]:
        """Return the next token of each row and its log-probability, (rows,) each. uniform: numbers in [0, 1) for inverse sampling."""
        scores = torch.log_softmax(logits.float() / self.temperature, dim=-1)
        sums = (scores if self.top_p >= 1 else mask_outside_nucleus(scores, self.top_p)).exp().cumsum(dim=-1, dtype=torch.float64)
        at = torch.searchsorted(sums, uniform[:, None] * sums[:, -1:], right=True).clamp(max=sums.shape[1] - 1)
        return at[:, 0], scores.gather(1, at)[:, 0].double()


def mask_outside_nucleus(scores: Any, top_p: float) -> Any:
    """Set log-probabilities (rows, vocabulary) outside the fewest tokens that have `top_p` of the probability to minus infinity."""
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    before = ordered.exp().cumsum(dim=-1) - ordered.exp()  # probability of the more probable tokens; the first is always kept
    return scores.masked_fill((before >= top_p).scatter(1, order, before >= top_p), -torch.inf)


def _batch_prompts(prompts: Sequence[TokenIds], choices: int, max_tokens: int) -> Iterator[list[int]]:
    """Yield prompts of similar length, the longest first, together at most `BATCH_TOKENS` tokens with padding and answers."""
    order = sorted(range(len(prompts)), key=lambda row: (-len(prompts[row]), row))
    start = 0
    while start < len(order):
        size = max(1, BATCH_TOKENS // (choices * (len(prompts[order[start]]) + max_tokens)))
        yield order[start : start + size]
        start += size
