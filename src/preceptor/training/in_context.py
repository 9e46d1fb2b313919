"""Build a model that learns in context: a language model answers after the training examples most similar to each text.

Nothing is trained.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from preceptor.errors import UserError
from preceptor.generation.in_context import FewShotClassifier, FewShotExample, FewShotSettings, count_prompt_tokens, sort_by_hash
from preceptor.generation.local import LocalProvider
from preceptor.models import embed_texts
from preceptor.models.atomic_folder import create_folder_atomically, weights_digest
from preceptor.models.causal_lm import check_causal
from preceptor.models.loading import check_model_folder, silence_transformers
from preceptor.models.parity import PROBE_COUNT
from preceptor.quality import exact_key
from preceptor.registry import OptionsBase
from preceptor.training.examples import read_rows, top_answer
from preceptor.training.model_manifest import peak_memory_bytes, write_json
from preceptor.training.recipe import TrainingProgress, TrainingRow, TrainingRun, recipes
from preceptor.training.run_file import write_run_file
from preceptor.training.run_folder import run_recipe
from preceptor.types import FloatArray, Model, json_digest

VALIDATION_ROWS = 64  # validation rows behind the manifest's figures: each costs a pass over all its examples


class InContextOptions(OptionsBase):
    """Options of the recipe `in_context`."""

    shots: int = Field(8, ge=1, description="examples shown with each text")
    diversity: float = Field(0.2, ge=0, lt=1, description="0: the most similar examples; higher: examples less similar to each other")
    balanced: bool = Field(True, description="whether examples are balanced over the answers")
    form: Literal["plain", "chat"] = Field("plain", description="plain: a record to be continued; chat: the base's chat template")
    encoder: str = Field("minilm", description="encoder by which similarity is measured: minilm, a model's id, or a folder")
    calibration: int = Field(32, ge=0, description="training texts for contextual calibration")
    max_train_rows: int | None = Field(None, ge=1, description="select from this many rows only; larger samples contain smaller ones")
    max_tokens: int = Field(128, ge=4, description="longer texts are truncated as input and not shown as examples")


@recipes.register("in_context", options=InContextOptions)
def build_in_context_model(run: TrainingRun, options: InContextOptions) -> Model:
    """Select demonstrations for each text, see `preceptor.generation.in_context`. Supports: causal bases, calibration, any encoder.

    Examples come from the training rows only; the validation and test groups are never shown, nor is a text that is asked about. The
    model's folder holds the examples and their vectors, and names its base and encoder by the digests of their weights. Refuses: a base
    that isn't generative, more shots than rows, shots that the base can't read at once, an answer missing in training.
    """
    check_causal(run.base)
    encoder = run.folder_of(options.encoder)
    check_model_folder(encoder)
    rows, validation = read_rows(run, "train", rows=options.max_train_rows), read_rows(run, "validation")
    if run.snapshot.target_kind == "multilabel":
        raise UserError("in_context chooses one answer, and of this question several can hold at once", "train with the recipe classify")

    def train() -> Model:
        started = time.perf_counter()
        with silence_transformers():
            provider = LocalProvider(run.base)
        manner = _prompt_settings(run, options)
        shown, left_out = _select_demonstrations(rows, manner, provider, run.base)
        run.progress(TrainingProgress("reading texts", 0, 1))
        vectors, nothing = embed_texts(encoder, [row.text for row in shown]), np.zeros((0, len(run.snapshot.answers)))
        made = FewShotClassifier(manner, shown, vectors, provider, encoder, nothing)
        run.progress(TrainingProgress("calibrating", 0, 1))
        made.reference = made.scores([row.text for row in sort_by_hash(rows)[: options.calibration]])
        run.progress(TrainingProgress("validating", 0, 1))
        some = sort_by_hash(validation)[:VALIDATION_ROWS]
        said = made.predict([row.text for row in some])
        seconds = time.perf_counter() - started
        return _save_in_context_model(run, options, made, some, said, left_out, seconds)

    return run_recipe(run, "in_context", options, train, encoder=weights_digest(encoder))


def _prompt_settings(run: TrainingRun, options: InContextOptions) -> FewShotSettings:
    asked = getattr(run.snapshot, "question", {"name": "answer"})
    question = {"name": asked["name"], "instructions": asked.get("instructions", ""), "answers": list(run.snapshot.answers)}
    return FewShotSettings(question, options.shots, options.diversity, options.balanced, options.max_tokens, options.form)


def _select_demonstrations(
    rows: Sequence[TrainingRow], manner: FewShotSettings, provider: LocalProvider, base: Path
) -> tuple[list[FewShotExample], dict[str, int]]:
    """Return the rows that can be shown, each text once, and how many can't be, by reason; raises UserError when too few are left."""
    around, texts = count_prompt_tokens(manner, provider), manner.shots + 1
    if around + texts * manner.max_tokens > provider.context_length:
        room = (provider.context_length - around) // texts
        raise UserError(
            f"{manner.shots} examples and a text, of {manner.max_tokens} tokens each, don't fit into the {provider.context_length:,} "
            f"that {base.name} reads at once",
            f"max_tokens={room}" if room >= 8 else "fewer shots",
        )
    lengths = provider.count_tokens([row.text for row in rows])
    shown: dict[str, FewShotExample] = {}
    reasons: Counter[str] = Counter()
    for row, length in zip(rows, lengths, strict=True):
        if length > manner.max_tokens:
            reasons["too long to show"] += 1
        elif (key := exact_key(row.text)) in shown:
            reasons["a text that is there already"] += 1
        else:
            shown[key] = FewShotExample(row.id, row.text, top_answer(row))
    if len(shown) < manner.shots:
        told = "".join(f"; {count:,} are {reason}" for reason, count in reasons.items())
        raise UserError(
            f"in_context shows {manner.shots} examples with each text, and there are {len(shown):,}{told}",
            f"shots={len(shown)}" if shown else f"max_tokens={max(lengths)}",
        )
    return list(shown.values()), dict(reasons)


def _save_in_context_model(
    run: TrainingRun,
    options: InContextOptions,
    made: FewShotClassifier,
    some: Sequence[TrainingRow],
    said: FloatArray,
    left_out: Mapping[str, int],
    seconds: float,
) -> Model:
    """Save the classifier under `run.folder/model`, which appears complete or not at all."""
    folder = run.folder / "model"
    with create_folder_atomically(folder) as partial:
        made.save(partial)
        rows = {row.id: np.log(each).tolist() for row, each in zip(some[:PROBE_COUNT], said, strict=False)}
        write_json(partial / "parity.json", {"kind": "in_context", "rows": rows})
        manifest = {**_identity_manifest(run, options, made), **_validation_figures(some, said, made.answers, seconds)}
        manifest["left_out"] = {"train": dict(left_out)} if left_out else {}
        manifest["rows"] = {"train": len(made.rows), "validation": len(some)}
        identity_of = ("recipe", "base", "snapshot", "answers", "options", "seed", "weights")
        manifest["id"] = json_digest({name: manifest[name] for name in identity_of})[:16]
        write_json(partial / "manifest.json", manifest)
        write_run_file(partial, manifest, options.max_tokens)
    return Model(manifest["id"], folder, manifest)


def _identity_manifest(run: TrainingRun, options: InContextOptions, made: FewShotClassifier) -> dict[str, Any]:
    base, encoder = weights_digest(run.base), weights_digest(made.encoder)
    examples = [[row.id, row.text, row.answer] for row in made.rows]
    return {
        "recipe": "in_context",
        "base": run.base_name or run.base.name,
        "base_weights": base,
        "encoder_weights": encoder,
        "snapshot": run.snapshot.digest,
        "answers": list(run.snapshot.answers),
        "options": options.model_dump(),
        "seed": run.seed,
        "weights": json_digest([base, encoder, examples, made.reference.tolist()]),
        "parameters": made.provider.parameters,
        "learning_rate": None,
        "dtype": "float32",
        "best_step": 0,
        "steps": 0,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _validation_figures(some: Sequence[TrainingRow], said: FloatArray, answers: Sequence[str], seconds: float) -> dict[str, Any]:
    """Return the metrics of a few validation rows, in the form of a training's history."""
    targets = np.array([[row.target.get(answer, 0.0) for answer in answers] for row in some])
    losses = -(targets * np.log(np.maximum(said, 1e-12))).sum(axis=1)
    loss = float(np.average(losses, weights=[row.weight for row in some]))
    hits = float(np.mean(said.argmax(axis=1) == targets.argmax(axis=1)))
    seen = {"validation_loss": loss, "validation_accuracy": hits, "seconds": seconds}
    return {
        "history": [{"epoch": 0.0, "step": 0, "train_loss": None, **seen}],
        "seconds": round(seconds, 1),
        "texts_per_second": len(some) / seconds,
        "summary": [f"Nothing was trained. On {len(some):,} validation rows the loss is {loss:.3f}."],
    }
