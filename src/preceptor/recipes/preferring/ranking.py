"""What `reward` teaches: a number for each answer, such that the better of two has the larger one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from preceptor.domain.results import Estimate, FloatArray
from preceptor.models.adapters import attach
from preceptor.models.rewards import REWARD, score_tokens, start_reward
from preceptor.models.tokens import pad
from preceptor.recipes.classifying import Classifying
from preceptor.recipes.examples import Examples
from preceptor.recipes.objective import Validated
from preceptor.recipes.preferring.telling import CHOSE
from preceptor.recipes.preferring.three_way import NO_TIES, centring, fit_scale, three_way_loss
from preceptor.statistics import preference_estimates

SPLIT, FIRST, TIE, SECOND = range(4)  # columns of a row's targets: where its second answer's tokens begin, and three probabilities


@dataclass(frozen=True)
class Ranking(Classifying):
    """Three-way loss of a pair's two rewards; a row is a pair, the tokens of its second side after those of the first.

    tie: log ν of the loss. probes_of: tokens of every answer to a few validation rows. told: what the manifest's words say at the end.
    """

    recipe: str = "reward"
    tie: float = NO_TIES
    probes_of: Mapping[str, Sequence[Sequence[int]]] = field(default_factory=dict)
    told: tuple[str, ...] = ()

    def start(self) -> Any:
        return attach(start_reward(self.base, self.tokenizer), self.adapter)

    def batch(self, examples: Examples, rows: Sequence[int]) -> dict[str, Any]:
        picked = np.asarray(rows, dtype=np.int64)
        first, second = _sides(examples.take(rows))
        return {
            **pad([*first, *second], self.pad_id),
            "targets": torch.as_tensor(examples.targets[picked][:, FIRST:], dtype=torch.float32),
            "weights": torch.as_tensor(examples.weights[picked], dtype=torch.float32),
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        scores = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, 0].float()
        first, second = scores.chunk(2)
        each = three_way_loss(first - second, inputs["targets"], self.tie) + centring(first, second)
        return (each * inputs["weights"]).sum()

    def validate(self, model: Any, examples: Examples) -> Validated:
        """With the share of pairs whose better side has the larger reward, those without a better side left out."""
        margins = self.margins(model, examples)
        losses = three_way_loss(torch.as_tensor(margins), torch.as_tensor(examples.targets[:, FIRST:]), self.tie).double().numpy()
        lead = examples.targets[:, FIRST] - examples.targets[:, SECOND]
        right = (np.sign(margins) == np.sign(lead))[lead != 0]
        return Validated(losses, examples.weights, {"accuracy": float(right.mean())} if len(right) else {})

    def margins(self, model: Any, examples: Examples) -> FloatArray:
        """Reward of each pair's first answer less the second's, (n,)."""
        first, second = _sides(examples)
        scores = score_tokens(model, [*first, *second], self.tokenizer)
        return scores[: len(first)] - scores[len(first) :]

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        rows = {id_: score_tokens(model, tokens, self.tokenizer).tolist() for id_, tokens in self.probes_of.items()}
        return {"kind": REWARD, "rows": rows}

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        return list(self.told)

    def calibrated(self, model: Any, examples: Examples) -> tuple[float, float]:
        """The factor of the rewards at which their differences are log-odds, and log ν there, by pairs that weren't trained on."""
        return fit_scale(self.margins(model, examples), examples.targets[:, FIRST:], examples.weights, self.tie)


def _sides(examples: Examples) -> tuple[list[Sequence[int]], list[Sequence[int]]]:
    splits = examples.targets[:, SPLIT].astype(int).tolist()
    pairs = list(zip(examples.tokens, splits, strict=True))
    return [tokens[:split] for tokens, split in pairs], [tokens[split:] for tokens, split in pairs]


def figures(ranking: Ranking, model: Any, examples: Examples, lengths: FloatArray) -> dict[str, Estimate]:
    """What held-out pairs say of the model, see `preference_estimates`. lengths: characters of both answers, (n, 2)."""
    chance = examples.targets[:, FIRST] + examples.targets[:, TIE] / 2
    return preference_estimates(ranking.margins(model, examples), chance, lengths, examples.groups)


def in_words(found: Mapping[str, Estimate]) -> tuple[str, ...]:
    """The figures in plain sentences."""
    said = []
    if "accuracy" in found:
        said.append(f"On validation pairs it takes the side that people more likely took in {found['accuracy'].as_share()}. {CHOSE}")
    if "longer_wins" in found:
        said.append(f"People took the longer answer in {found['longer_wins'].as_share()}: that is what going by length alone would reach.")
    if "accuracy_shorter_won" in found:
        said.append(f"Where people took the shorter answer, it does in {found['accuracy_shorter_won'].as_share()}.")
    if "length_correlation" in found:
        said.append(f"Its margins and the differences of length have a correlation of {found['length_correlation']}.")
    return tuple(said)
