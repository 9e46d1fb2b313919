"""The old model against the new one, on rows that neither chose by: quality, form, refusals, latency, what a month costs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from preceptor.domain import Estimate, Model, digest_of
from preceptor.evaluation import Written, labels_of, paired_texts, text_estimates
from preceptor.evaluation.manners import form_of, manner_columns, manner_estimates, paired_manners
from preceptor.evaluation.texts import same, word_f1
from preceptor.project.assets import base_folder
from preceptor.project.migration.gathering import Gathered
from preceptor.project.migration.succeeding import written
from preceptor.project.migration.teaching import Taught, longest, turns
from preceptor.providers import Answer, LocalProvider, Price
from preceptor.snapshots import Row
from preceptor.statistics import compare_paired, mean

TIMED = 40  # questions that are asked one at a time, for latency
EXAMPLES = 12
HOURS = 730.0  # of a month


@dataclass(frozen=True)
class Weighed:
    """Answers of each model to the same rows, in order, and the figures of them."""

    rows: Sequence[Row]
    texts: Mapping[str, Sequence[str]]
    sections: Mapping[str, Any]


@dataclass(frozen=True)
class Said:
    """A model's answers to the rows, in order; the seconds of those that were timed, which of them refuse, how large it is."""

    texts: Sequence[str]
    seconds: Sequence[float | None]
    refused: Sequence[bool]
    parameters: int | None


def weigh(model: Model, base: str, gathered: Gathered, taught: Taught | None, folder: Path) -> Weighed:
    """Measure the successor beside the hosted model, or beside its base where the hosted one can't be asked.

    folder: where local answers are kept, so that the same models aren't asked again.
    """
    rows, most = gathered.side("test"), longest(gathered.rows)
    begun = digest_of([[row.id for row in rows], most])[:12]
    place = folder / f"said-{model.id}-{begun}.json"
    said = {"tuned": _kept(place, lambda: _local(model.path, rows, most))}
    if taught is not None:
        answers = [taught.answers[row.id] for row in rows]
        texts, seconds = [answer.text for answer in answers], [answer.seconds for answer in answers]
        said["hosted"] = Said(texts, seconds, [answer.refused for answer in answers], None)
    else:
        said["base"] = _kept(folder / f"said-{Path(base).name}-{begun}.json", lambda: _local(base_folder(base), rows, most))
    return Weighed(rows, {name: each.texts for name, each in said.items()}, _sections(said, rows, gathered))


def _sections(said: Mapping[str, Said], rows: Sequence[Row], gathered: Gathered) -> dict[str, Any]:
    """The figures of each model, their differences on the same rows, and examples."""
    texts = {name: each.texts for name, each in said.items()}
    references, groups = [row.answer for row in rows], np.array([row.group for row in rows])
    labels = labels_of([row.answer for row in gathered.side("train")])
    labels = sorted({*labels, *map(same, references)}) if labels else []
    form = form_of([row.answer for row in gathered.rows])
    manners = {name: manner_columns(each.texts, references, form, each.refused) for name, each in said.items()}
    models: dict[str, dict[str, Any]] = {
        name: {
            **text_estimates(Written(each.texts), references, groups, labels=labels),
            **manner_estimates(manners[name], groups),
            **_latency(each.seconds, groups),
            **({"parameters": each.parameters} if each.parameters else {}),
        }
        for name, each in said.items()
    }
    comparison: dict[str, Estimate] = {}
    for name in said.keys() - {"tuned"}:
        found = paired_texts(Written(texts["tuned"]), Written(texts[name]), references, groups, labels=labels)
        found |= paired_manners(manners["tuned"], manners[name], groups)
        found |= _latency_difference(said["tuned"].seconds, said[name].seconds, groups)
        comparison |= {f"tuned_minus_{name}_{figure}": difference for figure, difference in found.items()}
    examples, words = _examples(rows, texts), "" if form is None else form.words
    return {"models": models, "comparison": comparison, "examples": examples, "form": words}


def month(weighed: Weighed, taught: Taught | None, price: Price | None, requests: int, hour: float) -> dict[str, Any]:
    """What so many requests a month cost: the hosted model by its price a token, the successor by machines that are always on."""
    found: dict[str, Any] = {"requests": requests, "currency": "USD"}
    groups = np.array([row.group for row in weighed.rows])
    if taught is not None and price is not None:
        answers = [taught.answers[row.id] for row in weighed.rows]
        found["hosted"] = _times(
            mean(np.array([_dollars(price, each) for each in answers]), clusters=groups, within=(0.0, np.inf)), requests
        )
    latency: Estimate = weighed.sections["models"]["tuned"]["latency"]
    low, value, high = (_machines(seconds, requests) * HOURS * hour for seconds in (latency.low, latency.value, latency.high))
    found["successor"] = replace(latency, value=value, low=low, high=high, method=f"machines kept up, from latency ({latency.method})")
    return found


def _machines(seconds: float, requests: int) -> float:
    """How many machines are kept up, each answering one request at a time; no end where latency has none."""
    return max(1, math.ceil(max(seconds, 0.0) * requests / 3600 / HOURS)) if math.isfinite(seconds) else (1 if seconds < 0 else math.inf)


def _dollars(price: Price, answer: Answer) -> float:
    return price.of(answer.read, answer.written)


def _times(estimate: Estimate, factor: float) -> Estimate:
    return replace(
        estimate, value=estimate.value * factor, low=estimate.low * factor, high=estimate.high * factor,
        method=f"price a token × tokens ({estimate.method})",
    )  # fmt: skip


def _local(folder: Path, rows: Sequence[Row], most: int) -> Said:
    provider = LocalProvider(folder)
    texts = written(provider, rows, most)
    return Said(texts, _timed(provider, rows, most), [False] * len(rows), provider.parameters)


def _kept(path: Path, compute: Callable[[], Said]) -> Said:
    """What an earlier start left in a file, or what is computed now and left there."""
    from preceptor.recipes.folder import remembered

    return Said(**remembered(path, lambda: asdict(compute())))


def _timed(provider: LocalProvider, rows: Sequence[Row], most: int) -> list[float | None]:
    """Seconds of answers asked for one at a time, of the first rows; the first of all only warms the machine up."""
    found: list[float | None] = [None] * len(rows)
    fitting = [at for at, row in enumerate(rows) if provider.fits(turns(row))][:TIMED]
    for at in [*fitting[:1], *fitting]:
        begun = time.monotonic()
        provider.write([turns(rows[at])], max_tokens=most)
        found[at] = time.monotonic() - begun
    return found


def _latency(seconds: Sequence[float | None], groups: Any) -> dict[str, Estimate]:
    known = [at for at, each in enumerate(seconds) if each is not None]
    if not known:
        return {}
    return {"latency": mean(np.array([seconds[at] for at in known], dtype=np.float64), clusters=groups[known], within=(0.0, np.inf))}


def _latency_difference(first: Sequence[float | None], second: Sequence[float | None], groups: Any) -> dict[str, Estimate]:
    both = [at for at, (a, b) in enumerate(zip(first, second, strict=False)) if a is not None and b is not None]
    if not both:
        return {}
    a, b = (np.array([each[at] for at in both], dtype=np.float64) for each in (first, second))
    return {"latency": compare_paired(a, b, clusters=groups[both], within=(0.0, np.inf))}


def _examples(rows: Sequence[Row], texts: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """What they wrote where the successor is furthest from the reference."""
    f1 = [word_f1(text, row.answer) for text, row in zip(texts["tuned"], rows, strict=True)]
    worst = sorted(range(len(rows)), key=lambda at: (same(texts["tuned"][at]) == same(rows[at].answer), f1[at]))[:EXAMPLES]
    return [
        {
            "id": rows[at].id,
            "prompt": shown(rows[at]),
            "reference": rows[at].answer,
            "answers": {name: answers[at] for name, answers in texts.items()},
            "exact_match": same(texts["tuned"][at]) == same(rows[at].answer),
            "token_f1": round(f1[at], 4),
        }
        for at in worst
    ]


def shown(row: Row) -> str:
    """What was asked, as one text: the question, or the turns with their roles."""
    asked = turns(row)
    return asked[0]["content"] if len(asked) == 1 else "\n".join(f"{turn['role']}: {turn['content']}" for turn in asked)
