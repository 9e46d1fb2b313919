"""Tokens a second of `models.rollouts.sample`, which reinforcement draws with, beside `model.generate` at its defaults, on SmolLM2-135M:
four answers to each of eight messages, on one thread in float32. Peak memory: of a process of its own each, in all, and beyond what
that held before it answered, which the model's weights are part of.

Both draw four answers each to the same eight messages of banking77, of unequal lengths, at temperature 1, and stop where the model ends
an answer. Time is the process's own CPU time, which hardly depends on what else the machine does, and the kinds take turns. `generate` gets
the prompts in one batch padded on the left, and gives no log-probabilities, which `sample_rollouts` does. Tokens are those of answers, up
to and
including the one that ends each. A ratio is that of the two kinds' tokens a second in the same turn; intervals are by t over turns. Weights
are read before memory is counted: from a file they come into memory only when they are first used, and would count as the answers'.

Run: python -m benches.rollout_speed
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benches._banking import rows

from preceptor.generation.kv_cache import pad_left
from preceptor.generation.rollouts import sample_rollouts
from preceptor.models.base_models import find_base_folder
from preceptor.models.causal_lm import ChatTokenizer, prepare_causal, prepare_tokenizer
from preceptor.statistics import estimate_mean

PROMPTS, CHOICES, TOKENS, TURNS = 8, 4, 32, 4


class Bench:
    """The model, its prompts, and the two ways of answering them; each returns how many tokens it drew."""

    def __init__(self) -> None:
        folder = find_base_folder("smollm2")
        self.tokenizer, chat = prepare_tokenizer(folder), ChatTokenizer(folder)
        self.model = prepare_causal(folder, self.tokenizer).eval()
        asked = rows("train")[:: len(rows("train")) // PROMPTS][:PROMPTS]
        self.prompts = [chat.encode_prompt([{"role": "user", "content": row.content["prompt"]}]) for row in asked]
        self.ends = chat.end_tokens

    def ours(self, seed: int, tokens: int = TOKENS) -> int:
        found = sample_rollouts(self.model, self.tokenizer, self.prompts, choices=CHOICES, max_tokens=tokens, seed=seed, ends=self.ends)
        return sum(len(answer.tokens) for answers in found for answer in answers)

    def generate(self, seed: int, tokens: int = TOKENS) -> int:
        torch.manual_seed(seed)
        ids, mask = pad_left(self.prompts, "cpu")
        ends = sorted(self.ends)
        with torch.inference_mode():
            found = self.model.generate(
                input_ids=ids, attention_mask=mask, do_sample=True, num_return_sequences=CHOICES, max_new_tokens=tokens,
                eos_token_id=ends, pad_token_id=self.tokenizer.pad_token_id,
            )  # fmt: skip
        answers = found[:, ids.shape[1] :].tolist()
        return sum(next((at + 1 for at, token in enumerate(row) if token in ends), len(row)) for row in answers)


def memory(name: str, way: str) -> dict[str, Any]:
    """Megabytes that a process holds at most while it answers once, and beyond what it held before."""
    done = subprocess.run([sys.executable, "-m", "benches.rollout_speed", way], capture_output=True, text=True, check=True)
    before, most = map(float, done.stdout.split())
    return {"kind": name, "peak_mb": round(most), "beyond_the_loaded_model_mb": round(most - before)}


def megabytes() -> float:
    """The most that this process has held since the count began anew."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(lines["VmHWM"].split()[0]) / 1024


def run() -> dict[str, Any]:
    """Both kinds, turn by turn."""
    bench = Bench()
    ways = {"preceptor, sample": bench.ours, "transformers, generate": bench.generate}
    for way in ways.values():
        way(0, 2)  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    tokens: dict[str, list[int]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, way in ways.items():
            begun = time.process_time()
            tokens[name].append(way(turn))
            seconds[name].append(time.process_time() - begun)
    speed = {name: np.array(tokens[name]) / np.array(seconds[name]) for name in ways}
    ours, other = speed.values()
    found = [{"kind": name, "tokens": sum(tokens[name]), "tokens_per_cpu_second": estimate_mean(speed[name]).to_dict()} for name in ways]
    found[0]["ratio"] = estimate_mean(ours / other).to_dict()
    about = {"prompts": PROMPTS, "choices": CHOICES, "most_tokens": TOKENS, "turns": TURNS, "load": round(os.getloadavg()[0], 1)}
    return {**about, "speed": found, "memory": [memory(name, way.__name__) for name, way in ways.items()]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    if len(sys.argv) > 1:
        bench = Bench()
        for weights in bench.model.parameters():
            weights.sum()
        Path("/proc/self/clear_refs").write_text("5")  # the peak so far is that of loading
        before = megabytes()
        getattr(bench, sys.argv[1])(0)
        print(before, megabytes())
    else:
        print(json.dumps(run(), indent=2))
