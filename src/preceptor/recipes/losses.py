"""Losses that take the people's posterior, not a hard label: each is proper, lowest where the model says what people say.

One for each way in which a question's answers relate (see `Snapshot.target_kind`): one of them is right, one of them in an
order, or several at once.
"""

from __future__ import annotations

from typing import Any

import torch


def soft_cross_entropy(logits: Any, targets: Any) -> Any:
    """Cross-entropy of each row in nats, (rows,) float32, against target distributions (rows, answers).

    -sum_k T_k log p_k; its gradient by the logits is p - T. A one-hot target gives the usual loss.
    """
    return -(targets * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1)


def ranked_cross_entropy(logits: Any, targets: Any) -> Any:
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


LOSSES = {"nominal": soft_cross_entropy, "ordinal": ranked_cross_entropy, "multilabel": soft_binary_cross_entropy}
