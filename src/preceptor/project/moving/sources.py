"""What another tool's project holds, found in the files that it leaves: its questions, its people, and where its answers lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from preceptor.errors import UserError
from preceptor.formats import read
from preceptor.formats.tools.argilla_settings import settings_beside, settings_file
from preceptor.formats.tools.label_studio_config import left_out_of, questions_from, read_project
from preceptor.formats.tools.potato_config import read_config


@dataclass(frozen=True)
class Found:
    """A project to be moved in.

    files: to be read in the format of its tool; a folder counts as one. questions: as fields of a question file. gold: known
    answers by question and item, with explanations. left_out: what has no place here, each with the reason. least: judgments
    wanted of an item, where that is known. settings: the tool's own, as text, for the way back.
    """

    format: str
    files: Sequence[Path]
    questions: Sequence[Mapping[str, Any]] = ()
    guidelines: str = ""
    people: Sequence[tuple[str, str]] = ()
    gold: Mapping[str, Mapping[str, tuple[Any, str]]] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    least: int | None = None
    settings: str = ""


def label_studio(source: Path) -> Found:
    """An export (JSON), or a folder with exports, and the labelling config beside it: as XML, or in the project's JSON."""
    folder = source if source.is_dir() else source.parent
    project = read_project(folder / "project.json")
    files = [source] if source.is_file() else _exports(folder, "label_studio", besides=("project.json",))
    configs = [path for path in sorted(folder.glob("*.xml")) if "<View" in _text(path)]
    own = [path for path in configs if path.stem == files[0].stem] or configs
    if len(own) > 1:
        raise UserError(f"there are {len(own)} labelling configs: {', '.join(path.name for path in own)}", "leave one", where=str(folder))
    xml = _text(own[0]) if own else str(project.get("label_config", ""))
    lacking = [] if xml else ["the labelling config isn't there: questions were made from the answers, without their instructions"]
    unknown = (
        [f"{name}: what it asks has no kind of question here; its answers are kept with the items" for name in left_out_of(xml)]
        if xml
        else []
    )
    overlap = project.get("maximum_annotations")
    return Found(
        "label_studio",
        files,
        questions_from(xml) if xml else (),
        str(project.get("expert_instruction") or ""),
        left_out=[*lacking, *unknown],
        least=overlap if isinstance(overlap, int) and not isinstance(overlap, bool) and overlap > 0 else None,
        settings=xml,
    )


def argilla(source: Path) -> Found:
    """A folder as `dataset.to_disk()` leaves it, or its records beside their settings; of several files one that tells drafts."""
    files = [source] if source.is_file() else _exports(source, "argilla", besides=("settings.json", "dataset.json"))
    chosen = min(files, key=_lacks_states)
    others = [f"{path.name}: left out; the records were read from {chosen.name}" for path in files if path != chosen]
    settings = settings_beside(chosen)
    if settings is None:
        lacking = "the dataset's settings aren't there: questions were made from the answers, without their guidelines"
        return Found("argilla", [chosen], left_out=[*others, lacking])
    unknown = [f"{name}: a ranking of other things than the item's texts has no kind of question here" for name in settings.left_out]
    people = "people are known by Argilla's numbers only: their names aren't in a dataset"
    asked = [_with_empty_answers(each) for each in settings.questions.values()]
    own = settings_file(chosen.parent)
    return Found(
        "argilla", [chosen], asked, settings.guidelines, left_out=[*others, *unknown, people], least=settings.least,
        settings=_text(own) if own else "",
    )  # fmt: skip


def _lacks_states(path: Path) -> bool:
    """Whether a file of records doesn't say which responses are drafts or discarded."""
    with suppress(UserError):
        return any(row.get("metadata", {}).get("argilla", {}).get("stateless") for row in islice(read(path, "argilla"), 100))
    return True


def _with_empty_answers(question: Mapping[str, Any]) -> dict[str, Any]:
    """A question that takes an empty answer: drafts may be empty, and a file of records doesn't always say that they are drafts."""
    settings = {name: value for name, value in question.get("settings", {}).items() if name != "minimum"}
    return {**question, "settings": settings}


def potato(source: Path) -> Found:
    """A project's folder with its config.yaml, its data files and what its people said, or the config itself."""
    config = read_config(source)
    folder = source if source.is_dir() else config.config.parent
    questions = [
        {
            "name": each.name,
            "kind": each.kind,
            "options": list(each.options),
            "instructions": each.instructions,
            "settings": dict(each.settings),
        }
        for each in config.questions
    ]
    return Found(
        "potato",
        [folder],
        questions,
        "\n\n".join(part for part in (config.description, config.instructions) if part),
        [(name, "annotator") for name in config.people],
        _potato_gold(config.gold) if config.gold else {},
        [f"{name}: {reason}" for name, reason in config.left_out.items()],
    )


TOOLS: dict[str, Callable[[Path], Found]] = {"label-studio": label_studio, "argilla": argilla, "potato": potato}


def _exports(folder: Path, format: str, besides: tuple[str, ...]) -> list[Path]:
    """The files of a folder that are in the tool's format."""
    found = []
    for path in sorted([*folder.glob("*.json*"), *folder.glob("*.parquet")]):
        with suppress(UserError):
            if path.name not in besides and read(path).format == format:
                found.append(path)
    if not found:
        raise UserError(f"there is no file of {format} in this folder", "name the export itself, or put it there", where=str(folder))
    return found


def _potato_gold(path: Path) -> dict[str, dict[str, tuple[Any, str]]]:
    """Known answers of a file of {"id", "gold_label": {question: answer}, "explanation"}."""
    known: dict[str, dict[str, tuple[Any, str]]] = {}
    rows = read(path)
    for row in rows:
        labels = row.get("gold_label")
        if not isinstance(labels, Mapping):
            raise UserError(
                f"gold_label must be a table, not {labels!r:.60}", '{"id": …, "gold_label": {question: answer}}', where=rows.where
            )
        for question, answer in labels.items():
            known.setdefault(question, {})[str(row.get("id"))] = answer, str(row.get("explanation") or "")
    return known


def _text(path: Path) -> str:
    return path.read_text("utf-8-sig", errors="replace")
