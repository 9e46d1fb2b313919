"""What `dpo` teaches: of two answers to one prompt the better one more, held against what the base makes of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from preceptor.domain.results import FloatArray
from preceptor.models.completion import completion_log_probabilities
from preceptor.models.forked import forked_batch, read_sums, side_sums
from preceptor.models.parity import PROBES, token_digest
from preceptor.recipes.completing import SHOWN, Completing, shown
from preceptor.recipes.examples import Examples
from preceptor.recipes.objective import Validated
from preceptor.recipes.preferring.losses import Loss, cross_entropy, pair_losses
from preceptor.recipes.preferring.rendering import Sides
from preceptor.recipes.preferring.telling import warnings

Normalise = Literal["none", "length"]


@dataclass(frozen=True)
class Preferring(Completing):
    """The preference loss of each pair (see `losses`), from `base`, which is also the reference.

    joined: whether a prompt is read once for both answers, see `models.forked`. normalise: log-ratios as they are, or a token.
    told: what else a reader should know.
    """

    recipe: str = "dpo"
    loss_name: Loss = "soft"
    beta: float = 0.1
    normalise: Normalise = "none"
    joined: bool = False
    told: tuple[str, ...] = ()

    @property
    def rates(self) -> tuple[float, ...]:
        return (1e-6, 5e-6, 2e-5) if self.adapter == "none" else (5e-5, 2e-4, 5e-4)

    @property
    def ladder(self) -> tuple[str, ...]:
        return ("slower", "l2sp")

    def batch(self, examples: Examples, rows: Sequence[int]) -> dict[str, Any]:
        picked = np.asarray(rows, dtype=np.int64)
        sides: list[Sides] = [examples.targets[row] for row in rows]
        columns = {
            "reference": [each.reference for each in sides],
            "counts": [each.fork.counts for each in sides],
            "target": [each.target for each in sides],
            "written": [each.written for each in sides],
            "weights": examples.weights[picked].tolist(),
        }
        return {
            **forked_batch([each.fork for each in sides], self.pad_id, joined=self.joined),
            **{name: torch.tensor(column, dtype=torch.float32) for name, column in columns.items()},
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        sums = side_sums(model, self._head(model), inputs, len(inputs["rows"]))
        margins = self.margins(sums, inputs["reference"], inputs["counts"])
        each = pair_losses(margins, inputs["target"], self.loss_name)
        if bool(inputs["written"].any()):
            each = each - inputs["written"] * sums[:, 0] / inputs["counts"][:, 0]
        return (each * inputs["weights"]).sum()

    def margins(self, sums: Any, reference: Any, counts: Any) -> Any:
        """h of each pair, (pairs,), from summed log-probabilities (pairs, 2), those of the reference, and tokens of both answers."""
        ratios = sums - reference
        if self.normalise == "length":
            ratios = ratios / counts
        return self.beta * (ratios[:, 0] - ratios[:, 1])

    def validate(self, model: Any, examples: Examples) -> Validated:
        """People's cross-entropy of σ(h) whatever the loss, and how often the model prefers what people do; ties have no better side."""
        _, margins, sides = self.read(model, examples)
        losses = cross_entropy(margins, np.array([each.posterior for each in sides]))
        decided = np.array([not each.tie for each in sides])
        right = (margins > 0) + 0.5 * (margins == 0)
        return Validated(losses, examples.mass, {"accuracy": float(np.average(right[decided], weights=examples.weights[decided]))})

    def read(self, model: Any, examples: Examples) -> tuple[FloatArray, FloatArray, Sequence[Sides]]:
        """Summed log-probabilities of both answers (pairs, 2), margins h (pairs,), and the pairs; the model keeps its mode."""
        sides: Sequence[Sides] = examples.targets
        sums = read_sums(model, self._head(model), [each.fork for each in sides], self.pad_id, joined=self.joined)
        reference, counts = np.array([each.reference for each in sides]), np.array([each.fork.counts for each in sides])
        return sums, self.margins(sums, reference, counts), sides

    def watching(self, base: Any, rows: Examples) -> Preferring:
        return self

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        """Rows' best answers, written alone, as parity renders them."""
        best = [(row, id_) for row, id_ in enumerate(examples.ids) if examples.targets[row].best]
        first = list({id_: row for row, id_ in reversed(best)}.values())
        few = examples.take(sorted(first)[:PROBES])
        tokens = [[*each.fork.prompt, *each.fork.answers[0]] for each in few.targets]
        masks = [each.supervised for each in few.targets]
        found = completion_log_probabilities(model, tokens, masks, self.pad_id, head=self._head(model))
        rows = {
            id_: {"tokens": token_digest(ids, mask), "log_probabilities": said.tolist()}
            for id_, ids, mask, said in zip(few.ids, tokens, masks, found, strict=True)
        }
        return {"kind": "causal", "rows": rows}

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        return [*self.told, *warnings(examples)]

    def extra(self, examples: Examples) -> dict[str, Any]:
        """A few pairs as they were trained on, token by token; the model writes texts, whatever places people chose among."""
        first = range(min(SHOWN, len(examples)))
        return {
            "answers": [],
            "rendered": [{"id": examples.ids[row], **both_shown(self.tokenizer, examples.targets[row])} for row in first],
        }


def both_shown(tokenizer: Any, sides: Sides) -> dict[str, Any]:
    """A pair's prompt and chosen answer token by token, and the rejected answer; and how probable it is that the first is better."""
    fork = sides.fork
    chosen, rejected = (
        shown(tokenizer, [*prompt, *answer], [*[False] * len(prompt), *learnt])
        for prompt, answer, learnt in zip((fork.prompt, []), fork.answers, fork.learnt, strict=True)
    )
    return {"tokens": chosen, "rejected": rejected, "probability": round(sides.posterior, 4)}
