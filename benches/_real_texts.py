"""Texts that people wrote, from the folder of shared data."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "shared" / "data"
FIELDS = {  # of each set, the fields that hold its texts
    "tasks/banking77": ("text",),
    "tasks/fin_tweets": ("text",),
    "tasks/legalbench_fewshot": ("fields",),
    "tasks/pubmedqa": ("question", "contexts", "long_answer"),
    "tasks/tatqa_finance": ("table", "paragraphs"),
    "general/replay_general": ("instruction", "input", "output"),
    "general/gsm8k_300": ("question",),
    "general/ifeval": ("prompt",),
    "claims/halueval_general": ("user_query", "chatgpt_response"),
    "claims/summedits": ("summary",),
    "claims/wice_claims": ("claim", "evidence_support"),
    "preferences/llmbar": ("instruction", "output_1", "output_2"),
    "preferences/pandalm_test": ("instruction", "input", "response1", "response2"),
}
_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")


def rows(name: str) -> list[str]:
    """One text a row of a set, its fields on lines of their own; ends the bench where the folder is missing."""
    file = DATA / name / "items.jsonl"
    if not file.exists():
        raise SystemExit(f"{file} is missing: this bench needs the folder of shared data beside the repository")
    with file.open(encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return ["\n".join(part for field in FIELDS[name] for part in _parts(row.get(field)) if part) for row in found]


def sentences() -> list[str]:
    """The different sentences of all sets, from three to forty words, in a fixed order."""
    found = dict.fromkeys(part.strip() for name in FIELDS for text in rows(name) for part in _SENTENCE.split(text))
    return [text for text in found if 3 <= len(text.split()) <= 40]


def short_texts(count: int, seed: int = 0) -> list[str]:
    """As many different short texts: the real sentences, then heads and tails of two of them put together."""
    rng, real = random.Random(seed), sentences()
    rng.shuffle(real)
    found = dict.fromkeys(real[:count])
    while len(found) < count:
        one, other = rng.choice(real).split(), rng.choice(real).split()
        found[" ".join([*one[: rng.randint(2, 14)], *other[-rng.randint(2, 14) :]])] = None
    return list(found)


def _parts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    for part in value if isinstance(value, list) else [value]:
        if part is not None:
            yield str(part)
