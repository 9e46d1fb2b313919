"""Two answers to one prompt, each token's log-probability with gradients: the prompt is read once where the model allows it.

Joined, a row is prompt, first answer and second answer; each answer sees the prompt and itself, and counts its positions from
the prompt's end, so that it is told as if it stood alone. Apart, a row is prompt and one answer. Which of both a model may be
given, `joins` finds out by a trial: some families count positions or look back in their own way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from preceptor.domain.results import FloatArray
from preceptor.models.adapters import inner
from preceptor.models.completion import BATCH_TOKENS, Head, log_probabilities_at
from preceptor.models.memory import in_halves
from preceptor.models.tokens import TokenIds, batches_by_length, pad

SIDES = 2


@dataclass(frozen=True)
class Fork:
    """A prompt's tokens and two answers to it; learnt: which tokens of each answer count."""

    prompt: TokenIds
    answers: tuple[TokenIds, TokenIds]
    learnt: tuple[Sequence[bool], Sequence[bool]]

    @property
    def joined(self) -> list[int]:
        """All tokens as one row."""
        return [*self.prompt, *self.answers[0], *self.answers[1]]

    @property
    def longest(self) -> int:
        """Tokens of the prompt with the longer answer."""
        return len(self.prompt) + max(map(len, self.answers))

    @property
    def counts(self) -> tuple[int, int]:
        """Learnt tokens of each answer."""
        return int(np.sum(self.learnt[0])), int(np.sum(self.learnt[1]))


def forked_batch(forks: Sequence[Fork], pad_id: int, *, joined: bool) -> dict[str, Any]:
    """Tensors of these forks for `side_sums`: what the model reads, and `places` (2, n), `wanted` (n,) and `owner` (n,) of learnt tokens.

    owner: 2 · fork + answer. Padding comes last, where no token looks.
    """
    return _joined(forks, pad_id) if joined else _apart(forks, pad_id)


def side_sums(model: Any, head: Head, inputs: Mapping[str, Any], forks: int) -> Any:
    """Summed log-probability of both answers of each fork in nats, (forks, 2) float32, with gradients."""
    given = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
    said = log_probabilities_at(model, head, given, (inputs["places"][0], inputs["places"][1]), inputs["wanted"])
    sums = torch.zeros(SIDES * forks, dtype=said.dtype, device=said.device).index_add(0, inputs["owner"], said)
    return sums.reshape(forks, SIDES)


def read_sums(model: Any, head: Head, forks: Sequence[Fork], pad_id: int, *, joined: bool, batch_tokens: int = BATCH_TOKENS) -> FloatArray:
    """The same of any number of forks without gradients, in evaluation mode: (forks, 2) float64 array; leaves the model in its mode."""
    result = np.zeros((len(forks), SIDES))
    training = model.training
    model.eval()

    def measure(batch: list[int]) -> None:
        inputs = forked_batch([forks[row] for row in batch], pad_id, joined=joined)
        result[batch] = side_sums(model, head, {name: each.to(model.device) for name, each in inputs.items()}, len(batch)).cpu().numpy()

    lengths = [len(fork.joined) if joined else SIDES * fork.longest for fork in forks]
    with torch.no_grad():
        in_halves(batches_by_length(lengths, batch_tokens), measure)
    model.train(training)
    return result


def joins(model: Any, head: Head, pad_id: int, longest: int) -> bool:
    """Whether the model says the same of two forks joined and apart, up to `longest` tokens.

    Not where it has a frozen trunk, which keeps rows that stand apart, or looks back over fewer tokens than that.
    """
    window = getattr(inner(model).config.get_text_config(), "sliding_window", None)
    if head.trunk is not None or (window is not None and window < longest):
        return False
    forks = [
        Fork([5, 6, 7, 8], ([9, 10], [11, 12, 13]), ([True] * 2, [True] * 3)),
        Fork([6, 7], ([8, 9, 10], [7]), ([True] * 3, [True])),
    ]
    apart = read_sums(model, head, forks, pad_id, joined=False)
    try:
        joined = read_sums(model, head, forks, pad_id, joined=True)
    except (RuntimeError, TypeError, ValueError):  # it takes no positions, or no mask of its own
        return False
    return bool(np.allclose(joined, apart, atol=1e-4, rtol=1e-4))


def _joined(forks: Sequence[Fork], pad_id: int) -> dict[str, Any]:
    inputs = pad([fork.joined for fork in forks], pad_id)
    rows, longest = inputs["input_ids"].shape
    part = torch.full((rows, longest), 3)  # prompt 0, answers 1 and 2, padding 3, which sees the prompt so that it sees something
    positions = torch.zeros_like(inputs["input_ids"])
    for row, fork in enumerate(forks):
        start, first, second = len(fork.prompt), *map(len, fork.answers)
        part[row, : start + first + second] = torch.repeat_interleave(torch.arange(3), torch.tensor([start, first, second]))
        positions[row, : start + first] = torch.arange(start + first)
        positions[row, start + first : start + first + second] = torch.arange(start, start + second)
    earlier = torch.ones(longest, longest, dtype=torch.bool).tril()
    sees = earlier & ((part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None]))
    starts = [[(row, len(fork.prompt)), (row, len(fork.prompt) + len(fork.answers[0]))] for row, fork in enumerate(forks)]
    read = {"input_ids": inputs["input_ids"], "attention_mask": sees[:, None], "position_ids": positions}
    return {**read, **_learnt(forks, starts)}


def _apart(forks: Sequence[Fork], pad_id: int) -> dict[str, Any]:
    inputs = pad([[*fork.prompt, *answer] for fork in forks for answer in fork.answers], pad_id)
    starts = [[(SIDES * number + side, len(fork.prompt)) for side in range(SIDES)] for number, fork in enumerate(forks)]
    return {**inputs, **_learnt(forks, starts)}


def _learnt(forks: Sequence[Fork], starts: Sequence[Sequence[tuple[int, int]]]) -> dict[str, Any]:
    """Of each learnt token: from where it is told, itself, and whose it is. starts: row and place at which each answer begins."""
    places, wanted, owner = [], [], []
    for number, fork in enumerate(forks):
        for side, (row, start) in enumerate(starts[number]):
            for at, token in enumerate(fork.answers[side]):
                if fork.learnt[side][at]:
                    places.append((row, start + at - 1 if at else len(fork.prompt) - 1))
                    wanted.append(token)
                    owner.append(SIDES * number + side)
    return {"places": torch.tensor(places).T.contiguous(), "wanted": torch.tensor(wanted), "owner": torch.tensor(owner)}
