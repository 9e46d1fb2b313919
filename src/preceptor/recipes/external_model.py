"""A model that was trained elsewhere, taken into the project as it is: to be measured, compared, released and served like any other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import Field, field_validator

from preceptor.domain import Model
from preceptor.errors import UserError
from preceptor.models.causal import check_causal, start_causal, start_tokenizer
from preceptor.models.loading import check_model_folder, is_multilabel, load_classifier, load_tokenizer, reading_limit
from preceptor.questions.label_spelling import spelling_key
from preceptor.recipes.classifying import Classifying
from preceptor.recipes.completing import Completing, to_completions
from preceptor.recipes.examples import Examples, read_rows, to_examples
from preceptor.recipes.finish import finish, finished, peak_memory_bytes
from preceptor.recipes.folder import claim, locked
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Run, recipes
from preceptor.recipes.settling import identity
from preceptor.recipes.weighing import by_answer
from preceptor.registry import OptionsBase

CLASSIFIER = "ForSequenceClassification"  # how the architecture of a Hugging Face classifier ends
OURS = "MeanPooledClassifier"


class ExternalModelOptions(OptionsBase):
    """What can be said about a model that was trained elsewhere."""

    labels: dict[str, str] = Field({}, description="a classifier's label -> the question's answer: LABEL_0=negative,LABEL_1=positive")

    @field_validator("labels", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Read `LABEL_0=negative,LABEL_1=positive`, as it is written on a command line."""
        return dict(pair.partition("=")[::2] for pair in value.split(",")) if isinstance(value, str) else value


@recipes.register("external_model", options=ExternalModelOptions)
def take_external_model(run: Run, options: ExternalModelOptions) -> Model:
    """Copy a Hugging Face folder's model, with what it says of a few validation rows. Supports: sequence classifiers, causal models.

    Assumes: a classifier's labels are the question's answers, but for capitals and spaces, or `labels` says which is which. Refuses:
    labels that are no answers, other architectures, adapters without their base, an empty validation split. Nothing is trained.
    """
    if (run.base / "adapter_config.json").is_file() and not (run.base / "config.json").is_file():
        hint = "merge it first: PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(…)"
        raise UserError(f"{run.base.name} is an adapter without its base", hint, where=str(run.base))
    check_model_folder(run.base)
    read_rows(run, "validation", answers=False, several=True)
    with locked(run.folder):
        claim(run.folder, identity(run, "external_model", options))
        if (model := finished(run)) is not None:
            return model
        started = time.perf_counter()
        task, weights, tokenizer = _classifier(run, options) if _is_classifier(run.base) else _causal(run, options)
        seen = _seen(task, weights, started)
        trained = SimpleNamespace(model=weights, checkpoints=run.folder / "checkpoints")
        return finish(task, trained, tokenizer, measured={}, options=options.model_dump(), seen=seen)


def _is_classifier(folder: Path) -> bool:
    from transformers import AutoConfig

    names = AutoConfig.from_pretrained(folder, local_files_only=True).architectures or ()
    return any(name.endswith(CLASSIFIER) or name == OURS for name in names)


def _classifier(run: Run, options: ExternalModelOptions) -> tuple[Task, Any, Any]:
    rows = read_rows(run, "validation", several=True)
    model, tokenizer = load_classifier(run.base), load_tokenizer(run.base)
    several = run.snapshot.target_kind == "multilabel"
    if is_multilabel(model.config) != several:
        kinds = "several labels at once" if several else "one answer"
        raise UserError(f"the question has {kinds} for a text, and {run.base.name} doesn't choose so", "its config's problem_type says how")
    labels = [model.config.id2label[number] for number in sorted(model.config.id2label)]
    answers = _answers(labels, run.snapshot.answers, options.labels, run.base)
    model.config.id2label, model.config.label2id = dict(enumerate(answers)), {answer: number for number, answer in enumerate(answers)}
    limit = reading_limit(run.base, tokenizer)
    validation = to_examples(rows, answers, tokenizer, max_tokens=limit, hard=False)
    objective = Classifying(run.base, answers, tokenizer, "none", run.snapshot.target_kind, recipe="external_model")
    return Task(run, limit, objective, validation.take([]), validation), model, tokenizer


def _answers(labels: Sequence[str], answers: Sequence[str], named: dict[str, str], folder: Path) -> tuple[str, ...]:
    """The question's answer that each label of the model stands for; UserError unless they are the same ones."""
    by_spelling = {spelling_key(answer): answer for answer in answers}
    found = tuple(named.get(label) or by_spelling.get(spelling_key(label), label) for label in labels)
    if sorted(found) != sorted(answers):
        message = f"{folder.name} answers {', '.join(labels)}, and the question {', '.join(answers)}"
        raise UserError(message, f"say which is which: -o labels={labels[0]}={answers[0]},…", where=str(folder))
    return found


def _causal(run: Run, options: ExternalModelOptions) -> tuple[Task, Any, Any]:
    check_causal(run.base)
    if options.labels:
        raise UserError(f"{run.base.name} writes, and has no labels", "leave labels out")
    tokenizer = start_tokenizer(run.base)
    limit = reading_limit(run.base, tokenizer)
    rows = by_answer(read_rows(run, "validation", answers=False), "hard")
    validation = to_completions(rows, tokenizer, max_tokens=limit, split="validation")
    objective = Completing(run.base, tokenizer, "none", 0, recipe="external_model")
    return Task(run, limit, objective, validation.take([]), validation), start_causal(run.base, tokenizer).eval(), tokenizer


def _seen(task: Task, model: Any, started: float) -> dict[str, Any]:
    """What the validation rows say, in the form of a training's history."""
    few: Examples = task.validation
    found = task.objective.validate(model, few)
    loss, seconds = found.loss, time.perf_counter() - started
    figures = {f"validation_{name}": value for name, value in found.figures.items()}
    return {
        "parameters": sum(weights.numel() for weights in model.parameters()),
        "learning_rate": None,
        "dtype": "float32",
        "history": [{"epoch": 0.0, "step": 0, "train_loss": None, "validation_loss": loss, **figures, "seconds": seconds}],
        "best_step": 0,
        "steps": 0,
        "seconds": round(seconds, 1),
        "texts_per_second": len(few) / seconds,
        "peak_memory_bytes": peak_memory_bytes(),
        "words": [f"Trained elsewhere. On {len(few):,} validation rows the loss is {loss:.3f}."],
    }
