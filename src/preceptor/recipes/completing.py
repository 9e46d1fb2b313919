"""What `sft` teaches: completions, token by token, and nothing of their prompts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from preceptor.domain.general import Choice
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models.adapters import Adapter, attach, inner
from preceptor.models.causal import start_causal, stop_at
from preceptor.models.completion import Head, completion_log_probabilities, completion_loss, padded
from preceptor.models.knowledge import MEASURED, readable_texts, right_choices, text_log_probabilities
from preceptor.models.parity import PROBES, token_digest
from preceptor.models.template import REASONS, Rendered, Unfit, render, turns_of
from preceptor.models.trunk import States
from preceptor.recipes.examples import Examples, masked, top_answer
from preceptor.recipes.left_out import told_reasons
from preceptor.recipes.objective import Validated
from preceptor.recipes.recipe import Row
from preceptor.recipes.teaching import batch_of, lessons, mean_divergence, taught_loss

WATCHED = 32  # validation rows on which the divergence from the base is told
SHOWN = 3  # rows that the manifest shows token by token


@dataclass(frozen=True)
class Completing:
    """Cross-entropy of a causal model on the tokens of completions, from `base`."""

    base: Path
    tokenizer: Any
    adapter: Adapter
    rank: int
    recipe: str = "sft"
    watched: Examples | None = None
    _heads: dict[int, Head] = field(default_factory=dict, compare=False, repr=False)
    _states: States = field(default_factory=States, compare=False, repr=False)

    @property
    def rates(self) -> tuple[float, ...]:
        return (1e-5, 2e-5, 5e-5) if self.adapter == "none" else (1e-4, 2e-4, 5e-4)

    def start(self) -> Any:
        return attach(start_causal(self.base, self.tokenizer), self.adapter, self.rank)

    def batch(self, examples: Examples, rows: Sequence[int]) -> dict[str, Any]:
        picked = np.asarray(rows, dtype=np.int64)
        return {
            **padded([examples.tokens[row] for row in rows], [examples.targets[row] for row in rows], self.tokenizer.pad_token_id),
            "weights": torch.as_tensor(examples.weights[picked], dtype=torch.float32),
            "rows": torch.as_tensor(picked),
            **(batch_of([examples.lessons[row] for row in rows]) if examples.lessons else {}),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        return (taught_loss if "taught" in inputs else completion_loss)(model, self._head(model), inputs)

    def validate(self, model: Any, examples: Examples) -> Validated:
        """With the divergence from the base on a few rows where they are watched: forgetting follows it (Shenfeld et al. 2025)."""
        found = self._log_probabilities(model, examples)
        figures = {} if self.watched is None else {"kl_to_base": mean_divergence(model, self._head(model), self.watched, self.pad_id)}
        return Validated(np.array([-float(row.mean()) for row in found]), examples.mass, figures)

    @property
    def ladder(self) -> tuple[str, ...]:
        return ("slower", "replay", "kl", "distil")

    def general_log_probabilities(self, model: Any, texts: Mapping[str, Any], max_tokens: int) -> FloatArray:
        found = readable_texts(self.tokenizer, texts, max_tokens=min(MEASURED, max_tokens))
        return text_log_probabilities(model, self.tokenizer, list(found.values()))

    def right_answers(self, model: Any, questions: Sequence[Choice], max_tokens: int) -> FloatArray:
        return right_choices(model, self.tokenizer, questions, max_tokens=max_tokens)

    def following(self, teacher: Any, rows: Examples, share: float) -> Examples:
        return replace(rows, lessons=lessons(teacher, Head.of(teacher), rows.tokens, rows.targets, self.pad_id, share=share))

    def watching(self, base: Any, rows: Examples) -> Completing:
        return replace(self, watched=self.following(base, rows.take(range(min(WATCHED, len(rows)))), 1.0))

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        first = list({id_: row for row, id_ in reversed(list(enumerate(examples.ids)))}.values())  # a row's most probable answer
        few = examples.take(sorted(first)[:PROBES])
        found = self._log_probabilities(model, few)
        rows = {
            id_: {"tokens": token_digest(tokens, mask), "log_probabilities": said.tolist()}
            for id_, tokens, mask, said in zip(few.ids, few.tokens, few.targets, found, strict=True)
        }
        return {"kind": "causal", "rows": rows}

    def before_saving(self, model: Any, examples: Examples) -> None:
        """Served, it stops where training taught it to."""
        stop_at(model, {int(tokens[-1]) for tokens in examples.tokens}, self.tokenizer)

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        """How many answers the rows have, where more than one; which were left out, and why."""
        told, rows, left_out = [], len(set(examples.ids)), sum(examples.left_out.values())
        if rows < len(examples):
            told.append(f"{len(examples):,} answers of {rows:,} training rows were learnt, each weighed by its probability.")
        if left_out:
            read = rows + left_out
            told.append(f"{left_out:,} of {read:,} training rows were left out: {told_reasons(examples.left_out, REASONS)}.")
        return told

    def extra(self, examples: Examples) -> dict[str, Any]:
        """A few rows as they were trained on, token by token."""
        first = range(min(SHOWN, len(examples)))
        return {
            "rendered": [
                {"id": examples.ids[row], "tokens": shown(self.tokenizer, examples.tokens[row], examples.targets[row])} for row in first
            ]
        }

    def _log_probabilities(self, model: Any, examples: Examples) -> Any:
        return completion_log_probabilities(model, examples.tokens, examples.targets, self.tokenizer.pad_token_id, head=self._head(model))

    def _head(self, model: Any) -> Head:
        """The model's head, found once for each model; a model that is gone may have left its number to another."""
        found = self._heads.get(id(model))
        if found is None or found.layer is not inner(model).get_output_embeddings():
            self._heads.clear()
            found = self._heads[id(model)] = Head.of(model, self._states)
        return found


def rendered(rows: Sequence[Row], tokenizer: Any, max_tokens: int) -> tuple[list[tuple[Row, Rendered]], list[tuple[Row, str]]]:
    """The rows that can be trained on, as tokens, and those that can't, each with its reason (a key of REASONS)."""
    fit: list[tuple[Row, Rendered]] = []
    unfit: list[tuple[Row, str]] = []
    for row in rows:
        try:
            if row.weight <= 0:
                raise Unfit("weight")
            fit.append((row, render(tokenizer, turns_of(row.content, top_answer(row)), max_tokens)))
        except Unfit as refused:
            unfit.append((row, refused.reason))
    return fit, unfit


def to_completions(rows: Sequence[Row], tokenizer: Any, *, max_tokens: int, split: str) -> Examples:
    """Tokenise rows once and mark what is learnt; UserError, with the counts by reason, when no row can be trained on."""
    fit, unfit = rendered(rows, tokenizer, max_tokens)
    reasons = dict(Counter(reason for _, reason in {(row.id, reason) for row, reason in unfit}))
    if not fit:
        raise UserError(
            f"no row of the {split} split can be trained on: {told_reasons(reasons, REASONS)}", "preceptor train … --dry-run shows the rows"
        )
    kept = [row for row, _ in fit]
    return masked((row.id for row in kept), (row.group for row in kept), (each for _, each in fit), [row.weight for row in kept], reasons)


def shown(tokenizer: Any, tokens: Sequence[int], supervised: Sequence[Any]) -> list[dict[str, Any]]:
    """Each token as text, and whether it is learnt."""
    return [{"text": tokenizer.decode([token]), "learnt": bool(mask)} for token, mask in zip(tokens, supervised, strict=True)]
