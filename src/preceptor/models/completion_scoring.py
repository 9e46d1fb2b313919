"""Compute log-probabilities of completions, token by token, and of two answers to one prompt, with gradients.

The head runs only at the positions that predict a supervised token: most tokens of a row are its prompt, and the head is the widest layer
(28 % of the multiplications in a model of half a billion weights). Hidden states are captured before it and go through it in chunks, so
that the logits are never in memory all at once. What a family does to its logits afterwards is done here too; a model whose own logits
differ is found by a trial, and then computes them itself.

For two answers to one prompt the prompt is read once where the model allows it. Joined, a row is prompt, first answer and second answer;
each answer attends to the prompt and itself, and counts its positions from the prompt's end, so that it is scored as if it stood alone.
Separate, a row is prompt and one answer. `supports_joined_pairs` finds out by a trial which form a model supports: some families count
positions or attend back in their own way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch.utils.checkpoint import checkpoint

from preceptor.errors import UserError
from preceptor.models.adapters import unwrap_model
from preceptor.models.batching import TokenIds, batches_by_length, pad_sequences, run_with_halving
from preceptor.models.frozen_trunk import ActivationCache, FrozenTrunk
from preceptor.types import FloatArray

BATCH_TOKENS = 2048
_CHUNK_LOGITS = 2**23  # logits at once: 32 MB in float32


@dataclass(frozen=True)
class LMHead:
    """A causal model's last layer, and what its family does to the logits: scaled by `scale`, soft-capped at `cap`.

    exact: whether that gives the model's own logits, see `from_model`. trunk: the frozen layers below everything trained, if there are any,
    with the cached activations of rows.
    """

    layer: Any
    scale: float
    cap: float | None
    exact: bool = True
    trunk: FrozenTrunk | None = None

    @classmethod
    def from_model(cls, model: Any, states: ActivationCache | None = None) -> Self:
        """Return the model's head, compared on a few tokens with the model's own logits.

        states: activations of trunks of the same base cached before. Raises UserError where the logits aren't finite, or depend on later
        tokens.
        """
        config = unwrap_model(model).config.get_text_config()
        scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
        layer = unwrap_model(model).get_output_embeddings()
        head = cls(layer, scale, getattr(config, "final_logit_softcapping", None))
        return cls(layer, scale, head.cap, exact=head._matches_model(model), trunk=FrozenTrunk.from_model(model, states))

    def logits(self, hidden: Any) -> Any:
        """Return the logits (…, vocabulary) of hidden states (…, width)."""
        logits = self.layer(hidden)
        if self.scale != 1.0:
            logits = logits * self.scale
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    def _matches_model(self, model: Any) -> bool:
        ids = torch.arange(5, device=self.layer.weight.device)[None] + 5
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        training = model.training
        model.eval()
        with torch.no_grad():
            logits = model(**given, use_cache=False).logits[0]
            own, dtype = logits.float(), logits.dtype
            if not bool(torch.isfinite(own).all()):
                raise UserError("the model says nothing finite of any token: its weights are broken", "fetch or convert it anew")
            ours = self.logits(_hidden_before_head(model, self, given, torch.ones_like(ids, dtype=torch.bool))).float()
            longer = model(input_ids=torch.cat([ids, ids[:, :2]], dim=1), use_cache=False).logits[0, : ids.shape[1]].float()
            coarse = 1e-3 if dtype == torch.float32 else 0.1
            if not torch.allclose(own, longer, rtol=0, atol=coarse * float(own.abs().max())):
                hint = "take a model that reads from left to right; for an encoder use the recipe classify"
                raise UserError(
                    f"{unwrap_model(model).config.model_type} says other things of a text's beginning once it has read on", hint
                )
        model.train(training)
        return bool(torch.allclose(own, ours, atol=1e-3 * float(own.abs().max()), rtol=1e-3))


def completion_loss(model: Any, head: LMHead, inputs: Mapping[str, Any]) -> Any:
    """Return the weighted sum over a batch's supervised tokens of −log p, a float32 scalar with gradients.

    inputs: `input_ids`, `attention_mask`, `supervised` (rows, tokens) bool, `weights` (rows,).
    """
    _, wanted, weights = find_supervised_positions(inputs)
    return loss_at_positions(model, head, inputs, lambda logits, part: (_cross_entropy(logits, wanted[part]) * weights[part]).sum())


def loss_at_positions(model: Any, head: LMHead, inputs: Mapping[str, Any], loss: Callable[[Any, slice], Any]) -> Any:
    """Return the sum of `loss(logits, part)` over the positions that predict a batch's supervised tokens, a float32 scalar with gradients.

    The logits come in chunks (positions, vocabulary); part: which of the positions these are, in the order of `find_supervised_positions`.
    """
    keep, _, _ = find_supervised_positions(inputs)
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if not head.exact:
        logits = _model_logits(model, head, given, keep)
        return loss(logits, slice(0, len(logits)))
    hidden = _hidden_before_head(model, head, given, keep)
    parameters = [weight for weight in head.layer.parameters() if weight.requires_grad]
    return _ChunkedLoss.apply(hidden, head, loss, *parameters)


def log_probabilities_at_positions(model: Any, head: LMHead, given: Mapping[str, Any], places: tuple[Any, Any], wanted: Any) -> Any:
    """Return log p of the tokens `wanted` (n,), each predicted at its place: (n,) float32 in nats, with gradients.

    given: `input_ids`, `attention_mask` (rows, tokens), and where a row holds several texts `position_ids` and a mask (rows, 1, tokens,
    tokens) of what attends to what. places: rows (n,) and positions (n,). Unlike a sum, the result may go into any loss.
    """
    if not head.exact:
        return -_cross_entropy(_model_logits(model, head, given, places), wanted)
    hidden = _hidden_before_head(model, head, given, places)

    def said(part: Any, tokens: Any) -> Any:
        return -_cross_entropy(head.logits(part), tokens)

    if torch.is_grad_enabled() and not any(weight.requires_grad for weight in head.layer.parameters()):
        found: Any = _PositionScores.apply(hidden, wanted, said, head.layer)
        return found
    chunks = _chunk_slices(len(hidden), head.layer)  # a trained head's gradient depends on the loss: its logits are computed twice
    return torch.cat([checkpoint(said, hidden[part], wanted[part], use_reentrant=False) for part in chunks])


def completion_log_probabilities(
    model: Any,
    tokens: Sequence[TokenIds],
    supervised: Sequence[Any],
    pad_id: int,
    *,
    head: LMHead | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> list[FloatArray]:
    """Return log p of each row's supervised tokens in nats, float64, in the order of the rows; leaves the model in the mode it was in."""

    def read(logits: Any, wanted: Any) -> tuple[Any]:
        return (-_cross_entropy(logits, wanted, torch.float64),)

    found = map_completion_positions(model, tokens, supervised, pad_id, read, head=head, batch_tokens=batch_tokens)
    return [np.asarray(row.numpy(), dtype=np.float64) for (row,) in found]


def map_completion_positions(
    model: Any,
    tokens: Sequence[TokenIds],
    supervised: Sequence[Any],
    pad_id: int,
    read: Callable[[Any, Any], tuple[Any, ...]],
    *,
    head: LMHead | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> list[tuple[Any, ...]]:
    """Apply `read(logits, wanted)` to each row's supervised positions, in the order of the rows; leaves the model in its mode.

    read: from logits (positions, vocabulary) and the tokens that follow (positions,) to tensors (positions, …); called for chunks of
    positions.
    """
    result: list[tuple[Any, ...]] = [()] * len(tokens)
    training = model.training
    model.eval()
    head = head or LMHead.from_model(model)

    def measure(batch: list[int]) -> None:
        inputs = collate_completions([tokens[row] for row in batch], [supervised[row] for row in batch], pad_id)
        found = _read_rows(model, head, {name: each.to(model.device) for name, each in inputs.items()}, read)
        for row, each in zip(batch, found, strict=True):
            result[row] = each

    with torch.inference_mode():
        run_with_halving(batches_by_length([len(ids) for ids in tokens], batch_tokens), measure)
    model.train(training)
    return result


def collate_completions(tokens: Sequence[TokenIds], supervised: Sequence[Any], pad_id: int) -> dict[str, Any]:
    """Build a batch: `input_ids`, `attention_mask`, and `supervised`, False at padding whatever the pad token is."""
    batch = pad_sequences(tokens, pad_id)
    learnt = torch.zeros_like(batch["input_ids"], dtype=torch.bool)
    for row, mask in enumerate(supervised):
        learnt[row, : len(mask)] = torch.as_tensor(mask, dtype=torch.bool)
    return {**batch, "supervised": learnt}


def _read_rows(model: Any, head: LMHead, inputs: Mapping[str, Any], read: Callable[[Any, Any], tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    keep, wanted, _ = find_supervised_positions({**inputs, "weights": torch.ones(len(inputs["input_ids"]), device=model.device)})
    given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    if head.exact:
        hidden = _hidden_before_head(model, head, given, keep)
        parts = [read(head.logits(hidden[part]), wanted[part]) for part in _chunk_slices(len(hidden), head.layer)]
    else:
        parts = [read(_model_logits(model, head, given, keep), wanted)]
    counts = keep.sum(dim=1).tolist()
    return list(zip(*(torch.cat(column).cpu().split(counts) for column in zip(*parts, strict=True)), strict=True))


def find_supervised_positions(inputs: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Return the positions that predict supervised tokens (rows, tokens) bool; those tokens and their rows' weights, (n,)."""
    keep = torch.zeros_like(inputs["supervised"])
    keep[:, :-1] = inputs["supervised"][:, 1:]
    wanted = inputs["input_ids"].roll(-1, dims=1)[keep]
    return keep, wanted, inputs["weights"].float()[:, None].expand(keep.shape)[keep]


def _hidden_before_head(model: Any, head: LMHead, given: Mapping[str, Any], keep: Any) -> Any:
    """Return the hidden states before the head at `keep`, (n, width); the head itself runs at one position only, which is discarded."""
    return _forward_with_hook(model, head, given, lambda hidden: (hidden[keep], hidden[:1, :1]))[0]


def _model_logits(model: Any, head: LMHead, given: Mapping[str, Any], keep: Any) -> Any:
    """Return the model's own logits at `keep`, (n, vocabulary)."""
    return _forward_with_hook(model, head, given, lambda hidden: (None, hidden[keep][None]))[1].logits[0]


def _forward_with_hook(model: Any, head: LMHead, given: Mapping[str, Any], divide: Callable[[Any], tuple[Any, Any]]) -> tuple[Any, Any]:
    caught: list[Any] = []

    def before(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        kept, passed = divide(arguments[0])
        caught.append(kept)
        return (passed, *arguments[1:])

    hook = head.layer.register_forward_pre_hook(before)
    try:
        with head.trunk.replaced_by_cache(given) if head.trunk else nullcontext():
            # Only a 4-d mask is needed: padding comes last, where no token attends.
            read = given if given["attention_mask"].dim() == 4 else {"input_ids": given["input_ids"]}
            output = model(**read, use_cache=False)
    finally:
        hook.remove()
    return caught[0], output


def _chunk_slices(count: int, layer: Any) -> list[slice]:
    size = max(1, _CHUNK_LOGITS // layer.weight.shape[0])
    return [slice(start, start + size) for start in range(0, max(1, count), size)]


def _cross_entropy(logits: Any, wanted: Any, dtype: Any = torch.float32) -> Any:
    return torch.nn.functional.cross_entropy(logits.to(dtype), wanted, reduction="none")


class _ChunkedLoss(torch.autograd.Function):  # type: ignore[misc]
    """Head and loss chunk by chunk, gradients taken at once: nothing is kept for the backward pass, nothing computed twice."""

    @staticmethod
    def forward(ctx: Any, hidden: Any, head: LMHead, loss: Callable[[Any, slice], Any], *parameters: Any) -> Any:
        total, toward_hidden = hidden.new_zeros((), dtype=torch.float32), torch.zeros_like(hidden)
        toward = [torch.zeros_like(parameter) for parameter in parameters]
        for part in _chunk_slices(len(hidden), head.layer):
            with torch.enable_grad():
                piece = hidden[part].detach().requires_grad_()
                of_part = loss(head.logits(piece), part)
            gradients = torch.autograd.grad(of_part, [piece, *parameters])
            total += of_part.detach()
            toward_hidden[part] = gradients[0]
            for sums, gradient in zip(toward, gradients[1:], strict=True):
                sums += gradient
        ctx.save_for_backward(toward_hidden, *toward)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        toward_hidden, *toward = ctx.saved_tensors
        return (toward_hidden * outer[0], None, None, *(gradient * outer[0] for gradient in toward))


class _PositionScores(torch.autograd.Function):  # type: ignore[misc]
    """Scores of positions under a head that isn't trained.

    Each depends on its position's hidden state alone, so that its gradient is known in the forward pass, chunk by chunk, up to a factor.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Any, wanted: Any, said: Callable[[Any, Any], Any], layer: Any) -> Any:
        found, toward = hidden.new_zeros(len(hidden), dtype=torch.float32), torch.zeros_like(hidden)
        for part in _chunk_slices(len(hidden), layer):
            with torch.enable_grad():
                piece = hidden[part].detach().requires_grad_()
                of_part = said(piece, wanted[part])
                total = of_part.sum()
            (toward[part],) = torch.autograd.grad(total, [piece])
            found[part] = of_part.detach()
        ctx.save_for_backward(toward)
        return found

    @staticmethod
    def backward(ctx: Any, *outer: Any) -> Any:
        (toward,) = ctx.saved_tensors
        return ((toward * outer[0][:, None]).to(toward.dtype), None, None, None)


PAIR_SIZE = 2


@dataclass(frozen=True)
class AnswerPair:
    """The tokens of a prompt and of two answers to it. supervised: which tokens of each answer count."""

    prompt: TokenIds
    answers: tuple[TokenIds, TokenIds]
    supervised: tuple[Sequence[bool], Sequence[bool]]

    @property
    def joined_tokens(self) -> list[int]:
        """All tokens as one row."""
        return [*self.prompt, *self.answers[0], *self.answers[1]]

    @property
    def max_length(self) -> int:
        """Tokens of the prompt with the longer answer."""
        return len(self.prompt) + max(map(len, self.answers))

    @property
    def supervised_counts(self) -> tuple[int, int]:
        """Supervised tokens of each answer."""
        return int(np.sum(self.supervised[0])), int(np.sum(self.supervised[1]))


def collate_pairs(forks: Sequence[AnswerPair], pad_id: int, *, joined: bool) -> dict[str, Any]:
    """Build the tensors of these pairs for `pair_log_probabilities`: the model's inputs, and the targets of the supervised tokens.

    places: (2, n), row and position at which each is predicted. wanted: (n,), the tokens. owner: (n,), 2 · pair + answer. Padding comes
    last, where no token attends.
    """
    return _collate_joined(forks, pad_id) if joined else _collate_separate(forks, pad_id)


def pair_log_probabilities(model: Any, head: LMHead, inputs: Mapping[str, Any], forks: int) -> Any:
    """Return the summed log-probability of both answers of each pair in nats, (forks, 2) float32, with gradients. forks: how many pairs."""
    given = {name: inputs[name] for name in ("input_ids", "attention_mask", "position_ids") if name in inputs}
    said = log_probabilities_at_positions(model, head, given, (inputs["places"][0], inputs["places"][1]), inputs["wanted"])
    sums = torch.zeros(PAIR_SIZE * forks, dtype=said.dtype, device=said.device).index_add(0, inputs["owner"], said)
    return sums.reshape(forks, PAIR_SIZE)


def score_pairs(
    model: Any, head: LMHead, forks: Sequence[AnswerPair], pad_id: int, *, joined: bool, batch_tokens: int = BATCH_TOKENS
) -> FloatArray:
    """Return the summed log-probabilities of both answers of any number of pairs, without gradients: (forks, 2) float64 array.

    In evaluation mode; leaves the model in the mode it was in.
    """
    result = np.zeros((len(forks), PAIR_SIZE))
    training = model.training
    model.eval()

    def measure(batch: list[int]) -> None:
        inputs = collate_pairs([forks[row] for row in batch], pad_id, joined=joined)
        result[batch] = (
            pair_log_probabilities(model, head, {name: each.to(model.device) for name, each in inputs.items()}, len(batch)).cpu().numpy()
        )

    lengths = [len(fork.joined_tokens) if joined else PAIR_SIZE * fork.max_length for fork in forks]
    with torch.no_grad():
        run_with_halving(batches_by_length(lengths, batch_tokens), measure)
    model.train(training)
    return result


def supports_joined_pairs(model: Any, head: LMHead, pad_id: int, longest: int) -> bool:
    """Return whether the model scores two pairs the same joined and separate, up to `longest` tokens.

    Not where it has a frozen trunk, which caches separate rows, or attends back over fewer tokens than that.
    """
    window = getattr(unwrap_model(model).config.get_text_config(), "sliding_window", None)
    if head.trunk is not None or (window is not None and window < longest):
        return False
    forks = [
        AnswerPair([5, 6, 7, 8], ([9, 10], [11, 12, 13]), ([True] * 2, [True] * 3)),
        AnswerPair([6, 7], ([8, 9, 10], [7]), ([True] * 3, [True])),
    ]
    apart = score_pairs(model, head, forks, pad_id, joined=False)
    try:
        joined = score_pairs(model, head, forks, pad_id, joined=True)
    except (RuntimeError, TypeError, ValueError):  # it takes no position ids, or no 4-d mask
        return False
    return bool(np.allclose(joined, apart, atol=1e-4, rtol=1e-4))


def _collate_joined(forks: Sequence[AnswerPair], pad_id: int) -> dict[str, Any]:
    inputs = pad_sequences([fork.joined_tokens for fork in forks], pad_id)
    rows, longest = inputs["input_ids"].shape
    part = torch.full((rows, longest), 3)  # prompt 0, answers 1 and 2, padding 3, which attends to the prompt: no row may be empty
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
    return {**read, **_supervised_targets(forks, starts)}


def _collate_separate(forks: Sequence[AnswerPair], pad_id: int) -> dict[str, Any]:
    inputs = pad_sequences([[*fork.prompt, *answer] for fork in forks for answer in fork.answers], pad_id)
    starts = [[(PAIR_SIZE * number + side, len(fork.prompt)) for side in range(PAIR_SIZE)] for number, fork in enumerate(forks)]
    return {**inputs, **_supervised_targets(forks, starts)}


def _supervised_targets(forks: Sequence[AnswerPair], starts: Sequence[Sequence[tuple[int, int]]]) -> dict[str, Any]:
    """Return for each supervised token where it is predicted, the token, and its answer.

    starts: row and position of each answer's start.
    """
    places, wanted, owner = [], [], []
    for number, fork in enumerate(forks):
        for side, (row, start) in enumerate(starts[number]):
            for at, token in enumerate(fork.answers[side]):
                if fork.supervised[side][at]:
                    places.append((row, start + at - 1 if at else len(fork.prompt) - 1))
                    wanted.append(token)
                    owner.append(PAIR_SIZE * number + side)
    return {"places": torch.tensor(places).T.contiguous(), "wanted": torch.tensor(wanted), "owner": torch.tensor(owner)}
