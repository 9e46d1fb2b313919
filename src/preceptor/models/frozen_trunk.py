"""Cache the activations of the frozen layers below the lowest trained one.

Exact where they run without dropout, which they do here: their output depends on the base and the row alone. The layers above get the
cached activations in training, in validation, and in every trial of a sweep over the same base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import torch

from preceptor.models.adapters import get_layers, unwrap_model

CACHE_BYTES = 2 * 2**30  # bytes of activations kept; rows beyond are computed each time


@dataclass
class ActivationCache:
    """The activations of one base's frozen layers for each row, by its tokens: (tokens, width) each, in main memory.

    free_bytes: how many bytes more may be kept.
    """

    free_bytes: int = CACHE_BYTES
    _kept: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False)

    def get(self, key: tuple[Any, ...]) -> Any | None:
        """Return the cached activations of a row, or None."""
        return self._kept.get(key)

    def put(self, key: tuple[Any, ...], states: Any) -> None:
        """Keep a row's activations while there is room."""
        size = states.numel() * states.element_size()
        if key not in self._kept and size <= self.free_bytes:
            self._kept[key], self.free_bytes = states.to("cpu", copy=True), self.free_bytes - size


@dataclass(frozen=True)
class FrozenTrunk:
    """The first `depth` layers of a model, none of which is trained, nor anything before them.

    cache: the activations. wrap_output: turns hidden states into what one of these layers returns.
    """

    model: Any
    layers: Any
    depth: int
    cache: ActivationCache
    wrap_output: Callable[[Any], Any]

    @classmethod
    def from_model(cls, model: Any, states: ActivationCache | None = None) -> Self | None:
        """Return the model's frozen trunk.

        None where there is none, or where a trial on a few tokens finds that caching changes the logits.
        """
        layers = get_layers(unwrap_model(model))
        depth = count_frozen_layers(model, layers)
        if depth == 0:
            return None
        trunk = cls(model, layers, depth, ActivationCache() if states is None else states, _output_wrapper(model, layers[depth - 1]))
        return trunk if trunk._matches_model() else None

    @contextmanager
    def replaced_by_cache(self, given: Mapping[str, Any]) -> Iterator[None]:
        """Have the trunk return the cached activations of these rows (`input_ids`, `attention_mask`) in the block, computing nothing."""
        handed = self._read(given)
        with _replace_forward(self.layers[: self.depth], lambda *_, **__: self.wrap_output(handed)):
            yield

    def _read(self, given: Mapping[str, Any]) -> Any:
        """Return the activations (rows, tokens, width) after the trunk; compute and cache those missing."""
        ids, mask = given["input_ids"], given["attention_mask"]
        keys = [self._key(row, length) for row, length in zip(ids.tolist(), mask.sum(dim=1).tolist(), strict=True)]
        found = {row: states for row, key in enumerate(keys) if (states := self.cache.get(key)) is not None}
        new = [row for row in range(len(keys)) if row not in found]
        if new:
            for row, states in zip(new, self._compute(ids[new]), strict=True):
                found[row] = states[: len(keys[row][-1])]
                self.cache.put(keys[row], found[row])
        handed = torch.zeros(*ids.shape, found[0].shape[-1], dtype=found[0].dtype, device=ids.device)
        for row, states in found.items():
            handed[row, : len(states)] = states
        return handed

    def _key(self, row: list[int], length: int) -> tuple[Any, ...]:
        """Return the cache key of a row: its tokens, and what else its activations depend on: the trunk's depth and number format."""
        kind = self.model.device.type
        return self.depth, torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind), tuple(row[:length])

    def _compute(self, ids: Any) -> Any:
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode(False), torch.no_grad():  # inference tensors can't be used in training
                return _run_until_layer(
                    self.layers[self.depth], lambda: self.model(input_ids=ids.clone())
                )  # padding comes last, where no token attends
        finally:
            self.model.train(training)

    def _matches_model(self) -> bool:
        ids = torch.arange(5, device=self.model.device)[None] + 5
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            own = self.model(**given, use_cache=False).logits
            with self.replaced_by_cache(given):
                ours = self.model(**given, use_cache=False).logits
        self.model.train(training)
        return bool(torch.allclose(own, ours, atol=1e-4 * float(own.abs().max()), rtol=1e-4))


def count_frozen_layers(model: Any, layers: Any) -> int:
    """Return how many of the first layers lie below everything trained."""
    trained = {id(weights) for weights in model.parameters() if weights.requires_grad}
    trained_in = [trained & {id(weights) for weights in layer.parameters()} for layer in layers]
    if not trained or trained - set().union(*trained_in):
        return 0  # nothing is trained, or something outside the layers, which may lie below them
    return next(depth for depth, inside in enumerate(trained_in) if inside)


class _LayerReached(Exception):
    """Raised to stop a model's forward pass at a layer."""


def _run_until_layer(layer: Any, run: Callable[[], Any]) -> Any:
    """Return the hidden states that reach `layer`, which isn't run."""
    came: list[Any] = []

    def stop(_: Any, arguments: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        came.append(arguments[0] if arguments else named["hidden_states"])
        raise _LayerReached

    hook = layer.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        run()
    except _LayerReached:
        pass
    finally:
        hook.remove()
    return came[0]


def _output_wrapper(model: Any, layer: Any) -> Callable[[Any], Any]:
    """Return a function that turns hidden states into what `layer` returns: they alone, or the first of several."""
    seen: list[Any] = []
    hook = layer.register_forward_hook(lambda _, __, output: seen.append(output))
    try:
        with torch.no_grad():
            model(input_ids=torch.full((1, 2), 5, device=model.device), use_cache=False)
    finally:
        hook.remove()
    if isinstance(seen[0], tuple):
        rest = (None,) * (len(seen[0]) - 1)
        return lambda states: (states, *rest)
    return lambda states: states


@contextmanager
def _replace_forward(layers: Any, forward: Callable[..., Any]) -> Iterator[None]:
    """Replace the forward pass of each of these layers by `forward` in the block."""
    for layer in layers:
        layer.forward = forward
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward
