"""Import a model that was trained elsewhere as it is, to be evaluated, compared, released and served like any other."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import Field, field_validator

from preceptor.errors import UserError
from preceptor.models.causal_lm import check_causal, prepare_causal, prepare_tokenizer
from preceptor.models.loading import check_model_folder, get_context_length, is_multilabel, load_classifier, load_tokenizer
from preceptor.questions.label_spelling import normalize_label
from preceptor.registry import OptionsBase
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import TrainingExamples, build_label_examples, expand_answers, read_rows
from preceptor.training.model_manifest import peak_memory_bytes, save_trained_model
from preceptor.training.objective import TrainingTask
from preceptor.training.recipe import TrainingRun, recipes
from preceptor.training.run_folder import run_recipe
from preceptor.training.sft import SFTObjective, build_completion_examples
from preceptor.types import Model

CLASSIFIER_SUFFIX = "ForSequenceClassification"  # suffix of the architecture of a Hugging Face classifier
OWN_ARCHITECTURE = "MeanPooledClassifier"


class ExternalModelOptions(OptionsBase):
    """Options of the recipe `external_model`, on a model that was trained elsewhere."""

    labels: dict[str, str] = Field({}, description="a classifier's label -> the question's answer: LABEL_0=negative,LABEL_1=positive")

    @field_validator("labels", mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        """Read `LABEL_0=negative,LABEL_1=positive`, as it is written on a command line."""
        return dict(pair.partition("=")[::2] for pair in value.split(",")) if isinstance(value, str) else value


@recipes.register("external_model", options=ExternalModelOptions)
def import_external_model(run: TrainingRun, options: ExternalModelOptions) -> Model:
    """Copy the model of a Hugging Face folder, with its predictions on a few validation rows.

    Supports: sequence classifiers, causal models. Nothing is trained.

    Assumes: a classifier's labels are the question's answers, up to case and spaces, or `labels` maps them. Refuses: labels that are no
    answers, other architectures, adapters without their base, an empty validation split.
    """
    if (run.base / "adapter_config.json").is_file() and not (run.base / "config.json").is_file():
        hint = "merge it first: PeftModel.from_pretrained(base, folder).merge_and_unload().save_pretrained(…)"
        raise UserError(f"{run.base.name} is an adapter without its base", hint, where=str(run.base))
    check_model_folder(run.base)
    read_rows(run, "validation", answers=False, several=True)

    def train() -> Model:
        started = time.perf_counter()
        task, weights, tokenizer = _classifier_task(run, options) if _is_classifier(run.base) else _causal_task(run, options)
        seen = _validation_figures(task, weights, started)
        trained = SimpleNamespace(model=weights, checkpoints=run.folder / "checkpoints")
        return save_trained_model(task, trained, tokenizer, measured={}, options=options.model_dump(), seen=seen)

    return run_recipe(run, "external_model", options, train)


def _is_classifier(folder: Path) -> bool:
    from transformers import AutoConfig

    names = AutoConfig.from_pretrained(folder, local_files_only=True).architectures or ()
    return any(name.endswith(CLASSIFIER_SUFFIX) or name == OWN_ARCHITECTURE for name in names)


def _classifier_task(run: TrainingRun, options: ExternalModelOptions) -> tuple[TrainingTask, Any, Any]:
    rows = read_rows(run, "validation", several=True)
    model, tokenizer = load_classifier(run.base), load_tokenizer(run.base)
    several = run.snapshot.target_kind == "multilabel"
    if is_multilabel(model.config) != several:
        kinds = "several labels at once" if several else "one answer"
        raise UserError(f"the question has {kinds} for a text, and {run.base.name} doesn't choose so", "its config's problem_type says how")
    labels = [model.config.id2label[number] for number in sorted(model.config.id2label)]
    answers = _map_labels(labels, run.snapshot.answers, options.labels, run.base)
    model.config.id2label, model.config.label2id = dict(enumerate(answers)), {answer: number for number, answer in enumerate(answers)}
    limit = get_context_length(run.base, tokenizer)
    validation = build_label_examples(rows, answers, tokenizer, max_tokens=limit, hard=False)
    objective = ClassificationObjective(run.base, answers, tokenizer, "none", run.snapshot.target_kind, recipe="external_model")
    return TrainingTask(run, limit, objective, validation.select([]), validation), model, tokenizer


def _map_labels(labels: Sequence[str], answers: Sequence[str], named: dict[str, str], folder: Path) -> tuple[str, ...]:
    """Return the question's answer for each label of the model; raises UserError unless they are the same ones."""
    by_spelling = {normalize_label(answer): answer for answer in answers}
    found = tuple(named.get(label) or by_spelling.get(normalize_label(label), label) for label in labels)
    if sorted(found) != sorted(answers):
        message = f"{folder.name} answers {', '.join(labels)}, and the question {', '.join(answers)}"
        raise UserError(message, f"say which is which: -o labels={labels[0]}={answers[0]},…", where=str(folder))
    return found


def _causal_task(run: TrainingRun, options: ExternalModelOptions) -> tuple[TrainingTask, Any, Any]:
    check_causal(run.base)
    if options.labels:
        raise UserError(f"{run.base.name} writes, and has no labels", "leave labels out")
    tokenizer = prepare_tokenizer(run.base)
    limit = get_context_length(run.base, tokenizer)
    rows = expand_answers(read_rows(run, "validation", answers=False), "hard")
    validation = build_completion_examples(rows, tokenizer, max_tokens=limit, split="validation")
    objective = SFTObjective(run.base, tokenizer, "none", 0, recipe="external_model")
    return TrainingTask(run, limit, objective, validation.select([]), validation), prepare_causal(run.base, tokenizer).eval(), tokenizer


def _validation_figures(task: TrainingTask, model: Any, started: float) -> dict[str, Any]:
    """Return the metrics of the validation rows, in the form of a training's history."""
    few: TrainingExamples = task.validation
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
        "summary": [f"Trained elsewhere. On {len(few):,} validation rows the loss is {loss:.3f}."],
    }
