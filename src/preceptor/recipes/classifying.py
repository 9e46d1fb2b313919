"""What `classify` teaches: the people's posterior over a question's answers, or of each of its labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from preceptor.domain.general import Choice
from preceptor.domain.results import FloatArray
from preceptor.models.adapters import Adapter, attach
from preceptor.models.classification import predict_logits, predict_tokens
from preceptor.models.loading import start_classifier
from preceptor.models.matching import matching_log_probabilities, nearest_options
from preceptor.models.parity import PROBES
from preceptor.models.tokens import pad
from preceptor.recipes.examples import Examples
from preceptor.recipes.losses import LOSSES
from preceptor.recipes.objective import Validated


@dataclass(frozen=True)
class Classifying:
    """Soft cross-entropy of a sequence classifier over `answers`, from `base`; `kind` says how the answers relate, see LOSSES."""

    base: Path
    answers: tuple[str, ...]
    tokenizer: Any
    adapter: Adapter = "none"
    kind: str = "nominal"
    recipe: str = "classify"

    @property
    def rates(self) -> tuple[float, ...]:
        return (2e-5, 5e-5, 1e-4) if self.adapter == "none" else (1e-4, 3e-4, 1e-3)

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    def start(self) -> Any:
        return attach(start_classifier(self.base, self.answers, self.pad_id, several=self.kind == "multilabel"), self.adapter)

    def batch(self, examples: Examples, rows: Sequence[int]) -> dict[str, Any]:
        picked = np.asarray(rows, dtype=np.int64)
        return {
            **pad([examples.tokens[row] for row in rows], self.pad_id),
            "targets": torch.as_tensor(examples.targets[picked], dtype=torch.float32),
            "weights": torch.as_tensor(examples.weights[picked], dtype=torch.float32),
            "rows": torch.as_tensor(picked),
        }

    def loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
        return (LOSSES[self.kind](logits, inputs["targets"]) * inputs["weights"]).sum()

    def validate(self, model: Any, examples: Examples) -> Validated:
        """With the accuracy against the most probable answer, or the most probable set of labels."""
        logits = predict_logits(model, examples.tokens, self.pad_id)
        losses = LOSSES[self.kind](torch.as_tensor(logits), torch.as_tensor(examples.targets)).double().numpy()
        same = _same_labels if self.kind == "multilabel" else _same_answer
        return Validated(losses, examples.weights, {"accuracy": float(np.mean(same(logits, examples.targets)))})

    def probes(self, model: Any, examples: Examples) -> Mapping[str, Any]:
        few = examples.take(range(min(PROBES, len(examples))))
        return {"kind": "classifier", "rows": dict(zip(few.ids, predict_tokens(model, few.tokens, self.pad_id).tolist(), strict=True))}

    def before_saving(self, model: Any, examples: Examples) -> None:
        """Nothing: a classifier is saved as it was trained."""

    def notes(self, examples: Examples, max_tokens: int) -> list[str]:
        """Whether texts fill the model's window."""
        full = sum(length >= max_tokens for length in examples.lengths)
        told = f"{full:,} of {len(examples):,} training texts fill all {max_tokens} tokens: what they say beyond isn't read (max_tokens)."
        return [told] if full else []

    def extra(self, examples: Examples) -> dict[str, Any]:
        return {}

    @property
    def ladder(self) -> tuple[str, ...]:
        return ("slower", "l2sp")

    def general_log_probabilities(self, model: Any, texts: Mapping[str, Any], max_tokens: int) -> FloatArray:
        return matching_log_probabilities(model, self.tokenizer, texts, max_tokens=max_tokens)

    def right_answers(self, model: Any, questions: Sequence[Choice], max_tokens: int) -> FloatArray:
        return nearest_options(model, self.tokenizer, questions, max_tokens=max_tokens)

    def following(self, teacher: Any, rows: Examples, share: float) -> Examples:
        said = predict_tokens(teacher, rows.tokens, self.pad_id)
        return replace(rows, targets=(1 - share) * rows.targets + share * np.exp(said))

    def watching(self, base: Any, rows: Examples) -> Classifying:
        return self  # its base has no distribution over these answers


def _same_answer(logits: Any, targets: Any) -> Any:
    return logits.argmax(axis=1) == targets.argmax(axis=1)


def _same_labels(logits: Any, targets: Any) -> Any:
    """Whether the labels that more likely apply than not are the people's, (rows,)."""
    return ((logits > 0) == (targets > 0.5)).all(axis=1)
