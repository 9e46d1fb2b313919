"""Loss functions: proper scores against soft targets, and token distillation from a teacher.

Losses that take the people's posterior, not a hard label: each is proper, lowest where the model says what people say.

One for each way in which a question's answers relate (see `Snapshot.target_kind`): one of them is right, one of them in an
order, or several at once.

Following a teacher: the model's distribution over the next token is drawn to another model's, place by place.

What the teacher says is computed once: its 64 most probable tokens at each learnt place, and all others as one. The divergence
over these 65 is a lower bound of the whole one, and nearly all of it.

How far a student's distribution over the next token is from its teacher's, over the whole vocabulary.

What stands first in a name is what the mean is taken over: `kl_teacher_student` asks the student for all that the teacher might say,
`kl_student_teacher` forgives what the student leaves out and not what it adds. In the literature both are called "forward".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from preceptor.models.batching import TokenIds
from preceptor.models.completion_scoring import LMHead, find_supervised_positions, loss_at_positions, map_completion_positions


def soft_cross_entropy(logits: Any, targets: Any) -> Any:
    """Cross-entropy of each row in nats, (rows,) float32, against target distributions (rows, answers).

    -sum_k T_k log p_k; its gradient by the logits is p - T. A one-hot target gives the usual loss.
    """
    return -(targets * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1)


def ordinal_cross_entropy(logits: Any, targets: Any) -> Any:
    """The same for answers that rise in order: with the ranked probability score added, (rows,) float32.

    sum_k (P(answer <= k) - T(answer <= k))^2 (Epstein 1969), so that being two steps off costs more than one. Both terms are
    proper scores: in their sum, too, the best distribution is the people's.
    """
    rises = torch.softmax(logits.float(), dim=-1).cumsum(dim=-1) - targets.float().cumsum(dim=-1)
    return soft_cross_entropy(logits, targets) + (rises**2).sum(dim=-1)


def soft_binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """Cross-entropy of each row in nats, (rows,) float32, against the probability that each label applies, (rows, labels).

    -sum_k T_k log p_k + (1 - T_k) log(1 - p_k) with p = sigmoid(logits): what the set costs when labels are told one by one.
    """
    logits, targets = logits.float(), targets.float()
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=-1)


CLASSIFICATION_LOSSES = {"nominal": soft_cross_entropy, "ordinal": ordinal_cross_entropy, "multilabel": soft_binary_cross_entropy}

TOP_TOKENS = 64


@dataclass(frozen=True)
class TeacherTopK:
    """What a teacher says at the learnt places of one row, and how much of the row's loss follows it (0 to 1).

    tokens: (places, 64) int32. log_probabilities: (places, 65) float32, in nats; the last is that of all other tokens together.
    """

    tokens: Any
    log_probabilities: Any
    share: float = 1.0


def compute_teacher_topk(
    teacher: Any, head: LMHead, tokens: Sequence[TokenIds], supervised: Sequence[Any], pad_id: int, *, share: float = 1.0
) -> list[TeacherTopK]:
    """What the teacher says of each row. share: how much of the rows' loss is to follow it."""

    def top(logits: Any, _: Any) -> tuple[Any, Any]:
        found = torch.log_softmax(logits.float(), dim=-1)
        best = found.topk(min(TOP_TOKENS, found.shape[-1] - 1), dim=-1)
        return best.indices.to(torch.int32), append_rest_probability(best.values)

    rows = map_completion_positions(teacher, tokens, supervised, pad_id, top, head=head)
    return [TeacherTopK(places.numpy(), values.numpy(), share) for places, values in rows]


def append_rest_probability(log_probabilities: Any) -> Any:
    """Log-probabilities (…, k) with that of all else as one more, (…, k + 1)."""
    rest = torch.log1p(-log_probabilities.exp().sum(dim=-1, keepdim=True).clamp(max=1 - 1e-6))
    return torch.cat([log_probabilities, rest], dim=-1)


def collate_teacher_topk(given: Sequence[TeacherTopK | None]) -> dict[str, Any]:
    """A batch's lessons as tensors over its learnt places, row after row, and the share of each row's loss that follows them."""
    taken = [lesson for lesson in given if lesson is not None]
    if not taken:
        return {}
    return {
        "taught_tokens": torch.as_tensor(np.concatenate([lesson.tokens for lesson in taken]).astype(np.int64)),
        "taught": torch.as_tensor(np.concatenate([lesson.log_probabilities for lesson in taken])),
        "follows": torch.tensor([0.0 if lesson is None else lesson.share for lesson in given]),
    }


def topk_kl(logits: Any, tokens: Any, taught: Any) -> Any:
    """KL from the teacher's distribution to the model's at each place, (places,) float32 nats, over the teacher's top tokens and the rest.

    logits: (places, vocabulary); tokens (places, k); taught (places, k + 1).
    """
    said = append_rest_probability(torch.log_softmax(logits.float(), dim=-1).gather(-1, tokens))
    return (taught.exp() * (taught - said)).sum(dim=-1)


def mean_topk_kl(model: Any, head: LMHead, rows: Any, pad_id: int) -> float:
    """Mean of `topk_kl` over the learnt places of rows that have lessons, in nats a token."""
    given = [lesson for lesson in rows.teacher_topk if lesson is not None]

    found = []
    for row, lesson in enumerate(given):
        ((logits,),) = map_completion_positions(model, [rows.tokens[row]], [rows.targets[row]], pad_id, _keep_logits, head=head)
        found.append(topk_kl(logits, torch.as_tensor(lesson.tokens.astype(np.int64)), torch.as_tensor(lesson.log_probabilities)))
    return float(torch.cat(found).mean())


def _keep_logits(logits: Any, _: Any) -> tuple[Any]:
    return (logits,)


def distillation_loss(model: Any, head: LMHead, inputs: Mapping[str, Any]) -> Any:
    """As `completion_loss`, of which each row's share follows its teacher: Σ w·((1 − s)·(−log p) + s·KL(teacher‖model))."""
    keep, wanted, weights = find_supervised_positions(inputs)
    shares = inputs["follows"][:, None].expand(keep.shape)[keep]
    place = torch.cumsum(shares > 0, dim=0) - 1  # of each learnt place among those that a teacher spoke of

    def loss(logits: Any, part: slice) -> Any:
        follow, found = shares[part] > 0, torch.nn.functional.cross_entropy(logits.float(), wanted[part], reduction="none")
        found = found * (1 - shares[part])
        if follow.any():
            of = place[part][follow]
            apart = topk_kl(logits[follow], inputs["taught_tokens"][of], inputs["taught"][of])
            found = found.index_add(0, follow.nonzero()[:, 0], apart * shares[part][follow])
        return (found * weights[part]).sum()

    return loss_at_positions(model, head, inputs, loss)


def kl_teacher_student(teacher: Any, student: Any) -> Any:
    """KL(P‖Q) of log-probabilities (places, vocabulary) in nats, (places,)."""
    return (teacher.exp() * (teacher - student)).sum(dim=-1)


def kl_student_teacher(teacher: Any, student: Any) -> Any:
    """KL(Q‖P), (places,)."""
    return (student.exp() * (student - teacher)).sum(dim=-1)


def generalized_jsd(teacher: Any, student: Any, beta: float) -> Any:
    """β·KL(P‖M) + (1 − β)·KL(Q‖M) with M = β·P + (1 − β)·Q (Agarwal et al. 2024, equation 1), (places,) in nats.

    Over β it tends to KL(P‖Q) as β falls to 0, and over 1 − β to KL(Q‖P) as β rises to 1; itself it vanishes at both ends, so
    that these are taken instead.
    """
    if beta == 0:
        return kl_teacher_student(teacher, student)
    if beta == 1:
        return kl_student_teacher(teacher, student)
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return beta * kl_teacher_student(teacher, mixture) + (1 - beta) * kl_teacher_student(student, mixture)
