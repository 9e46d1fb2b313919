"""Measuring a model that was trained on comparisons, on pairs that it never saw: does it move towards what people prefer?

The model's margin of a pair is what training moved, see `preceptor.recipes.preferring.losses`: how much more than its base it prefers
the one answer to the other. Positive where it sides with the people; σ of it is held against their posterior.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation import reliability
from preceptor.project import bases, proving
from preceptor.project.evaluating.forgetting import forgetting, of_writer
from preceptor.project.evaluating.rows import Scored, row_sections
from preceptor.snapshots import Row, Snapshot
from preceptor.statistics import compare_paired, mean, preference_estimates
from preceptor.store import gold, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project
    from preceptor.recipes.preferring.pairs import Pair
    from preceptor.recipes.preferring.rendering import Sides
    from preceptor.recipes.preferring.thumbs import Thumb

EXAMPLES = 12
RECIPES = ("dpo",)  # whose models write, and were trained to prefer


@dataclass(frozen=True)
class Read:
    """What a model and its base make of pairs: log-probabilities of both answers in nats, (pairs, 2), and how many parameters it has."""

    tuned: FloatArray
    base: FloatArray
    parameters: int


def prefers(model: Model, snapshot: Snapshot) -> bool:
    """Whether a model writes texts, and was trained on people's comparisons."""
    return model.manifest["recipe"] in RECIPES and snapshot.question["kind"] == "compare"


def sections(
    project: Project, model: Model, snapshot: Snapshot, rows: Sequence[Row], *, truth: Mapping[str, Any] | None, base: str | Path | None
) -> dict[str, Any]:
    """What a report says of a model's preferences. UserError when parity fails, the base isn't at hand, or no pair can be measured."""
    folder = bases.base_of(project, model, base)
    if folder is None:
        message = f"the base of {model.id} ({model.manifest['base']}) is not at hand, and preferences are measured against it"
        raise UserError(message, "say where it lies: --base DIR")
    proved = proving.proved(project, model, base)
    pairs, left_out = _pairs(model, judged(project, snapshot, rows, truth))
    left = forgetting(project, model, folder, of_writer)
    found = read_both(model, folder, [sides for _, sides in pairs])
    margins, counts = _margins(model, found, pairs), np.array([sides.fork.counts for _, sides in pairs])
    chances, groups = np.array([pair.probability for pair, _ in pairs]), [pair.group for pair, _ in pairs]
    words = np.array([[len(text.split()) for text in (pair.chosen, pair.rejected)] for pair, _ in pairs], dtype=np.float64)
    estimates = preference_estimates(margins, chances, words, groups)
    likelier = {name: _likelier(sums, counts, pairs) for name, sums in (("tuned", found.tuned), ("base", found.base))}
    decided = np.array([not pair.tie for pair, _ in pairs])
    of_decided = np.asarray(groups)[decided]
    tuned = {
        **estimates,
        "likelier": mean(likelier["tuned"], clusters=of_decided),
        "reliability": reliability(both_sides(margins)[decided], shares(chances)[decided]),
        "parameters": found.parameters,
        **({"retention": left["kept"]} if "kept" in left else {}),
    }
    known = {row.id: row for row in rows}
    first = first_of_each([pair for pair, _ in pairs])
    measured = [known[pairs[at][0].id] for at in first]
    return {
        "parity": proved,
        "models": {"tuned": tuned, "base": {"likelier": mean(likelier["base"], clusters=of_decided), "parameters": found.parameters}},
        **({"forgetting": left} if left else {}),
        "comparison": {"tuned_minus_base_likelier": compare_paired(likelier["tuned"], likelier["base"], clusters=of_decided)},
        "pairs": {"measured": len(pairs), "ties": int((~decided).sum()), "left_out": left_out},
        "examples": examples(known, [pair for pair, _ in pairs], margins),
        **row_sections(
            project, model, snapshot,
            Scored(measured, [pairs[at][0].chosen for at in first], {"accuracy": taken(margins)[first]}, given=truth is not None),
        ),
    }  # fmt: skip


def judged(project: Project, snapshot: Snapshot, rows: Sequence[Row], given: Mapping[str, Any] | None) -> list[Row]:
    """The rows with the winner that is known of them: as given, else gold, else people's posterior."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.answers(connection, key), **(given or {})}
    return [replace(row, target={_winner(snapshot, row.id, known[row.id]): 1.0}) if row.id in known else row for row in rows]


def _winner(snapshot: Snapshot, item: str, answer: Any) -> str:
    said = str(answer["winner"] if isinstance(answer, Mapping) else answer)
    if said not in snapshot.answers:
        raise UserError(
            f"the true answer {said!r} of item {item!r} is not an answer of the snapshot", f"answers: {', '.join(snapshot.answers)}"
        )
    return said


def _pairs(model: Model, rows: Sequence[Row]) -> tuple[list[tuple[Pair, Sides]], dict[str, int]]:
    """The pairs as the model reads them, and how many are left out, by reason in words."""
    from preceptor.models.chat import ChatTokenizer
    from preceptor.recipes.left_out import told_reasons
    from preceptor.recipes.preferring.rendering import WORDS, cut_pairs

    chat = ChatTokenizer(model.path)
    cut = cut_pairs(rows, chat.tokenizer, chat.limit, loss="soft", smoothing=0.0, nll=None)
    if all(pair.tie for pair, _ in cut.pairs):
        told = told_reasons(cut.reasons, WORDS) or "all are ties"
        raise UserError(f"no pair of the split can be measured: {told}", "judge more items, or choose another split")
    return list(cut.pairs), {WORDS[reason]: count for reason, count in sorted(cut.reasons.items())}


def read_both(model: Model, base: Path, sides: Sequence[Sides | Thumb]) -> Read:
    """Log-probabilities of both answers of each fork under a model and its base."""
    from preceptor.models.causal import start_causal
    from preceptor.models.chat import ChatTokenizer
    from preceptor.models.completion import Head
    from preceptor.models.forked import joins, read_sums
    from preceptor.models.loading import load_causal

    tokenizer = ChatTokenizer(model.path).tokenizer
    forks = [each.fork for each in sides]

    def read(loaded: Any) -> FloatArray:
        head = Head.of(loaded)
        joined = joins(loaded, head, tokenizer.pad_token_id, max(fork.longest for fork in forks))
        return read_sums(loaded, head, forks, tokenizer.pad_token_id, joined=joined)

    weights = load_causal(model.path)
    tuned, parameters = read(weights), sum(each.numel() for each in weights.parameters())
    del weights
    gc.collect()  # the base's weights come into memory
    return Read(tuned, read(start_causal(base, tokenizer).eval()), parameters)


def _margins(model: Model, found: Read, pairs: Sequence[tuple[Pair, Sides]]) -> FloatArray:
    """As the model was trained by: its β, and whether log-ratios count a token."""
    ratios = found.tuned - found.base
    if model.manifest["options"]["normalise"] == "length":
        ratios = ratios / np.array([sides.fork.counts for _, sides in pairs])
    return np.asarray(model.manifest["beta"] * (ratios[:, 0] - ratios[:, 1]), dtype=np.float64)


def _likelier(sums: FloatArray, counts: FloatArray, pairs: Sequence[tuple[Pair, Sides]]) -> FloatArray:
    """1 where the preferred answer is the more probable one a token, of pairs that aren't ties."""
    each = sums / counts
    decided = np.array([not pair.tie for pair, _ in pairs])
    return np.asarray(taken(each[:, 0] - each[:, 1])[decided])


def taken(margins: FloatArray) -> FloatArray:
    return np.asarray(0.5 + 0.5 * np.sign(margins), dtype=np.float64)


def both_sides(margins: FloatArray) -> FloatArray:
    """The model's probabilities of both sides, (pairs, 2)."""
    from scipy.special import expit

    return np.stack([expit(margins), expit(-margins)], axis=1)


def shares(chances: FloatArray) -> FloatArray:
    """People's probabilities of both sides, (pairs, 2)."""
    return np.stack([chances, 1 - chances], axis=1)


def first_of_each(pairs: Sequence[Pair]) -> list[int]:
    """Of each item the first pair, whose chosen answer is its best."""
    return sorted({pair.id: at for at, pair in reversed(list(enumerate(pairs)))}.values())


def examples(rows: Mapping[str, Row], pairs: Sequence[Pair], margins: FloatArray) -> list[dict[str, Any]]:
    """Where the model moved towards the other answer, furthest first, beside what people said."""
    worst = sorted((at for at in range(len(pairs)) if margins[at] < 0 and not pairs[at].tie), key=lambda at: float(margins[at]))
    chances = both_sides(margins)
    return [
        {
            "id": pairs[at].id,
            "text": rows[pairs[at].id].text,
            "people": {"preferred": round(pairs[at].probability, 4), "other": round(1 - pairs[at].probability, 4)},
            "model": {"preferred": round(float(chances[at, 0]), 4), "other": round(float(chances[at, 1]), 4)},
            "judgments": len(rows[pairs[at].id].lineage),
            "truth": pairs[at].chosen,
        }
        for at in worst[:EXAMPLES]
    ]
