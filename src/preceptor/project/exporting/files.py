"""What a project holds, written to a file of any format, with what the format's tool needs beside it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import Question
from preceptor.errors import UserError
from preceptor.formats import atomic_write, formats, write
from preceptor.formats.tools.argilla_settings import settings_document
from preceptor.formats.tools.label_studio_view import view_from
from preceptor.formats.training.dataset_info import dataset_info
from preceptor.store import items

if TYPE_CHECKING:
    from preceptor.project.project import Project

DATASET_INFO = "dataset_info.json"
SETTINGS = {"label_studio": "label_studio.xml", "argilla": "argilla.json"}
"""Files of a project that was moved in: its tool's own settings, which its items fit."""
_LLAMA_FACTORY = ("alpaca", "sharegpt", "kto")


@dataclass(frozen=True)
class Exported:
    """How many rows were written, the files that were written beside them, what there is to say about these, and rows left out."""

    rows: int
    beside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: tuple[UserError, ...] = ()


def export_file(
    project: Project,
    what: str,
    path: str | os.PathLike[str],
    *,
    question: str | None = None,
    format: str = "auto",
    split: str = "",
    excel_safe: bool = False,
) -> Exported:
    """Write items, judgments, a consensus or a snapshot to a file; it appears whole or not at all.

    Beside it: for Label Studio the labelling config, for Argilla the settings, for LLaMA-Factory's formats the file's entry in
    dataset_info.json. What a training format can't hold, such as a tie, is left out and told; any other format is refused for it.
    """
    file, skipped = Path(path), list[UserError]()
    source = project.export(what, question=question, format="" if format == "auto" else format, split=split)
    for_training = format != "auto" and formats.get(format).for_training
    rows = write(source, file, format, excel_safe, on_fault=skipped.append if for_training else None)
    done = Exported(rows, skipped=tuple(skipped))
    try:
        if format in SETTINGS:
            beside, notes = _settings(project, file, question, format)
            return replace(done, beside=beside, notes=notes)
        if format in _LLAMA_FACTORY:
            return replace(done, beside=(_dataset_entry(file),))
    except UserError as error:
        return replace(done, notes=(f"nothing was written beside it: {error}",))
    return done


def _settings(project: Project, file: Path, question: str | None, format: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write what the tool must know of the questions: its own settings where the project has them, else such as fit the first item."""
    place = file.with_suffix(".xml") if format == "label_studio" else file.with_name(f"{file.stem}-settings.json")
    kept = project.folder / SETTINGS[format]
    text = kept.read_text(encoding="utf-8") if kept.exists() else _made(project, question, format)
    if not text:
        return (), ("items that came from the same tool fit the settings that they had there",)
    with atomic_write(place, "w") as out:
        out.write(text)
    return (place.name,), ()


def _made(project: Project, question: str | None, format: str) -> str:
    """Settings for the project's questions; empty where its items came from the tool itself, in whose files they are called otherwise."""
    with project.database.reading() as connection:
        first = next(iter(items.page(connection, limit=1)), None)
    if first is None or format in first[1].metadata:
        return ""
    asked = [_fields(each) for each in project.questions() if not each.purpose and question in (None, each.name)]
    if format == "label_studio":
        return view_from(asked, first[1].content)
    return json.dumps(settings_document(asked, first[1].content), ensure_ascii=False, indent=2) + "\n"


def _dataset_entry(file: Path) -> str:
    """Add the file's entry to the dataset_info.json of its folder; what else stands there stays."""
    place = file.with_name(DATASET_INFO)
    known = _known_entries(place)
    entry = dataset_info(file)
    with atomic_write(place, "w") as out:
        out.write(json.dumps({**known, **entry}, ensure_ascii=False, indent=2) + "\n")
    return place.name


def _known_entries(place: Path) -> Mapping[str, Any]:
    if not place.exists():
        return {}
    try:
        known = json.loads(place.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"can't be read: {error}", "mend or remove it, then export again", where=place.name) from None
    if not isinstance(known, dict):
        raise UserError("this holds no entries by name", "mend or remove it, then export again", where=place.name)
    return known


def _fields(question: Question) -> dict[str, Any]:
    """A question as the fields of a question file."""
    return {
        "name": question.name,
        "kind": question.kind,
        "options": list(question.options),
        "instructions": question.instructions,
        "settings": dict(question.settings),
    }
