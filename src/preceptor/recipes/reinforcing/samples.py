"""The best, median and worst answers to held-out prompts at each look, for people to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.formats.atomic import atomic_write
from preceptor.formats.checksums import read_json
from preceptor.models.template import turns_of
from preceptor.recipes.reinforcing.rounds import Answers

EACH = 3  # answers of each kind
FOLDER = "samples"


def keep_samples(folder: Path, step: int, seen: Answers) -> None:
    """Write them into the run's folder, a file for each look."""
    (folder / FOLDER).mkdir(exist_ok=True)
    with atomic_write(folder / FOLDER / f"{step}.json", "w") as file:
        json.dump(picked(step, seen), file, indent=2, ensure_ascii=False)


def kept_samples(folder: Path, step: int) -> dict[str, Any]:
    """What `keep_samples` wrote at this step."""
    found: dict[str, Any] = read_json(folder / FOLDER / f"{step}.json")
    return found


def picked(step: int, seen: Answers) -> dict[str, Any]:
    """`{"best", "median", "worst"}`: answers with prompt, reward in all and by part; ties in the order of the prompts."""
    order = np.argsort(-seen.scored.total, kind="stable")
    middle = max(0, len(order) // 2 - EACH // 2)
    kinds = {"best": order[:EACH], "median": order[middle : middle + EACH], "worst": order[-EACH:][::-1]}
    return {kind: [_sample(step, seen, int(at)) for at in places] for kind, places in kinds.items()}


def _sample(step: int, seen: Answers, at: int) -> dict[str, Any]:
    sample = seen.samples[at]
    prompt = "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns_of(sample.content, "")[:-1])
    return {
        "id": sample.id,
        "prompt": prompt,
        "text": sample.text,
        "ended": sample.ended,
        "reward": float(seen.scored.total[at]),
        "parts": {name: float(values[at]) for name, values in seen.scored.by_part.items()},
        "step": step,
    }
