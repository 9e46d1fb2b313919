"""Items with people's labels and a judge's scores of the same items, both in [0, 1], from the folder of shared data."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DATA = Path(__file__).parents[2] / "shared" / "data"
WORD = re.compile(r"[^\W_]+")


class Scored(NamedTuple):
    """y: people's labels, or sums of them; f: the judge's; sizes: rows summed (1, or claims of a response). All (items,)."""

    name: str
    judge: str
    y: Floats
    f: Floats
    sizes: Floats


def all_sets() -> Iterator[Scored]:
    """Every set with each of its judges."""
    yield from wice()
    yield from frank()
    yield from refchecker()
    yield from summedits()
    yield from llmbar()
    yield from pandalm()


def wice() -> Iterator[Scored]:
    """Is the claim fully supported; and how far (supported 1, partly ½, not 0)?"""
    items = [item for item in lines("claims/wice_claims/items.jsonl") if item["model_scores"]]
    far = np.array([{"supported": 1.0, "partially_supported": 0.5, "not_supported": 0.0}[item["label"]] for item in items])
    for judge in sorted(items[0]["model_scores"]):
        score = np.array([float(item["model_scores"][judge]) for item in items])
        yield scored("wice, supported", judge, (far == 1).astype(float), score)
        yield scored("wice, how far", judge, far, score)


def frank() -> Iterator[Scored]:
    """How factual is the summary; metrics brought to 0 … 1 by their range."""
    items = lines("claims/frank_metrics/items.jsonl")
    label = np.array([item["human_factuality"] for item in items])
    for metric in items[0]["metrics"]:
        score = np.array([np.nan if (value := item["metrics"].get(metric)) is None else value for item in items], dtype=float)
        score = np.where(np.isfinite(score), score, np.nanmedian(score))  # a missing score is the same constant everywhere
        yield scored("frank", metric, label, (score - score.min()) / np.ptp(score))


def refchecker() -> Iterator[Scored]:
    """Unsupported claims of a response; the judge: the share of a claim's words that no other model's response has."""
    said = {
        (row["dataset"], row["example_id"], row["model"]): words(row["response"])
        for row in lines("claims/refchecker_claims/responses.jsonl")
    }
    others: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(dict)
    for (dataset, example, model), bag in said.items():
        others[dataset, example][model] = bag
    sums: dict[tuple[str, str, str], Floats] = defaultdict(lambda: np.zeros(3))
    for row in lines("claims/refchecker_claims/items.jsonl"):
        key = row["dataset"], row["example_id"], row["model"]
        claim = words(" ".join(map(str, row["claim"])) if isinstance(row["claim"], list) else row["claim"])
        shares = [len(claim & bag) / max(len(claim), 1) for model, bag in others[key[:2]].items() if model != key[2]]
        sums[key] += (row["human_label"] != "Entailment", 1 - (np.mean(shares) if shares else 0.5), 1)
    y, f, sizes = np.array(list(sums.values())).T
    yield Scored("refchecker, per claim", "words of others", y, f, sizes)
    yield scored(
        "refchecker, per response", "words of others", (y > 0).astype(float), 1 - np.prod([1 - f / sizes], axis=0) ** np.minimum(sizes, 5)
    )


def summedits() -> Iterator[Scored]:
    """Is the summary inconsistent; the judge: the share of its words that the document lacks."""
    documents = {row["doc_id"]: words(row["doc"]) for row in lines("claims/summedits/docs.jsonl")}
    items = lines("claims/summedits/items.jsonl")
    bags = [words(item["summary"]) for item in items]
    score = np.array([1 - len(bag & documents[item["doc_id"]]) / len(bag) for bag, item in zip(bags, items, strict=True)])
    yield scored("summedits", "words not in document", np.array([1.0 - item["label"] for item in items]), score)


def llmbar() -> Iterator[Scored]:
    """Is the first output better; 65 judge settings, both orders averaged, no verdict a half."""
    items = lines("preferences/llmbar/items.jsonl")
    label = np.array([float(str(item["label"]) == "1") for item in items])
    value = {"1": 1.0, "2": 0.0}
    for judge in sorted(set.intersection(*(set(item["judges"]) for item in items))):
        verdicts = [item["judges"][judge] for item in items]
        both = [[value.get(str(verdict[order]), 0.5) for order in ("winner", "winner_swapped_order")] for verdict in verdicts]
        yield scored("llmbar", judge, label, np.mean(both, axis=1))


def pandalm() -> Iterator[Scored]:
    """How far is the first response better, by the majority of three people; a tie is a half."""
    items = lines("preferences/pandalm_test/items.jsonl")
    value = {"0": 0.5, "Tie": 0.5, "1": 1.0, "2": 0.0}
    label = np.array([value[str(max(item["annotators"], key=item["annotators"].count))] for item in items])
    for judge in ("gpt35_verdict", "pandalm7b_verdict"):
        yield scored("pandalm", judge, label, np.array([value.get(str(item[judge]), 0.5) for item in items]))


def scored(name: str, judge: str, y: Floats, f: Floats) -> Scored:
    return Scored(name, judge, y, f, np.ones(len(y)))


def lines(path: str) -> list[Any]:
    """The rows of a JSON Lines file of the shared folder; ends the bench where the folder is missing."""
    file = DATA / path
    if not file.exists():
        raise SystemExit(f"{file} is missing: this bench needs the folder of shared data beside the repository")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def words(text: str) -> set[str]:
    return {word.lower() for word in WORD.findall(text)}
