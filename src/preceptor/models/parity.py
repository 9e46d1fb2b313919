"""Verify that a model gives the same probabilities when trained, merged, saved, loaded again and served.

Training records in the model's folder the trained model's scores of a few validation rows, before anything is merged or saved
(`parity.json`: ids, a digest of the tokens, log-probabilities; texts only of rows that were read with sources). Each later stage renders
and scores the same rows again, and is compared with that record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from preceptor.errors import UserError
from preceptor.formats.durable_files import read_json, verify_checksums
from preceptor.models.adapters import load_with_adapter, merge_adapter
from preceptor.models.batching import encode_texts, get_max_input_tokens
from preceptor.models.causal_lm import prepare_causal
from preceptor.models.chat_template import ChatMessage, RenderError, render_conversation
from preceptor.models.classifier import (
    REWARD_LABEL,
    RewardTokenizer,
    TextClassifier,
    predict_log_probabilities,
    prepare_reward_model,
    score_tokens,
)
from preceptor.models.completion_scoring import completion_log_probabilities
from preceptor.models.loading import ALTERED_HINT, is_encoder, load_causal, load_tokenizer, prepare_classifier

PROBE_COUNT = 16
ScoringDtype = Literal["float32", "bfloat16"]
# Nats per token, on average over the rows. float32 differs by the order of sums (6e-6 was measured on SmolLM2-135M); bfloat16
# has 8 bits, and a base that was unpacked from 4 bits (SmolLM2 again) moves by 0.11 in it, merged or served alike.
TOLERANCE: Mapping[str, float] = {"float32": 1e-3, "bfloat16": 0.25}
# Improbable tokens depend on small differences of large logits: SmolLM2 after an epoch, at 5 nats per token, moves by 0.8 in bfloat16.
RELATIVE_TOLERANCE: Mapping[str, float] = {"float32": 0.0, "bfloat16": 0.17}  # of the mean nats per token, if more; 0.154 was seen


@dataclass(frozen=True, slots=True)
class ParityStage:
    """One stage compared with the trained model.

    dtype: it was scored in. difference: mean absolute difference of a token's log-probability in nats, None where it couldn't be scored.
    tolerance: the most that passes. summary: the result in words.
    """

    stage: str
    dtype: str
    difference: float | None
    tolerance: float
    passed: bool
    summary: str

    def to_dict(self) -> dict[str, Any]:
        """Return the stage as a dictionary of its fields."""
        return asdict(self)


@dataclass(frozen=True)
class ProbeScores:
    """A stage's scores of rows.

    log_probabilities: id -> log-probabilities. tokens: of a causal model, id -> digest of tokens and mask.
    """

    log_probabilities: Mapping[str, Any]
    tokens: Mapping[str, str]


def load_recorded_scores(folder: Path) -> tuple[str, ProbeScores]:
    """Load the kind of model (causal, classifier, in_context, reward) and its scores recorded in training.

    Raises UserError where nothing was recorded or the record was altered.
    """
    path = folder / "parity.json"
    if not path.is_file():
        raise UserError(f"{folder.name} has no record of what it said when it was trained", "its folder is incomplete: train it anew")
    verify_checksums(folder, "parity.json", hint=ALTERED_HINT)
    kept = read_json(path)
    if kept["kind"] != "causal":
        return kept["kind"], ProbeScores(kept["rows"], {})
    rows = kept["rows"]
    return "causal", ProbeScores(
        {id_: row["log_probabilities"] for id_, row in rows.items()}, {id_: row["tokens"] for id_, row in rows.items()}
    )


def load_recorded_conversations(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Load the recorded conversations by row, where the snapshot's rows alone don't determine what was read, as with sources."""
    kept = read_json(folder / "parity.json")
    return {id_: row["turns"] for id_, row in kept["rows"].items() if isinstance(row, dict) and "turns" in row}


def digest_tokens(tokens: Sequence[int], supervised: Sequence[Any]) -> str:
    """Return a short hex digest of tokens and of which of them are supervised."""
    return hashlib.sha256(json.dumps([list(tokens), [int(each) for each in supervised]]).encode()).hexdigest()[:16]


def check_parity_stages(
    folder: Path, rows: Mapping[str, Any], *, base: Path | None = None, dtype: ScoringDtype = "float32"
) -> list[ParityStage]:
    """Compare the stages of a model's folder with the trained model.

    rows: id -> conversation that ends with the answer, a classifier's text, or a reward model's conversations. base: with it, the adapter
    is attached to it again and scored unmerged, then merged (in float32, and cast afterwards: small products vanish in the sums of
    bfloat16). Then come the saved weights, and last these on the shortest row alone, which was padded in a batch with the others.
    """
    kind, trained = load_recorded_scores(folder)
    makers, say = _stage_loaders(kind, folder, base, dtype)
    found = [compare_with_trained(name, trained, lambda make=make: say(make(), folder, rows), dtype) for name, make in makers.items()]  # type: ignore[misc]
    short = min(trained.log_probabilities, key=lambda id_: len(str(rows[id_])))
    probe = ProbeScores({short: trained.log_probabilities[short]}, {id_: tokens for id_, tokens in trained.tokens.items() if id_ == short})
    return [*found, compare_with_trained("alone", probe, lambda: say(makers["reloaded"](), folder, {short: rows[short]}), dtype)]


def check_copied_model(folder: Path, origin: Path, rows: Mapping[str, Any], *, stage: str, dtype: ScoringDtype = "float32") -> ParityStage:
    """Compare the scores of a folder's weights and tokenizer with those recorded for the model in another folder, `origin`."""
    kind, trained = load_recorded_scores(origin)
    makers, say = _stage_loaders(kind, folder, None, dtype)
    return compare_with_trained(stage, trained, lambda: say(makers["reloaded"](), folder, rows), dtype)


def _stage_loaders(
    kind: str, folder: Path, base: Path | None, dtype: ScoringDtype
) -> tuple[dict[str, Callable[[], Any]], Callable[..., ProbeScores]]:
    """Return what loads a model of this kind at each stage, and what scores rows with it."""
    makers = _causal_stages(folder, base, dtype) if kind == "causal" else _classifier_stages(folder, base, dtype)
    return makers, {"causal": _score_completions_of_folder, REWARD_LABEL: _score_rewards}.get(kind, _score_classes)


def compare_with_trained(stage: str, trained: ProbeScores, say: Callable[[], ProbeScores], dtype: str) -> ParityStage:
    """Compare one stage's scores with the trained model's; a row that it can't render or score fails the stage, with the reason."""
    surprise = float(np.mean(np.concatenate([-np.asarray(each) for each in trained.log_probabilities.values()])))
    tolerance = max(TOLERANCE[dtype], RELATIVE_TOLERANCE[dtype] * surprise)
    try:
        found = say()
    except (RenderError, UserError) as refused:
        return ParityStage(stage, dtype, None, tolerance, False, f"can't read what was trained on: {refused}")
    other = [id_ for id_ in trained.tokens if found.tokens.get(id_) != trained.tokens[id_]]
    if other:
        words = (
            f"renders {len(other)} of {len(trained.tokens)} rows to other tokens than were trained on (template, end token or tokenizer)"
        )
        return ParityStage(stage, dtype, None, tolerance, False, words)
    difference = _mean_difference(trained, found)
    passed = difference <= tolerance
    words = "the same" if passed else "other log-probabilities than the trained model: other weights, head or adapter scale"
    return ParityStage(stage, dtype, difference, tolerance, passed, words)


def _mean_difference(trained: ProbeScores, found: ProbeScores) -> float:
    rows = trained.log_probabilities
    apart = np.concatenate([np.abs(np.asarray(rows[id_]) - np.asarray(found.log_probabilities[id_])) for id_ in rows])
    return float(apart.mean()) if np.isfinite(apart).all() else float(np.finfo(np.float64).max)


def score_completions(model: Any, tokenizer: Any, rows: Mapping[str, Sequence[ChatMessage]]) -> ProbeScores:
    """Score conversations with a causal model, rendered by this tokenizer's own template.

    Raises RenderError where one can't be rendered.
    """
    cut = {id_: render_conversation(tokenizer, turns, 2**30) for id_, turns in rows.items()}
    tokens, masks = [each.tokens for each in cut.values()], [each.supervised for each in cut.values()]
    said = completion_log_probabilities(model, tokens, masks, tokenizer.pad_token_id)
    digests = [digest_tokens(ids, mask) for ids, mask in zip(tokens, masks, strict=True)]
    return ProbeScores(dict(zip(cut, said, strict=True)), dict(zip(cut, digests, strict=True)))


def _score_completions_of_folder(model: Any, folder: Path, rows: Mapping[str, Any]) -> ProbeScores:
    return score_completions(model, load_tokenizer(folder), rows)


def _score_classes(model: Any, folder: Path, rows: Mapping[str, Any]) -> ProbeScores:
    tokenizer = load_tokenizer(folder)
    encoded = encode_texts(tokenizer, list(rows.values()), get_max_input_tokens(tokenizer, model.config))
    return ProbeScores(dict(zip(rows, predict_log_probabilities(model, encoded, tokenizer.pad_token_id), strict=True)), {})


def _score_rewards(model: Any, folder: Path, rows: Mapping[str, Any]) -> ProbeScores:
    reader = RewardTokenizer(load_tokenizer(folder), is_encoder(folder))
    read = {id_: [reader.encode_conversation(turns) for turns in each] for id_, each in rows.items()}
    return ProbeScores({id_: score_tokens(model, tokens, reader.tokenizer) for id_, tokens in read.items()}, {})


def _causal_stages(folder: Path, base: Path | None, dtype: ScoringDtype) -> dict[str, Callable[[], Any]]:
    as_type = getattr(torch, dtype)
    again: dict[str, Callable[[], Any]] = {"reloaded": lambda: load_causal(folder, dtype=as_type)}
    if base is None or not (folder / "adapter").is_dir():
        return again

    def adapted() -> Any:
        return load_with_adapter(prepare_causal(base, load_tokenizer(folder)), folder / "adapter")

    return {"unmerged": lambda: adapted().to(as_type), "merged": lambda: merge_adapter(adapted()).eval().to(as_type), **again}


def _classifier_stages(folder: Path, base: Path | None, dtype: ScoringDtype) -> dict[str, Callable[[], Any]]:
    as_type = getattr(torch, dtype)
    again: dict[str, Callable[[], Any]] = {"reloaded": lambda: TextClassifier(folder).model.to(as_type)}
    if base is None or not (folder / "adapter").is_dir():
        return again

    def adapted() -> Any:
        classifier = TextClassifier(folder)
        if classifier.answers == (REWARD_LABEL,):
            started = prepare_reward_model(base, classifier.tokenizer)
        else:
            started = prepare_classifier(base, classifier.answers, classifier.tokenizer.pad_token_id, several=classifier.multilabel)
        return load_with_adapter(started, folder / "adapter")

    return {"unmerged": lambda: adapted().to(as_type), "merged": lambda: merge_adapter(adapted()).eval().to(as_type), **again}
