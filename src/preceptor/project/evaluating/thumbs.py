"""Measuring a model that was trained on thumbs, on responses that it never saw: did those that people call good gain more than others?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from preceptor.domain import Model
from preceptor.domain.results import FloatArray
from preceptor.errors import UserError
from preceptor.project import bases, proving
from preceptor.project.evaluating.forgetting import forgetting, of_writer
from preceptor.project.evaluating.pairs import EXAMPLES, read_both
from preceptor.project.evaluating.rows import Scored, row_sections
from preceptor.snapshots import Row, Snapshot

if TYPE_CHECKING:
    from preceptor.project.project import Project


def likes(model: Model) -> bool:
    """Whether a model writes texts, and was trained on what people said of single responses."""
    return bool(model.manifest["recipe"] == "kto")


def sections(project: Project, model: Model, snapshot: Snapshot, rows: Sequence[Row], *, base: str | Path | None) -> dict[str, Any]:
    """What a report says of what the model gained. UserError when parity fails, the base isn't at hand, or hardly a row can be read."""
    from preceptor.models.chat import ChatTokenizer
    from preceptor.recipes.preferring.liking import figures
    from preceptor.recipes.preferring.thumbs import REASONS, goodness, judged, to_thumbs

    folder = bases.base_of(project, model, base)
    if folder is None:
        message = f"the base of {model.id} ({model.manifest['base']}) is not at hand, and what responses gained is measured against it"
        raise UserError(message, "say where it lies: --base DIR")
    proved = proving.proved(project, model, base)
    chat, good = ChatTokenizer(model.path), goodness(snapshot, model.manifest["options"]["good"])
    found = judged(rows, good, chat.tokenizer, chat.limit, "soft")
    examples = to_thumbs(found, rows[0].split, chat.limit, model.manifest["seed"])
    left = forgetting(project, model, folder, of_writer)
    read = read_both(model, folder, examples.targets)
    gained = read.tuned - read.base
    chances, level = np.array([thumb.chance for thumb in examples.targets]), max(0.0, float(gained[:, 1].mean()))
    known = {row.id: row for row in rows}
    kept, right = [known[id_] for id_ in examples.ids], 0.5 + 0.5 * np.sign(gained[:, 0] - level) * np.sign(chances - 0.5)
    return {
        "parity": proved,
        "models": {
            "tuned": {
                **figures(gained[:, 0], level, chances, examples.groups),
                "parameters": read.parameters,
                **({"retention": left["kept"]} if "kept" in left else {}),
            }
        },
        **({"forgetting": left} if left else {}),
        "thumbs": {"measured": len(kept), "left_out": {REASONS[reason]: count for reason, count in found.reasons.items()}},
        "examples": _examples(kept, gained[:, 0] - level, chances, good),
        **row_sections(project, model, snapshot, Scored(kept, [row.answer for row in kept], {"accuracy": right}, given=False)),
    }


def _examples(rows: Sequence[Row], gains: FloatArray, chances: FloatArray, good: Mapping[str, float]) -> list[dict[str, Any]]:
    """Responses that went the other way than people's word, furthest first."""
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
        for at in worst[:EXAMPLES]
    ]
