"""The local judge of claims against word overlap, and what each is worth beside people: on summaries of domains that it never saw.

SummEdits (Laban et al. 2023): 700 summaries of earnings calls and meetings; people said of each whether its document bears it out.
The entailment judge is MiniLM trained by `preceptor judge train` on the other four domains and on RTE-1 with the shares of its ten
people; its word on a summary is that on its worst claim. WiCE (Kamoi et al. 2023): claims of Wikipedia against the page that they
cite (its first 4,000 characters), supported or not wholly; there the judge is far from home.

auc: the chance that of two, the one that isn't borne out scores worse; 0.5 is a coin. correlation: of a judge's score with people's
verdict, ρ, by documents. gain: people check some of the 700, drawn 200 times, and the judge has all: how often the interval holds
the rate from all checks, its width beside people alone, and how many times the checks that is worth beside what ρ allows at most. A
simulated judge (right in nine of ten) shows what a good one would bring. What ρ allows is for independent summaries; these share 38
documents. Intervals hold more often than they promise, since they speak of all documents and not of these alone. stopping: how many
responses people check until the interval decides a bound, in looks of 50, 100, 200 and 400, and how often it decides wrongly.

The judge's weights are kept in bench-results/hallucination and not trained again; training takes 40 minutes of two busy cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benches._judges import DATA, HELD, Summary, held_out, pairs, summaries

from preceptor.documents.claim_judge import train_claim_judge
from preceptor.evaluation.faithfulness import AuditLook, CheckedResponse, estimate_faithfulness, plan_looks, shuffle_by_hash
from preceptor.evaluation.judges import CaseJudge, JudgeCase, label_efficiency, measure_agreement
from preceptor.evaluation.judges.claim_judges import JUDGE_FILE, EntailmentJudge, OverlapJudge
from preceptor.evaluation.release_bounds import ReleaseBound, decide_release
from preceptor.statistics import bootstrap
from preceptor.types import FloatArray

KEPT = Path(__file__).parents[1] / "bench-results" / "hallucination" / "judge"
CHECKED, DRAWS = (100, 200, 400), 200
BOUNDS = (0.45, 0.5, 0.55, 0.65, 0.7)  # of the rate, which is about 0.6
FIGURE = "hallucination_responses"


def main() -> None:
    """Print the document."""
    some = held_out()
    judges: dict[str, CaseJudge] = {"word overlap": OverlapJudge(), "entailment": trained()}
    support = {name: of_summaries(judge, some) for name, judge in judges.items()}
    said = np.array([float(not summary.consistent) for summary in some])
    documents = [summary.document for summary in some]
    worth = [worth_of(name, "summaries", said, 1 - scores, documents) for name, scores in support.items()]
    worth += [worth_of(name, domain, *part) for name, scores in support.items() for domain, part in by_domain(some, said, 1 - scores)]
    worth += of_wice(judges)
    simulated = np.where(np.random.default_rng(0).random(len(said)) < 0.9, 1 - said, said)
    gains = [gain(name, some, scores, count) for name, scores in {**support, "simulated": simulated}.items() for count in CHECKED]
    stops = [stopping(name, some, scores, bound) for name, scores in {**support, "simulated": simulated}.items() for bound in BOUNDS]
    about = json.loads((KEPT / JUDGE_FILE).read_text(encoding="utf-8"))
    found = {
        "judges": worth,
        "gain": gains,
        "stopping": stops,
        "pairs_trained_on": about["rows"],
        "rate_from_all_checks": float(said.mean()),
    }
    print(json.dumps(found, indent=1))


def trained() -> EntailmentJudge:
    """The judge, trained when it isn't there yet."""
    if not (KEPT / JUDGE_FILE).exists():
        print("training the judge", file=sys.stderr, flush=True)
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        train_claim_judge(pairs(), KEPT, dtype="float32", evals_per_epoch=1)
    return EntailmentJudge(KEPT)


def of_summaries(judge: CaseJudge, some: Sequence[Summary]) -> FloatArray:
    """The support of each summary: of its claim that has least."""
    scores = judge.scores([JudgeCase(claim, (summary.source,)) for summary in some for claim in summary.claims])
    owner = np.repeat(np.arange(len(some)), [len(summary.claims) for summary in some])
    least = np.ones(len(some))
    np.minimum.at(least, owner, np.where(np.isnan(scores), 0.5, scores))
    return least


def by_domain(some: Sequence[Summary], said: FloatArray, flags: FloatArray) -> list[tuple[str, tuple[FloatArray, FloatArray, list[str]]]]:
    """Each held-out domain by itself."""
    parts = []
    for domain in HELD:
        rows = np.array([summary.domain == domain for summary in some])
        parts.append((domain, (said[rows], flags[rows], [summary.document for summary in some if summary.domain == domain])))
    return parts


def of_wice(judges: Mapping[str, CaseJudge]) -> list[dict[str, Any]]:
    """The same on WiCE; beside them GPT-4 on the hundred claims that it has scored."""
    lines = (DATA / "claims" / "wice_claims" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    said = np.array([float(row["label"] != "supported") for row in rows])
    pages = [row["title"] for row in rows]
    cases = [JudgeCase(row["claim"], (row["evidence_excerpt"],)) for row in rows]
    found = [worth_of(name, "WiCE", said, 1 - judge.scores(cases), pages) for name, judge in judges.items()]
    scored = [place for place, row in enumerate(rows) if row["model_scores"]]
    of_gpt = np.array([1 - rows[place]["model_scores"]["gpt-4-0613"] for place in scored])
    return [*found, worth_of("GPT-4", "WiCE", said[scored], of_gpt, [pages[place] for place in scored])]


def worth_of(name: str, where: str, said: FloatArray, flags: FloatArray, groups: Sequence[str]) -> dict[str, Any]:
    """How well a judge's flags tell what people found wrong."""
    ranked = bootstrap(lambda weights: auc(weights, said, flags), clusters=groups, within=(0.0, 1.0))
    correlation = measure_agreement(said, flags, clusters=groups).correlation
    return {"judge": name, "of": where, "cases": len(said), "auc": ranked.to_dict(), "correlation": correlation.to_dict()}


def auc(weights: FloatArray, said: FloatArray, flags: FloatArray) -> FloatArray:
    """The weighted chance that a wrong one is flagged more than a right one, ties half; (…, cases) to (…,)."""
    _, level = np.unique(flags, return_inverse=True)
    wrong, right = (np.zeros((*weights.shape[:-1], level.max() + 1)) for _ in range(2))
    for place, at in enumerate(level):
        (wrong if said[place] else right)[..., at] += weights[..., place]
    below = np.cumsum(right, axis=-1) - right / 2
    total = wrong.sum(axis=-1) * right.sum(axis=-1)
    return np.where(total > 0, (wrong * below).sum(axis=-1) / np.where(total > 0, total, 1), 0.5)


def checked(some: Sequence[Summary], support: FloatArray, sample: Sequence[int]) -> list[CheckedResponse]:
    """Summaries as responses whose worst claim people have checked, those of the sample."""
    seen = set(sample)
    said = ["supported" if summary.consistent else "not_found" for summary in some]
    return [
        CheckedResponse(summary.id, summary.document, (summary.claims[0],), support[[row]], {0: said[row]} if row in seen else None)
        for row, summary in enumerate(some)
    ]


def gain(name: str, some: Sequence[Summary], support: FloatArray, count: int) -> dict[str, Any]:
    """Intervals from so many checks and the judge, over many draws."""
    truth = float(np.mean([not summary.consistent for summary in some]))
    ids = [summary.id for summary in some]
    rho = float(np.corrcoef(1 - support, [not summary.consistent for summary in some])[0, 1])
    held, widths, worth = [], [], []
    for draw in range(DRAWS):
        sample = shuffle_by_hash(ids, f"{count}/{draw}")[:count]
        found = estimate_faithfulness(checked(some, support, sample), sample, AuditLook(count, 1, 1))
        joint, alone = found.figures[FIGURE], found.people_alone[FIGURE]
        held.append(joint.low <= truth <= joint.high)
        widths.append((alone.high - alone.low, joint.high - joint.low))
        worth.append(found.equivalent_checks[FIGURE] / count)
    width_alone, width = np.mean(widths, axis=0)
    allowed = label_efficiency(rho, count, len(some) - count)
    return {
        "judge": name, "checked": count, "holds": float(np.mean(held)), "width_alone": float(width_alone), "width": float(width),
        "worth_times": float(np.mean(worth)), "allowed_times": allowed, "rho": rho,
    }  # fmt: skip


def stopping(name: str, some: Sequence[Summary], support: FloatArray, threshold: float) -> dict[str, Any]:
    """Look until the bound is decided, over many draws of who is checked in which order."""
    truth = float(np.mean([not summary.consistent for summary in some]))
    bound, right = ReleaseBound(FIGURE, False, threshold), "met" if truth <= threshold else "missed"
    ids, spent, states = [summary.id for summary in some], [], []
    for draw in range(DRAWS // 2):
        order = shuffle_by_hash(ids, f"stop/{draw}")
        for look in plan_looks(len(some)):
            sample = order[: look.size]
            state = decide_release([bound], estimate_faithfulness(checked(some, support, sample), sample, look).figures).state
            if state != "undecided":
                break
        spent.append(look.size)
        states.append(state)
    wrong = [state not in (right, "undecided") for state in states]
    return {
        "judge": name, "bound": str(bound), "checked_on_average": float(np.mean(spent)),
        "decided": float(np.mean([state != "undecided" for state in states])), "decided_wrongly": float(np.mean(wrong)),
    }  # fmt: skip


if __name__ == "__main__":
    if not DATA.is_dir():
        sys.exit(f"the shared data is missing: {DATA} (this bench reads real judgments)")
    assert summaries()
    main()
