"""Evaluate DPO, KTO and reward models on held-out comparisons and binary feedback.

The margin of a pair is the change of the model's preference from its base's (see `preceptor.training.preference_pairs`), positive for the
answer that people prefer; its sigmoid is compared with their posterior. A reward model's margin is the difference of two rewards. A KTO
model is measured by whether responses that people call good gained more log-probability than others.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor import model_ancestry
from preceptor.errors import UserError
from preceptor.evaluation import reliability_points
from preceptor.runs import parity_check
from preceptor.runs.evaluation_sections import ScoredRows, build_row_sections, measure_causal_lm, measure_forgetting
from preceptor.statistics import compare_paired, estimate_mean, preference_estimates
from preceptor.storage import gold, questions
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import Snapshot
from preceptor.types import FloatArray, Model

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.training.kto import BinaryFeedback
    from preceptor.training.preference_pairs import ResponsePair, TokenizedPair


_MAX_EXAMPLES = 12
_PREFERENCE_RECIPES = ("dpo",)  # of generative models trained on preferences


@dataclass(frozen=True)
class PairLogprobs:
    """Log-probabilities in nats of both answers of pairs, (pairs, 2), under a model and its base, and the model's number of parameters."""

    tuned: FloatArray
    base: FloatArray
    parameter_count: int


def is_preference_model(model: Model, snapshot: Snapshot) -> bool:
    """Return whether a model is generative and was trained on people's comparisons."""
    return model.manifest["recipe"] in _PREFERENCE_RECIPES and snapshot.question["kind"] == "compare"


def measure_preference_model(
    project: Project,
    model: Model,
    snapshot: Snapshot,
    rows: Sequence[SnapshotRow],
    *,
    truth: Mapping[str, Any] | None,
    base: str | Path | None,
) -> dict[str, Any]:
    """Return the report sections of a preference-trained model.

    Raises UserError where parity fails, the base isn't available, or no pair can be measured.
    """
    folder = model_ancestry.find_recorded_base(project, model, base)
    if folder is None:
        message = f"the base of {model.id} ({model.manifest['base']}) is not at hand, and preferences are measured against it"
        raise UserError(message, "say where it lies: --base DIR")
    proved = parity_check.require_parity(project, model, base)
    pairs, left_out = _tokenize_pairs(model, _apply_known_winners(project, snapshot, rows, truth))
    left = measure_forgetting(project, model, folder, measure_causal_lm)
    found = _read_pair_logprobs(model, folder, [sides for _, sides in pairs])
    margins, counts = _preference_margins(model, found, pairs), np.array([sides.fork.supervised_counts for _, sides in pairs])
    chances, groups = np.array([pair.probability for pair, _ in pairs]), [pair.group for pair, _ in pairs]
    words = np.array([[len(text.split()) for text in (pair.chosen, pair.rejected)] for pair, _ in pairs], dtype=np.float64)
    estimates = preference_estimates(margins, chances, words, groups)
    likelier = {name: _likelier_shares(sums, counts, pairs) for name, sums in (("tuned", found.tuned), ("base", found.base))}
    decided = np.array([not pair.tie for pair, _ in pairs])
    of_decided = np.asarray(groups)[decided]
    tuned = {
        **estimates,
        "likelier": estimate_mean(likelier["tuned"], clusters=of_decided),
        "reliability": reliability_points(_side_probabilities(margins)[decided], _human_probabilities(chances)[decided]),
        "parameters": found.parameter_count,
        **({"retention": left["kept"]} if "kept" in left else {}),
    }
    known = {row.id: row for row in rows}
    first = _first_pair_of_items([pair for pair, _ in pairs])
    measured = [known[pairs[at][0].id] for at in first]
    return {
        "parity": proved,
        "models": {
            "tuned": tuned,
            "base": {"likelier": estimate_mean(likelier["base"], clusters=of_decided), "parameters": found.parameter_count},
        },
        **({"forgetting": left} if left else {}),
        "comparison": {"tuned_minus_base_likelier": compare_paired(likelier["tuned"], likelier["base"], clusters=of_decided)},
        "pairs": {"measured": len(pairs), "ties": int((~decided).sum()), "left_out": left_out},
        "examples": _pair_examples(known, [pair for pair, _ in pairs], margins),
        **build_row_sections(
            project, model, snapshot,
            ScoredRows(
                measured, [pairs[at][0].chosen for at in first], {"accuracy": _margin_accuracy(margins)[first]},
                is_truth_given=truth is not None),
        ),
    }  # fmt: skip


def _apply_known_winners(
    project: Project, snapshot: Snapshot, rows: Sequence[SnapshotRow], given: Mapping[str, Any] | None
) -> list[SnapshotRow]:
    """Return the rows with their known winner: as given, else gold, else people's posterior."""
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = {**gold.list_answers(connection, key), **(given or {})}
    return [replace(row, target={_parse_winner(snapshot, row.id, known[row.id]): 1.0}) if row.id in known else row for row in rows]


def _parse_winner(snapshot: Snapshot, item: str, answer: Any) -> str:
    said = str(answer["winner"] if isinstance(answer, Mapping) else answer)
    if said not in snapshot.answers:
        raise UserError(
            f"the true answer {said!r} of item {item!r} is not an answer of the snapshot", f"answers: {', '.join(snapshot.answers)}"
        )
    return said


def _tokenize_pairs(model: Model, rows: Sequence[SnapshotRow]) -> tuple[list[tuple[ResponsePair, TokenizedPair]], dict[str, int]]:
    """Return the pairs as the model reads them, and the counts of those left out, by reason as text."""
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.training.examples import format_exclusion_reasons
    from preceptor.training.preference_pairs import TOKENIZED_PAIR_EXCLUSION_REASONS, tokenize_pairs

    chat = ChatTokenizer(model.path)
    cut = tokenize_pairs(rows, chat.tokenizer, chat.limit, loss="soft", smoothing=0.0, nll=None)
    if all(pair.tie for pair, _ in cut.pairs):
        told = format_exclusion_reasons(cut.exclusion_counts, TOKENIZED_PAIR_EXCLUSION_REASONS) or "all are ties"
        raise UserError(f"no pair of the split can be measured: {told}", "judge more items, or choose another split")
    return list(cut.pairs), {TOKENIZED_PAIR_EXCLUSION_REASONS[reason]: count for reason, count in sorted(cut.exclusion_counts.items())}


def _read_pair_logprobs(model: Model, base: Path, sides: Sequence[TokenizedPair | BinaryFeedback]) -> PairLogprobs:
    """Return the log-probabilities of both answers of each fork under a model and its base."""
    from preceptor.models.causal_lm import ChatTokenizer, prepare_causal
    from preceptor.models.completion_scoring import LMHead, score_pairs, supports_joined_pairs
    from preceptor.models.loading import load_causal

    tokenizer = ChatTokenizer(model.path).tokenizer
    forks = [each.fork for each in sides]

    def read(loaded: Any) -> FloatArray:
        head = LMHead.from_model(loaded)
        joined = supports_joined_pairs(loaded, head, tokenizer.pad_token_id, max(fork.max_length for fork in forks))
        return score_pairs(loaded, head, forks, tokenizer.pad_token_id, joined=joined)

    weights = load_causal(model.path)
    tuned, parameters = read(weights), sum(each.numel() for each in weights.parameters())
    del weights
    gc.collect()  # frees memory for the base's weights
    return PairLogprobs(tuned, read(prepare_causal(base, tokenizer).eval()), parameters)


def _preference_margins(model: Model, found: PairLogprobs, pairs: Sequence[tuple[ResponsePair, TokenizedPair]]) -> FloatArray:
    """Return the margins as in training: with its β, and length-normalised log-ratios where it used them."""
    ratios = found.tuned - found.base
    if model.manifest["options"]["normalise"] == "length":
        ratios = ratios / np.array([sides.fork.supervised_counts for _, sides in pairs])
    return np.asarray(model.manifest["beta"] * (ratios[:, 0] - ratios[:, 1]), dtype=np.float64)


def _likelier_shares(sums: FloatArray, counts: FloatArray, pairs: Sequence[tuple[ResponsePair, TokenizedPair]]) -> FloatArray:
    """Return 1 where the preferred answer is more probable per token, for pairs that aren't ties."""
    each = sums / counts
    decided = np.array([not pair.tie for pair, _ in pairs])
    return np.asarray(_margin_accuracy(each[:, 0] - each[:, 1])[decided])


def _margin_accuracy(margins: FloatArray) -> FloatArray:
    return np.asarray(0.5 + 0.5 * np.sign(margins), dtype=np.float64)


def _side_probabilities(margins: FloatArray) -> FloatArray:
    """Return the model's probabilities of both sides, (pairs, 2)."""
    from scipy.special import expit

    return np.stack([expit(margins), expit(-margins)], axis=1)


def _human_probabilities(chances: FloatArray) -> FloatArray:
    """Return people's probabilities of both sides, (pairs, 2)."""
    return np.stack([chances, 1 - chances], axis=1)


def _first_pair_of_items(pairs: Sequence[ResponsePair]) -> list[int]:
    """Return the first pair of each item, whose chosen answer is its best."""
    return sorted({pair.id: at for at, pair in reversed(list(enumerate(pairs)))}.values())


def _pair_examples(rows: Mapping[str, SnapshotRow], pairs: Sequence[ResponsePair], margins: FloatArray) -> list[dict[str, Any]]:
    """Return the pairs where the model moved towards the other answer, the largest shift first, with people's probabilities."""
    worst = sorted((at for at in range(len(pairs)) if margins[at] < 0 and not pairs[at].tie), key=lambda at: float(margins[at]))
    chances = _side_probabilities(margins)
    return [
        {
            "id": pairs[at].id,
            "text": rows[pairs[at].id].text,
            "people": {"preferred": round(pairs[at].probability, 4), "other": round(1 - pairs[at].probability, 4)},
            "model": {"preferred": round(float(chances[at, 0]), 4), "other": round(float(chances[at, 1]), 4)},
            "judgments": len(rows[pairs[at].id].lineage),
            "truth": pairs[at].chosen,
        }
        for at in worst[:_MAX_EXAMPLES]
    ]


def is_reward_model(model: Model) -> bool:
    """Return whether a model gives rewards, rather than text or a choice among answers."""
    return bool(model.manifest["recipe"] == "reward")


def measure_reward_model(
    project: Project,
    model: Model,
    snapshot: Snapshot,
    rows: Sequence[SnapshotRow],
    *,
    truth: Mapping[str, Any] | None,
    base: str | Path | None,
) -> dict[str, Any]:
    """Return the report sections of a reward model. Raises UserError where parity fails, or the split has no pair that it can read."""
    proved = parity_check.require_parity(project, model, base)
    pairs, left_out = _reward_pairs(_apply_known_winners(project, snapshot, rows, truth))
    margins = _reward_margins(model, pairs)
    chances, groups = np.array([pair.probability for pair in pairs]), [pair.group for pair in pairs]
    words = np.array([[len(text.split()) for text in (pair.chosen, pair.rejected)] for pair in pairs], dtype=np.float64)
    decided = np.array([not pair.tie for pair in pairs])
    known, first = {row.id: row for row in rows}, _first_pair_of_items(pairs)
    return {
        "parity": proved,
        "models": {
            "tuned": {
                **preference_estimates(margins, chances, words, groups),
                "reliability": reliability_points(_side_probabilities(margins)[decided], _human_probabilities(chances)[decided]),
                "parameters": model.manifest["parameters"],
            }
        },
        "pairs": {"measured": len(pairs), "ties": int((~decided).sum()), "left_out": left_out},
        "examples": _pair_examples(known, pairs, margins),
        **build_row_sections(
            project, model, snapshot,
            ScoredRows(
                [known[pairs[at].id] for at in first], [pairs[at].chosen for at in first], {"accuracy": _margin_accuracy(margins)[first]},
                is_truth_given=truth is not None,
            ),
        ),
    }  # fmt: skip


def _reward_pairs(rows: Sequence[SnapshotRow]) -> tuple[list[ResponsePair], dict[str, int]]:
    """Return the rows' pairs, and the counts of rows without one, by reason as text."""
    from preceptor.training.preference_pairs import PAIR_EXCLUSION_REASONS, extract_pairs

    found = [extract_pairs(row) for row in rows]
    pairs = [pair for each in found for pair in each if pair.chosen.strip() != pair.rejected.strip()]
    counts = {"no pair": sum(not each for each in found), "the same twice": sum(map(len, found)) - len(pairs)}
    if all(pair.tie for pair in pairs):
        raise UserError("no pair of the split has a better side: there is nothing to measure", "judge more items, or choose another split")
    return pairs, {PAIR_EXCLUSION_REASONS[reason]: count for reason, count in counts.items() if count}


def _reward_margins(model: Model, pairs: Sequence[ResponsePair]) -> FloatArray:
    """Return the log-odds that the preferred side is better, (pairs,)."""
    from preceptor.models.chat_template import build_conversation
    from preceptor.models.classifier import RewardModel

    reward = RewardModel(model.path)
    prompts = [build_conversation(pair.content, "")[:-1] for pair in pairs]
    return reward.score(prompts, [pair.chosen for pair in pairs]) - reward.score(prompts, [pair.rejected for pair in pairs])


def is_binary_feedback_model(model: Model) -> bool:
    """Return whether a model is generative and was trained on people's feedback on single responses."""
    return bool(model.manifest["recipe"] == "kto")


def measure_binary_feedback_model(
    project: Project, model: Model, snapshot: Snapshot, rows: Sequence[SnapshotRow], *, base: str | Path | None
) -> dict[str, Any]:
    """Return the report sections of a KTO model, by what responses gained over the base.

    Raises UserError where parity fails, the base isn't available, or hardly a row can be read.
    """
    from preceptor.models.causal_lm import ChatTokenizer
    from preceptor.training.kto import (
        FEEDBACK_EXCLUSION_REASONS,
        build_feedback_examples,
        feedback_metrics,
        render_feedback,
        resolve_label_values,
    )

    folder = model_ancestry.find_recorded_base(project, model, base)
    if folder is None:
        message = f"the base of {model.id} ({model.manifest['base']}) is not at hand, and what responses gained is measured against it"
        raise UserError(message, "say where it lies: --base DIR")
    proved = parity_check.require_parity(project, model, base)
    chat, good = ChatTokenizer(model.path), resolve_label_values(snapshot, model.manifest["options"]["positive_labels"])
    found = render_feedback(rows, good, chat.tokenizer, chat.limit, "soft")
    examples = build_feedback_examples(found, rows[0].split, chat.limit, model.manifest["seed"])
    left = measure_forgetting(project, model, folder, measure_causal_lm)
    read = _read_pair_logprobs(model, folder, examples.targets)
    gained = read.tuned - read.base
    chances, level = np.array([thumb.chance for thumb in examples.targets]), max(0.0, float(gained[:, 1].mean()))
    known = {row.id: row for row in rows}
    kept, right = [known[id_] for id_ in examples.ids], 0.5 + 0.5 * np.sign(gained[:, 0] - level) * np.sign(chances - 0.5)
    return {
        "parity": proved,
        "models": {
            "tuned": {
                **feedback_metrics(gained[:, 0], level, chances, examples.groups),
                "parameters": read.parameter_count,
                **({"retention": left["kept"]} if "kept" in left else {}),
            }
        },
        **({"forgetting": left} if left else {}),
        "thumbs": {
            "measured": len(kept),
            "left_out": {FEEDBACK_EXCLUSION_REASONS[reason]: count for reason, count in found.exclusion_counts.items()},
        },
        "examples": _binary_feedback_examples(kept, gained[:, 0] - level, chances, good),
        **build_row_sections(
            project, model, snapshot, ScoredRows(kept, [row.answer for row in kept], {"accuracy": right}, is_truth_given=False)
        ),
    }


def _binary_feedback_examples(
    rows: Sequence[SnapshotRow], gains: FloatArray, chances: FloatArray, good: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Return the responses that moved against people's feedback, the largest shift first."""
    wrong = np.sign(gains) != np.sign(chances - 0.5)
    worst = sorted((at for at in range(len(rows)) if wrong[at] and chances[at] != 0.5), key=lambda at: -abs(float(gains[at])))
    return [
        {
            "id": rows[at].id,
            "text": rows[at].text,
            "people": {answer: rows[at].target.get(answer, 0.0) for answer in good},
            "model": {"nats gained": round(float(gains[at]), 4)},
            "judgments": len(rows[at].lineage),
            "truth": rows[at].answer,
        }
        for at in worst[:_MAX_EXAMPLES]
    ]
