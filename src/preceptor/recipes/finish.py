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
from preceptor.formats.checksums import read_json
from preceptor.models.adapters import adapted, inner, merged, save_adapter
from preceptor.models.loading import quietly
from preceptor.models.saving import weights_digest, whole_folder
from preceptor.recipes.folder import REMEDIES
from preceptor.recipes.plan import Task
from preceptor.recipes.recipe import Run
from preceptor.recipes.room import Room
from preceptor.recipes.run_file import write_run_file
from preceptor.recipes.stopping import clearly_worse
from preceptor.recipes.trainer import RecipeTrainer
from preceptor.recipes.watching import keep_logs

_SPEED = ("texts_per_second", "tokens_per_second", "supervised_tokens_per_second", "supervised_tokens")
_SEEN = ("eval_loss", "eval_accuracy", "eval_change", "eval_change_error", "eval_kl_to_base", "eval_kl_to_teacher")
# What makes two models the same model; times, speed and memory don't.
_IDENTITY = ("recipe", "base", "snapshot", "answers", "options", "seed", "weights", "general")


def finished(run: Run) -> Model | None:
    """The model that this run ended with, if it did."""
    path = run.folder / "model" / "manifest.json"
    if not path.is_file():
        return None
    manifest = read_json(path)
    return Model(manifest["id"], path.parent, manifest)


def finish(
    task: Task,
    trainer: Any,
    tokenizer: Any,
    *,
    measured: Mapping[str, Any],
    options: Mapping[str, Any],
    seen: Mapping[str, Any] | None = None,
) -> Model:
    """Save best weights, tokenizer and manifest under `run.folder/model`; an adapter beside the weights that it was added into.

    trainer: a `RecipeTrainer`, or what has its `model` and `checkpoints` where `seen` says what the training was like (see `told`).
    """
    folder = task.run.folder / "model"
    with whole_folder(folder) as partial, quietly():
        probes = task.objective.probes(trainer.model, task.validation)
        if trainer.model is not inner(trainer.model):
            save_adapter(trainer.model, partial / "adapter", task.run.base_name or task.run.base.name)
        learnt, left = adapted(trainer.model)
        seen = told(trainer) if seen is None else seen
        model = merged(trainer.model)
        task.objective.before_saving(model, task.train)
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        manifest = {**described(task, partial, options), **measured, **seen, **task.objective.extra(task.train)}
        manifest["words"] += [*Room(task.run.folder).words(), *task.objective.notes(task.train, task.max_tokens)]
        if learnt:
            manifest["adapted"] = learnt
        if learnt and left:
            manifest["words"].append(f"The adapter learnt in {', '.join(learnt)}; {', '.join(left)} stayed as in the base.")
        manifest["words"] += device_words(model)
        manifest["words"] += manifest.get("retention", {}).get("words", [])
        manifest["id"] = digest_of({name: manifest[name] for name in _IDENTITY if name in manifest})[:16]
        write_json(partial / "parity.json", probes)
        write_json(partial / "manifest.json", manifest)
        write_run_file(partial, manifest, task.max_tokens)
        keep_logs(task.run.folder, partial)
    for served in (trainer.checkpoints, task.run.folder / REMEDIES):  # several times the model
        shutil.rmtree(served, ignore_errors=True)
    return Model(manifest["id"], folder, manifest)


def device_words(model: Any) -> list[str]:
    """On which device a model was trained where the machine has several; nothing where it has one, or the model is on none of them."""
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    if count < 2 or model.device.type == "cpu":
        return []
    return [f"Trained on one device, {model.device}, of the {count} in this machine: a run uses one."]


def write_json(path: Path, value: Any) -> None:
    """A JSON value for people and programs."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def described(task: Task, folder: Path, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the model in `folder` is and came from; the same for the same run on the same machine."""
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
        "left_out": {side: dict(rows.left_out) for side, rows in (("train", task.train), ("validation", task.validation)) if rows.left_out},
    }


def told(trainer: RecipeTrainer) -> dict[str, Any]:
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
        **{name: history[-1][name] for name in _SPEED if name in history[-1]},
        "peak_memory_bytes": peak_memory_bytes(),
        "words": words(history, ran_through=state.global_step >= state.max_steps),
    }


def history_of(log: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry per evaluation: epoch, step, train_loss since the one before (dropout on), validation figures, seconds so far.

    validation_change, its standard error: since the last evaluation that was clearly better, see `Yardstick`.
    """
    history, training = [], None
    for entry in log:
        training = entry.get("loss", training)
        if "eval_loss" in entry:
            seen = {name.replace("eval_", "validation_"): entry[name] for name in _SEEN if name in entry}
            rest = {name: entry[name] for name in ("seconds", *_SPEED) if name in entry}
            history.append({"epoch": round(entry["epoch"], 4), "step": entry["step"], "train_loss": training, **seen, **rest})
    return history


def words(history: Sequence[Mapping[str, Any]], *, ran_through: bool) -> list[str]:
    """What the run saw, in plain sentences."""
    best, last = min(history, key=lambda entry: entry["validation_loss"]), history[-1]
    if not best["step"]:
        return [f"Validation loss is {best['validation_loss']:.3f}; the head was fitted until it no longer moved."]
    said = [f"Validation loss was lowest, {best['validation_loss']:.3f}, after {best['epoch']:.1f} epochs; those weights are kept."]
    if last["validation_loss"] > best["validation_loss"] and last["train_loss"] < best["train_loss"]:
        said.append(
            "Later the training loss kept falling while the validation loss rose: overfitting."
            if clearly_worse(last)
            else "Later the training loss kept falling and the validation loss rose, by no more than chance can do."
        )
    if not ran_through:
        said.append(f"Training stopped after {last['epoch']:.1f} epochs because validation no longer got clearly better.")
    elif last is best:
        said.append("It was still falling when training ended: more epochs might help.")
    return said


def peak_memory_bytes() -> int:
    """Most memory held at once: on the accelerator where there is one, else by this process since it started."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
