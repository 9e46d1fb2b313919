"""What a model says of new rows: each row again, with the answer, its probability, or the text that the model writes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Model
from preceptor.domain.items import text_of
from preceptor.errors import UserError
from preceptor.formats import Rows, read
from preceptor.formats.data_frames import as_file
from preceptor.project.answering import is_shown, predictor, writes
from preceptor.project.contents import CONTENT_FIELDS, item_from
from preceptor.recipes.recipe import Progress, silent
from preceptor.registry import did_you_mean

if TYPE_CHECKING:
    from preceptor.project.project import Project

BATCH = 256  # rows that are in memory at once
APPLIES = 0.5  # probability from which a label applies, where several can
PREDICTION, PROBABILITY = "prediction", "probability"

Row = Mapping[str, Any]
Predictor = Callable[[Sequence[Mapping[str, Any]]], list[dict[str, Any]]]


def predict(
    project: Project,
    model: Model,
    source: Any,
    *,
    text: str | None = None,
    format: str = "auto",
    base: str | Path | None = None,
    max_tokens: int = 256,
    progress: Callable[[Progress], None] = silent,
) -> Iterator[dict[str, Any]]:
    """Yield each row with what the model says of it, in order; a batch at a time, so that a file of any length fits in memory.

    source: a file's path, a table in memory, or rows (dicts, or texts). text: the column of the text; the usual names are found. Of a
    model that chooses come `prediction`, its `probability` and `probability_ANSWER` of each answer; of one that writes `prediction`, a text
    of at most `max_tokens` tokens, written as it is served at temperature 0; of a reward model `prediction`, its score. base: where the
    base of a few-shot model lies. UserError for a row without a text, with its place.
    """
    say, columns = _predictor(project, model, base, max_tokens)
    if isinstance(source, Iterable) and not isinstance(source, str | os.PathLike) and not hasattr(source, "columns"):
        rows = [row if isinstance(row, Mapping) else {"text": row} for row in source]
        yield from _predicted(((row, f"row {number}") for number, row in enumerate(rows, 1)), len(rows), text, columns, say, progress)
        return
    with as_file(source) as path:
        total = sum(1 for _ in read(path, format))
        yield from _predicted(_placed(read(path, format)), total, text, columns, say, progress)


def _placed(rows: Rows) -> Iterator[tuple[Row, str]]:
    for row in rows:
        yield row, rows.where


def _predicted(
    rows: Iterator[tuple[Row, str]],
    total: int,
    text: str | None,
    columns: Sequence[str],
    say: Predictor,
    progress: Callable[[Progress], None],
) -> Iterator[dict[str, Any]]:
    done = 0
    while batch := list(islice(rows, BATCH)):
        contents = [_content(row, text, columns, where) for row, where in batch]
        for (row, _), said in zip(batch, say(contents), strict=True):
            yield {**row, **said}
        done += len(batch)
        progress(Progress("predicting", done, total))


def _content(row: Row, text: str | None, columns: Sequence[str], where: str) -> Mapping[str, Any]:
    if taken := [column for column in columns if column in row]:
        raise UserError(f"the rows have a column {taken[0]!r} already", "rename it: that is where the model's word goes", where=where)
    if text is None:
        if not any(row.get(field) is not None for field in CONTENT_FIELDS):
            columns_there = f"columns: {', '.join(map(str, row))}"
            raise UserError("no column of texts has a usual name", f"name it: --text COLUMN, in Python text=; {columns_there}", where=where)
        return item_from(row, where=where).content
    if text not in row:
        raise UserError(f"there is no column {text!r}{did_you_mean(text, row)}", f"columns: {', '.join(map(str, row))}", where=where)
    return item_from({"text": row[text]}, where=where).content


def _predictor(project: Project, model: Model, base: str | Path | None, max_tokens: int) -> tuple[Predictor, list[str]]:
    """What says of contents what the model makes of them, and the columns that it fills."""
    if "hosted" in model.manifest:
        message = f"{model.id} lies at {model.manifest['hosted']['service']}: there is nothing here to predict with"
        raise UserError(message, "preceptor migrate openai brings it home")
    if model.manifest["recipe"] == "reward":
        return _scorer(model), [PREDICTION]
    if not is_shown(model) and writes(model):
        return _writer(model, max_tokens), [PREDICTION]
    found = predictor(project, model, base=base)
    names = [f"{PROBABILITY}_{answer}" for answer in found.answers]

    def classify(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        several = getattr(found, "several", False)
        rows = found.predict([text_of(content) for content in contents]).tolist()
        return [{**_best(found.answers, chances, several=several), **dict(zip(names, chances, strict=True))} for chances in rows]

    return classify, [PREDICTION, PROBABILITY, *names]


def _best(answers: Sequence[str], chances: Sequence[float], *, several: bool) -> dict[str, Any]:
    """The most probable answer; of several labels those that apply, joined by commas, and the probability that just these do."""
    if not several:
        best = max(range(len(answers)), key=lambda at: chances[at])
        return {PREDICTION: answers[best], PROBABILITY: chances[best]}
    probability = 1.0
    for chance in chances:
        probability *= max(chance, 1 - chance)
    return {PREDICTION: ", ".join(a for a, chance in zip(answers, chances, strict=True) if chance >= APPLIES), PROBABILITY: probability}


def _writer(model: Model, max_tokens: int) -> Predictor:
    from preceptor.models.template import turns_of
    from preceptor.providers import LocalProvider

    provider = LocalProvider(model.path)

    def write(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        prompts = [turns_of(content, "")[:-1] for content in contents]
        return [{PREDICTION: answer} for answer in provider.write(prompts, max_tokens=max_tokens)]

    return write


def _scorer(model: Model) -> Predictor:
    from preceptor.models.rewards import RewardModel
    from preceptor.models.template import turns_of

    reward = RewardModel(model.path)

    def score(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        answers = [_answer_of(content) for content in contents]
        return [{PREDICTION: value} for value in reward.score([turns_of(each, "")[:-1] for each in contents], answers).tolist()]

    return score


def _answer_of(content: Mapping[str, Any]) -> str:
    """The answer that is scored: the completion, or the last turn of a conversation."""
    messages = content.get("messages")
    answer = content.get("completion") if not messages else messages[-1].get("content") if messages[-1]["role"] == "assistant" else None
    if not isinstance(answer, str):
        raise UserError("a reward model scores answers, and a row has none", "give each row a prompt and a completion, or messages")
    return answer
