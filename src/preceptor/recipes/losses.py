"""Losses that take the people's posterior, not a hard label."""

from __future__ import annotations

from typing import Any

import torch


def soft_cross_entropy(logits: Any, targets: Any) -> Any:
    """Cross-entropy of each row in nats, (rows,) float32, against target distributions (rows, answers).

    -sum_k T_k log p_k; its gradient by the logits is p - T. A one-hot target gives the usual loss.
    """
    return -(targets * torch.log_softmax(logits.float(), dim=-1)).sum(dim=-1)
