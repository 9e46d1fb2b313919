"""Load a model's predictor, and predict on new rows: answers with probabilities, generated texts, or reward scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.annotation.row_parser import CONTENT_FIELDS, parse_item
from preceptor.errors import UserError
from preceptor.formats import FormatReader, read
from preceptor.formats.reader import as_file_path
from preceptor.model_ancestry import find_recorded_base, resolve_base_folder
from preceptor.registry import suggest_name
from preceptor.training.recipe import TrainingProgress, ignore_progress
from preceptor.types import FloatArray, Model, render_content

if TYPE_CHECKING:
    from preceptor.generation.in_context import FewShotClassifier
    from preceptor.models.classifier import TextClassifier
    from preceptor.project import Project


def is_few_shot(model: Model) -> bool:
    """Return whether a model is a few-shot prompt for a base model, without weights of its own."""
    return bool(model.manifest["recipe"] == "in_context")


def is_generative(model: Model) -> bool:
    """Return whether a model generates text rather than choosing among answers."""
    from preceptor.models.parity import load_recorded_scores

    return not model.manifest["answers"] or ((model.path / "parity.json").is_file() and load_recorded_scores(model.path)[0] == "causal")


def predict_probabilities(project: Project, model: Model, texts: Sequence[str], *, base: str | Path | None = None) -> FloatArray:
    """Return the probability of each answer for each text: (texts, answers) float64, columns in the order of the question's answers.

    base: where the base of a few-shot model lies, when it is no known one.
    """
    found = load_predictor(project, model, base=base)
    order = [found.answers.index(answer) for answer in model.manifest["answers"]]  # an imported model may have another order
    return found.predict(texts)[:, order]


def load_predictor(project: Project, model: Model, *, base: str | Path | None = None) -> TextClassifier | FewShotClassifier:
    """Load the predictor of a model: `answers`, and `predict` for texts."""
    from preceptor.models.classifier import TextClassifier

    return load_few_shot(project, model, base) if is_few_shot(model) else TextClassifier(model.path)


def load_few_shot(project: Project, model: Model, base: str | Path | None) -> FewShotClassifier:
    """Load a few-shot model with its base and its encoder. Raises UserError where one of them is missing or has changed."""
    from preceptor.generation.in_context import FewShotClassifier
    from preceptor.generation.local import LocalProvider
    from preceptor.models.atomic_folder import weights_digest

    folder = find_recorded_base(project, model, base)
    if folder is None:
        raise UserError(f"the base of {model.id} ({model.manifest['base']}) is not at hand", "say where it lies: --base DIR")
    encoder = resolve_base_folder(project, model.manifest["options"]["encoder"])
    if weights_digest(encoder) != model.manifest["encoder_weights"]:
        raise UserError(f"{encoder.name} is not the encoder that {model.id} was made with: its weights differ", "make the model anew")
    return FewShotClassifier.load(model.path, LocalProvider(folder), encoder)


_BATCH_ROWS = 256  # rows that are in memory at once
_LABEL_THRESHOLD = 0.5  # probability from which a label applies, in multilabel questions
_PREDICTION_COLUMN, _PROBABILITY_COLUMN = "prediction", "probability"

_InputRow = Mapping[str, Any]
_ContentPredictor = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]


def predict_rows(
    project: Project,
    model: Model,
    source: Any,
    *,
    text: str | None = None,
    format: str = "auto",
    base: str | Path | None = None,
    max_tokens: int = 256,
    progress: Callable[[TrainingProgress], None] = ignore_progress,
) -> Iterator[dict[str, Any]]:
    """Yield each row with the model's prediction, in order; a batch at a time, so that a file of any length fits in memory.

    source: a file's path, a table in memory, or rows (dicts, or texts). text: the column of the text; the usual names are found. A
    classifier adds `prediction`, its `probability` and `probability_ANSWER` for each answer; a generative model `prediction`, a text of at
    most `max_tokens` tokens, generated as it is served at temperature 0; a reward model `prediction`, its score. base: where the base of a
    few-shot model lies. Raises UserError, with the place, for a row without a text.
    """
    say, columns = _content_predictor(project, model, base, max_tokens)
    if isinstance(source, Iterable) and not isinstance(source, str | os.PathLike) and not hasattr(source, "columns"):
        rows = [row if isinstance(row, Mapping) else {"text": row} for row in source]
        yield from _predict_batches(((row, f"row {number}") for number, row in enumerate(rows, 1)), len(rows), text, columns, say, progress)
        return
    with as_file_path(source) as path:
        total = sum(1 for _ in read(path, format))
        yield from _predict_batches(_rows_with_location(read(path, format)), total, text, columns, say, progress)


def _rows_with_location(rows: FormatReader) -> Iterator[tuple[_InputRow, str]]:
    for row in rows:
        yield row, rows.where


def _predict_batches(
    rows: Iterator[tuple[_InputRow, str]],
    total: int,
    text: str | None,
    columns: Sequence[str],
    say: _ContentPredictor,
    progress: Callable[[TrainingProgress], None],
) -> Iterator[dict[str, Any]]:
    done = 0
    while batch := list(islice(rows, _BATCH_ROWS)):
        contents = [_parse_content(row, text, columns, where) for row, where in batch]
        for (row, _), said in zip(batch, say(contents), strict=True):
            yield {**row, **said}
        done += len(batch)
        progress(TrainingProgress("predicting", done, total))


def _parse_content(row: _InputRow, text: str | None, columns: Sequence[str], where: str) -> Mapping[str, Any]:
    if taken := [column for column in columns if column in row]:
        raise UserError(f"the rows have a column {taken[0]!r} already", "rename it: that is where the model's word goes", where=where)
    if text is None:
        if not any(row.get(field) is not None for field in CONTENT_FIELDS):
            columns_there = f"columns: {', '.join(map(str, row))}"
            raise UserError("no column of texts has a usual name", f"name it: --text COLUMN, in Python text=; {columns_there}", where=where)
        return parse_item(row, where=where).content
    if text not in row:
        raise UserError(f"there is no column {text!r}{suggest_name(text, row)}", f"columns: {', '.join(map(str, row))}", where=where)
    return parse_item({"text": row[text]}, where=where).content


def _content_predictor(project: Project, model: Model, base: str | Path | None, max_tokens: int) -> tuple[_ContentPredictor, list[str]]:
    """Return the function that predicts for contents, and the columns that it fills."""
    if "hosted" in model.manifest:
        message = f"{model.id} lies at {model.manifest['hosted']['service']}: there is nothing here to predict with"
        raise UserError(message, "preceptor migrate openai brings it home")
    if model.manifest["recipe"] == "reward":
        return _reward_predictor(model), [_PREDICTION_COLUMN]
    if not is_few_shot(model) and is_generative(model):
        return _generation_predictor(model, max_tokens), [_PREDICTION_COLUMN]
    found = load_predictor(project, model, base=base)
    names = [f"{_PROBABILITY_COLUMN}_{answer}" for answer in found.answers]

    def classify(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        several = getattr(found, "multilabel", False)
        rows = found.predict([render_content(content) for content in contents]).tolist()
        return [{**_best_answer(found.answers, chances, several=several), **dict(zip(names, chances, strict=True))} for chances in rows]

    return classify, [_PREDICTION_COLUMN, _PROBABILITY_COLUMN, *names]


def _best_answer(answers: Sequence[str], chances: Sequence[float], *, several: bool) -> dict[str, Any]:
    """Return the most probable answer; for several labels those that apply, joined by commas, and the probability of exactly this set."""
    if not several:
        best = max(range(len(answers)), key=lambda at: chances[at])
        return {_PREDICTION_COLUMN: answers[best], _PROBABILITY_COLUMN: chances[best]}
    probability = 1.0
    for chance in chances:
        probability *= max(chance, 1 - chance)
    return {
        _PREDICTION_COLUMN: ", ".join(a for a, chance in zip(answers, chances, strict=True) if chance >= _LABEL_THRESHOLD),
        _PROBABILITY_COLUMN: probability,
    }


def _generation_predictor(model: Model, max_tokens: int) -> _ContentPredictor:
    from preceptor.generation import LocalProvider
    from preceptor.models.chat_template import build_conversation

    provider = LocalProvider(model.path)

    def write(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        prompts = [build_conversation(content, "")[:-1] for content in contents]
        return [{_PREDICTION_COLUMN: answer} for answer in provider.write(prompts, max_tokens=max_tokens)]

    return write


def _reward_predictor(model: Model) -> _ContentPredictor:
    from preceptor.models.chat_template import build_conversation
    from preceptor.models.classifier import RewardModel

    reward = RewardModel(model.path)

    def score(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers = [_scored_answer(content) for content in contents]
        return [
            {_PREDICTION_COLUMN: value}
            for value in reward.score([build_conversation(each, "")[:-1] for each in contents], answers).tolist()
        ]

    return score


def _scored_answer(content: Mapping[str, Any]) -> str:
    """Return the answer to score: the completion, or the last message of a conversation."""
    messages = content.get("messages")
    answer = content.get("completion") if not messages else messages[-1].get("content") if messages[-1]["role"] == "assistant" else None
    if not isinstance(answer, str):
        raise UserError("a reward model scores answers, and a row has none", "give each row a prompt and a completion, or messages")
    return answer
