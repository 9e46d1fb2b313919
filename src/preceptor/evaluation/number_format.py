"""Format numbers, durations, money and intervals for people."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from preceptor.types import Estimate

NumberFormat = Callable[[float], str]

_SPACE = "\u00a0"  # a number and its unit stay on one line


_FIGURES = {
    "accuracy": "accuracy",
    "accuracy_by_consensus": "accuracy against people's consensus",
    "macro_f1": "macro-F1",
    "log_loss": "log loss",
    "ece": "calibration error",
    "brier": "Brier score",
    "ranked_probability": "ranked probability score",
    "steps_off": "steps off",
    "exact_match": "exact match",
    "token_f1": "word F1",
    "log_probability": "log-probability",
    "retention": "general knowledge kept",
    "contradicted": "claims that their sources contradict",
    "not_found": "claims that their sources don't hold",
    "judge_precision": "precision of the judge",
    "judge_recall": "recall of the judge",
    "aurc": "area under the risk–coverage curve",
    "format": "form kept",
    "latency": "seconds an answer",
    "hallucination": "hallucination rate, of claims",
    "hallucination_responses": "hallucination rate, of responses",
    "claims_per_response": "claims a response",
    "claimless": "responses without a claim",
    "violations": "answers that break a rule",
    "missed_refusals": "answered what it must refuse",
    "needless_refusals": "refused what it needn't",
    "selective_risk": "errors among what it answers",
    "rouge_l": "ROUGE-L",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "bleu": "BLEU",
    "chrf": "chrF",
    "win_rate": "win rate",
    "slices": "slices",
    "regressions": "the last release",
    "tuned_minus_commonest": "accuracy above that of always giving the commonest answer",
}


def figure_name(key: str) -> str:
    """Return a figure's key in words: `ece` is “calibration error”; a path's dots become colons."""
    return ": ".join(_FIGURES.get(part, part.replace("_", " ")) for part in key.split("."))


def capitalize_first(words: str) -> str:
    """Capitalize the first letter of a text."""
    return words[:1].upper() + words[1:]


def format_percent(value: float) -> str:
    """Format a share as a percentage with one decimal: `78.4 %`."""
    return f"{100 * value:.1f}{_SPACE}%"


def format_whole_percent(value: float) -> str:
    """Format a share as a whole percentage: `78 %`."""
    return f"{100 * value:.0f}{_SPACE}%"


def format_confidence(value: float) -> str:
    """Format a confidence level: `95 %`, and `99.86 %` where rounding to a whole percentage would suggest certainty."""
    return format_whole_percent(value) if value <= 0.99 else f"{100 * value:.4g}{_SPACE}%"


def format_points(value: float) -> str:
    """Format a difference of two shares in percentage points, with its sign: `+30.1`."""
    return _typographic_minus(f"{100 * value:+.1f}")


def format_decimal(value: float) -> str:
    """Format a number with three decimals, as for losses in nats."""
    return _typographic_minus(f"{value:.3f}")


def format_signed_decimal(value: float) -> str:
    """Format a number with three decimals and always a sign."""
    return _typographic_minus(f"{value:+.3f}")


def format_count(value: float) -> str:
    """Format a whole number with a thousands separator."""
    return _typographic_minus(f"{value:,.0f}")


def format_times(number: int) -> str:
    """Format a number of repetitions: `once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{format_count(number)} times")


def format_money(value: float, currency: str) -> str:
    """Format an amount: `$12.40`, `12.40 EUR`; with up to four decimals below ten cents."""
    amount = f"{value:,.4f}" if 0 < abs(value) < 0.1 else f"{value:,.2f}"
    amount = amount[:-2] if amount.endswith("00") and len(amount.partition(".")[2]) == 4 else amount
    return f"${amount}" if currency in ("USD", "$") else f"{amount}{_SPACE}{currency}".rstrip()


def format_duration(seconds: float) -> str:
    """Format a duration: `4.1 s`, `41 s`, `9 min 24 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f}{_SPACE}s" if seconds < 10 else f"{whole}{_SPACE}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{_SPACE}min {rest}{_SPACE}s"
    return f"{minutes // 60}{_SPACE}h {minutes % 60}{_SPACE}min"


def format_timestamp(created: Any) -> str:
    """Format a Unix time as a UTC date and time; anything else as its string."""
    if isinstance(created, int | float):
        return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%d %H:%M UTC")
    return str(created)


def format_interval(estimate: Estimate, show: NumberFormat = format_percent) -> str:
    """Format an interval without units: `74.7 to 82.1`; an end that the data can't bound is unknown."""
    if not (math.isfinite(estimate.low) or math.isfinite(estimate.high)):
        return "interval unknown"
    low, high = (show(end).partition(_SPACE)[0] if math.isfinite(end) else "unknown" for end in (estimate.low, estimate.high))
    return f"{low} to {high}"


def format_estimate(estimate: Estimate, show: NumberFormat = format_percent) -> str:
    """Format an estimate with its interval: `78.4 % (74.7 to 82.1)`."""
    return f"{show(estimate.value)} ({format_interval(estimate, show)})"


def trim_zeros(labels: list[str]) -> list[str]:
    """Remove the trailing zeros that all numbers share: `50.0 %, 60.0 %` become `50 %, 60 %`."""
    parts = [label.partition(_SPACE) for label in labels]
    surplus = min((len(number) - len(number.rstrip("0")) if "." in number else 0 for number, _, _ in parts), default=0)
    return [number[: len(number) - surplus].rstrip(".") + space + unit for number, space, unit in parts]


def _typographic_minus(text: str) -> str:
    return text.replace("-", "−")
