"""Fine-tune a pre-trained model to answer a question of choice, rating, comparison or several labels, on the people's posterior."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.models.adapters import Adapter, refuse_packed
from preceptor.models.loading import check_model_folder, load_tokenizer
from preceptor.recipes.classifying import Classifying
from preceptor.recipes.examples import longest_row, read_rows, to_examples
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_encoder
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.previewing import preview_texts
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.retention import retain
from preceptor.recipes.settling import identity, settle
from preceptor.registry import OptionsBase

WEIGHT_DECAY = 0.01


class ClassifyOptions(OptionsBase):
    """What can be tuned about `classify`; the defaults suit a small encoder and a few thousand texts."""

    epochs: float = Field(3.0, gt=0, description="passes over the training rows, at most")
    min_steps: int = Field(100, ge=1, description="steps even when that is more than `epochs`: few rows need more passes")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    batch_size: int = Field(32, ge=1, description="rows a step")
    adapter: Adapter = Field("none", description="none: all weights; lora, dora, lora-top: small matrices beside frozen ones, and the head")
    targets: Literal["soft", "hard"] = Field("soft", description="the posterior, or its most probable answer or labels")
    rows: int | None = Field(None, ge=1, description="train on so many rows only, nested by seed")
    max_tokens: int = Field(128, ge=4, description="longer texts are cut")
    patience: int = Field(3, ge=1, description="evaluations without a better validation loss before training stops")
    evaluations: int = Field(2, ge=1, description="evaluations on the validation split per epoch")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: Literal["none", "auto", "alpha", "slower", "l2sp", "recursive"] = Field(
        "none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on"
    )


@recipes.register("classify", options=ClassifyOptions)
def train_classify(run: Run, options: ClassifyOptions) -> Model:
    """Sequence classification by soft cross-entropy; classes of a rating by a loss that knows their order, several labels at once by
    the cross-entropy of each. Supports: posterior targets, row weights, encoders and decoders, adapters, resume.

    Assumes: rows with a text and a target over the snapshot's answers. Refuses: targets that are texts, an answer missing in
    training, an empty train or validation split, a base that isn't a model, packed weights without a GPU, a folder that another
    process or another run holds.
    """
    check_model_folder(run.base)
    refuse_packed(run.base)
    rows = read_rows(run, "train", rows=options.rows, several=True), read_rows(run, "validation", several=True)
    with locked(run.folder):
        claim(run.folder, identity(run, "classify", options))
        if (model := finished(run)) is not None:
            return model
        tokenizer = load_tokenizer(run.base)
        limit = longest_row(run, tokenizer, options)
        tokenizer.model_max_length = limit  # serving cuts texts where training did
        prepare = partial(
            to_examples, answers=run.snapshot.answers, tokenizer=tokenizer, max_tokens=limit,
            hard=options.targets == "hard", several=run.snapshot.target_kind == "multilabel",
        )  # fmt: skip
        objective = Classifying(run.base, run.snapshot.answers, tokenizer, options.adapter, run.snapshot.target_kind)
        task = Task(run, limit, objective, prepare(rows[0]), prepare(rows[1]))
        settled = options.model_dump(include={"epochs", "min_steps", "batch_size", "patience", "evaluations"})
        plan, measured = settle(task, Plan(**settled, weight_decay=WEIGHT_DECAY, seed=run.seed), options.dtype, options.learning_rate)
        trainer, retained = retain(task, plan, options.retention, tokenizer, partial(of_encoder, run))
        return finish(task, trainer, tokenizer, measured={**measured, **retained}, options=options.model_dump())


def preview_classify(run: Run, options: ClassifyOptions) -> dict[str, Any]:
    """What `train_classify` would read, see `preview_texts`; nothing is trained or written."""
    check_model_folder(run.base)
    refuse_packed(run.base)
    rows = {"train": read_rows(run, "train", rows=options.rows, several=True), "validation": read_rows(run, "validation", several=True)}
    tokenizer = load_tokenizer(run.base)
    return preview_texts(rows, tokenizer, longest_row(run, tokenizer, options))


train_classify.preview = preview_classify
