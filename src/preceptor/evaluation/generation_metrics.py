"""Estimate the quality of generated answers against references, and which of two models is better; intervals are clustered by group.

Content, by `generation_estimates`:

exact_match       1 where answer and reference are the same text, up to leading, trailing and repeated white space
token_f1          words in common, see `word_f1`
log_probability   mean nats a token that the model gives to the references, each with its end token; at most 0
accuracy          the same as exact_match, where the answers are labels
macro_f1          where the answers are labels: F1 of each, averaged; a text that is no label counts as no answer

Surface, whether the answer is right or not, by `surface_columns`:

format     1 where an answer has the references' format, where they share one: one of their labels, or JSON with their fields
refusals   1 where an answer refuses what its reference answers; detected by how English refusals begin
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from preceptor.errors import UserError
from preceptor.evaluation.classification_metrics import mean_f1
from preceptor.statistics import bootstrap, compare_paired, estimate_mean
from preceptor.types import Estimate, FloatArray

MAX_LABELS = 50
_ARTICLES = frozenset(("a", "an", "the"))
_RANGES = {"exact_match": (0.0, 1.0), "token_f1": (0.0, 1.0), "log_probability": (-np.inf, 0.0)}


@dataclass(frozen=True)
class GeneratedAnswers:
    """One model's output for the same rows: its answers, and the log-probabilities of the references' tokens in nats, (tokens,) each.

    A model that doesn't report log-probabilities has None, and no such figure.
    """

    answers: Sequence[str]
    log_probabilities: Sequence[FloatArray] | None = None


def generation_estimates(
    written: GeneratedAnswers, references: Sequence[str], groups: Any, *, labels: Sequence[str] = (), seed: int = 0
) -> dict[str, Estimate]:
    """Estimate the content figures of one model; accuracy and macro_f1 where `labels` (see `detect_labels`) are given.

    Raises UserError for answers, log-probabilities, references and groups of different lengths.
    """
    columns = _generation_columns(written, references, groups)
    found = {name: estimate_mean(values, clusters=names, within=_RANGES[name]) for name, (values, names) in columns.items()}
    if not labels:
        return found
    sides = _one_hot(written.answers, labels), _one_hot(references, labels)
    f1 = bootstrap(lambda weights: mean_f1(weights, *sides), clusters=groups, seed=seed, within=(0.0, 1.0))
    return {"accuracy": found["exact_match"], "macro_f1": f1, **found}


def paired_generation_estimates(
    first: GeneratedAnswers, second: GeneratedAnswers, references: Sequence[str], groups: Any, *, labels: Sequence[str] = (), seed: int = 0
) -> dict[str, Estimate]:
    """Estimate the differences first − second in the content figures on the same rows; above zero the first is better.

    All of them but accuracy, which is exact_match.
    """
    a, b = _generation_columns(first, references, groups), _generation_columns(second, references, groups)
    found = {name: compare_paired(a[name][0], b[name][0], clusters=a[name][1], within=_RANGES[name]) for name in a if name in b}
    if not labels:
        return found
    one, other, true = (_one_hot(texts, labels) for texts in (first.answers, second.answers, references))
    found["macro_f1"] = bootstrap(
        lambda weights: mean_f1(weights, one, true) - mean_f1(weights, other, true), clusters=groups, seed=seed, within=(-1.0, 1.0)
    )
    return found


def detect_labels(completions: Sequence[str]) -> list[str]:
    """Return the distinct completions, where they are labels: at most 50, each occurring twice on average; else none."""
    distinct = sorted({normalize_spaces(text) for text in completions})
    return distinct if len(distinct) <= MAX_LABELS and 2 * len(distinct) <= len(completions) else []


def normalize_spaces(text: str) -> str:
    """Normalize white space as `exact_match` does: none at the ends, one space between words."""
    return " ".join(text.split())


def word_f1(answer: str, reference: str) -> float:
    """Compute the harmonic mean of the shares of words in common, from 0 to 1, as in SQuAD (Rajpurkar et al. 2016).

    Words are separated by white space, in lower case, without punctuation, without the English articles; their order doesn't count, how
    often each occurs does. Where one side has no words left, it is 1 if both are the same text and else 0. In a language without spaces
    between words whole sentences count as words: look at `exact_match` and `log_probability` there.
    """
    said, wanted = _count_words(answer), _count_words(reference)
    if not said or not wanted:
        return float(normalize_spaces(answer) == normalize_spaces(reference))
    return 2 * (said & wanted).total() / (said.total() + wanted.total())


def _count_words(text: str) -> Counter[str]:
    plain = "".join(letter for letter in text.lower() if not unicodedata.category(letter).startswith("P"))
    return Counter(word for word in plain.split() if word not in _ARTICLES)


def _generation_columns(written: GeneratedAnswers, references: Sequence[str], groups: Any) -> dict[str, tuple[FloatArray, Any]]:
    """Return each figure's values with their groups: a value a row, of log_probability a value a token.

    So the mean of log_probability is over tokens.
    """
    said = written.log_probabilities
    if not len(written.answers) == len(references) == len(groups) or (said is not None and len(said) != len(references)):
        raise UserError("answers, log-probabilities, references and groups are of different lengths", "pass one of each a row")
    pairs = list(zip(written.answers, references, strict=True))
    found: dict[str, tuple[FloatArray, Any]] = {
        "exact_match": (np.array([float(normalize_spaces(answer) == normalize_spaces(wanted)) for answer, wanted in pairs]), groups),
        "token_f1": (np.array([word_f1(answer, wanted) for answer, wanted in pairs]), groups),
    }
    if said is not None:
        tokens = np.repeat(np.asarray(groups), [len(row) for row in said])
        found["log_probability"] = np.concatenate([np.zeros(0), *said]), tokens
    return found


def _one_hot(texts: Sequence[str], labels: Sequence[str]) -> FloatArray:
    """Return a row a text, a column a label; a row of zeros for a text that is no label."""
    return np.array([[float(normalize_spaces(text) == label) for label in labels] for text in texts])


_APOLOGY = r"(i['’]?m|i am|we['’]?re|we are) (very |really |so )?sorry"
_CANNOT = r"(i|we) (can['’]?t|cannot|can not|won['’]?t|will not|am unable|am not able|['’]?m unable|['’]?m not able)"
_REFUSAL = re.compile(rf"\W*+(({_APOLOGY}|sorry|unfortunately|apologies)\W+(but )?)?({_CANNOT}|as an ai\b|i must decline)", re.IGNORECASE)
_ONLY_SORRY = re.compile(rf"\W*+{_APOLOGY}\W+but\b", re.IGNORECASE)


@dataclass(frozen=True)
class AnswerFormat:
    """A format that references share: its description in words, and the test whether a text has it."""

    description: str
    matches: Callable[[str], bool]


def detect_format(references: Sequence[str]) -> AnswerFormat | None:
    """Detect the format that all references share: labels, or JSON objects with the same fields; None where they have none in common."""
    if labels := set(detect_labels(references)):
        return AnswerFormat(f"one of {len(labels)} labels", lambda text: normalize_spaces(text) in labels)
    objects = [_parse_object(text) for text in references]
    if not objects or None in objects:
        return None
    fields = set.intersection(*[set(each or ()) for each in objects])
    words = f"a JSON object with {', '.join(sorted(fields))}" if fields else "a JSON object"
    return AnswerFormat(words, lambda text: (found := _parse_object(text)) is not None and fields <= found.keys())


def starts_with_refusal(text: str) -> bool:
    """Return whether an answer refuses, judging by how it begins."""
    return bool(_REFUSAL.match(text) or _ONLY_SORRY.match(text))


def surface_columns(
    answers: Sequence[str], references: Sequence[str], form: AnswerFormat | None, refused: Sequence[bool]
) -> dict[str, FloatArray]:
    """Compute the surface figures, 0 or 1 for each answer.

    form: the references' format, see `detect_format`; without one there is no column for it. refused: whether each answer is known to be a
    refusal from elsewhere than its text, as when a service reports it.
    """
    declined = [
        (known or starts_with_refusal(answer)) and not starts_with_refusal(wanted)
        for answer, wanted, known in zip(answers, references, refused, strict=True)
    ]
    found = {"refusals": np.array(declined, dtype=np.float64)}
    return found if form is None else {"format": np.array([float(form.matches(answer)) for answer in answers]), **found}


def surface_estimates(columns: dict[str, FloatArray], groups: Any) -> dict[str, Estimate]:
    """Estimate the mean of each surface column."""
    return {name: estimate_mean(values, clusters=groups) for name, values in columns.items()}


def paired_surface_estimates(first: dict[str, FloatArray], second: dict[str, FloatArray], groups: Any) -> dict[str, Estimate]:
    """Estimate the differences first − second in the surface columns on the same rows."""
    return {name: compare_paired(first[name], second[name], clusters=groups) for name in first}


def _parse_object(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
