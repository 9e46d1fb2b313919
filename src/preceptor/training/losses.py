"""Loss functions: proper scores against soft targets, and token distillation from a teacher.

`CLASSIFICATION_LOSSES` take people's posterior, not a hard label: each is a proper score, lowest where the model predicts that posterior.
There is one for each way in which a question's answers relate (see `Snapshot.target_kind`): one of them is right, one of them in an order,
or several at once.

In top-k distillation the teacher's distribution is computed once: its 64 most probable tokens at each supervised position, and all others
as one. The divergence over these 65 is a lower bound of the full one, and nearly all of it.

Of the divergences over the whole vocabulary, the expectation is over what stands first in the name: `kl_teacher_student` requires of the
student all that the teacher might predict, `kl_student_teacher` forgives what the student leaves out and not what it adds. In the
literature both are called "forward".
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
    """Return the cross-entropy of each row in nats, (rows,) float32, against target distributions (rows, answers).

    -sum_k T_k log p_k; its gradient by the logits is p - T. A one-hot target gives the usual loss.
    """
    return -(targets * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1)


def ordinal_cross_entropy(logits: Any, targets: Any) -> Any:
    """Return the cross-entropy of each row plus the ranked probability score, (rows,) float32, for ordered answers.

    The score is sum_k (P(answer <= k) - T(answer <= k))^2 (Epstein 1969), so that being two steps off costs more than one. Both terms are
    proper scores: in their sum, too, the best distribution is people's.
    """
    rises = torch.softmax(logits.float(), dim=-1).cumsum(dim=-1) - targets.float().cumsum(dim=-1)
    return soft_cross_entropy(logits, targets) + (rises**2).sum(dim=-1)


def soft_binary_cross_entropy(logits: Any, targets: Any) -> Any:
    """Return the cross-entropy of each row in nats, (rows,) float32, against the probability that each label applies, (rows, labels).

    -sum_k T_k log p_k + (1 - T_k) log(1 - p_k) with p = sigmoid(logits): the cost of the set when labels are encoded one by one.
    """
    logits, targets = logits.float(), targets.float()
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(dim=-1)


CLASSIFICATION_LOSSES = {"nominal": soft_cross_entropy, "ordinal": ordinal_cross_entropy, "multilabel": soft_binary_cross_entropy}

TOP_TOKENS = 64


@dataclass(frozen=True)
class TeacherTopK:
    """A teacher's predictions at the supervised positions of one row.

    tokens: (positions, 64) int32. log_probabilities: (positions, 65) float32, in nats; the last is that of all other tokens together.
    share: how much of the row's loss is distilled, 0 to 1.
    """

    tokens: Any
    log_probabilities: Any
    share: float = 1.0


def compute_teacher_topk(
    teacher: Any, head: LMHead, tokens: Sequence[TokenIds], supervised: Sequence[Any], pad_id: int, *, share: float = 1.0
) -> list[TeacherTopK]:
    """Return the teacher's predictions of each row.

    share: how much of the rows' loss is distilled.
    """

    def top(logits: Any, _: Any) -> tuple[Any, Any]:
        found = torch.log_softmax(logits.float(), dim=-1)
        best = found.topk(min(TOP_TOKENS, found.shape[-1] - 1), dim=-1)
        return best.indices.to(torch.int32), append_rest_probability(best.values)

    rows = map_completion_positions(teacher, tokens, supervised, pad_id, top, head=head)
    return [TeacherTopK(places.numpy(), values.numpy(), share) for places, values in rows]


def append_rest_probability(log_probabilities: Any) -> Any:
    """Return log-probabilities (…, k) with that of all other outcomes appended, (…, k + 1)."""
    rest = torch.log1p(-log_probabilities.exp().sum(dim=-1, keepdim=True).clamp(max=1 - 1e-6))
    return torch.cat([log_probabilities, rest], dim=-1)


def collate_teacher_topk(given: Sequence[TeacherTopK | None]) -> dict[str, Any]:
    """Return a batch's teacher predictions over its supervised positions, row after row, and the distilled share of each row's loss."""
    taken = [lesson for lesson in given if lesson is not None]
    if not taken:
        return {}
    return {
        "taught_tokens": torch.as_tensor(np.concatenate([lesson.tokens for lesson in taken]).astype(np.int64)),
        "taught": torch.as_tensor(np.concatenate([lesson.log_probabilities for lesson in taken])),
        "follows": torch.tensor([0.0 if lesson is None else lesson.share for lesson in given]),
    }


def topk_kl(logits: Any, tokens: Any, taught: Any) -> Any:
    """Return the KL from the teacher's distribution to the model's at each position, (positions,) float32 nats.

    It is over the teacher's top tokens and the rest. logits: (positions, vocabulary); tokens (positions, k); taught (positions, k + 1).
    """
    said = append_rest_probability(torch.log_softmax(logits.float(), dim=-1).gather(-1, tokens))
    return (taught.exp() * (taught - said)).sum(dim=-1)


def mean_topk_kl(model: Any, head: LMHead, rows: Any, pad_id: int) -> float:
    """Return the mean of `topk_kl` over the supervised positions of rows that have teacher predictions, in nats a token."""
    given = [lesson for lesson in rows.teacher_topk if lesson is not None]

    found = []
    for row, lesson in enumerate(given):
        ((logits,),) = map_completion_positions(model, [rows.tokens[row]], [rows.targets[row]], pad_id, _keep_logits, head=head)
        found.append(topk_kl(logits, torch.as_tensor(lesson.tokens.astype(np.int64)), torch.as_tensor(lesson.log_probabilities)))
    return float(torch.cat(found).mean())


def _keep_logits(logits: Any, _: Any) -> tuple[Any]:
    return (logits,)


def distillation_loss(model: Any, head: LMHead, inputs: Mapping[str, Any]) -> Any:
    """Return the `completion_loss` with each row's share distilled from its teacher: Σ w·((1 − s)·(−log p) + s·KL(teacher‖model))."""
    keep, wanted, weights = find_supervised_positions(inputs)
    shares = inputs["follows"][:, None].expand(keep.shape)[keep]
    place = torch.cumsum(shares > 0, dim=0) - 1  # index of each supervised position among those with teacher predictions

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
    """Return KL(P‖Q) of log-probabilities (positions, vocabulary) in nats, (positions,)."""
    return (teacher.exp() * (teacher - student)).sum(dim=-1)


def kl_student_teacher(teacher: Any, student: Any) -> Any:
    """Return KL(Q‖P) of log-probabilities (positions, vocabulary) in nats, (positions,)."""
    return (student.exp() * (student - teacher)).sum(dim=-1)


def generalized_jsd(teacher: Any, student: Any, beta: float) -> Any:
    """Return the generalized Jensen-Shannon divergence, (positions,) in nats (Agarwal et al. 2024, equation 1).

    β·KL(P‖M) + (1 − β)·KL(Q‖M) with M = β·P + (1 − β)·Q. Divided by β it tends to KL(P‖Q) as β falls to 0, and divided by 1 − β to KL(Q‖P)
    as β rises to 1; it vanishes itself at both ends, where these are returned instead.
    """
    if beta == 0:
        return kl_teacher_student(teacher, student)
    if beta == 1:
        return kl_student_teacher(teacher, student)
    mixture = torch.logaddexp(teacher + math.log(beta), student + math.log1p(-beta))
    return beta * kl_teacher_student(teacher, mixture) + (1 - beta) * kl_teacher_student(student, mixture)
