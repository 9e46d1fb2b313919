"""The hallucination rate of seven models from a few human checks each, against the rate from all checks (RefChecker's claims).

10,733 claims in 1,905 responses were all checked by people. Here whole responses are drawn at random until so many claims are
checked, and the judge sees the rest. The references aren't in the set, so the judge asks whether the other models say the same: the
share of a claim's words in each of their responses to the same example. What that tells in each setting (no source, a noisy
source, the right source) is fitted on the claims checked of the *other* six models, never on those of the model measured.

checks            claims that people check, of each model
alone, ppi        the interval from those checks alone, and with the judge, per claim (ratio over responses) and per response
gain              how many times as many checks people alone would need for the interval of ppi
coverage          how often an interval holds the rate from all checks, over draws
apart             of the 21 pairs of models, how many are told apart (Holm over the pairs, on the examples that both answered)
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr

from preceptor import Estimate
from preceptor.evaluation.number_format import format_percent
from preceptor.reporting.charts import IntervalRow, interval_plot, stack_charts
from preceptor.retrieval.text_analysis import extract_stems
from preceptor.statistics import estimate_mean, holm_adjust, ppi_mean, ppi_ratio
from preceptor.statistics.intervals import estimate_clustered_proportion

DATA = Path(__file__).parents[2] / "shared" / "data" / "claims" / "refchecker_claims"
PICTURE = Path(__file__).parents[1] / "docs" / "seven-models.svg"
CHECKS, PICTURED, DRAWS, SHOWN_SEED = (100, 200, 400), 200, 400, 0
PRICE = 0.05  # dollars a check, the price of a judgment that a project has to begin with
NAMES = {
    "falcon_40B_instruct": "Falcon 40B", "alpaca_7B": "Alpaca 7B", "llama2_70b_chat": "Llama 2 70B", "davinci001": "davinci-001",
    "chatgpt": "ChatGPT", "claude2": "Claude 2", "gpt4": "GPT-4",
}  # fmt: skip
Array = np.ndarray[Any, Any]
Drawn = Mapping[str, Mapping[str, Estimate]]  # by model and figure


@dataclass(frozen=True)
class Responses:
    """Of one model, a row a response: its example, its claims, how many people found unsupported, and features of each claim."""

    example: Array
    claims: Array
    unsupported: Array
    response: Array  # of each claim, its response's row
    features: Array  # of each claim: 1, overlap and setting
    labels: Array  # of each claim: 1 where unsupported

    @property
    def any(self) -> Array:
        return (self.unsupported > 0).astype(float)

    def of(self, rows: Array) -> Array:
        """The claims of some responses, as a mask."""
        return np.isin(self.response, rows)


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"{DATA} is missing: this bench reads RefChecker's claims from there")
    models = read()
    truth = {name: (each.unsupported.sum() / each.claims.sum(), each.any.mean()) for name, each in models.items()}
    shown, coverage = [], []
    for checks in CHECKS:
        drawn = [draw(models, checks, seed) for seed in range(DRAWS)]
        shown += table(drawn[SHOWN_SEED], truth, checks)
        coverage += covered(drawn, truth, checks)
        if checks == PICTURED:
            PICTURE.write_text(picture(drawn[SHOWN_SEED], models), encoding="utf-8")
    print(json.dumps({
        "all_checks": everything(models), "from_few_checks": shown, "over_draws": coverage, "apart": apart(models),
        "judge": judged(models), "price_a_check_usd": PRICE,
    }))  # fmt: skip


def read() -> dict[str, Responses]:
    """Each model's responses that have claims, those without in the number of responses too."""
    texts = {(row["dataset"], row["example_id"], row["model"]): row["response"] for row in rows("responses.jsonl")}
    by_example: dict[tuple[str, str], dict[str, frozenset[str]]] = defaultdict(dict)
    for (dataset, example, model), text in texts.items():
        by_example[dataset, example][model] = frozenset(extract_stems(text))
    claims: dict[str, dict[tuple[str, str], list[tuple[float, bool]]]] = {name: {} for name in NAMES}
    for dataset, example, model in texts:
        claims[model][dataset, example] = []
    for row in rows("items.jsonl"):
        key = row["dataset"], row["example_id"]
        others = [words for model, words in by_example[key].items() if model != row["model"]]
        claims[row["model"]][key].append((shared(" ".join(map(str, row["claim"])), others), row["human_label"] != "Entailment"))
    return {name: responses(claims[name]) for name in NAMES}


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def shared(claim: str, others: Sequence[frozenset[str]]) -> float:
    """The share of a claim's words in each other response, on average."""
    words = extract_stems(claim)
    if not words or not others:
        return 0.5
    return float(np.mean([np.mean([word in other for word in words]) for other in others]))


def responses(found: Mapping[tuple[str, str], list[tuple[float, bool]]]) -> Responses:
    overlap, labels, response, setting = [], [], [], []
    for number, ((dataset, _), claims) in enumerate(found.items()):
        for score, unsupported in claims:
            overlap.append(score)
            labels.append(float(unsupported))
            response.append(number)
            setting.append([dataset == "nq", dataset == "msmarco"])
    f, where = np.array(overlap), np.array(setting, dtype=float)
    features = np.column_stack([np.ones(len(f)), f, where, where * f[:, None]])
    place, y = np.array(response), np.array(labels)
    return Responses(
        np.array(["/".join(key) for key in found]),
        np.bincount(place, minlength=len(found)).astype(float),
        np.bincount(place, weights=y, minlength=len(found)),
        place, features, y,
    )  # fmt: skip


def draw(models: Mapping[str, Responses], checks: int, seed: int) -> dict[str, dict[str, Estimate]]:
    """For each model, whole responses at random until so many claims are checked; the estimates from them."""
    random = np.random.default_rng([seed, checks])
    checked = {}
    for name, each in models.items():
        order = random.permutation(len(each.claims))
        enough = int(np.searchsorted(np.cumsum(each.claims[order]), checks)) + 1
        checked[name] = order[:enough]
    return {name: estimates(models, checked, name) for name in models}


def estimates(models: Mapping[str, Responses], checked: Mapping[str, Array], name: str) -> dict[str, Estimate]:
    each, here = models[name], checked[name]
    rest = np.setdiff1d(np.arange(len(each.claims)), here)
    score = each.features @ fitted(models, checked, name)
    sums = np.bincount(each.response, weights=np.clip(score, 0, 1), minlength=len(each.claims))
    none = np.ones(len(each.claims))
    np.multiply.at(none, each.response, 1 - np.clip(score, 0, 1))
    flag = 1 - none  # chance that at least one claim is unsupported, were they independent
    u, c = each.unsupported, each.claims
    held = c[here] > 0
    return {
        "per claim, alone": estimate_clustered_proportion(u[here][held], c[here][held]),
        "per claim, ppi": ppi_ratio(u[here], c[here], sums[here], sums[rest], c[rest]),
        "per response, alone": estimate_mean(each.any[here]),
        "per response, ppi": ppi_mean(human=each.any[here], judge_on_human=flag[here], judge_on_rest=flag[rest]),
    }


def fitted(models: Mapping[str, Responses], checked: Mapping[str, Array], name: str) -> Array:
    """Least squares of people's labels on the features, over the claims checked of the other models."""
    others = [(models[other], models[other].of(rows_)) for other, rows_ in checked.items() if other != name]
    x = np.concatenate([each.features[mask] for each, mask in others])
    y = np.concatenate([each.labels[mask] for each, mask in others])
    return np.linalg.lstsq(x, y, rcond=None)[0]


def table(found: Drawn, truth: Mapping[str, tuple[float, float]], checks: int) -> list[dict[str, Any]]:
    return [
        {
            "checks": checks, "model": NAMES[name], "cost_usd": checks * PRICE,
            **{f"{unit}: {how}": str(each[f"{unit}, {how}"]) for unit in ("per claim", "per response") for how in ("alone", "ppi")},
            "all checks, per claim": round(truth[name][0], 3), "all checks, per response": round(truth[name][1], 3),
        }
        for name, each in found.items()
    ]  # fmt: skip


def covered(
    drawn: Sequence[Mapping[str, Mapping[str, Estimate]]], truth: Mapping[str, tuple[float, float]], checks: int
) -> list[dict[str, Any]]:
    lines = []
    for at, unit in enumerate(("per claim", "per response")):
        line: dict[str, Any] = {"checks": checks, "rate": unit}
        widths = {}
        for how in ("alone", "ppi"):
            every = [(name, found[name][f"{unit}, {how}"]) for found in drawn for name in found]
            line[f"coverage, {how}"] = round(float(np.mean([each.low <= truth[name][at] <= each.high for name, each in every])), 3)
            widths[how] = np.array([each.high - each.low for _, each in every])
            line[f"width, {how}"] = round(float(widths[how].mean()), 3)
        line["gain"] = round(float(np.mean((widths["alone"] / widths["ppi"]) ** 2)), 2)
        lines.append(line)
    return lines


def everything(models: Mapping[str, Responses]) -> list[dict[str, Any]]:
    """The rates from all checks, as of the examples that might have been asked."""
    return [
        {
            "model": NAMES[name], "responses": len(each.claims), "claims": int(each.claims.sum()),
            "claims a response": round(float(each.claims.mean()), 1),
            **{unit: str(estimate) for unit, estimate in full(each).items()},
        }
        for name, each in models.items()
    ]  # fmt: skip


def full(each: Responses) -> dict[str, Estimate]:
    some = each.claims > 0
    return {"per claim": estimate_clustered_proportion(each.unsupported[some], each.claims[some]), "per response": estimate_mean(each.any)}


def picture(found: Drawn, models: Mapping[str, Responses]) -> str:
    """Per claim and per response: each model's interval from few checks and a judge, above that from all its checks."""
    drawn = []
    for unit in ("per claim", "per response"):
        lines = []
        for name, each in models.items():
            lines.append(IntervalRow(f"{NAMES[name]}, {PICTURED} checks", found[name][f"{unit}, ppi"], strong=True))
            lines.append(IntervalRow(f"all {int(each.claims.sum()):,} checks", full(each)[unit]))
        drawn.append((f"Hallucination {unit}", interval_plot(f"Hallucination {unit}", lines, show=format_percent, limits=(0, 1))))
    return stack_charts(drawn)


def judged(models: Mapping[str, Responses]) -> list[dict[str, Any]]:
    """What the judge knows: its correlation with people's labels, of claims and of responses' counts, and the gain that allows."""
    everyone = {name: np.arange(len(each.claims)) for name, each in models.items()}
    lines = []
    for name, each in models.items():
        score = each.features @ fitted(models, everyone, name)
        sums = np.bincount(each.response, weights=score, minlength=len(each.claims))
        rate, judge_rate = each.unsupported.sum() / each.claims.sum(), sums.sum() / each.claims.sum()
        rho = float(np.corrcoef(each.unsupported - rate * each.claims, sums - judge_rate * each.claims)[0, 1])
        lines.append({
            "model": NAMES[name], "correlation, claims": round(float(np.corrcoef(score, each.labels)[0, 1]), 3),
            "word overlap alone": round(float(-np.corrcoef(each.features[:, 1], each.labels)[0, 1]), 3),
            "correlation, responses": round(rho, 3), "gain allowed": round(1 / (1 - rho**2), 2),
        })  # fmt: skip
    return lines


def apart(models: Mapping[str, Responses]) -> list[dict[str, Any]]:
    """Which model is better than which: rates per claim on the examples that both answered, from all checks and from few."""
    lines = []
    for checks in (*CHECKS, None):
        pairs = [(one, other, *difference(models[one], models[other], checks)) for one, other in combinations(models, 2)]
        rejected = np.array(holm_adjust([p for *_, p in pairs])) <= 0.05
        told = [
            f"{NAMES[one]} {'>' if value > 0 else '<'} {NAMES[other]}"
            for (one, other, value, _), yes in zip(pairs, rejected, strict=True)
            if yes
        ]
        lines.append({"checks": checks or "all", "apart": len(told), "of": len(pairs), "higher rate first": "; ".join(told)})
    return lines


def difference(one: Responses, other: Responses, checks: int | None) -> tuple[float, float]:
    """The difference of rates per claim, paired by example, and its p-value; from the first examples that make so many checks."""
    both = np.intersect1d(one.example, other.example)
    if checks is not None:
        both = np.random.default_rng(checks).permutation(both)
    at = [np.array([np.flatnonzero(each.example == name)[0] for name in both]) for each in (one, other)]
    u, c = ([getattr(each, column)[rows_] for each, rows_ in zip((one, other), at, strict=True)] for column in ("unsupported", "claims"))
    if checks is not None:
        enough = int(np.searchsorted(np.cumsum(c[0] + c[1]), 2 * checks)) + 1
        u, c = [each[:enough] for each in u], [each[:enough] for each in c]
    rate = [float(x.sum() / n.sum()) for x, n in zip(u, c, strict=True)]
    influence = [(x - r * n) / n.sum() for x, r, n in zip(u, rate, c, strict=True)]
    gap = influence[0] - influence[1]
    variance = len(gap) / (len(gap) - 1) * float((gap**2).sum())
    value = rate[0] - rate[1]
    return value, float(2 * ndtr(-abs(value) / np.sqrt(variance)))


if __name__ == "__main__":
    main()
