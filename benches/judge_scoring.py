"""Judges' scores a second, as we score (batches of like length, the shared beginning of prompts read once) beside a loop over cases.

entailment   MiniLM reads a claim beside a passage of its sources; the loop asks it about one claim at a time
rubric       SmolLM2 says yes or no to a question about an answer; the loop reads the whole prompt anew for each answer and option

Both take the same cases (summaries of SummEdits with their documents), in turns. apart: the largest difference between the scores.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from preceptor.documents.claim_judge import ClaimPair, train_claim_judge
from preceptor.evaluation.judges import JudgeCase, LikelihoodChooser, RubricJudge
from preceptor.evaluation.judges.claim_judges import EntailmentJudge
from preceptor.generation import LocalProvider
from preceptor.models.atomic_folder import weights_digest
from preceptor.models.base_models import find_base_folder
from preceptor.types import FloatArray

DATA = Path(__file__).parents[2] / "shared" / "data" / "claims" / "summedits"
CASES = {"entailment": 400, "rubric": 48}
TURNS = 3
QUESTION = "Does the summary say only what the document says?"


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"{DATA} is missing: this bench reads SummEdits from there")
    cases, labels = read()
    with tempfile.TemporaryDirectory() as folder:
        pairs = [
            ClaimPair(case.text, case.sources, label, f"g{n}") for n, (case, label) in enumerate(zip(cases[:120], labels, strict=False))
        ]
        train_claim_judge(pairs, Path(folder) / "judge", epochs=1, learning_rate=1e-5)
        judge = EntailmentJudge(Path(folder) / "judge")
        rows = [measured("entailment", judge.scores, cases[: CASES["entailment"]])]
    smollm2 = find_base_folder("smollm2")
    rubric = RubricJudge(QUESTION, LikelihoodChooser(LocalProvider(smollm2), weights_digest(smollm2)))
    short = [case for case in cases if len(case.sources[0]) < 1500][: CASES["rubric"]]
    rows.append(measured("rubric", rubric.scores, short))
    print(json.dumps(rows))


def read() -> tuple[list[JudgeCase], list[float]]:
    documents = {row["doc_id"]: row["doc"] for row in lines("docs.jsonl")}
    found = lines("items.jsonl")
    order = np.random.default_rng(0).permutation(len(found))
    rows = [found[at] for at in order]
    return [JudgeCase(row["summary"], (documents[row["doc_id"]],)) for row in rows], [float(row["label"]) for row in rows]


def lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def measured(name: str, scores: Callable[[Sequence[JudgeCase]], FloatArray], cases: Sequence[JudgeCase]) -> dict[str, object]:
    """Both ways in turns; the ratio of each turn's times, so that a busy machine slows both."""
    together, one_by_one, ratios = [], [], []
    for _ in range(TURNS):
        start = time.perf_counter()
        ours = scores(cases)
        middle = time.perf_counter()
        naive = np.concatenate([scores([case]) for case in cases])
        end = time.perf_counter()
        together.append(middle - start)
        one_by_one.append(end - middle)
        ratios.append((end - middle) / (middle - start))
    return {
        "judge": name, "cases": len(cases), "cases a second": round(len(cases) / float(np.median(together)), 1),
        "in a loop": round(len(cases) / float(np.median(one_by_one)), 1), "times": [round(min(ratios), 2), round(max(ratios), 2)],
        "apart": float(np.nanmax(np.abs(ours - naive))),
    }  # fmt: skip


if __name__ == "__main__":
    main()
