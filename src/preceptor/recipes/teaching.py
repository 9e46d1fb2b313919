"""Following a teacher: the model's distribution over the next token is drawn to another model's, place by place.

What the teacher says is computed once: its 64 most probable tokens at each learnt place, and all others as one. The divergence
over these 65 is a lower bound of the whole one, and nearly all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from preceptor.models.completion import Head, at_places, learnt_places, loss_at_places
from preceptor.models.tokens import TokenIds

TOP = 64


@dataclass(frozen=True)
class Lesson:
    """What a teacher says at the learnt places of one row, and how much of the row's loss follows it (0 to 1).

    tokens: (places, 64) int32. log_probabilities: (places, 65) float32, in nats; the last is that of all other tokens together.
    """

    tokens: Any
    log_probabilities: Any
    share: float = 1.0


def lessons(
    teacher: Any, head: Head, tokens: Sequence[TokenIds], supervised: Sequence[Any], pad_id: int, *, share: float = 1.0
) -> list[Lesson]:
    """What the teacher says of each row. share: how much of the rows' loss is to follow it."""

    def top(logits: Any, _: Any) -> tuple[Any, Any]:
        found = torch.log_softmax(logits.float(), dim=-1)
        best = found.topk(min(TOP, found.shape[-1] - 1), dim=-1)
        return best.indices.to(torch.int32), with_rest(best.values)

    rows = at_places(teacher, tokens, supervised, pad_id, top, head=head)
    return [Lesson(places.numpy(), values.numpy(), share) for places, values in rows]


def with_rest(log_probabilities: Any) -> Any:
    """Log-probabilities (…, k) with that of all else as one more, (…, k + 1)."""
    rest = torch.log1p(-log_probabilities.exp().sum(dim=-1, keepdim=True).clamp(max=1 - 1e-6))
    return torch.cat([log_probabilities, rest], dim=-1)


def batch_of(given: Sequence[Lesson | None]) -> dict[str, Any]:
    """A batch's lessons as tensors over its learnt places, row after row, and the share of each row's loss that follows them."""
    taken = [lesson for lesson in given if lesson is not None]
    if not taken:
        return {}
    return {
        "taught_tokens": torch.as_tensor(np.concatenate([lesson.tokens for lesson in taken]).astype(np.int64)),
        "taught": torch.as_tensor(np.concatenate([lesson.log_probabilities for lesson in taken])),
        "follows": torch.tensor([0.0 if lesson is None else lesson.share for lesson in given]),
    }


def divergence(logits: Any, tokens: Any, taught: Any) -> Any:
    """KL from the teacher's distribution to the model's at each place, (places,) float32 nats, over the teacher's top tokens and the rest.

    logits: (places, vocabulary); tokens (places, k); taught (places, k + 1).
    """
    said = with_rest(torch.log_softmax(logits.float(), dim=-1).gather(-1, tokens))
    return (taught.exp() * (taught - said)).sum(dim=-1)


def mean_divergence(model: Any, head: Head, rows: Any, pad_id: int) -> float:
    """Mean of `divergence` over the learnt places of rows that have lessons, in nats a token."""
    given = [lesson for lesson in rows.lessons if lesson is not None]

    found = []
    for row, lesson in enumerate(given):
        ((logits,),) = at_places(model, [rows.tokens[row]], [rows.targets[row]], pad_id, _logits, head=head)
        found.append(divergence(logits, torch.as_tensor(lesson.tokens.astype(np.int64)), torch.as_tensor(lesson.log_probabilities)))
    return float(torch.cat(found).mean())


def _logits(logits: Any, _: Any) -> tuple[Any]:
    return (logits,)


def taught_loss(model: Any, head: Head, inputs: Mapping[str, Any]) -> Any:
    """As `completion_loss`, of which each row's share follows its teacher: Σ w·((1 − s)·(−log p) + s·KL(teacher‖model))."""
    keep, wanted, weights = learnt_places(inputs)
    shares = inputs["follows"][:, None].expand(keep.shape)[keep]
    place = torch.cumsum(shares > 0, dim=0) - 1  # of each learnt place among those that a teacher spoke of

    def loss(logits: Any, part: slice) -> Any:
        follow, found = shares[part] > 0, torch.nn.functional.cross_entropy(logits.float(), wanted[part], reduction="none")
        found = found * (1 - shares[part])
        if follow.any():
            of = place[part][follow]
            apart = divergence(logits[follow], inputs["taught_tokens"][of], inputs["taught"][of])
            found = found.index_add(0, follow.nonzero()[:, 0], apart * shares[part][follow])
        return (found * weights[part]).sum()

    return loss_at_places(model, head, inputs, loss)
