"""Encoder fine-tuning: texts a second of `classify` against `transformers.Trainer` at its defaults, in turns in one run.

Same base (MiniLM-L6), same Amazon sentences, same epochs, nothing validated meanwhile; both tokenise once, beforehand.
The Trainer pads each batch to its longest text (`DataCollatorWithPadding`); `defaults` changes nothing else of it,
`batch of 32` and `batch of 32, bfloat16` say how much of the gap is in those settings. The log loss on held-out texts
stands beside, each at its own learning rate.

Run: python benches/encoder_training.py [TEXTS] [ROUNDS]
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, Trainer, TrainingArguments

from preceptor.models.base_models import VADER_ASSET, fetch_asset, find_base_folder
from preceptor.models.loading import load_tokenizer, silence_transformers
from preceptor.pipeline.demo import SENTIMENT_LABELS, read_recorded_judgments
from preceptor.training import TrainingRun
from preceptor.training.classification import ClassificationObjective
from preceptor.training.examples import build_label_examples
from preceptor.training.hyperparameters import choose_dtype
from preceptor.training.objective import TrainConfig, TrainingTask
from preceptor.training.trainer import RecipeTrainer

HELD_OUT = 400
PLAN = TrainConfig(
    epochs=1, min_steps=1, batch_size=32, weight_decay=0.01, patience=1, evals_per_epoch=0, seed=0, learning_rate=1e-4
)  # fmt: skip


@dataclass(frozen=True)
class Sentence:
    """A row with the 20-rater answer."""

    id: str
    text: str
    group: str
    target: dict[str, float]
    weight: float = 1.0


@dataclass(frozen=True)
class Sentences:
    """As much of a snapshot as training needs."""

    training: list[Sentence]
    held_out: list[Sentence]
    digest: str = "bench"
    answers: tuple[str, ...] = SENTIMENT_LABELS

    def rows(self, split: str) -> Iterator[Sentence]:
        return iter(self.training if split == "train" else self.held_out)


def sentences(count: int) -> Sentences:
    recorded = read_recorded_judgments(fetch_asset(VADER_ASSET), "amazon")
    truth = recorded.true_answers()
    rows = [Sentence(row["id"], row["text"], row["group"], {truth[row["id"]]: 1.0}) for row in recorded.rows]
    order = np.random.default_rng(0).permutation(len(rows))
    return Sentences([rows[at] for at in order[:count]], [rows[at] for at in order[-HELD_OUT:]])


def ours(task: TrainingTask, plan: TrainConfig) -> tuple[float, float]:
    """Seconds of training, and log loss on the held-out texts."""
    with silence_transformers():
        trainer = RecipeTrainer(task, plan, "")
        return timed(task, trainer, trainer.train)


def theirs(task: TrainingTask, tokenizer: Any, folder: str, **settings: Any) -> tuple[float, float]:
    """The same with the Trainer and settings of its own."""
    rows = [{"input_ids": ids, "labels": int(target.argmax())} for ids, target in zip(task.train.tokens, task.train.targets, strict=True)]
    with silence_transformers():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(task.run.base, num_labels=len(SENTIMENT_LABELS))
        arguments = TrainingArguments(
            folder, num_train_epochs=1, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, **settings
        )
        trainer = Trainer(model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(tokenizer))
        trainer.callback_handler.callbacks = [
            found for found in trainer.callback_handler.callbacks if "Printer" not in type(found).__name__
        ]
        return timed(task, trainer, trainer.train)


def timed(task: TrainingTask, trainer: Any, train: Callable[[], Any]) -> tuple[float, float]:
    started = time.perf_counter()
    train()
    seconds = time.perf_counter() - started
    return seconds, task.objective.validate(trainer.model, task.validation).loss


def run(count: int = 640, rounds: int = 3) -> dict[str, Any]:
    """Medians over rounds in which each kind trains once, and ratios to the Trainer's defaults."""
    data, base = sentences(count), find_base_folder("minilm")
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = load_tokenizer(base)
        prepared = (
            build_label_examples(rows, SENTIMENT_LABELS, tokenizer, max_tokens=128, hard=False) for rows in (data.training, data.held_out)
        )
        task = TrainingTask(
            TrainingRun(Path(folder), base, data), 128, ClassificationObjective(base, SENTIMENT_LABELS, tokenizer), *prepared
        )
        dtype = choose_dtype(task, PLAN)
        kinds = {
            "preceptor": partial(ours, task, replace(PLAN, bfloat16=dtype["chosen"] == "bfloat16")),
            "preceptor, float32": partial(ours, task, PLAN),
            "trainer, defaults": partial(theirs, task, tokenizer, folder),
            "trainer, batch of 32": partial(theirs, task, tokenizer, folder, per_device_train_batch_size=32),
            "trainer, batch of 32, bfloat16": partial(theirs, task, tokenizer, folder, per_device_train_batch_size=32, bf16=True),
        }
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for _ in range(rounds):
            for name, kind in kinds.items():
                measured[name].append(kind())
    pace = {name: count / statistics.median(seconds for seconds, _ in found) for name, found in measured.items()}
    rows = [
        {
            "training": name,
            "texts_per_second": round(pace[name], 1),
            "times_trainer_defaults": round(pace[name] / pace["trainer, defaults"], 2),
            "held_out_log_loss": round(statistics.median(loss for _, loss in found), 3),
        }
        for name, found in measured.items()
    ]
    return {
        "rows": rows,
        "texts": count,
        "rounds": rounds,
        "dtype": dtype,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}",
    }


if __name__ == "__main__":
    print(json.dumps(run(*map(int, sys.argv[1:])), indent=2))
