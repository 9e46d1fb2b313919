"""Export items, judgments, a consensus or a snapshot as rows, or to a file of any format with its tool's settings beside it.

An item is exported with all judgments and predictions about it as one row (`preceptor.formats.interchange`), so that an import can be
exported again unchanged. Who judged, when, and how certain the consensus is are kept.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.annotation.implicit_questions import COMPLETION, is_implicit
from preceptor.annotation.judgment_parser import EXTRA_JUDGMENT_FIELDS
from preceptor.annotation.row_parser import make_content_id
from preceptor.annotation.table_import import PSEUDONYM_PREFIX, is_generated_id
from preceptor.errors import NotFoundError, UserError
from preceptor.formats import atomic_write, formats, write
from preceptor.formats.interchange import make_judgment, make_prediction
from preceptor.formats.tools.argilla_settings import build_argilla_settings
from preceptor.formats.tools.label_studio_config import build_labeling_config
from preceptor.formats.training.llama_factory import dataset_info
from preceptor.storage import external_annotations, gold, items, judgment_log, questions
from preceptor.types import Item, Question

if TYPE_CHECKING:
    from preceptor.project import Project
    from preceptor.storage import Connection


_GoldAnswers = dict[str, tuple[str, Any, str]]
"""Known answers of one item by their question: its kind, the answer, the explanation."""

_PAGE_SIZE = 500


def _judgment_only_rows(project: Project, question: str | None) -> Iterator[dict[str, Any]]:
    """Yield the judged items with their judgments alone, for formats that hold nothing else: each judgment has an annotator.

    Gold answers without an author are left out with drafts and skips, unless there is nothing else.
    """
    with project.database.reading() as connection:
        judged = any(question in (None, name) for name, _, count, _ in judgment_log.count_by_annotator(connection) if count)
    for row in _item_rows_with_judgments(project, question, pseudonyms=True):
        said = [each for each in row.get("judgments", ()) if "status" not in each and ("annotator" in each or not judged)]
        if said:
            yield {**row, "judgments": said}


def _item_rows_with_judgments(
    project: Project, question: str | None, *, pseudonyms: bool = False, marked: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield every ordinary item in order of arrival with its judgments, about all questions or one.

    pseudonyms: annotators that an imported file didn't name get their names in this project. marked: each row has an id and a list of
    judgments, possibly empty, so that no reader mistakes it for a record of another tool.
    """
    with project.database.reading() as connection:
        told = any(is_implicit(each) for _, each in questions.list_active(connection))
        left_out = {COMPLETION.name} if told else set()
        last = 0
        while page := items.page(connection, last, limit=_PAGE_SIZE):
            last = page[-1][0]
            found = _page_rows(connection, page, question, left_out, pseudonyms)
            yield from (_marked_row(item, row) if marked else row for (_, item), row in zip(page, found, strict=True))


def _page_rows(
    connection: Connection, page: list[tuple[int, Item]], question: str | None, left_out: set[str], pseudonyms: bool
) -> Iterator[dict[str, Any]]:
    ends = page[0][0], page[-1][0]

    def asked(name: str) -> bool:
        return name not in left_out and question in (None, name)

    judged = _group_by_item(row for row in judgment_log.list_by_item_range(connection, *ends) if asked(row["question"]))
    beside = _group_by_item(row for row in external_annotations.list_by_item_range(connection, *ends) if asked(row["question"]))
    known: dict[int, _GoldAnswers] = defaultdict(dict)
    for place, name, kind, answer, why in gold.list_by_item_range(connection, *ends):
        if asked(name):
            known[place][name] = kind, answer, why
    for key, item in page:
        yield _item_row(item, judged[key], beside[key], known[key], pseudonyms)


def _group_by_item(rows: Iterable[Mapping[Any, Any]]) -> dict[int, list[Mapping[Any, Any]]]:
    found: dict[int, list[Mapping[Any, Any]]] = defaultdict(list)
    for row in rows:
        found[row["item"]].append(row)
    return found


def _item_row(
    item: Item, judged: list[Mapping[Any, Any]], beside: list[Mapping[Any, Any]], known: _GoldAnswers, pseudonyms: bool
) -> dict[str, Any]:
    judgments = [_judgment_entry(row, known, pseudonyms) for row in judged]
    for row in (row for row in beside if row["kind"] != "prediction"):
        judgments.insert(row["document"].get("at", len(judgments)), _external_annotation_entry(row, known))
    for name, (kind, answer, why) in known.items():
        if not any(each.get("gold") and each.get("question") == name for each in judgments):
            stored = {"winner": answer} if kind == "compare" else answer
            judgments.append(make_judgment(name, kind, stored, gold=True, note=why or None))
    guesses = [_prediction_entry(row) for row in beside if row["kind"] == "prediction"]
    made = make_content_id(item.content) if is_generated_id(item.id, item.content) else None
    return {
        **({} if made else {"id": item.id}),
        **item.content,
        **({} if item.group in (item.id, made) else {"group": item.group}),
        **({"metadata": dict(item.metadata)} if item.metadata else {}),
        **({"judgments": judgments} if judgments else {}),
        **({"predictions": guesses} if guesses else {}),
    }


def _marked_row(item: Item, row: Mapping[str, Any]) -> dict[str, Any]:
    group = {} if item.group == item.id else {"group": item.group}
    return {"id": item.id, **row, **group, "judgments": row.get("judgments", [])}


def _judgment_entry(row: Mapping[Any, Any], known: _GoldAnswers, pseudonyms: bool) -> dict[str, Any]:
    context = row["context"]
    return make_judgment(
        row["question"],
        row["question_kind"],
        context.get("answer", row["answer"]),
        annotator=row["annotator"] if pseudonyms or row["annotator_kind"] != "import" else None,
        time=context.get("time") if row["source"] == "import" else _iso_time(row["created"]),
        seconds=context.get("seconds", row["seconds"]),
        gold=True if context.get("gold") and _is_still_gold(row["question"], row["question_kind"], row["answer"], known) else None,
        **{name: context[name] for name in EXTRA_JUDGMENT_FIELDS if name in context},
    )


def _external_annotation_entry(row: Mapping[Any, Any], known: _GoldAnswers) -> dict[str, Any]:
    """Return the entry of a draft, a skip, or a gold answer without an author."""
    kept = row["document"]
    is_gold = row["kind"] == "gold"
    return make_judgment(
        None if kept.get("unnamed") else row["question"],
        kept.get("kind"),
        kept.get("answer"),
        annotator=None if row["by"].startswith(PSEUDONYM_PREFIX) else row["by"] or None,
        status=None if is_gold else row["kind"],
        time=kept.get("time"),
        seconds=kept.get("seconds"),
        gold=True if is_gold and _is_still_gold(row["question"], row["question_kind"], kept.get("answer"), known) else None,
        **{name: kept[name] for name in EXTRA_JUDGMENT_FIELDS if name in kept},
    )


def _prediction_entry(row: Mapping[Any, Any]) -> dict[str, Any]:
    kept = row["document"]
    extra, score = kept.get("extra"), kept.get("score")
    return make_prediction(row["question"], row["question_kind"], kept.get("answer"), model=row["by"] or None, score=score, extra=extra)


def _is_still_gold(question: str, kind: str, answer: Any, known: _GoldAnswers) -> bool:
    """Return whether a gold answer is still valid: somebody may have decided otherwise since."""
    if question not in known or kind not in ("choice", "multilabel"):
        return question in known  # answers of other kinds are stored in a form that can be written in several ways
    one, other = (sorted(each) if isinstance(each, list) else [each] for each in (answer, known[question][1]))
    return one == other


def _iso_time(created: float) -> str:
    return datetime.fromtimestamp(created, UTC).isoformat()


_EVERYTHING = "everything"
"""Items with all that was said of them, in any format."""
_EXPORTABLE = ("items", "judgments", "consensus", _EVERYTHING)
_JUDGMENT_FORMATS = ("cleanlab", "crowdkit")
"""Formats that hold judgments and nothing else."""
_ALL_SPLITS = "all"
"""Every split of a snapshot."""


def export_rows(project: Project, what: str, question: str | None, format: str = "", split: str = "") -> Iterator[dict[str, Any]]:
    """Yield the rows of "items", "judgments", "consensus", "everything", or else of the snapshot of that name, as a format needs them.

    format: its name. A format whose rows are items with all their judgments gets those; one for training gets the train rows of a snapshot,
    unless another split (or "all") is named. Raises UserError where a format can't hold what is asked for, NotFoundError for an unknown
    name.
    """
    chosen = formats.get(format) if format else None
    if split and what in _EXPORTABLE:
        raise UserError(f"{what} have no splits", "a snapshot has: preceptor export SNAPSHOT FILE --split train")
    if what == "items":
        return _export_items(project)
    if what == _EVERYTHING:
        return _item_rows_with_judgments(project, question, marked=chosen is None or not chosen.by_shape)
    if what == "judgments":
        if format in _JUDGMENT_FORMATS:
            return _judgment_only_rows(project, question)
        if chosen is None or not chosen.by_shape:
            return _export_judgments(project, question)
        found = _item_rows_with_judgments(project, question, marked=not chosen.grouped)
        return (row for row in found if row.get("judgments")) if format == "kiln" or (question and not chosen.grouped) else found
    if what == "consensus":
        if chosen and chosen.by_shape:
            raise UserError(f"{format} doesn't hold a consensus", "export its snapshot, or the judgments; or write csv or jsonl")
        return _export_consensus(project, project.only_question(question))
    if chosen and chosen.grouped:
        raise UserError(f"{format} holds items with their judgments, not a snapshot", "preceptor export judgments FILE --format …")
    return _export_snapshot(project, what, split or ("train" if chosen and chosen.by_shape else _ALL_SPLITS))


def _export_items(project: Project) -> Iterator[dict[str, Any]]:
    with project.database.reading() as connection:
        for item in items.stream(connection):
            yield {"id": item.id, **item.content, "group": item.group, **({"metadata": dict(item.metadata)} if item.metadata else {})}


def _export_judgments(project: Project, question: str | None) -> Iterator[dict[str, Any]]:
    with project.database.reading() as connection:
        for judgment in judgment_log.stream_judgments(connection):
            if question in (None, judgment.question):
                yield {
                    "item": judgment.item,
                    "question": judgment.question,
                    "annotator": judgment.annotator,
                    "answer": judgment.answer,
                    "seconds": judgment.seconds,
                    "created": judgment.created,
                }


def _export_consensus(project: Project, question: str) -> Iterator[dict[str, Any]]:
    fitted = project.consensus(question)
    top = fitted.top
    for index, item in enumerate(fitted.items):
        posterior = dict(zip(map(str, fitted.answers), fitted.posterior[index].tolist(), strict=True))
        yield {"item": item, "answer": top[index], "judgments": int(fitted.judgment_counts[index]), "posterior": posterior}


def _export_snapshot(project: Project, name: str, split: str) -> Iterator[dict[str, Any]]:
    try:
        snapshot = project.load_snapshot(name)
    except UserError as error:
        raise NotFoundError(f"there is no {name!r} to export", f"{', '.join(_EXPORTABLE)}, or a snapshot ({error.hint})") from None
    for row in snapshot.rows(None if split == _ALL_SPLITS else split):
        yield {
            "id": row.id,
            **row.content,
            "answer": list(row.labels) if snapshot.target_kind == "multilabel" else row.answer,
            "target": dict(row.target),
            "weight": row.weight,
            "split": row.split,
            "group": row.group,
        }


_DATASET_INFO_FILE = "dataset_info.json"
TOOL_SETTINGS_FILES = {"label_studio": "label_studio.xml", "argilla": "argilla.json"}
"""Files of a project that was moved in: its tool's own settings, which its items fit."""
_LLAMA_FACTORY_FORMATS = ("alpaca", "sharegpt", "kto")


@dataclass(frozen=True)
class ExportedFile:
    """The result of an export: the number of rows, the files written beside it, notes about these, and the rows left out."""

    rows: int
    extra_files: tuple[str, ...] = ()
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
) -> ExportedFile:
    """Write items, judgments, a consensus or a snapshot to a file, atomically.

    Beside it are written: for Label Studio the labelling config, for Argilla the settings, for LLaMA-Factory's formats the file's entry in
    dataset_info.json. Rows that a training format can't hold, such as ties, are left out and reported; for any other format they are an
    error.
    """
    file, skipped = Path(path), list[UserError]()
    source = project.export(what, question=question, format="" if format == "auto" else format, split=split)
    for_training = format != "auto" and formats.get(format).for_training
    rows = write(source, file, format, excel_safe, on_fault=skipped.append if for_training else None)
    done = ExportedFile(rows, skipped=tuple(skipped))
    try:
        if format in TOOL_SETTINGS_FILES:
            beside, notes = _write_tool_settings(project, file, question, format)
            return replace(done, extra_files=beside, notes=notes)
        if format in _LLAMA_FACTORY_FORMATS:
            return replace(done, extra_files=(_write_dataset_entry(file),))
    except UserError as error:
        return replace(done, notes=(f"nothing was written beside it: {error}",))
    return done


def _write_tool_settings(project: Project, file: Path, question: str | None, format: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write the tool's settings for the questions: its own where the project has them, else settings that fit the first item."""
    place = file.with_suffix(".xml") if format == "label_studio" else file.with_name(f"{file.stem}-settings.json")
    kept = project.folder / TOOL_SETTINGS_FILES[format]
    text = kept.read_text(encoding="utf-8") if kept.exists() else _build_tool_settings(project, question, format)
    if not text:
        return (), ("items that came from the same tool fit the settings that they had there",)
    with atomic_write(place, "w") as out:
        out.write(text)
    return (place.name,), ()


def _build_tool_settings(project: Project, question: str | None, format: str) -> str:
    """Build settings for the project's questions; empty where its items came from the tool itself, which names their fields differently."""
    with project.database.reading() as connection:
        first = next(iter(items.page(connection, limit=1)), None)
    if first is None or format in first[1].metadata:
        return ""
    asked = [_question_fields(each) for each in project.questions() if not each.purpose and question in (None, each.name)]
    if format == "label_studio":
        return build_labeling_config(asked, first[1].content)
    return json.dumps(build_argilla_settings(asked, first[1].content), ensure_ascii=False, indent=2) + "\n"


def _write_dataset_entry(file: Path) -> str:
    """Add the file's entry to the dataset_info.json of its folder; other entries stay."""
    place = file.with_name(_DATASET_INFO_FILE)
    known = _read_dataset_entries(place)
    entry = dataset_info(file)
    with atomic_write(place, "w") as out:
        out.write(json.dumps({**known, **entry}, ensure_ascii=False, indent=2) + "\n")
    return place.name


def _read_dataset_entries(place: Path) -> Mapping[str, Any]:
    if not place.exists():
        return {}
    try:
        known = json.loads(place.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"can't be read: {error}", "mend or remove it, then export again", where=place.name) from None
    if not isinstance(known, dict):
        raise UserError("this holds no entries by name", "mend or remove it, then export again", where=place.name)
    return known


def _question_fields(question: Question) -> dict[str, Any]:
    """Return a question as the fields of a question file."""
    return {
        "name": question.name,
        "kind": question.kind,
        "options": list(question.options),
        "instructions": question.instructions,
        "settings": dict(question.settings),
    }
