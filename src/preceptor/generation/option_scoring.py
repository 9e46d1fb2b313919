"""Score given continuations under a causal language model, the prompts' shared prefix computed once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import DynamicCache

from preceptor.generation.kv_cache import CachedModel, supports_padded_cache
from preceptor.models.batching import TokenIds, batches_by_length, pad_sequences
from preceptor.models.completion_scoring import completion_log_probabilities
from preceptor.types import FloatArray

BATCH_TOKENS = 1024


def continuation_log_probabilities(
    model: Any, prompts: Sequence[TokenIds], continuations: Sequence[TokenIds], *, batch_tokens: int = BATCH_TOKENS
) -> FloatArray:
    """Return log P(continuation | prompt) in nats, summed over the continuation's tokens: (prompts, continuations) float64.

    The longest prefix that all prompts share goes through the model once; its keys and values serve every batch. The rest of the prompts
    goes through in batches of similar length, and each continuation follows on top. Equal to scoring each prompt with each continuation by
    itself, up to rounding. Raises ValueError for an empty prompt or continuation.
    """
    if not all(prompts) or not all(continuations):
        raise ValueError("a prompt and a continuation have at least one token")
    result = np.zeros((len(prompts), len(continuations)))
    if not prompts:
        return result
    if not supports_padded_cache(model):  # its state after a prefix can't be shared
        return _score_whole(model, prompts, continuations)
    shared = count_shared_prefix(prompts)
    rest = [prompt[shared:] for prompt in prompts]
    with torch.inference_mode():
        reader = CachedModel(model)
        cache = _prefill_shared(reader, prompts[0][:shared])
        for batch in batches_by_length([len(ids) for ids in rest], batch_tokens):
            result[batch] = _score_batch(reader, cache, [rest[row] for row in batch], continuations)
    return result


def _score_whole(model: Any, prompts: Sequence[TokenIds], continuations: Sequence[TokenIds]) -> FloatArray:
    """Score each prompt read with each continuation, without a cache."""
    pairs = [(list(prompt), list(continuation)) for prompt in prompts for continuation in continuations]
    masks = [[False] * len(prompt) + [True] * len(continuation) for prompt, continuation in pairs]
    said = completion_log_probabilities(model, [prompt + continuation for prompt, continuation in pairs], masks, 0)
    return np.array([each.sum() for each in said]).reshape(len(prompts), len(continuations))


def count_shared_prefix(prompts: Sequence[TokenIds]) -> int:
    """Return how many leading tokens all prompts share, leaving each at least one of its own."""
    ordered = sorted(map(list, prompts))  # those that differ soonest stand first and last
    first, last = ordered[0], ordered[-1]
    shortest = min(map(len, prompts)) - 1
    return next((at for at in range(shortest) if first[at] != last[at]), shortest)


def _prefill_shared(reader: CachedModel, ids: TokenIds) -> Any:
    """Return the cache after a prefix, for one row."""
    cache = DynamicCache(config=reader.model.config)
    if ids:
        given = torch.as_tensor([ids], device=reader.model.device)
        reader.next_logits(cache, given, torch.ones_like(given), torch.arange(len(ids), device=given.device)[None])
    return cache


def branch_cache(cache: Any, rows: int = 1) -> Any:
    """Return a cache of `rows` times as many rows that grows independently and shares what the given one holds.

    The layers of a dynamic cache replace tensors by new ones and never write into them.
    """
    twin = copy.copy(cache)
    twin.layers = [copy.copy(layer) for layer in cache.layers]
    if rows > 1 and cache.get_seq_length():
        twin.batch_repeat_interleave(rows)
    return twin


def _score_batch(reader: CachedModel, shared: Any, rest: Sequence[TokenIds], continuations: Sequence[TokenIds]) -> FloatArray:
    """Return the scores of one batch, (rows, continuations)."""
    rows, before = len(rest), shared.get_seq_length()
    inputs = {name: tensor.to(reader.model.device) for name, tensor in pad_sequences(rest, 0).items()}
    mask = torch.cat([inputs["attention_mask"].new_ones(rows, before), inputs["attention_mask"]], dim=1)
    positions = before + torch.arange(inputs["input_ids"].shape[1], device=mask.device).expand(rows, -1)
    lengths = inputs["attention_mask"].sum(dim=1)
    ends, where = torch.unique(lengths - 1, return_inverse=True)  # the head runs at these places only
    cache = branch_cache(shared, rows)
    logits = reader.logits_at(cache, inputs["input_ids"], mask, positions, ends)
    first = _log_softmax(logits)[torch.arange(rows), where]
    scores = torch.stack([first[:, ids[0]] for ids in continuations], dim=1)
    for number, ids in enumerate(continuations):
        if len(ids) > 1:
            scores[:, number] += _score_tail(reader, branch_cache(cache), mask, before + lengths, ids)
    return np.asarray(scores.cpu().numpy(), dtype=np.float64)


def _score_tail(reader: CachedModel, cache: Any, mask: Any, lengths: Any, ids: TokenIds) -> Any:
    """Return the summed log-probability of a continuation's tokens after its first, (rows,)."""
    rows, more = len(lengths), len(ids) - 1
    given = torch.as_tensor(ids[:-1], device=mask.device).expand(rows, -1)
    positions = lengths[:, None] + torch.arange(more, device=mask.device)
    after = _log_softmax(reader.logits_at(cache, given, torch.cat([mask, mask.new_ones(rows, more)], dim=1), positions, 0))
    wanted = torch.as_tensor(ids[1:], device=mask.device).expand(rows, -1)
    return after.gather(-1, wanted[..., None]).sum(dim=(1, 2))


def _log_softmax(logits: Any) -> Any:
    return torch.log_softmax(logits.double(), dim=-1)
