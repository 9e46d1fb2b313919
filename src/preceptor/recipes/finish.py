"""The finished model: a folder that appears complete, with a manifest that says what was done and seen."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from preceptor.domain import Model, digest_of
from preceptor.models.loading import quietly
from preceptor.models.saving import weights_digest, whole_folder
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Run
from preceptor.recipes.trainer import ClassifierTrainer

# What makes two models the same model; times, speed and memory don't.
_IDENTITY = ("recipe", "base", "snapshot", "answers", "options", "seed", "weights")


def finished(run: Run) -> Model | None:
    """The model that this run ended with, if it did."""
    path = run.folder / "model" / "manifest.json"
    if not path.is_file():
        return None
    manifest = json.loads(path.read_text(encoding="utf-8"))
    return Model(manifest["id"], path.parent, manifest)


def finish(task: Task, trainer: ClassifierTrainer, tokenizer: Any, *, measured: Mapping[str, Any], options: Mapping[str, Any]) -> Model:
    """Save best weights, tokenizer and manifest under `run.folder/model`."""
    folder = task.run.folder / "model"
    with whole_folder(folder) as partial, quietly():
        tokenizer.model_max_length = task.max_tokens
        trainer.model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        manifest = {**described(task, partial, options), **measured, **told(trainer)}
        manifest["words"] += cut_short(task)
        manifest["id"] = digest_of({name: manifest[name] for name in _IDENTITY})[:16]
        (partial / "manifest.json").write_text(json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")
    shutil.rmtree(trainer.checkpoints, ignore_errors=True)  # they have served, and are three times the model
    return Model(manifest["id"], folder, manifest)


def described(task: Task, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the model in `folder` is and came from; the same for the same run on the same machine."""
    run = task.run
    return {
        "recipe": "classify",
        "base": run.base_name or run.base.name,
        "base_weights": weights_digest(run.base),
        "snapshot": run.snapshot.digest,
        "answers": list(run.snapshot.answers),
        "options": dict(options),
        "seed": run.seed,
        "weights": weights_digest(folder),
        "rows": {"train": len(task.train), "validation": len(task.validation)},
    }


def told(trainer: ClassifierTrainer) -> dict[str, Any]:
    """What the training was like: its course, in figures and in words."""
    plan, state = trainer.plan, trainer.state
    history = history_of(state.log_history)
    return {
        "parameters": sum(weights.numel() for weights in trainer.model.parameters()),
        "learning_rate": plan.learning_rate,
        "dtype": "bfloat16" if plan.bfloat16 else "float32",
        "history": history,
        "best_step": state.best_global_step,
        "steps": state.global_step,
        "seconds": round(history[-1]["seconds"], 1),
        "texts_per_second": history[-1]["texts_per_second"],
        **read_tokens(trainer, history[-1]["texts_per_second"]),
        "peak_memory_bytes": peak_memory_bytes(),
        "words": words(history, ran_through=state.global_step >= state.max_steps),
    }


def read_tokens(trainer: ClassifierTrainer, texts_per_second: float) -> dict[str, float]:
    """What was read and learnt from: a text is many tokens and one supervised answer."""
    texts = trainer.train_rows
    mean_length = sum(map(len, texts.tokens)) / len(texts)
    return {
        "supervised_tokens": trainer.state.global_step * trainer.plan.batch_size,
        "supervised_tokens_per_second": texts_per_second,
        "tokens_per_second": texts_per_second * mean_length,
    }


def history_of(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry per evaluation: epoch, step, train_loss since the one before (dropout on), validation figures, seconds so far."""
    history, training = [], None
    for entry in log:
        training = entry.get("loss", training)
        if "eval_loss" in entry:
            history.append(
                {
                    "epoch": round(entry["epoch"], 4),
                    "step": entry["step"],
                    "train_loss": training,
                    "validation_loss": entry["eval_loss"],
                    "validation_accuracy": entry["eval_accuracy"],
                    "seconds": entry["seconds"],
                    "texts_per_second": entry["texts_per_second"],
                }
            )
    return history


def words(history: Sequence[Mapping[str, Any]], *, ran_through: bool) -> list[str]:
    """What the run saw, in plain sentences."""
    best, last = min(history, key=lambda entry: entry["validation_loss"]), history[-1]
    said = [f"Validation loss was lowest, {best['validation_loss']:.3f}, after {best['epoch']:.1f} epochs; those weights are kept."]
    if last["validation_loss"] > best["validation_loss"] and last["train_loss"] < best["train_loss"]:
        said.append("Later the training loss kept falling while the validation loss rose: overfitting.")
    if not ran_through:
        said.append(f"Training stopped after {last['epoch']:.1f} epochs because validation no longer got better.")
    elif last is best:
        said.append("It was still falling when training ended: more epochs might help.")
    return said


def cut_short(task: Task) -> list[str]:
    """A sentence about training texts that fill the model's window, if there are any."""
    full = sum(len(ids) >= task.max_tokens for ids in task.train.tokens)
    told = (
        f"{full:,} of {len(task.train):,} training texts fill all {task.max_tokens} tokens: what they say beyond isn't read (max_tokens)."
    )
    return [told] if full else []


def peak_memory_bytes() -> int:
    """Most memory held at once: on the accelerator where there is one, else by this process since it started."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
