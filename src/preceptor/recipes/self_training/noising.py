"""What the student must do without: part of its tokens, beside the dropout that any training has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from preceptor.recipes.classifying import Classifying
from preceptor.recipes.examples import Examples


@dataclass(frozen=True)
class Noisy(Classifying):
    """`Classifying` of texts in which each token is hidden with probability `noise` while it trains; the teacher saw them whole.

    A student that sees as much as its teacher learns the teacher's mistakes with the rest; one that sees less must find other
    signs of the same answer (Xie et al. 2020). told: what the manifest says of how it came about.
    """

    noise: float = 0.0
    told: tuple[str, ...] = ()
    recipe: str = "self_train"

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        if not self.noise:
            return super().loss(model, inputs)
        return super().loss(model, {**inputs, "attention_mask": hidden(inputs["attention_mask"], self.noise)})

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        return [*self.told, *super().notes(examples, max_tokens)]


def hidden(attention_mask: Any, share: float) -> Any:
    """The mask (rows, tokens), padded on the right, with each token's attention taken away with probability `share`.

    First and last token of a row stay: they mark its ends, and at the last one a decoder's answer is read. By torch's generator,
    like dropout, so that a run that goes on draws what it would have drawn.
    """
    last = attention_mask.sum(dim=1, keepdim=True) - 1
    place = torch.arange(attention_mask.shape[1], device=attention_mask.device)[None, :]
    inside = (place > 0) & (place < last)
    gone = inside & (torch.rand(attention_mask.shape, device=attention_mask.device) < share)
    return attention_mask * (~gone).to(attention_mask.dtype)
