"""Compare a hosted model with its successor on held-out rows: quality, format, refusals, latency, monthly cost, and people's preference.

The rows were used for choosing neither model. Pairs of answers are queued for annotation blind, those first that differ most.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.annotation import question_admin
from preceptor.evaluation import GeneratedAnswers, detect_labels, generation_estimates, paired_generation_estimates
from preceptor.evaluation.generation_metrics import (
    detect_format,
    normalize_spaces,
    paired_surface_estimates,
    surface_columns,
    surface_estimates,
    word_f1,
)
from preceptor.generation import HostedAnswer, LocalProvider
from preceptor.models.base_models import find_base_folder
from preceptor.pipeline.migration.hosted_sources import MigrationData
from preceptor.pipeline.migration.successor_training import TeacherAnswers, answer_token_limit, generate_answers, prompt_messages
from preceptor.planning.prices import TokenPrice
from preceptor.questions import define_question
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.storage import items, judgment_log
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.types import Estimate, Item, Model, json_digest

if TYPE_CHECKING:
    from preceptor.project import Project


_TIMED_PROMPTS = 40  # prompts that are sent one at a time, to measure latency
_MAX_EXAMPLES = 12
_MONTH_HOURS = 730.0  # hours of a month


@dataclass(frozen=True)
class SuccessorComparison:
    """Answers of each model to the same rows, in order, and the report sections about them."""

    rows: Sequence[SnapshotRow]
    texts: Mapping[str, Sequence[str]]
    sections: Mapping[str, Any]


@dataclass(frozen=True)
class _TimedAnswers:
    """A model's answers to the rows, in order; the seconds of those that were timed, which of them are refusals, and its parameters."""

    texts: Sequence[str]
    seconds: Sequence[float | None]
    refused: Sequence[bool]
    parameters: int | None


def compare_successor(model: Model, base: str, gathered: MigrationData, taught: TeacherAnswers | None, folder: Path) -> SuccessorComparison:
    """Compare the successor with the hosted model, or with its base where the hosted one can't be asked.

    folder: where local answers are cached, so that the same models aren't run again.
    """
    rows, most = gathered.split_rows("test"), answer_token_limit(gathered.rows)
    begun = json_digest([[row.id for row in rows], most])[:12]
    place = folder / f"said-{model.id}-{begun}.json"
    said = {"tuned": _cached_answers(place, lambda: _answer_locally(model.path, rows, most))}
    if taught is not None:
        answers = [taught.answers[row.id] for row in rows]
        texts, seconds = [answer.text for answer in answers], [answer.seconds for answer in answers]
        said["hosted"] = _TimedAnswers(texts, seconds, [answer.refused for answer in answers], None)
    else:
        said["base"] = _cached_answers(
            folder / f"said-{Path(base).name}-{begun}.json", lambda: _answer_locally(find_base_folder(base), rows, most)
        )
    return SuccessorComparison(rows, {name: each.texts for name, each in said.items()}, _comparison_sections(said, rows, gathered))


def _comparison_sections(said: Mapping[str, _TimedAnswers], rows: Sequence[SnapshotRow], gathered: MigrationData) -> dict[str, Any]:
    """Estimate the figures of each model and their differences on the same rows, with examples."""
    texts = {name: each.texts for name, each in said.items()}
    references, groups = [row.answer for row in rows], np.array([row.group for row in rows])
    labels = detect_labels([row.answer for row in gathered.split_rows("train")])
    labels = sorted({*labels, *map(normalize_spaces, references)}) if labels else []
    form = detect_format([row.answer for row in gathered.rows])
    manners = {name: surface_columns(each.texts, references, form, each.refused) for name, each in said.items()}
    models: dict[str, dict[str, Any]] = {
        name: {
            **generation_estimates(GeneratedAnswers(each.texts), references, groups, labels=labels),
            **surface_estimates(manners[name], groups),
            **_estimate_latency(each.seconds, groups),
            **({"parameters": each.parameters} if each.parameters else {}),
        }
        for name, each in said.items()
    }
    comparison: dict[str, Estimate] = {}
    for name in said.keys() - {"tuned"}:
        found = paired_generation_estimates(
            GeneratedAnswers(texts["tuned"]), GeneratedAnswers(texts[name]), references, groups, labels=labels
        )
        found |= paired_surface_estimates(manners["tuned"], manners[name], groups)
        found |= _compare_latency(said["tuned"].seconds, said[name].seconds, groups)
        comparison |= {f"tuned_minus_{name}_{figure}": difference for figure, difference in found.items()}
    examples, words = _worst_examples(rows, texts), "" if form is None else form.description
    return {"models": models, "comparison": comparison, "examples": examples, "form": words}


def estimate_monthly_cost(
    weighed: SuccessorComparison, taught: TeacherAnswers | None, price: TokenPrice | None, requests: int, hour: float
) -> dict[str, Any]:
    """Estimate the cost of so many requests a month: the hosted model by its price a token, the successor by machines that are always on.

    hour: the price of one machine hour.
    """
    found: dict[str, Any] = {"requests": requests, "currency": "USD"}
    groups = np.array([row.group for row in weighed.rows])
    if taught is not None and price is not None:
        answers = [taught.answers[row.id] for row in weighed.rows]
        found["hosted"] = _scale_price(
            estimate_mean(np.array([_answer_cost(price, each) for each in answers]), clusters=groups, within=(0.0, np.inf)), requests
        )
    latency: Estimate = weighed.sections["models"]["tuned"]["latency"]
    low, value, high = (_count_machines(seconds, requests) * _MONTH_HOURS * hour for seconds in (latency.low, latency.value, latency.high))
    found["successor"] = replace(latency, value=value, low=low, high=high, method=f"machines kept up, from latency ({latency.method})")
    return found


def _count_machines(seconds: float, requests: int) -> float:
    """Return how many machines are kept running, each answering one request at a time; infinite where latency is."""
    return (
        max(1, math.ceil(max(seconds, 0.0) * requests / 3600 / _MONTH_HOURS))
        if math.isfinite(seconds)
        else (1 if seconds < 0 else math.inf)
    )


def _answer_cost(price: TokenPrice, answer: HostedAnswer) -> float:
    return price.cost(answer.read, answer.written)


def _scale_price(estimate: Estimate, factor: float) -> Estimate:
    return replace(
        estimate, value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor,
        method=f"price a token × tokens ({estimate.method})",
    )  # fmt: skip


def _answer_locally(folder: Path, rows: Sequence[SnapshotRow], most: int) -> _TimedAnswers:
    provider = LocalProvider(folder)
    texts = generate_answers(provider, rows, most)
    return _TimedAnswers(texts, _time_answers(provider, rows, most), [False] * len(rows), provider.parameters)


def _cached_answers(path: Path, compute: Callable[[], _TimedAnswers]) -> _TimedAnswers:
    """Return what an earlier start cached in a file, or compute and cache it."""
    from preceptor.training.run_folder import cached_json

    return _TimedAnswers(**cached_json(path, lambda: asdict(compute())))


def _time_answers(provider: LocalProvider, rows: Sequence[SnapshotRow], most: int) -> list[float | None]:
    """Measure the seconds of answers requested one at a time, of the first rows; the first of all only warms the machine up."""
    found: list[float | None] = [None] * len(rows)
    fitting = [at for at, row in enumerate(rows) if provider.fits(prompt_messages(row))][:_TIMED_PROMPTS]
    for at in [*fitting[:1], *fitting]:
        begun = time.monotonic()
        provider.write([prompt_messages(rows[at])], max_tokens=most)
        found[at] = time.monotonic() - begun
    return found


def _estimate_latency(seconds: Sequence[float | None], groups: Any) -> dict[str, Estimate]:
    known = [at for at, each in enumerate(seconds) if each is not None]
    if not known:
        return {}
    return {
        "latency": estimate_mean(np.array([seconds[at] for at in known], dtype=np.float64), clusters=groups[known], within=(0.0, np.inf))
    }


def _compare_latency(first: Sequence[float | None], second: Sequence[float | None], groups: Any) -> dict[str, Estimate]:
    both = [at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a is not None and b is not None]
    if not both:
        return {}
    a, b = (np.array([each[at] for at in both], dtype=np.float64) for each in (first, second))
    return {"latency": compare_paired(a, b, clusters=groups[both], within=(0.0, np.inf))}


def _worst_examples(rows: Sequence[SnapshotRow], texts: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return the models' answers where the successor's is furthest from the reference."""
    f1 = [word_f1(text, row.answer) for text, row in zip(texts["tuned"], rows, strict=True)]
    worst = sorted(range(len(rows)), key=lambda at: (normalize_spaces(texts["tuned"][at]) == normalize_spaces(rows[at].answer), f1[at]))[
        :_MAX_EXAMPLES
    ]
    return [
        {
            "id": rows[at].id,
            "prompt": _render_prompt(rows[at]),
            "reference": rows[at].answer,
            "answers": {name: answers[at] for name, answers in texts.items()},
            "exact_match": normalize_spaces(texts["tuned"][at]) == normalize_spaces(rows[at].answer),
            "token_f1": round(f1[at], 4),
        }
        for at in worst
    ]


def _render_prompt(row: SnapshotRow) -> str:
    """Render a row's prompt as one text: the question, or the turns with their roles."""
    asked = prompt_messages(row)
    return asked[0]["content"] if len(asked) == 1 else "\n".join(f"{turn['role']}: {turn['content']}" for turn in asked)


_PAIR_INSTRUCTIONS = "Which answer is better? They come from two models, in no particular order."
_TIE_ANSWER = "tie"
_PAIR_PREFIX = "pair-"


def successor_question_name(source: str) -> str:
    """Return the name of the question about the answers of a source's successor."""
    return f"successor-{source}"[:200]


def queue_answer_pairs(project: Project, source: str, weighed: SuccessorComparison, most: int) -> int:
    """Queue at most so many pairs of answers for annotation, and return their number; repeated, it queues nothing new.

    The position of the new answer is random for each item, and the page shows both in an order of its own.
    """
    pairs = _differing_pairs(source, weighed)[:most]
    if not pairs:
        return 0
    question = define_question(
        {"name": successor_question_name(source), "kind": "compare", "instructions": _PAIR_INSTRUCTIONS, "settings": {"responses": 2}}
    )
    question_admin.enqueue_items(project, replace(question, purpose=question.name), pairs)
    return len(pairs)


def estimate_preference(project: Project, source: str) -> Estimate | None:
    """Estimate how often people prefer the new answer, a tie being half; None when nobody has answered."""
    with project.database.reading() as connection:
        if not any(question == successor_question_name(source) for question, *_ in judgment_log.count_by_annotator(connection)):
            return None
    found = project.consensus(successor_question_name(source))
    judged = [at for at, count in enumerate(found.judgment_counts) if count and str(found.items[at]).startswith(_PAIR_PREFIX)]
    if not judged:
        return None
    with project.database.reading() as connection:
        keys = items.keys(connection, [found.items[at] for at in judged])
        groups = [items.by_key(connection, keys[found.items[at]]).group for at in judged]
    column = {answer: at for at, answer in enumerate(found.answers)}
    values = [
        found.posterior[at, column[_successor_position(found.items[at])]] + found.posterior[at, column[_TIE_ANSWER]] / 2 for at in judged
    ]
    return estimate_mean(np.array(values), clusters=np.array(groups))


def _differing_pairs(source: str, weighed: SuccessorComparison) -> list[Item]:
    """Return the pairs that differ, those with the least in common first."""
    found = []
    for row, old, new in zip(weighed.rows, weighed.texts.get("hosted", ()), weighed.texts["tuned"], strict=False):
        if normalize_spaces(old) != normalize_spaces(new) and old.strip() and new.strip():
            found.append((word_f1(new, old), row.id, _answer_pair_item(source, row, old, new)))
    return [item for _, _, item in sorted(found, key=lambda each: each[:2])]


def _answer_pair_item(source: str, row: SnapshotRow, old: str, new: str) -> Item:
    id_ = _PAIR_PREFIX + json_digest([source, row.id, old, new])[:16]
    return Item(id_, {"prompt": _render_prompt(row), "responses": [old, new] if _successor_position(id_) else [new, old]}, row.group)


def _successor_position(item: str) -> int:
    """Return the position of the new answer among an item's responses: nothing that the page shows reveals it."""
    return hashlib.sha256(item.encode()).digest()[0] % 2
