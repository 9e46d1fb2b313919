"""Fine-tune a classifier on people's labels and, where that helps, on its own labels of texts that nobody has judged."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from pydantic import Field

from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.models.adapters import Adapter, refuse_packed
from preceptor.models.loading import check_encoder, check_model_folder, load_tokenizer
from preceptor.models.saving import weights_digest
from preceptor.recipes.examples import Examples, longest_row, read_rows, to_examples
from preceptor.recipes.finish import finish, finished
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.general import of_encoder
from preceptor.recipes.plan import Plan, Task
from preceptor.recipes.previewing import preview_texts
from preceptor.recipes.recipe import Row, Run, recipes
from preceptor.recipes.retention import WithoutTexts
from preceptor.recipes.self_training.learners import Learner, Probed, Tuned
from preceptor.recipes.self_training.noising import Noisy
from preceptor.recipes.self_training.rounds import FOLDER, Rounds, Wish
from preceptor.recipes.self_training.texts import read_unlabelled, to_texts
from preceptor.recipes.self_training.words import words
from preceptor.recipes.settling import identity, settle
from preceptor.recipes.watching import LOG
from preceptor.registry import OptionsBase

WEIGHT_DECAY, MIN_STEPS, BATCH, PATIENCE, EVALUATIONS = 0.01, 100, 32, 3, 2  # those of `classify`


class SelfTrainOptions(OptionsBase):
    """What can be tuned about `self_train`; the defaults suit a small encoder, some hundred labels and some thousand texts."""

    rounds: int = Field(3, ge=1, le=5, description="rounds at most; the first that hurts is the last")
    confidence: float = Field(0.75, ge=0, le=1, description="calibrated probability from which a teacher's answer is taken for a label")
    share: float = Field(1.0, gt=0, le=10, description="pseudo-labels weigh at most so many times what people's rows do")
    noise: float = Field(0.1, ge=0, lt=1, description="share of its tokens that the student doesn't see")
    teacher: str | None = Field(None, description="an earlier classifier that labels first; none: one of people's labels")
    asks: int = Field(0, ge=0, description="texts a round that people label: half an audit of pseudo-labels, half those most in doubt")
    adapter: Adapter | Literal["head"] = Field(
        "none", description="none: all weights; lora, dora, lora-top: small matrices and the head; head: the encoder stays as it is"
    )
    epochs: float = Field(3.0, gt=0, description="passes over the rows, at most, in each training from the base on")
    learning_rate: float | None = Field(None, gt=0, description="peak rate; none: a short sweep chooses")
    max_tokens: int = Field(128, ge=4, description="longer texts are cut")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: by a short measurement")
    retention: WithoutTexts = Field("none", description="remedy against forgetting; auto: the first that is enough, from the cheapest on")


@recipes.register("self_train", options=SelfTrainOptions)
def self_train(run: Run, options: SelfTrainOptions) -> Model:
    """Noisy-student self-training (Xie et al. 2020) with a guard, see `Rounds`. Supports: what `classify` supports, but for several
    labels at once; people who label what decides most; an earlier model as the first teacher.

    Raises Waiting, a UserError, where a round's labels aren't there yet; the same run goes on from there. Refuses: no texts without
    a judgment, asking where nobody can be asked, a teacher of other answers, and what `classify` refuses.
    """
    _check_base(run, options)
    rows = _rows(run)
    teacher = run.folder_of(options.teacher) if options.teacher else None
    if teacher is not None:
        _check_teacher(teacher, run.snapshot.answers)
    if options.asks and run.ask is None:
        raise UserError(f"asks={options.asks} needs people who label, and nobody can be asked", "preceptor train self_train --ask-people …")
    texts = read_unlabelled(run, [*rows["train"], *rows["validation"]])
    with locked(run.folder):
        claim(run.folder, {**identity(run, "self_train", options), "teacher": weights_digest(teacher) if teacher else ""})
        if (model := finished(run)) is not None:
            return model
        task, tokenizer = _task(run, options, rows)
        read = to_texts(texts, tokenizer, task.max_tokens, len(run.snapshot.answers))
        learner, measured = _learner(task, tokenizer, read, options)
        wish = Wish(options.rounds, options.confidence, options.share, options.noise, options.asks, teacher)
        rounds = Rounds(task, learner, texts, read, wish)
        kept = rounds.hold()
        trained, more = learner.end(kept)
        if (log := kept.run.folder / LOG).exists():
            shutil.copyfile(log, run.folder / LOG)
        about = {"texts": len(texts), "rounds": rounds.told, "kept": rounds.kept, "people_answered": len(rounds.answers)}
        about |= {"teacher": rounds.earlier} if rounds.earlier else {}
        told = tuple(words(len(texts), rounds.told, rounds.kept, rounds.earlier))
        done = replace(task, objective=replace(kept.objective, told=told))  # type: ignore[type-var]
        model = finish(done, trained, tokenizer, measured={**measured, **more, "self_training": about}, options=options.model_dump())
        shutil.rmtree(run.folder / FOLDER, ignore_errors=True)  # several times the model
        return model


def preview_self_train(run: Run, options: SelfTrainOptions) -> dict[str, Any]:
    """What people's rows are, see `preview_texts`, and how many texts without a judgment there would be; nothing is trained or asked."""
    _check_base(run, options)
    rows = _rows(run)
    tokenizer = load_tokenizer(run.base)
    shown = preview_texts(rows, tokenizer, longest_row(run, tokenizer, options))
    if run.unlabelled is None:
        return shown
    return {**shown, "unlabelled": len(read_unlabelled(run, [*rows["train"], *rows["validation"]]))}


self_train.preview = preview_self_train


def _check_base(run: Run, options: SelfTrainOptions) -> None:
    check_model_folder(run.base)
    refuse_packed(run.base)
    if options.adapter == "head":
        check_encoder(run.base, "self_train with adapter=head")


def _rows(run: Run) -> dict[str, list[Row]]:
    return {"train": read_rows(run, "train"), "validation": read_rows(run, "validation")}


def _task(run: Run, options: SelfTrainOptions, rows: dict[str, list[Row]]) -> tuple[Task, Any]:
    """People's rows as tokens, and the tokenizer, which cuts in serving where training did."""
    tokenizer = load_tokenizer(run.base)
    tokenizer.model_max_length = limit = longest_row(run, tokenizer, options)
    prepare = partial(to_examples, answers=run.snapshot.answers, tokenizer=tokenizer, max_tokens=limit, hard=False)
    adapter: Adapter = "none" if options.adapter == "head" else options.adapter
    objective = Noisy(run.base, run.snapshot.answers, tokenizer, adapter, run.snapshot.target_kind)
    return Task(run, limit, objective, prepare(rows["train"]), prepare(rows["validation"])), tokenizer


def _learner(task: Task, tokenizer: Any, texts: Examples, options: SelfTrainOptions) -> tuple[Learner, dict[str, Any]]:
    """How this run learns, and what was measured to settle it."""
    plan = Plan(options.epochs, MIN_STEPS, BATCH, WEIGHT_DECAY, PATIENCE, EVALUATIONS, task.run.seed)
    if options.adapter == "head":
        return Probed(replace(plan, learning_rate=0.0), task.run.folder / FOLDER, task, (task.train, task.validation, texts)), {}
    plan, measured = settle(task, plan, options.dtype, options.learning_rate)
    return Tuned(plan, tokenizer, options.retention, partial(of_encoder, task.run)), measured


def _check_teacher(folder: Any, answers: tuple[str, ...]) -> None:
    """UserError for a teacher that isn't a classifier of these answers, in this order."""
    from transformers import AutoConfig

    check_model_folder(folder)
    labels = AutoConfig.from_pretrained(folder, local_files_only=True).id2label
    said = tuple(labels[number] for number in sorted(labels))
    if said != answers:
        raise UserError(
            f"the teacher answers {', '.join(said[:5])}, and the snapshot's answers are {', '.join(answers[:5])}",
            "a model that was trained on this question, or none: people's labels make one",
        )
