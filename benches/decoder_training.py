"""LoRA fine-tuning of SmolLM2-135M: supervised tokens a second of `sft` beside TRL's SFTTrainer, stretch by stretch in turns.

Every kind trains on the same token ids with the same tokens learnt, for the same epochs, in a process of its own (so that peak
memory is its own), from the same weights. Each run is cut into stretches of equally many tokens, and the kinds take turns at
them, so that other load on the machine strikes all; a ratio is that of the times that the same stretches took, with a 95 %
bootstrap interval over the stretches. CPU seconds are compared too: they hardly depend on what else the machine does. What is
kept of frozen layers is computed within the time. `trl, defaults` trains only for a few stretches where `most` says so: its
result is that of `trl, best` but for rounding. Validation loss is computed by the same code for all. The share of the peak is
the multiplications of one last step, counted, at the pace of the last stretch, over the best that the machine did meanwhile.

Rows are `../shared/data/general/replay_general`, or a JSON file of prompts and completions. TRL comes from the environment at
hand or from the folder that TRL_SITE names: `pip install --target DIR --no-deps trl==1.16.* datasets …`.

Run: python -m benches.decoder_training [ROWS] [EPOCHS] [STRETCHES AN EPOCH] [MOST STRETCHES OF TRL'S DEFAULTS] [FILE]
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from benches._turns import Worker, listen, say, through, wait

ROWS_FILE = Path(__file__).parents[2] / "shared/data/general/replay_general/items.jsonl"
SHORTER = 4  # stretches of TRL's defaults, which take so long
HELD_OUT, LONGEST, BATCH_ROWS, RATE = 80, 512, 8, 2e-4
FP32 = {"bf16": False, "gradient_checkpointing": False}
TRL = {  # overrides of SFTConfig's defaults, beside rows a step and rate
    "trl, defaults": {},
    "trl, best": FP32,  # and our batches: grouped by length over more rows than its own sampler does
    "trl, float32, group_by_length": {**FP32, "train_sampling_strategy": "group_by_length"},
    "trl, float32, padding-free": {**FP32, "padding_free": True, "max_length": None},
}
OURS = {  # adapter and rate; the first has TRL's (PEFT's) default targets
    "preceptor, q_proj and v_proj": ("lora", RATE),
    "preceptor, lora": ("lora", RATE),
    "preceptor, lora-top": ("lora-top", 5e-4),
}
KINDS = ("trl, defaults", "trl, best", *OURS)


@dataclass
class Stretch:
    """What was done in one turn."""

    supervised: int = 0
    tokens: int = 0
    positions: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    steps: int = 0


@dataclass
class Turns:
    """A worker's side of the turns: waits for its turn before a step, and says what it did when a stretch is over."""

    each: float  # tokens a stretch
    done: int = 0
    now: Stretch = field(default_factory=Stretch)

    def step(self, inputs: dict[str, Any], learnt: int, run: Callable[[], Any]) -> Any:
        if not self.now.steps:
            wait()
        begun, cpu = time.perf_counter(), time.process_time()
        found = run()
        now = self.now
        now.seconds, now.cpu_seconds = now.seconds + time.perf_counter() - begun, now.cpu_seconds + time.process_time() - cpu
        mask = inputs.get("attention_mask")
        tokens = int(inputs["input_ids"].numel() if mask is None else mask.sum())
        now.supervised, now.tokens, now.steps = now.supervised + learnt, now.tokens + tokens, now.steps + 1
        now.positions, self.done = now.positions + inputs["input_ids"].numel(), self.done + tokens
        if now.tokens >= self.each:
            self.close()
        return found

    def close(self) -> None:
        if self.now.steps:
            say({"stretch": vars(self.now)})
            self.now = Stretch()


THREADS = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


def examples(count: int, file: str) -> tuple[Any, Any, Any]:
    """Tokenizer, rows to train on and rows held out, rendered by the model's own template."""
    from preceptor.models.base_models import find_base_folder
    from preceptor.models.causal_lm import prepare_tokenizer
    from preceptor.models.chat_template import RenderError, build_conversation, render_conversation
    from preceptor.training.examples import build_masked_examples

    path = Path(file) if file else ROWS_FILE
    if not path.exists():
        sys.exit(f"{path} is missing: give a JSON file of rows with prompt and completion as the fifth argument")
    text = path.read_text(encoding="utf-8")
    read = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    tokenizer, kept = prepare_tokenizer(find_base_folder("smollm2")), []
    for number in np.random.default_rng(0).permutation(len(read)):
        row = read[number]
        prompt = row["prompt"] if "prompt" in row else "\n\n".join(part for part in (row["instruction"], row["input"]) if part)
        with contextlib.suppress(RenderError):
            kept.append(
                render_conversation(
                    tokenizer, build_conversation({"prompt": prompt}, (row.get("completion") or row["output"]).strip()), LONGEST
                )
            )
        if len(kept) == count + HELD_OUT:
            break
    held_out, train = kept[:HELD_OUT], kept[HELD_OUT:]
    return tokenizer, *(
        build_masked_examples(map(str, range(len(part))), map(str, range(len(part))), part, [1.0] * len(part)) for part in (train, held_out)
    )


def work(kind: str, rows: int, epochs: int, stretches: int, file: str) -> None:
    """One kind's training, in this process."""
    listen()
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(THREADS)
    tokenizer, train, held_out = examples(rows, file)
    turns = Turns(sum(train.lengths) / stretches / (SHORTER if kind == "trl, defaults" else 1))
    with tempfile.TemporaryDirectory() as folder:
        trainer, model = (theirs if kind in TRL else ours)(kind, epochs, folder, tokenizer, train, held_out, turns)
        say({"ready": kind})
        trainer.train()
        turns.close()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        wait()
        say({"peak_mb": peak, **ended(model, tokenizer, held_out), **multiplied(trainer)})


def ours(kind: str, epochs: int, folder: str, tokenizer: Any, train: Any, held_out: Any, turns: Turns) -> tuple[Any, Any]:
    from peft import LoraConfig, get_peft_model

    from preceptor.models.adapters import fold_lora_layers
    from preceptor.models.base_models import find_base_folder
    from preceptor.models.causal_lm import prepare_causal
    from preceptor.training import TrainingRun
    from preceptor.training.objective import TrainConfig, TrainingTask
    from preceptor.training.sft import SFTObjective
    from preceptor.training.trainer import RecipeTrainer

    class AsTheirs(SFTObjective):
        def create_model(self) -> Any:
            return fold_lora_layers(get_peft_model(prepare_causal(self.base, self.tokenizer), LoraConfig(**lora())))

    class Counting(RecipeTrainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            self.last = inputs
            return turns.step(
                inputs, int(inputs["supervised"][:, 1:].sum()), lambda: super(Counting, self).training_step(model, inputs, *rest)
            )

    adapter, rate = OURS[kind]
    base = find_base_folder("smollm2")
    objective = (AsTheirs if "q_proj" in kind else SFTObjective)(base, tokenizer, adapter, 16)
    plan = TrainConfig(
        epochs=epochs, min_steps=1, batch_size=BATCH_ROWS, weight_decay=0.0, patience=1, evals_per_epoch=0, seed=0, learning_rate=rate
    )  # fmt: skip
    trainer = Counting(TrainingTask(TrainingRun(Path(folder), base, None), LONGEST, objective, train, held_out), plan, "")
    return trainer, trainer.model


def theirs(kind: str, epochs: int, folder: str, tokenizer: Any, train: Any, held_out: Any, turns: Turns) -> tuple[Any, Any]:
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from torch.utils.data import DataLoader
    from trl import SFTConfig, SFTTrainer

    from preceptor.models.base_models import find_base_folder
    from preceptor.models.causal_lm import prepare_causal
    from preceptor.training.examples import LengthBatches

    class Counting(SFTTrainer):
        def get_train_dataloader(self) -> Any:
            if kind != "trl, best":
                return super().get_train_dataloader()
            batches = LengthBatches(train.lengths, BATCH_ROWS, 0)
            return self.accelerator.prepare_data_loader(
                DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)
            )

        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            self.last = dict(inputs)
            learnt = int((inputs["labels"][:, 1:] != -100).sum())
            return turns.step(inputs, learnt, lambda: super(Counting, self).training_step(model, inputs, *rest))

    disable_progress_bars()
    common = {"output_dir": folder, "report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "seed": 0}
    common |= {"max_length": LONGEST, "num_train_epochs": epochs, "per_device_train_batch_size": BATCH_ROWS, "learning_rate": RATE}
    data = Dataset.from_list(
        [
            {"input_ids": list(ids), "completion_mask": mask.astype(int).tolist()}
            for ids, mask in zip(train.tokens, train.targets, strict=True)
        ]
    )
    trainer = Counting(
        model=prepare_causal(find_base_folder("smollm2"), tokenizer),
        args=SFTConfig(**{**common, "completion_only_loss": True, **TRL[kind]}),
        train_dataset=data, processing_class=tokenizer, peft_config=LoraConfig(**lora()),
    )  # fmt: skip
    return trainer, trainer.model


def lora() -> dict[str, Any]:
    """PEFT's default targets for this family are q_proj and v_proj."""
    return {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "task_type": "CAUSAL_LM"}


def ended(model: Any, tokenizer: Any, held_out: Any) -> dict[str, Any]:
    """Validation loss in nats a token, and what each row adds to it."""
    from preceptor.models.completion_scoring import completion_log_probabilities

    started = time.perf_counter()
    found = completion_log_probabilities(model, held_out.tokens, held_out.targets, tokenizer.pad_token_id)
    sums, counts = np.array([-row.sum() for row in found]), np.array([len(row) for row in found])
    validated = {"validation_loss": float(sums.sum() / counts.sum()), "row_losses": sums.tolist(), "row_tokens": counts.tolist()}
    return {**validated, "validation_tokens_per_second": sum(held_out.lengths) / (time.perf_counter() - started)}


def multiplied(trainer: Any) -> dict[str, float]:
    """Multiplications and additions of matrices a token in one more step, without its turn."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):  # torch's own counter follows modules too, by hooks that gradients of a part don't allow
        total = 0

        def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made = function(*args, **(kwargs or {}))
            if function.overloadpacket in flop_registry:
                self.total += flop_registry[function.overloadpacket](*args, **(kwargs or {}), out_val=made)
            return made

    inputs, step = trainer.last, type(trainer).__mro__[1].training_step
    mask = inputs.get("attention_mask")
    with Counter() as counter:
        step(trainer, trainer.model_wrapped, inputs)
    return {"flops_a_token": counter.total / int(inputs["input_ids"].numel() if mask is None else mask.sum())}


def matmul_peak() -> float:
    """The best of a few float32 multiplications of large matrices in flops a second."""
    import torch

    torch.set_num_threads(THREADS)
    size, times = 1536, []
    left, right = torch.randn(size, size), torch.randn(size, size)
    for _ in range(8):
        begun = time.perf_counter()
        left @ right
        times.append(time.perf_counter() - begun)
    return 2 * size**3 / min(times)


def run(rows: int = 120, epochs: int = 3, stretches: int = 4, most: int = 4, file: str = "", kinds: str = "") -> dict[str, Any]:
    """Turn by turn until all are through."""
    named = tuple(kinds.split(";")) if kinds else KINDS
    workers = {kind: Worker("benches.decoder_training", kind, rows, epochs, stretches, file, peer=kind in TRL) for kind in named}
    peaks = [matmul_peak()]
    results = through(workers, {"trl, defaults": most}, between=lambda: peaks.append(matmul_peak()))
    measured = {kind: (worker.stretches, results[kind]) for kind, worker in workers.items()}
    return {
        "rows": [row(kind, measured, max(peaks)) for kind in measured],
        "ratios": [
            {"of": kind, "over": other, **ratios(measured[kind][0], measured[other][0])}
            for kind in named if kind in OURS for other in named if other in TRL
        ],
        "validation_loss_above_trl_best": [
            {"of": kind, **above(measured[kind][1], measured["trl, best"][1])} for kind in named if kind in OURS and "trl, best" in named
        ],
        "training_rows": rows, "epochs": epochs, "stretches_an_epoch": stretches, "matmul_peak_gflops": round(max(peaks) / 1e9),
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def row(kind: str, measured: dict[str, Any], peak: float) -> dict[str, Any]:
    stretches, result = measured[kind]
    total = {name: sum(each[name] for each in stretches) for name in vars(Stretch())}
    last = stretches[-1]
    found = {
        "training": kind,
        "supervised_tokens_per_second": round(total["supervised"] / total["seconds"], 1),
        "tokens_per_second": round(total["tokens"] / total["seconds"], 1),
        "tokens_per_cpu_second": round(total["tokens"] / total["cpu_seconds"], 1),
        "not_padding": round(total["tokens"] / total["positions"], 2),
        "supervised_tokens": total["supervised"],
    }
    if result:
        share = result["flops_a_token"] * last["tokens"] / last["seconds"] / peak
        found |= {
            "peak_mb": result["peak_mb"],
            "share_of_matmul_peak": round(share, 2),
            "validation_loss": round(result["validation_loss"], 4),
        }
        found |= {"validation_tokens_per_second": round(result["validation_tokens_per_second"])}
    return found


def ratios(first: list[dict[str, float]], second: list[dict[str, float]]) -> dict[str, Any]:
    """How many times the second's seconds a token the first takes, over all and with a bootstrap over the stretches both have.

    Where the second has only some of the stretches, the first's pace is that of all its stretches.
    """
    draws = np.random.default_rng(0)

    def ratio(clock: str, one: Any, other: Any) -> float:
        pace = [sum(stretch[clock] for stretch in part) / sum(stretch["tokens"] for stretch in part) for part in (one, other)]
        return pace[1] / pace[0]

    def estimate(clock: str) -> dict[str, float]:
        drawn = []
        for _ in range(2000):
            picks = draws.integers(len(first), size=len(first))
            others = picks if len(first) == len(second) else draws.integers(len(second), size=len(second))
            drawn.append(ratio(clock, [first[pick] for pick in picks], [second[pick] for pick in others]))
        low, high = np.quantile(drawn, [0.025, 0.975])
        return {"value": ratio(clock, first, second), "low": float(low), "high": float(high)}

    each = [ratio("seconds", [one], [other]) for one, other in zip(first, second, strict=False)]
    return {"times_the_pace": estimate("seconds"), "by_cpu_seconds": estimate("cpu_seconds"), "median_of_stretches": float(np.median(each))}


def above(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Difference of validation losses in nats a token, with the error of the paired rows."""
    from preceptor.training.callbacks import clustered_error

    counts = np.array(first["row_tokens"], dtype=float)
    apart = (np.array(first["row_losses"]) - np.array(second["row_losses"])) / counts.mean()
    value, error = float(apart.mean()), clustered_error(apart - apart.mean() * counts / counts.mean(), [str(n) for n in range(len(counts))])
    return {"difference": {"value": value, "low": value - 1.96 * error, "high": value + 1.96 * error}}


def arguments(given: list[str]) -> Iterator[Any]:
    for value in given:
        yield int(value) if value.lstrip("-").isdigit() else value


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], *(int(value) for value in sys.argv[3:6]), sys.argv[6] if len(sys.argv) > 6 else "")
    else:
        print(json.dumps(run(*arguments(sys.argv[1:])), indent=2))
