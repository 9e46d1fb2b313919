"""Whether `dpo` with hard labels is TRL's DPO: loss and gradient of one batch, and what whole trainings end with.

`one_batch`: four pairs of PandaLM's test set under SmolLM2-135M with a LoRA adapter that is moved alike for both, float32: TRL's own
`_compute_loss` beside ours. `whole_trainings`: a Llama of 3 million random weights learns from real answers a rule that it can learn, the
longer answer is better; three seeds of its weights, the same pairs, LoRA, rate and epochs for both; batches come in each
trainer's own order. Held-out pairs, the same for both; intervals are 95 % over pairs and their prompts.

TRL comes from the environment at hand or from the folder that TRL_SITE names, see dpo_training.

Run: python -m benches.dpo_equality [SEEDS] [PAIRS]
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benches import dpo_training
from benches.dpo_training import BATCH_PAIRS, FP32, our_task, rows, their_trainer

if site := os.environ.get("TRL_SITE"):
    sys.path.append(site)
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
HELD_OUT, EPOCHS, RATE, SHORT = 96, 2, 3e-3, 160  # SHORT: tokens of the small model's pairs


def run(seeds: int = 3, pairs: int = 32) -> dict[str, Any]:
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        dpo_training.LONGEST, dpo_training.HELD_OUT = SHORT, HELD_OUT
        train, held_out = (longer_wins(part) for part in rows(pairs))
        found = [beside(Path(folder), seed, train, held_out) for seed in range(seeds)]
        both = [whole(each, held_out) for each in found]
        same = one_batch(folder, *(part[:BATCH_PAIRS] for part in (train, held_out)))
    return {
        "one_batch": [same], "whole_trainings": both, "training_pairs": len(train), "held_out_pairs": HELD_OUT, "epochs": EPOCHS,
        "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def longer_wins(found: list[Any]) -> list[Any]:
    """The pairs with the longer answer as the chosen one."""
    return [(pair, sides if lengths(sides)[0] >= lengths(sides)[1] else exchanged(sides)) for pair, sides in found]


def lengths(sides: Any) -> tuple[int, int]:
    return sides.fork.counts


def exchanged(sides: Any) -> Any:
    fork = sides.fork
    turned = replace(fork, answers=fork.answers[::-1], learnt=fork.learnt[::-1])
    return replace(sides, fork=turned, supervised=[*[False] * len(fork.prompt), *turned.learnt[0]], characters=sides.characters[::-1])


def small(folder: Path, seed: int) -> Path:
    """A Llama of random weights with SmolLM2's tokens."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from preceptor.models.base_models import find_base_folder
    from preceptor.models.causal_lm import prepare_tokenizer

    tokenizer = prepare_tokenizer(find_base_folder("smollm2"))
    torch.manual_seed(seed)
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=True, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def beside(folder: Path, seed: int, train: list[Any], held_out: list[Any]) -> dict[str, Any]:
    """Held-out margins after each trainer's training of the same weights."""
    import torch

    from preceptor.training.objective import TrainConfig
    from preceptor.training.trainer import RecipeTrainer

    base = small(folder / f"base-{seed}", seed)
    own = folder / f"ours-{seed}"
    own.mkdir()
    task, _ = our_task(str(own), "lora", train, held_out, joined=True, as_theirs=True, base=base)
    plan = TrainConfig(
        epochs=EPOCHS, min_steps=1, batch_size=BATCH_PAIRS, weight_decay=0.0, patience=1, evals_per_epoch=0, seed=seed, learning_rate=RATE
    )  # fmt: skip
    trainer = RecipeTrainer(task, plan, "")
    trainer.train()
    torch.manual_seed(seed)
    settings = {**FP32, "num_train_epochs": EPOCHS, "learning_rate": RATE, "seed": seed, "warmup_steps": plan.arguments(task).warmup_steps}
    other = their_trainer(str(folder / f"theirs-{seed}"), train, None, None, base=base, **settings)
    other.train()
    margins = {name: task.objective.read(each.model, task.validation)[1] for name, each in (("ours", trainer), ("theirs", other))}
    print(seed, {name: float((each > 0).mean()) for name, each in margins.items()}, file=sys.stderr, flush=True)
    return {"seed": seed, **margins}


def whole(found: dict[str, Any], held_out: list[Any]) -> dict[str, Any]:
    from preceptor.statistics import compare_paired, estimate_mean

    prompts = np.array([pair.group for pair, _ in held_out])
    right = {name: (found[name] > 0).astype(float) for name in ("ours", "theirs")}
    loss = {name: np.logaddexp(0, -found[name]) for name in ("ours", "theirs")}
    return {
        "seed": found["seed"],
        "our_accuracy": estimate_mean(right["ours"], clusters=prompts).to_dict(),
        "trl_accuracy": estimate_mean(right["theirs"], clusters=prompts).to_dict(),
        "accuracy_difference": compare_paired(right["ours"], right["theirs"], clusters=prompts).to_dict(),
        "loss_difference": compare_paired(loss["ours"], loss["theirs"], clusters=prompts).to_dict(),
    }


def one_batch(folder: str, train: list[Any], held_out: list[Any]) -> dict[str, Any]:
    """One batch's loss and gradient by TRL's code and by ours, the adapter's weights moved alike."""
    import torch

    trainer = their_trainer(folder, train, None, None, **FP32)
    task, _ = our_task(folder, "lora", train, held_out, joined=True, as_theirs=True)
    model = task.objective.start()
    for part in (trainer.model, model):
        random = torch.Generator().manual_seed(1)
        for name, weights in sorted(part.named_parameters()):
            if "lora_" in name:
                weights.data = 0.05 * torch.randn(weights.shape, generator=random)
    batch = next(iter(trainer.get_train_dataloader()))
    order = [place_of(train, *both) for both in zip(*batch["input_ids"].reshape(2, BATCH_PAIRS, -1).tolist(), strict=True)]
    theirs = trainer._compute_loss(trainer.model.eval(), batch, False)
    theirs.backward()
    ours = task.objective.loss(model.eval(), task.objective.batch(task.train, order)) / BATCH_PAIRS
    ours.backward()
    gradients = [
        torch.cat([weights.grad.flatten() for _, weights in sorted(each.named_parameters()) if weights.grad is not None])
        for each in (model, trainer.model)
    ]
    return {
        "trl_loss": float(theirs.detach()),
        "our_loss": float(ours.detach()),
        "gradients_apart": float((gradients[0] - gradients[1]).norm() / gradients[1].norm()),
        "weights": len(gradients[0]),
    }


def place_of(pairs: list[Any], *padded: list[int]) -> int:
    """Which pair it is whose answers stand after their prompt in these two rows."""
    texts = [[[*sides.fork.prompt, *answer] for answer in sides.fork.answers] for _, sides in pairs]
    return next(at for at, both in enumerate(texts) if all(row[: len(ids)] == ids for row, ids in zip(padded, both, strict=True)))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    print(json.dumps(run(*(int(value) for value in sys.argv[1:])), indent=2))
