"""Nothing is trained: a language model answers after the training examples that are most like each text."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from preceptor.curation import exact_key
from preceptor.domain import Model, digest_of
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.models import text_vectors
from preceptor.models.causal import check_causal
from preceptor.models.loading import check_model_folder, quietly
from preceptor.models.parity import PROBES
from preceptor.models.saving import weights_digest, whole_folder
from preceptor.providers.demonstrating import FewShot, Manner, Shown, tokens_around
from preceptor.providers.local import LocalProvider
from preceptor.providers.prompting import by_hash
from preceptor.recipes.examples import read_rows, top_answer
from preceptor.recipes.finish import finished, peak_memory_bytes, write_json
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.recipe import Progress, Row, Run, recipes
from preceptor.recipes.run_file import write_run_file
from preceptor.recipes.settling import identity
from preceptor.registry import OptionsBase

VALIDATED = 64  # validation rows on which the manifest's figures rest: each costs a pass over all its examples


class FewShotOptions(OptionsBase):
    """What can be tuned about `few_shot`."""

    shots: int = Field(8, ge=1, description="examples shown with each text")
    diversity: float = Field(0.2, ge=0, lt=1, description="0: the most alike examples; more: examples unlike each other")
    balanced: bool = Field(True, description="about as many examples of each answer")
    form: Literal["plain", "chat"] = Field("plain", description="a record to be continued, or the base's chat template")
    encoder: str = Field("minilm", description="whose vectors say what is alike: minilm, a model's id, or a folder")
    calibration: int = Field(32, ge=0, description="training texts that show which answers the base likes whatever the text")
    rows: int | None = Field(None, ge=1, description="choose among so many rows only, nested by seed")
    max_tokens: int = Field(128, ge=4, description="longer texts are cut when asked about, and not shown as examples")


@recipes.register("few_shot", options=FewShotOptions)
def make_few_shot(run: Run, options: FewShotOptions) -> Model:
    """Demonstrations per text, see `preceptor.providers.demonstrating`. Supports: causal bases, calibration, any encoder.

    Examples come from the training rows only; the validation and test groups are never shown, nor is a text that is asked about. The
    model's folder holds the examples and their vectors, and names its base and encoder by the digests of their weights.
    Refuses: a base that doesn't write, more shots than rows, shots that the base can't read at once, an answer missing in training.
    """
    check_causal(run.base)
    encoder = run.folder_of(options.encoder)
    check_model_folder(encoder)
    rows, validation = read_rows(run, "train", rows=options.rows), read_rows(run, "validation")
    if run.snapshot.target_kind == "multilabel":
        raise UserError("few_shot chooses one answer, and of this question several can hold at once", "train with the recipe classify")
    with locked(run.folder):
        claim(run.folder, {**identity(run, "few_shot", options), "encoder": weights_digest(encoder)})
        if (model := finished(run)) is not None:
            return model
        started = time.perf_counter()
        with quietly():
            provider = LocalProvider(run.base)
        manner = _manner(run, options)
        shown, left_out = _examples(rows, manner, provider, run.base)
        run.progress(Progress("reading texts", 0, 1))
        vectors, nothing = text_vectors(encoder, [row.text for row in shown]), np.zeros((0, len(run.snapshot.answers)))
        made = FewShot(manner, shown, vectors, provider, encoder, nothing)
        run.progress(Progress("calibrating", 0, 1))
        made.reference = made.scores([row.text for row in by_hash(rows)[: options.calibration]])
        run.progress(Progress("validating", 0, 1))
        some = by_hash(validation)[:VALIDATED]
        said = made.predict([row.text for row in some])
        seconds = time.perf_counter() - started
        return _finish(run, options, made, some, said, left_out, seconds)


def _manner(run: Run, options: FewShotOptions) -> Manner:
    asked = getattr(run.snapshot, "question", {"name": "answer"})
    question = {"name": asked["name"], "instructions": asked.get("instructions", ""), "answers": list(run.snapshot.answers)}
    return Manner(question, options.shots, options.diversity, options.balanced, options.max_tokens, options.form)


def _examples(rows: Sequence[Row], manner: Manner, provider: LocalProvider, base: Path) -> tuple[list[Shown], dict[str, int]]:
    """The rows that can be shown, each text once, and how many can't be, by reason; UserError when too few are left."""
    around, texts = tokens_around(manner, provider), manner.shots + 1
    if around + texts * manner.max_tokens > provider.window:
        room = (provider.window - around) // texts
        raise UserError(
            f"{manner.shots} examples and a text, of {manner.max_tokens} tokens each, don't fit into the {provider.window:,} "
            f"that {base.name} reads at once",
            f"max_tokens={room}" if room >= 8 else "fewer shots",
        )
    lengths = provider.lengths([row.text for row in rows])
    shown: dict[str, Shown] = {}
    reasons: Counter[str] = Counter()
    for row, length in zip(rows, lengths, strict=True):
        if length > manner.max_tokens:
            reasons["too long to show"] += 1
        elif (key := exact_key(row.text)) in shown:
            reasons["a text that is there already"] += 1
        else:
            shown[key] = Shown(row.id, row.text, top_answer(row))
    if len(shown) < manner.shots:
        told = "".join(f"; {count:,} are {reason}" for reason, count in reasons.items())
        raise UserError(
            f"few_shot shows {manner.shots} examples with each text, and there are {len(shown):,}{told}",
            f"shots={len(shown)}" if shown else f"max_tokens={max(lengths)}",
        )
    return list(shown.values()), dict(reasons)


def _finish(
    run: Run, options: FewShotOptions, made: FewShot, some: Sequence[Row], said: FloatArray, left_out: Mapping[str, int], seconds: float
) -> Model:
    """Save what was made under `run.folder/model`, which appears complete or not at all."""
    folder = run.folder / "model"
    with whole_folder(folder) as partial:
        made.save(partial)
        rows = {row.id: np.log(each).tolist() for row, each in zip(some[:PROBES], said, strict=False)}
        write_json(partial / "parity.json", {"kind": "few_shot", "rows": rows})
        manifest = {**_described(run, options, made), **_seen(some, said, made.answers, seconds)}
        manifest["left_out"] = {"train": dict(left_out)} if left_out else {}
        manifest["rows"] = {"train": len(made.rows), "validation": len(some)}
        identity_of = ("recipe", "base", "snapshot", "answers", "options", "seed", "weights")
        manifest["id"] = digest_of({name: manifest[name] for name in identity_of})[:16]
        write_json(partial / "manifest.json", manifest)
        write_run_file(partial, manifest, options.max_tokens)
    return Model(manifest["id"], folder, manifest)


def _described(run: Run, options: FewShotOptions, made: FewShot) -> dict[str, Any]:
    base, encoder = weights_digest(run.base), weights_digest(made.encoder)
    examples = [[row.id, row.text, row.answer] for row in made.rows]
    return {
        "recipe": "few_shot",
        "base": run.base_name or run.base.name,
        "base_weights": base,
        "encoder_weights": encoder,
        "snapshot": run.snapshot.digest,
        "answers": list(run.snapshot.answers),
        "options": options.model_dump(),
        "seed": run.seed,
        "weights": digest_of([base, encoder, examples, made.reference.tolist()]),
        "parameters": made.provider.parameters,
        "learning_rate": None,
        "dtype": "float32",
        "best_step": 0,
        "steps": 0,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def _seen(some: Sequence[Row], said: FloatArray, answers: Sequence[str], seconds: float) -> dict[str, Any]:
    """What a few validation rows say, in the form of a training's history."""
    targets = np.array([[row.target.get(answer, 0.0) for answer in answers] for row in some])
    losses = -(targets * np.log(np.maximum(said, 1e-12))).sum(axis=1)
    loss = float(np.average(losses, weights=[row.weight for row in some]))
    hits = float(np.mean(said.argmax(axis=1) == targets.argmax(axis=1)))
    seen = {"validation_loss": loss, "validation_accuracy": hits, "seconds": seconds}
    return {
        "history": [{"epoch": 0.0, "step": 0, "train_loss": None, **seen}],
        "seconds": round(seconds, 1),
        "texts_per_second": len(some) / seconds,
        "words": [f"Nothing was trained. On {len(some):,} validation rows the loss is {loss:.3f}."],
    }
