"""What `kto` teaches: answers that people call good more than the base has them, others less, each by itself.

Kahneman–Tversky optimisation (Ethayarajh et al. 2024). Of each row r = log π − log π_ref of its answer, summed over tokens. What a
gain or a loss is counted from is z₀, the mean of r over answers to other prompts, at least 0, an estimate of KL(π‖π_ref), which has
no gradient. With the probability t that people call the answer good,

    loss = t·λ_D·(1 − σ(β(r − z₀))) + (1 − t)·λ_U·(1 − σ(β(z₀ − r)))

The paper's loss is that for t of 1 or 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from preceptor.domain.results import Estimate, FloatArray
from preceptor.models.completion import completion_log_probabilities, learnt_places, log_probabilities_at, padded
from preceptor.models.forked import read_sums
from preceptor.models.parity import PROBES, token_digest
from preceptor.recipes.completing import SHOWN, shown
from preceptor.recipes.examples import Examples
from preceptor.recipes.objective import Validated
from preceptor.recipes.preferring.objective import Preferring
from preceptor.recipes.preferring.telling import CHOSE
from preceptor.recipes.preferring.thumbs import FEWEST, Thumb
from preceptor.statistics import bootstrap, mean

MOST = 4 / 3  # λ_D·n_D may be so many times λ_U·n_U, and no less than that: the paper's interval


def thumb_losses(rewards: Any, chances: Any, level: Any, *, beta: float, desirable: float, undesirable: float) -> Any:
    """Loss of each row, (n,), from r and t (n,) and z₀."""
    good, bad = torch.sigmoid(beta * (rewards - level)), torch.sigmoid(beta * (level - rewards))
    return chances * desirable * (1 - good) + (1 - chances) * undesirable * (1 - bad)


def balanced(good: float, bad: float) -> tuple[float, float]:
    """λ_D and λ_U, the larger of them 1 or more and the other 1, such that λ_D·good / (λ_U·bad) lies between 1 and 4/3."""
    ratio = good / bad
    if ratio < 1:
        return 1 / ratio, 1.0
    return 1.0, max(1.0, ratio / MOST)


@dataclass(frozen=True)
class Liking(Preferring):
    """The loss above, from `base`, which is also the reference. desirable, undesirable: λ_D, λ_U."""

    recipe: str = "kto"
    desirable: float = 1.0
    undesirable: float = 1.0
    compares_rows: bool = True  # z₀ is of the whole batch

    def batch(self, examples: Examples, rows: Sequence[int]) -> dict[str, Any]:
        """The rows, and answers to other prompts: of these rows, and of more where they are fewer than `FEWEST`."""
        picked = np.asarray(rows, dtype=np.int64)
        own: list[Thumb] = [examples.targets[row] for row in rows]
        taken = set(rows)
        more = [row for row in range(min(len(examples), len(taken) + FEWEST)) if row not in taken][: max(0, FEWEST - len(rows))]
        others = [*own, *(examples.targets[row] for row in more)]
        other = _padded([_side(thumb, 1) for thumb in others], self.pad_id)
        columns = {
            "chances": [thumb.chance for thumb in own],
            "reference": [thumb.reference[0] for thumb in own],
            "other_reference": [thumb.reference[1] for thumb in others],
            "weights": examples.weights[picked].tolist(),
        }
        return {
            **_padded([_side(thumb, 0) for thumb in own], self.pad_id),
            **{f"other_{name}": each for name, each in other.items()},
            **{name: torch.tensor(column, dtype=torch.float32) for name, column in columns.items()},
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        rewards = self._sums(model, inputs) - inputs["reference"]
        others = {name.removeprefix("other_"): each for name, each in inputs.items() if name.startswith("other_")}
        with torch.no_grad():
            level = (self._sums(model, others) - others["reference"]).mean().clamp(min=0)
        return (self._losses(rewards, inputs["chances"], level) * inputs["weights"]).sum()

    def validate(self, model: Any, examples: Examples) -> Validated:
        """With the share of answers on the right side of z₀, which all rows give together."""
        rewards, level, chances = self.rewards(model, examples)
        losses = self._losses(torch.as_tensor(rewards), torch.as_tensor(chances), torch.tensor(level)).double().numpy()
        right = np.sign(rewards - level) == np.sign(chances - 0.5)
        decided = chances != 0.5
        figures = {"accuracy": float(np.average(right[decided], weights=examples.weights[decided]))} if decided.any() else {}
        return Validated(losses, examples.mass, {**figures, "reference_point": level})

    def rewards(self, model: Any, examples: Examples) -> tuple[FloatArray, float, FloatArray]:
        """r of each row (n,), z₀ of all, and t (n,); the model keeps its mode."""
        thumbs: Sequence[Thumb] = examples.targets
        sums = read_sums(model, self._head(model), [each.fork for each in thumbs], self.pad_id, joined=self.joined)
        ratios = sums - np.array([each.reference for each in thumbs])
        return ratios[:, 0], max(0.0, float(ratios[:, 1].mean())), np.array([each.chance for each in thumbs])

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        few = examples.take(range(min(PROBES, len(examples))))
        masks = [thumb.supervised for thumb in few.targets]
        found = completion_log_probabilities(model, few.tokens, masks, self.pad_id, head=self._head(model))
        rows = {
            id_: {"tokens": token_digest(ids, mask), "log_probabilities": said.tolist()}
            for id_, ids, mask, said in zip(few.ids, few.tokens, masks, found, strict=True)
        }
        return {"kind": "causal", "rows": rows}

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        return list(self.told)

    def extra(self, examples: Examples) -> dict[str, Any]:
        """A few rows as they were trained on, token by token; the model writes texts, whatever people answered."""
        return {"answers": [], "rendered": [thumb_shown(self.tokenizer, examples, row) for row in range(min(SHOWN, len(examples)))]}

    def _losses(self, rewards: Any, chances: Any, level: Any) -> Any:
        return thumb_losses(rewards, chances, level, beta=self.beta, desirable=self.desirable, undesirable=self.undesirable)

    def _sums(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        """Summed log-probability of each row's learnt tokens, (rows,), with gradients."""
        keep, wanted, _ = learnt_places({**inputs, "weights": inputs["reference"]})
        given = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        places = keep.nonzero(as_tuple=True)
        said = log_probabilities_at(model, self._head(model), given, places, wanted)
        return torch.zeros(len(keep), dtype=said.dtype, device=said.device).index_add(0, places[0], said)


def thumb_shown(tokenizer: Any, examples: Examples, row: int) -> dict[str, Any]:
    """A row token by token, and how probably its answer is good."""
    thumb: Thumb = examples.targets[row]
    tokens = shown(tokenizer, examples.tokens[row], thumb.supervised)
    return {"id": examples.ids[row], "tokens": tokens, "probability": round(thumb.chance, 4)}


def figures(rewards: FloatArray, level: float, chances: FloatArray, groups: Sequence[str]) -> dict[str, Estimate]:
    """What rows that weren't trained on say of a model. accuracy: answers on the right side of z₀; separation: how often a good one's r
    is larger than a bad one's (the area under the ROC curve), 0.5 of a model that learnt nothing; change_good, change_bad: mean r."""
    codes, found = np.asarray(groups), dict[str, Estimate]()
    decided = chances != 0.5
    right = 0.5 + 0.5 * np.sign(rewards - level) * np.sign(chances - 0.5)
    if decided.any():
        found["accuracy"] = mean(right[decided], clusters=codes[decided])
    good, bad = np.flatnonzero(chances > 0.5), np.flatnonzero(chances < 0.5)
    for name, rows in (("change_good", good), ("change_bad", bad)):
        if len(rows):
            found[name] = mean(rewards[rows], clusters=codes[rows], within=(-np.inf, np.inf))
    if len(good) and len(bad) and len(set(groups)) > 1:
        above = 0.5 + 0.5 * np.sign(rewards[good][:, None] - rewards[bad])

        def separation(weights: FloatArray) -> FloatArray:
            goods, bads = weights[..., good], weights[..., bad]
            both = goods.sum(axis=-1) * bads.sum(axis=-1)
            return np.where(both > 0, ((goods @ above) * bads).sum(axis=-1) / np.where(both > 0, both, 1), 0.5)

        found["separation"] = bootstrap(separation, clusters=codes, within=(0.0, 1.0))
    return found


def in_words(found: Mapping[str, Estimate]) -> list[str]:
    """The same in sentences."""
    if "separation" not in found:
        return []
    each = found["separation"]
    told = f"Of a good and a bad validation response the good one gained more in {each.as_share()}."
    return [told, "That may be chance: more responses, or more judgments on each, would tell." if each.low <= 0.5 else CHOSE]


def _side(thumb: Thumb, side: int) -> tuple[list[int], list[bool]]:
    """Tokens of the prompt with one of both answers, and which of them count."""
    prompt = thumb.fork.prompt
    return [*prompt, *thumb.fork.answers[side]], [*[False] * len(prompt), *thumb.fork.learnt[side]]


def _padded(rows: Sequence[tuple[list[int], list[bool]]], pad_id: int) -> dict[str, Any]:
    return padded([tokens for tokens, _ in rows], [mask for _, mask in rows], pad_id)
