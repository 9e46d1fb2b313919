"""LoRA preference training of SmolLM2-135M: pairs a second of `dpo` beside TRL's DPOTrainer, epoch by epoch in turns. Every kind trains
on the same token ids of the same 16 pairs, on one thread; `trl, defaults` is bfloat16 with recomputed activations, the others are float32.
Each pair has a prompt of its own, of 75 tokens on average, and answers of 44: as 200 such pairs have (74 and 45).

The pairs are of PandaLM's test set, answers of real models, whose better one three people chose, with hard labels and β = 0.1. Each kind
has a process of its own (so that peak memory is its own, from its start to its end), the same weights, and as many pairs a step. Kinds
take turns at whole epochs, so that each did the same work and other load on the machine strikes all; of a first epoch, which warms up,
no time is counted. A ratio is that of the times that the same epoch took, with a 95 % t interval over epochs: it is about these pairs,
and not about others. CPU seconds are compared too: they hardly depend on what else the machine does. What the base makes of each pair is
read before, by ours and by `trl, best`; that time is `reference_cpu_seconds`. It is counted, with the first epoch, in the pace of a whole
training of three epochs, the default, and in that one's ratio: `lora-top` reads the layers that it doesn't train in the first epoch only.

What the trainings end with, dpo_equality says.

TRL comes from the environment at hand or from the folder that TRL_SITE names: `pip install --target DIR --no-deps trl==1.16.* …`.

Run: python -m benches.dpo_training [PAIRS] [EPOCHS]
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from benches._turns import Worker, listen, say, through, wait

from preceptor.statistics import estimate_mean

ROWS_FILE = Path(__file__).parents[2] / "shared/data/preferences/pandalm_test/items.jsonl"
HELD_OUT, LONGEST, BATCH_PAIRS, RATE, EPOCHS = 4, 256, 4, 2e-4, 3
FP32 = {"bf16": False, "gradient_checkpointing": False}
TRL: dict[str, dict[str, Any]] = {  # overrides of DPOConfig's defaults, beside pairs a step and rate
    "trl, defaults": {},
    "trl, best": {**FP32, "precompute_ref_log_probs": True},
}
OURS = {  # adapter, and whether prompts are read once; the first has TRL's (PEFT's) default targets
    "preceptor, q_proj and v_proj": ("lora", True),
    "preceptor, q_proj and v_proj, prompts read twice": ("lora", False),
    "preceptor, lora-top": ("lora-top", False),
}
KINDS = (*TRL, *OURS)
THREADS = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)


class Turns:
    """A worker's side of the turns: waits before a stretch, and says what it did when it is over."""

    def __init__(self, each: int) -> None:
        self.each, self.pairs, self.seconds, self.cpu_seconds = each, 0, 0.0, 0.0

    def step(self, pairs: int, run: Callable[[], Any]) -> Any:
        if not self.pairs:
            wait()
        begun, cpu = time.perf_counter(), time.process_time()
        found = run()
        self.seconds, self.cpu_seconds = self.seconds + time.perf_counter() - begun, self.cpu_seconds + time.process_time() - cpu
        self.pairs += pairs
        if self.pairs >= self.each:
            say({"stretch": {"pairs": self.pairs, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}})
            self.pairs, self.seconds, self.cpu_seconds = 0, 0.0, 0.0
        return found


def rows(count: int) -> tuple[list[Any], list[Any]]:
    """Pairs to train on and pairs held out, of which two people at least chose the one answer: prompts never stand on both sides."""
    from preceptor.models.base_models import find_base_folder
    from preceptor.models.causal_lm import prepare_tokenizer
    from preceptor.training.preference_pairs import tokenize_pairs

    class Row:
        def __init__(self, read: dict[str, Any]) -> None:
            said = [str(answer - 1) if answer else "tie" for answer in read["annotators"]]
            self.id, self.weight, self.group = str(read["id"]), 1.0, read["instruction"] + read["input"]
            prompt = "\n\n".join(part for part in (read["instruction"], read["input"]) if part)
            self.content = {"prompt": prompt, "responses": [read["response1"], read["response2"]]}
            self.target = {answer: said.count(answer) / len(said) for answer in said}

    read = [Row(json.loads(line)) for line in ROWS_FILE.read_text(encoding="utf-8").splitlines()]
    prompts = np.random.default_rng(0).permutation(sorted({row.group for row in read})).tolist()
    place = {prompt: at for at, prompt in enumerate(prompts)}
    tokenizer = prepare_tokenizer(find_base_folder("smollm2"))
    cut = tokenize_pairs(read, tokenizer, LONGEST, loss="hard", smoothing=0.0, nll=None)
    ordered = sorted(cut.pairs, key=lambda found: place[found[0].group])
    kept_apart = {found[0].group for found in ordered[:HELD_OUT]}
    train = [found for found in ordered if found[0].group not in kept_apart]
    return one_a_prompt(train)[:count], ordered[:HELD_OUT]


def one_a_prompt(pairs: list[Any]) -> list[Any]:
    """First a pair of each prompt, then a second of each that has one, and so on: a few pairs then have as many prompts."""
    met: Counter[str] = Counter()
    turns = []
    for pair, sides in pairs:
        turns.append((met[pair.group], pair, sides))
        met[pair.group] += 1
    return [(pair, sides) for _, pair, sides in sorted(turns, key=lambda each: each[0])]


def work(kind: str, count: int, epochs: int, shared: str) -> None:
    """One kind's training, in this process."""
    listen()
    warnings.filterwarnings("ignore")
    import torch

    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as folder:
        train, held_out = rows(count)
        turns = Turns(len(train))
        made = theirs(kind, folder, train, turns, epochs) if kind in TRL else ours(kind, train, held_out, turns, shared, epochs)
        trainer, reference = made
        say({"ready": kind})
        trainer.train()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        wait()
        say({"peak_mb": peak, "reference_seconds": reference})


def our_task(
    folder: str, adapter: str, train: list[Any], held_out: list[Any], *, joined: bool, as_theirs: bool, base: Path | None = None
) -> Any:
    """Task with references read, and the seconds that took."""
    from dataclasses import replace

    from peft import LoraConfig, get_peft_model

    from preceptor.models.adapters import fold_lora_layers
    from preceptor.models.base_models import find_base_folder
    from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer
    from preceptor.training import TrainingRun
    from preceptor.training.dpo import DPOObjective, add_reference_log_probabilities
    from preceptor.training.objective import TrainingTask
    from preceptor.training.preference_pairs import TokenizedSplit, build_pair_examples

    class AsTheirs(DPOObjective):
        def create_model(self) -> Any:
            return fold_lora_layers(get_peft_model(prepare_causal(self.base, self.tokenizer), LoraConfig(**lora())))

    base = base or find_base_folder("smollm2")
    objective = (AsTheirs if as_theirs else DPOObjective)(base, prepare_tokenizer(base), adapter, 16, loss_name="hard")
    sides = [build_pair_examples(TokenizedSplit(part, []), "", 1.0) for part in (train, held_out)]
    begun, known = time.process_time(), list(Path(folder).glob("reference-*.json"))
    task, able = add_reference_log_probabilities(TrainingTask(TrainingRun(Path(folder), base, None), LONGEST, objective, *sides), objective)
    timed = Path(folder) / "seconds.json"  # by the first that reads
    if not known:
        timed.write_text(json.dumps((time.process_time() - begun) * len(train) / (len(train) + len(held_out))))
    return replace(task, objective=replace(able, shares_prompt=able.shares_prompt and joined)), float(timed.read_text())


def ours(kind: str, train: list[Any], held_out: list[Any], turns: Turns, shared: str, epochs: int) -> tuple[Any, float]:
    from preceptor.training.objective import TrainConfig
    from preceptor.training.trainer import RecipeTrainer

    class Counting(RecipeTrainer):
        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            return turns.step(len(inputs["rows"]), lambda: super(Counting, self).training_step(model, inputs, *rest))

    adapter, joined = OURS[kind]
    task, reference = our_task(shared, adapter, train, held_out, joined=joined, as_theirs="q_proj" in kind)
    plan = TrainConfig(
        epochs=epochs, min_steps=1, batch_size=BATCH_PAIRS, weight_decay=0.0, patience=1, evals_per_epoch=0, seed=0, learning_rate=RATE
    )  # fmt: skip
    return Counting(task, plan, ""), reference


def theirs(kind: str, folder: str, train: list[Any], turns: Turns, epochs: int) -> tuple[Any, float]:
    class Timed:
        reference = 0.0

    trainer = their_trainer(folder, train, turns, Timed, **TRL[kind], num_train_epochs=epochs)
    return trainer, Timed.reference


def their_trainer(folder: str, train: list[Any], turns: Turns | None, timed: Any, *, base: Path | None = None, **settings: Any) -> Any:
    from datasets import Dataset, disable_progress_bars
    from peft import LoraConfig
    from trl import DPOConfig, DPOTrainer

    from preceptor.models.base_models import find_base_folder
    from preceptor.models.causal_lm import prepare_causal, prepare_tokenizer

    class Counting(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset  # these are tokens already

        def _precompute_ref_logps(self, *given: Any, **named: Any) -> Any:
            begun = time.process_time()
            found = super()._precompute_ref_logps(*given, **named)
            timed.reference = time.process_time() - begun
            return found

        def training_step(self, model: Any, inputs: Any, *rest: Any) -> Any:
            one = partial(super().training_step, model, inputs, *rest)
            return one() if turns is None else turns.step(len(inputs["input_ids"]) // 2, one)

    disable_progress_bars()
    common = {"output_dir": folder, "report_to": "none", "save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "seed": 0}
    common |= {"num_train_epochs": 1, "per_device_train_batch_size": BATCH_PAIRS, "learning_rate": RATE, "max_length": LONGEST}
    forks = [sides.fork for _, sides in train]
    data = Dataset.from_list(
        [{"prompt_ids": list(f.prompt), "chosen_ids": list(f.answers[0]), "rejected_ids": list(f.answers[1])} for f in forks]
    )
    base = base or find_base_folder("smollm2")
    tokenizer = prepare_tokenizer(base)
    return Counting(
        model=prepare_causal(base, tokenizer), args=DPOConfig(**{**common, **settings}), train_dataset=data,
        processing_class=tokenizer, peft_config=LoraConfig(**lora()),
    )  # fmt: skip


def lora() -> dict[str, Any]:
    """PEFT's default targets for this family are q_proj and v_proj."""
    return {"r": 16, "lora_alpha": 32, "lora_dropout": 0.0, "task_type": "CAUSAL_LM"}


def run(pairs: int = 16, epochs: int = 4) -> dict[str, Any]:
    """Turn by turn until all are through."""
    shared = tempfile.mkdtemp()  # what the base makes of the pairs is read by the first kind for all
    workers = {kind: Worker("benches.dpo_training", kind, pairs, epochs, shared, peer=kind in TRL) for kind in (*OURS, *TRL)}
    results = through(workers, {})
    seen = {kind: Seen(*worker.stretches[:1], worker.stretches[1:], **results[kind]) for kind, worker in workers.items()}
    return {
        "rows": [{"training": kind, **seen[kind].row()} for kind in KINDS],
        "ratios": [
            {"of": kind, "over": other, **ratios(seen[kind], seen[other])}
            for kind in OURS for other in (*TRL, *[each for each in OURS if "twice" in each]) if kind != other
        ],
        "training_pairs": pairs, "pairs_a_step": BATCH_PAIRS, "epochs_counted": epochs - 1, "threads": THREADS,
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What a kind's epochs took, and its process."""

    first: dict[str, float]
    epochs: list[dict[str, float]]
    peak_mb: int
    reference_seconds: float

    def each(self, clock: str) -> np.ndarray[Any, Any]:
        """What each epoch took."""
        return np.array([epoch[clock] for epoch in self.epochs])

    @property
    def whole(self) -> np.ndarray[Any, Any]:
        """CPU seconds of a whole training whose later epochs take what each epoch took."""
        return self.reference_seconds + self.first["cpu_seconds"] + (EPOCHS - 1) * self.each("cpu_seconds")

    def row(self) -> dict[str, Any]:
        pairs = self.each("pairs")
        return {
            "pairs_per_second": estimate_mean(pairs / self.each("seconds")).to_dict(),
            "pairs_per_cpu_second": estimate_mean(pairs / self.each("cpu_seconds")).to_dict(),
            "reference_cpu_seconds": round(self.reference_seconds, 1),
            "pairs_per_cpu_second_of_three_epochs": estimate_mean(EPOCHS * pairs / self.whole).to_dict(),
            "peak_mb": self.peak_mb,
        }


def ratios(first: Seen, second: Seen) -> dict[str, Any]:
    """How many times the second's pace the first has."""
    found = {
        "times_the_pace": second.each("seconds") / first.each("seconds"),
        "by_cpu_seconds": second.each("cpu_seconds") / first.each("cpu_seconds"),
        "of_three_epochs_by_cpu_seconds": second.whole / first.whole,
    }
    return {name: estimate_mean(each).to_dict() for name, each in found.items()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        with suppress(BrokenPipeError):
            work(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    else:
        print(json.dumps(run(*(int(value) for value in sys.argv[1:])), indent=2))
