"""What a model's words mean, learnt from people's verdicts: on rows that it never saw, or on answers that it has served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from preceptor.domain import Model
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.evaluation.texts import same
from preceptor.project import answering
from preceptor.project.assets import CHAT_BASES, base_folder
from preceptor.project.evaluating import evaluating
from preceptor.project.live.confidence import keep_calibration
from preceptor.project.live.overview import model_of
from preceptor.project.live.stream import verdicts
from preceptor.snapshots import Row, Snapshot
from preceptor.statistics import token_features
from preceptor.store import gold, questions

if TYPE_CHECKING:
    from preceptor.project.project import Project

ROOM = 2  # an answer may be so many times as long as the longest reference
MOST = 500  # answers that are written; more hardly make it surer


class _Judged(NamedTuple):
    """Of each answer its `token_features`, whether it is right, and whose answers depend on it; temperatures at which they were drawn."""

    features: list[FloatArray]
    right: list[float]
    groups: list[str]
    temperatures: list[float]


def calibrate(project: Project, model: str, *, snapshot: str = "", live: bool = False, temperature: float = 0.0) -> dict[str, Any]:
    """Calibrate a model's confidence; what `confidence.calibration_of` gives, without the answers.

    model: its id, a base that programs chat with, or an alias of either. By default on the validation rows of its own snapshot, or of
    the one named: it answers at a temperature, and is right where it says what people said. live: on answers that it has served, at the
    temperatures of those calls, and people have judged. What is learnt at one temperature holds there (`confidence.learnt_at`).
    UserError where the verdicts are too few, or all alike.
    """
    model = model_of(project, model)
    named = None if model in CHAT_BASES else project.model(model)
    id_ = model if named is None else named.id
    if live:
        judged, source = _served(project, id_), "answers that it served, as people found them"
    else:
        if named is None and not snapshot:
            raise UserError(f"{model} is a base, which was trained on no snapshot of yours", "--snapshot NAME, or --live")
        rows_of = project.load_snapshot(snapshot or str(named.manifest["snapshot"] if named else ""))
        rows = _unseen(project, named, evaluating.held_out(rows_of, "validation"))[:MOST]
        folder = base_folder(model) if named is None else named.path
        judged = _on_rows(project, named, folder, rows_of, rows, temperature)
        source = f"validation rows of snapshot {rows_of.digest[:12]}"
    drawn = judged.temperatures
    kept = keep_calibration(project, id_, judged.features, judged.right, judged.groups, source, temperatures=drawn)
    return {name: value for name, value in kept.items() if name != "ranked"}


def _unseen(project: Project, model: Model | None, rows: Sequence[Row]) -> Sequence[Row]:
    """Without rows that the model was trained on, or their like: another snapshot may have put them on its other side."""
    own = None if model is None else model.manifest.get("snapshot")
    trained = {row.group for row in project.load_snapshot(own).rows("train")} if own else set[str]()
    unseen = [row for row in rows if row.group not in trained]
    if not unseen:
        raise UserError("the model was trained on all validation rows of this snapshot", "take its own, or a snapshot with new rows")
    return unseen


def _served(project: Project, model: str) -> _Judged:
    found = [each for each in verdicts(project) if each.model == model and each.features and each.inclusion > 0]
    if not found:
        raise UserError(f"people have judged no answer that {model} served", "preceptor live says how many wait for them")
    temperatures = [each.temperature for each in found if each.temperature is not None]
    return _Judged([np.array(each.features) for each in found], [each.good for each in found], [each.group for each in found], temperatures)


def _on_rows(project: Project, model: Model | None, folder: Path, snapshot: Snapshot, rows: Sequence[Row], temperature: float) -> _Judged:
    with project.database.reading() as connection:
        key, _ = questions.get(connection, snapshot.question["name"])
        known = gold.answers(connection, key)
    groups = [row.group for row in rows]
    wanted = [_text(known.get(row.id, row.answer)) for row in rows]
    if model is not None and not answering.writes(model):
        table = answering.probabilities(project, model, [row.text for row in rows])
        top = table.argmax(axis=1)
        right = [float(snapshot.answers[code] == truth) for code, truth in zip(top, wanted, strict=True)]
        return _Judged([token_features([chance]) for chance in np.log(np.maximum(table.max(axis=1), 1e-12))], right, groups, [])
    return _written(folder, rows, wanted, temperature)


def _written(folder: Path, rows: Sequence[Row], wanted: Sequence[str], temperature: float) -> _Judged:
    """What a model writes to rows that it can read, as it is served at a temperature."""
    from preceptor.models.chat import ChatModel
    from preceptor.models.generation import Request, answers
    from preceptor.models.measuring import longest_reference, readable
    from preceptor.models.sampling import Sampling
    from preceptor.models.template import turns_of

    chat = ChatModel(folder)
    conversations = {row.id: turns_of(row.content, reference) for row, reference in zip(rows, wanted, strict=True)}
    fit, _ = readable(chat, conversations)
    pairs = [(row, reference) for row, reference in zip(rows, wanted, strict=True) if row.id in fit]
    if not pairs:
        raise UserError("the model can read none of the validation rows", "see why: preceptor evaluate MODEL")
    tokens = [fit[row.id] for row, _ in pairs]
    longest = ROOM * longest_reference(tokens)
    drawn = [Sampling(temperature, seed=number) for number in range(len(tokens))]
    asked = [
        Request(row.tokens[: row.prompt], min(longest, chat.limit - row.prompt), how, top=0) for row, how in zip(tokens, drawn, strict=True)
    ]
    written = zip(pairs, (answer for (answer,) in answers(chat, asked)), strict=True)
    told = [(row, reference, answer) for (row, reference), answer in written if answer.said]  # of an empty answer nothing is known
    return _Judged(
        [token_features([token.log_probability for token in answer.said]) for _, _, answer in told],
        [float(same(answer.text) == same(reference)) for _, reference, answer in told],
        [row.group for row, _, _ in told],
        [temperature],
    )


def _text(answer: Any) -> str:
    return str(answer["text"] if isinstance(answer, Mapping) else answer)
