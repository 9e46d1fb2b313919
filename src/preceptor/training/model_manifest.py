"""Save a finished model: a folder that appears complete, with a manifest of what was done and measured."""

from __future__ import annotations

import json
import resource
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from preceptor.models.adapters import describe_adapter_coverage, merge_adapter, save_adapter, unwrap_model
from preceptor.models.atomic_folder import create_folder_atomically, weights_digest
from preceptor.models.loading import silence_transformers
from preceptor.training.callbacks import copy_logs, is_clearly_worse
from preceptor.training.objective import TrainingTask
from preceptor.training.run_file import write_run_file
from preceptor.training.run_folder import REMEDIES_FOLDER
from preceptor.training.trainer import AdaptiveMicroBatcher, RecipeTrainer
from preceptor.types import Model, json_digest

_SPEED_FIELDS = ("texts_per_second", "tokens_per_second", "supervised_tokens_per_second", "supervised_tokens")
_VALIDATION_FIELDS = ("eval_loss", "eval_accuracy", "eval_change", "eval_change_error", "eval_kl_to_base", "eval_kl_to_teacher")
# What makes two models the same model; times, speed and memory don't.
_IDENTITY_FIELDS = ("recipe", "base", "snapshot", "answers", "options", "seed", "weights", "general")


def save_trained_model(
    task: TrainingTask,
    trainer: Any,
    tokenizer: Any,
    *,
    measured: Mapping[str, Any],
    options: Mapping[str, Any],
    seen: Mapping[str, Any] | None = None,
) -> Model:
    """Save best weights, tokenizer and manifest under `run.folder/model`; an adapter also beside the weights that it was merged into.

    trainer: a `RecipeTrainer`, or an object with its `model` and `checkpoints` where `seen` describes the training (see
    `training_manifest`). measured: further fields of the manifest.
    """
    folder = task.run.folder / "model"
    with create_folder_atomically(folder) as partial, silence_transformers():
        probes = task.objective.parity_probes(trainer.model, task.validation)
        if trainer.model is not unwrap_model(trainer.model):
            save_adapter(trainer.model, partial / "adapter", task.run.base_name or task.run.base.name)
        learnt, left = describe_adapter_coverage(trainer.model)
        seen = training_manifest(trainer) if seen is None else seen
        model = merge_adapter(trainer.model)
        task.objective.before_saving(model, task.train)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        manifest = {**_identity_manifest(task, partial, options), **measured, **seen, **task.objective.manifest_fields(task.train)}
        manifest["summary"] += [
            *AdaptiveMicroBatcher(task.run.folder).summary_lines(),
            *task.objective.summary_lines(task.train, task.max_tokens),
        ]
        if learnt:
            manifest["adapted"] = learnt
        if learnt and left:
            manifest["summary"].append(f"The adapter learnt in {', '.join(learnt)}; {', '.join(left)} stayed as in the base.")
        manifest["summary"] += _device_summary_lines(model)
        manifest["summary"] += manifest.get("retention", {}).get("summary", [])
        manifest["id"] = json_digest({name: manifest[name] for name in _IDENTITY_FIELDS if name in manifest})[:16]
        write_json(partial / "parity.json", probes)
        write_json(partial / "manifest.json", manifest)
        write_run_file(partial, manifest, task.max_tokens)
        copy_logs(task.run.folder, partial)
    for served in (trainer.checkpoints, task.run.folder / REMEDIES_FOLDER):  # several times the model
        shutil.rmtree(served, ignore_errors=True)
    return Model(manifest["id"], folder, manifest)


def _device_summary_lines(model: Any) -> list[str]:
    """Return a sentence on the device that was used.

    Empty where the machine has one, or the model is on none of them.
    """
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    if count < 2 or model.device.type == "cpu":
        return []
    return [f"Trained on one device, {model.device}, of the {count} in this machine: a run uses one."]


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value, indented."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _identity_manifest(task: TrainingTask, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the model in `folder` is and came from; the same for the same run on the same machine."""
    run = task.run
    return {
        "recipe": task.objective.recipe,
        "base": run.base_name or run.base.name,
        "base_weights": weights_digest(run.base),
        "snapshot": run.snapshot.digest,
        "answers": list(run.snapshot.answers),
        "options": dict(options),
        "seed": run.seed,
        "weights": weights_digest(folder),
        **({"general": run.general.digest} if run.general else {}),
        "rows": {"train": len(task.train), "validation": len(task.validation)},
        "left_out": {side: dict(rows.excluded) for side, rows in (("train", task.train), ("validation", task.validation)) if rows.excluded},
    }


def training_manifest(trainer: RecipeTrainer) -> dict[str, Any]:
    """Return the manifest's description of a training: its course in figures and in sentences."""
    plan, state = trainer.plan, trainer.state
    history = history_entries(state.log_history)
    return {
        "parameters": sum(weights.numel() for weights in trainer.model.parameters()),
        "learning_rate": plan.learning_rate,
        "dtype": "bfloat16" if plan.bfloat16 else "float32",
        "history": history,
        "best_step": state.best_global_step,
        "steps": state.global_step,
        "seconds": round(history[-1]["seconds"], 1),
        **{name: history[-1][name] for name in _SPEED_FIELDS if name in history[-1]},
        "peak_memory_bytes": peak_memory_bytes(),
        "summary": _history_summary_lines(history, ran_through=state.global_step >= state.max_steps),
    }


def history_entries(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one entry per evaluation: epoch, step, train_loss since the one before (dropout on), validation metrics, seconds so far.

    validation_change and its standard error are relative to the last clear improvement, see `EarlyStoppingBaseline`.
    """
    history, training = [], None
    for entry in log:
        training = entry.get("loss", training)
        if "eval_loss" in entry:
            seen = {name.replace("eval_", "validation_"): entry[name] for name in _VALIDATION_FIELDS if name in entry}
            rest = {name: entry[name] for name in ("seconds", *_SPEED_FIELDS) if name in entry}
            history.append({"epoch": round(entry["epoch"], 4), "step": entry["step"], "train_loss": training, **seen, **rest})
    return history


def _history_summary_lines(history: Sequence[Mapping[str, Any]], *, ran_through: bool) -> list[str]:
    """Return the course of the run in plain sentences."""
    best, last = min(history, key=lambda entry: entry["validation_loss"]), history[-1]
    if not best["step"]:
        return [f"Validation loss is {best['validation_loss']:.3f}; the head was fitted until it no longer moved."]
    said = [f"Validation loss was lowest, {best['validation_loss']:.3f}, after {best['epoch']:.1f} epochs; those weights are kept."]
    if last["validation_loss"] > best["validation_loss"] and last["train_loss"] < best["train_loss"]:
        said.append(
            "Later the training loss kept falling while the validation loss rose: overfitting."
            if is_clearly_worse(last)
            else "Later the training loss kept falling and the validation loss rose, by no more than chance can do."
        )
    if not ran_through:
        said.append(f"Training stopped after {last['epoch']:.1f} epochs because validation no longer got clearly better.")
    elif last is best:
        said.append("It was still falling when training ended: more epochs might help.")
    return said


def peak_memory_bytes() -> int:
    """Return the peak memory: on the accelerator where there is one, else of this process since it started."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
