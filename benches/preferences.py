"""Judges beside people's preferences: how far each agrees, what the order of the answers does to it, calibration, and what its votes
are worth. Judges' verdicts and people's answers are recorded ones (LLMBar, PandaLM); nothing is asked.

LLMBar: 419 pairs with an expert's label, and 65 judge settings of six models in both orders. "one order" is the mean of a judge's
two orders, each taken alone; "both agree" are the pairs of which it says the same in both. labels saved: how many times as many
labels people alone would need, at 100 labelled pairs, at most.
PandaLM: 999 pairs of answers by five models, three people each, and two judges in one order. Groups are the 170 instructions.
Intervals hold for experts' or people's choice over such pairs; "drawn again" labels 100 pairs at random, 300 times, and
asks how often the interval holds what all people's labels say. Run: python benches/preferences.py
"""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.evaluation.answer_pairs import ComparisonPair, PreferenceVote
from preceptor.evaluation.judges import OrderedVerdicts, calibrate_scores, impute_missing, label_efficiency, measure_agreement
from preceptor.evaluation.model_comparison import compare_models
from preceptor.statistics import calibration_estimates, compare_paired, estimate_mean, ppi_mean
from preceptor.types import FloatArray

DATA = Path(__file__).parents[2] / "shared" / "data" / "preferences"
LABELLED = 100
DRAWS = 300
SHOWN = ("GPT-4:Metrics_Reference", "GPT-4:Vanilla", "PaLM2:Vanilla", "LLaMA2:Vanilla", "ChatGPT:Vanilla", "ChatGPT:CoT",
         "ChatGPT-0301:Vanilla", "Falcon:Vanilla")  # fmt: skip
PANDA_JUDGES = {"gpt-3.5": "gpt35_verdict", "PandaLM-7B": "pandalm7b_verdict"}
SCORE = {"1": 1.0, "0": 0.5, "2": 0.0}


def main() -> None:
    """JSON on stdout."""
    bar, panda = rows("llmbar"), rows("pandalm_test")
    expert = np.array([float(row["label"] == 1) for row in bar])
    settings = {name: orders_of(bar, name) for name in sorted(bar[0]["judges"])}
    found = {name: beside_expert(expert, orders) for name, orders in settings.items()}
    comparison, pairs = people_of_panda(panda)
    document = {
        "judges_beside_experts": [{"judge": name, **found[name]} for name in SHOWN],
        "all_65_judge_settings": [of_all(expert, settings, found)],
        "calibration": list(calibration(expert, settings)),
        "what_a_verdict_is_worth": list(verdict_table(expert, settings)),
        "five_models_by_people": [
            {"model": name, "strength": estimate.to_dict(), **won(name, comparison)} for name, estimate in comparison["strengths"].items()
        ],
        "each_two_models": [match_row(match) for match in comparison["matches"]],
        "judges_of_pandalm": [panda_judge(panda, pairs, name, column) for name, column in PANDA_JUDGES.items()],
        "win_rates_drawn_again": list(drawn_again(panda)),
        "people": {
            "agree with each other": pairwise_agreement(panda).to_dict(),
            "the first answer adds (log-odds)": comparison["order_bias"].to_dict(),
            "the longer answer wins": longer(panda).to_dict(),
        },
    }  # fmt: skip
    print(json.dumps(document))


def rows(name: str) -> list[dict[str, Any]]:
    """The items of a set."""
    path = DATA / name / "items.jsonl"
    if not path.is_file():
        sys.exit(f"the shared data is missing: {path}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def orders_of(bar: Sequence[dict[str, Any]], judge: str) -> OrderedVerdicts:
    """A judge's verdicts on LLMBar: 1 where output 1 is better, NaN where it said neither."""
    sides = ("winner", "winner_swapped_order")
    table = [[SCORE.get(row["judges"].get(judge, {}).get(side), np.nan) for side in sides] for row in bar]
    return OrderedVerdicts(*np.array(table).T)


def beside_expert(expert: FloatArray, orders: OrderedVerdicts) -> dict[str, Any]:
    """One judge: what the order does to it, how often it is right, and what that saves."""
    alone = np.stack([impute_missing(orders.straight), impute_missing(orders.swapped)])
    right = ((np.sign(alone - 0.5) == np.sign(expert - 0.5)) + (alone == 0.5) / 2).mean(axis=0)
    certain = orders.judged & (orders.scores("consistent") != 0.5)
    both = measure_agreement(expert, orders.scores())
    one = np.mean([np.corrcoef(expert, each)[0, 1] if np.ptp(each) else 0.0 for each in alone])
    return {
        "no verdict": orders.missing,
        "takes the first place": orders.first_place().to_dict(),
        "turns with the order": orders.flip_rate().to_dict(),
        "output 1 wins, output 1 first": float(alone[0].mean()),
        "output 1 wins, both orders": estimate_mean(impute_missing(orders.scores())).to_dict(),
        "right in one order": estimate_mean(right).to_dict(),
        "right where both agree": estimate_mean((orders.scores("consistent") == expert)[certain].astype(float)).to_dict(),
        "correlation, one order": float(one),
        "correlation, both orders": both.correlation.to_dict(),
        "labels saved": label_efficiency(both.correlation.value, LABELLED, len(expert) - LABELLED),
    }


def of_all(expert: FloatArray, settings: dict[str, OrderedVerdicts], found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """How many of the settings have a liking for a place, and how far off their win rates are, before and after both orders are asked."""
    places = [row["takes the first place"] for row in found.values()]
    truth = expert.mean()
    return {
        "like the first place": sum(place["low"] > 0.5 for place in places),
        "like the second place": sum(place["high"] < 0.5 for place in places),
        "turn with the order, median": float(np.median([row["turns with the order"]["value"] for row in found.values()])),
        "win rate off, one order": float(np.mean([abs(impute_missing(each.straight).mean() - truth) for each in settings.values()])),
        "win rate off, both orders": float(np.mean([abs(impute_missing(each.scores()).mean() - truth) for each in settings.values()])),
        "correlation, one order": float(np.mean([row["correlation, one order"] for row in found.values()])),
        "correlation, both orders": float(np.mean([row["correlation, both orders"]["value"] for row in found.values()])),
        "labels saved, median": float(np.median([row["labels saved"] for row in found.values()])),
        "labels saved, best": float(max(row["labels saved"] for row in found.values())),
    }


def models_of(settings: dict[str, OrderedVerdicts]) -> dict[str, FloatArray]:
    """The score of each model: the mean of all its settings in both orders, as far as they gave a verdict."""
    by_model = defaultdict[str, list[FloatArray]](list)
    for name, orders in settings.items():
        by_model[name.partition(":")[0]] += [impute_missing(orders.straight), impute_missing(orders.swapped)]
    return {name: np.mean(columns, axis=0) for name, columns in by_model.items()}


def calibration(expert: FloatArray, settings: dict[str, OrderedVerdicts]) -> Iterator[dict[str, Any]]:
    """The mean verdict of each model's settings taken as a probability, before and after calibration out of fold."""
    for name, score in models_of(settings).items():
        mended = {method: calibrate_scores(expert, score, method=method) for method in ("isotonic", "platt")}  # type: ignore[arg-type]
        yield {
            "judge": f"{name}, mean of its settings",
            "agrees": measure_agreement(expert, score).balanced.to_dict(),
            "calibration error": error(expert, score),
            "after isotonic": error(expert, mended["isotonic"].on_human),
            "after platt": error(expert, mended["platt"].on_human),
            "squared error": mended["platt"].before.to_dict(),
            "squared error after isotonic": mended["isotonic"].after.to_dict(),
            "squared error after platt": mended["platt"].after.to_dict(),
        }


def error(expert: FloatArray, score: FloatArray) -> dict[str, Any]:
    return calibration_estimates(np.stack([1 - score, score], axis=1), expert.astype(int)).to_dict()


def verdict_table(expert: FloatArray, settings: dict[str, OrderedVerdicts]) -> Iterator[dict[str, Any]]:
    """How often experts choose output 1, by the share of a model's verdicts that do."""
    edges = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    for name, score in models_of(settings).items():
        place = np.searchsorted(edges, score)
        row: dict[str, Any] = {"judge": f"{name}, mean of its settings"}
        for bin_, words in enumerate(("0 to 10 %", "10 to 30 %", "30 to 50 %", "50 to 70 %", "70 to 90 %", "90 to 100 %")):
            inside = place == bin_
            row[f"says {words}"] = estimate_mean(expert[inside]).to_dict() if inside.sum() > 4 else f"{inside.sum()} pairs"
        yield row


def people_of_panda(panda: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[ComparisonPair]]:
    """The comparison of the five models by three people a pair, and its pairs."""
    pairs = []
    for row in panda:
        first, _, second = row["pair"].partition("_")
        text = f"{row['instruction']}\n{row['input']}".strip()
        pairs.append(
            ComparisonPair(str(row["id"]), str(row["id"]), text, text, (first, second), (str(row["response1"]), str(row["response2"])))
        )
    by_id = {pair.id: pair for pair in pairs}
    with (DATA / "pandalm_test" / "judgments.csv").open(encoding="utf-8") as file:
        said = [row for row in csv.DictReader(file) if row["worker"] in people_in(panda)]
    votes = []
    for row in said:
        pair = by_id[row["item"]]
        winner = None if row["answer"] == "0" else pair.models[int(row["answer"]) - 1]
        votes.append(PreferenceVote(pair.id, row["worker"], winner, *pair.models))
    return compare_models(pairs, votes, people=3), pairs


def people_in(panda: Sequence[dict[str, Any]]) -> set[str]:
    """The three people's names in the file: the workers whose answers are the items' own."""
    with (DATA / "pandalm_test" / "judgments.csv").open(encoding="utf-8") as file:
        given = {(row["worker"], row["item"]): row["answer"] for row in csv.DictReader(file)}
    workers = sorted({worker for worker, _ in given})
    columns = [[str(row["annotators"][place]) for row in panda] for place in range(3)]
    answers = {worker: [given.get((worker, str(row["id"]))) for row in panda] for worker in workers}
    return {worker for worker in workers if answers[worker] in columns}


def won(name: str, comparison: dict[str, Any]) -> dict[str, int]:
    """Prompts won, tied and lost against all others."""
    total = {"won": 0, "tied": 0, "lost": 0}
    for match in comparison["matches"]:
        if name in (match["first"], match["second"]):
            ends = ("won", "lost") if name == match["first"] else ("lost", "won")
            total["won"] += match[ends[0]]
            total["lost"] += match[ends[1]]
            total["tied"] += match["tied"]
    return total


def match_row(match: dict[str, Any]) -> dict[str, Any]:
    return {
        "first": match["first"], "second": match["second"], "prompts": match["finished"], "same answer": match["same"],
        "first wins, valid at any look": match["win_rate"].to_dict(), "better": match["better"] or "not decided",
        "the longer answer wins": match["length"]["longer_wins"].to_dict(),
    }  # fmt: skip


def people_scores(panda: Sequence[dict[str, Any]]) -> FloatArray:
    """The mean of three people's votes for response 1, a tie being half."""
    return np.array([[SCORE[str(vote)] for vote in row["annotators"]] for row in panda]).mean(axis=1)


def groups_of(panda: Sequence[dict[str, Any]]) -> Any:
    return np.array([f"{row['instruction']}\n{row['input']}" for row in panda])


def panda_judge(panda: Sequence[dict[str, Any]], pairs: Sequence[ComparisonPair], name: str, column: str) -> dict[str, Any]:
    """A judge in one order beside people: its agreement, and how much oftener than they it takes the first answer."""
    human, groups = people_scores(panda), groups_of(panda)
    score = np.array([SCORE.get(row[column], np.nan) for row in panda])
    agrees = measure_agreement(human, score, clusters=groups)
    return {
        "judge": name, "no verdict": agrees.missing, "agrees": agrees.plain.to_dict(), "balanced": agrees.balanced.to_dict(),
        "correlation": agrees.correlation.to_dict(),
        "first answer, beyond people": compare_paired(impute_missing(score), human, clusters=groups).to_dict(),
        "labels saved": label_efficiency(agrees.correlation.value, LABELLED, len(panda) - LABELLED),
    }  # fmt: skip


def drawn_again(panda: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each model against all others: 100 pairs labelled at random, the judge on all, over and over; the truth is from all labels."""
    models = sorted({name for row in panda for name in row["pair"].split("_")})
    human = people_scores(panda)
    for judge, column in PANDA_JUDGES.items():
        score = impute_missing(np.array([SCORE.get(row[column], np.nan) for row in panda]))
        for name in models:
            rows_ = np.flatnonzero([name in row["pair"].split("_") for row in panda])
            second = np.array([panda[at]["pair"].endswith(name) for at in rows_])
            y, f = (np.where(second, 1 - each[rows_], each[rows_]) for each in (human, score))
            yield {
                "model": name,
                "judge": judge,
                "pairs": len(y),
                "people say": float(y.mean()),
                "judge says": float(f.mean()),
                **again(y, f),
            }


def again(y: FloatArray, f: FloatArray) -> dict[str, Any]:
    """Coverage and width of people's 100 labels alone and with the judge; what the correlation allows, and what came."""
    rng = np.random.default_rng(0)
    inside, widths = np.zeros(2), np.zeros(2)
    for _ in range(DRAWS):
        order = rng.permutation(len(y))
        here, there = order[:LABELLED], order[LABELLED:]
        for way, estimate in enumerate((estimate_mean(y[here]), ppi_mean(y[here], f[here], f[there]))):
            inside[way] += estimate.low <= y.mean() <= estimate.high
            widths[way] += estimate.high - estimate.low
    return {
        "correlation": float(np.corrcoef(y, f)[0, 1]),
        "holds, people alone": inside[0] / DRAWS,
        "holds, with the judge": inside[1] / DRAWS,
        "labels saved": (widths[0] / widths[1]) ** 2,
        "at most": label_efficiency(float(np.corrcoef(y, f)[0, 1]), LABELLED, len(y) - LABELLED),
    }


def pairwise_agreement(panda: Sequence[dict[str, Any]]) -> Any:
    """How often two of the three people say the same."""
    same = [np.mean([a == b, a == c, b == c]) for a, b, c in (row["annotators"] for row in panda)]
    return estimate_mean(same, clusters=groups_of(panda))


def longer(panda: Sequence[dict[str, Any]]) -> Any:
    """How often people prefer the longer answer, in words."""
    gap = np.array([len(str(row["response1"]).split()) - len(str(row["response2"]).split()) for row in panda])
    human = people_scores(panda)
    return estimate_mean(np.where(gap > 0, human, 1 - human)[gap != 0], clusters=groups_of(panda)[gap != 0])


if __name__ == "__main__":
    main()
