"""Read and write the settings of an Argilla dataset: its fields, questions and guidelines, as `dataset.to_disk()` writes them.

    folder/.argilla/settings.json    guidelines, fields, questions, metadata, vectors, distribution
    folder/.argilla/dataset.json     name, and the guidelines again
    folder/records.json              the records (see `preceptor.formats.tools.argilla`)

Also accepted: a folder with `settings.json` itself, as `settings.to_json()` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.errors import UserError

_KINDS_BY_TYPE = {
    "label_selection": "choice",
    "multi_label_selection": "multilabel",
    "rating": "rating",
    "text": "write",
    "ranking": "rank",
    "span": "spans",
}
_TYPES_BY_KIND = {kind: name for name, kind in _KINDS_BY_TYPE.items()} | {"compare": "label_selection"}
TIE_OPTION = "tie"


@dataclass(frozen=True)
class ArgillaSettings:
    """The settings of a dataset.

    questions: by name, as fields of a question file. fields: the names of the shown fields. spans: the field of each span question.
    rankings: the field that each option of a ranking stands for, by question. unsupported: questions that rank something else than fields.
    metadata, vectors: their names. min_submitted: the responses that each record needs.
    """

    guidelines: str = ""
    questions: dict[str, dict[str, Any]] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    spans: dict[str, str] = field(default_factory=dict)
    rankings: dict[str, dict[str, str]] = field(default_factory=dict)
    unsupported: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    vectors: tuple[str, ...] = ()
    min_submitted: int | None = None


def find_argilla_settings(folder: Path) -> Path | None:
    """Return the path of the settings of the dataset in a folder; None without any."""
    places = (folder / ".argilla" / "settings.json", folder / "settings.json")
    return next((path for path in places if path.is_file()), None)


def read_argilla_settings(records: Path) -> ArgillaSettings | None:
    """Return the settings that belong to a file of records: those of its name, as exporting writes them, or of its folder.

    None without any. Raises UserError where they can't be read.
    """
    own = records.with_name(f"{records.stem}-settings.json")
    path = own if own.is_file() else find_argilla_settings(records.parent)
    if path is None or path == records:
        return None
    return parse_argilla_settings(_read_document(path), path.name)


def parse_argilla_settings(document: Any, where: str) -> ArgillaSettings:
    """Return settings from Argilla's own document; raises UserError where it isn't one."""
    if not isinstance(document, dict) or not isinstance(document.get("questions"), list):
        raise UserError("these are no settings of an Argilla dataset: there is no list of questions", _HINT, where=where)
    questions, spans, rankings, left_out = {}, {}, {}, []
    fields = _entry_names(document.get("fields"))
    for number, entry in enumerate(document["questions"], start=1):
        question = _parse_question(entry, f"{where}, question {number}")
        if question["kind"] == "rank":
            ranked = _ranked_fields(_parse_options(entry["settings"].get("options"), "rank", where), fields)
            if not ranked:
                left_out.append(question["name"])
                continue
            rankings[question["name"]] = ranked
        questions[question["name"]] = question
        if question["kind"] == "spans" and isinstance(entry["settings"].get("field"), str):
            spans[question["name"]] = entry["settings"]["field"]
    distribution = document.get("distribution")
    least = distribution.get("min_submitted") if isinstance(distribution, dict) else None
    return ArgillaSettings(
        guidelines=document["guidelines"] if isinstance(document.get("guidelines"), str) else "",
        questions=questions,
        fields=fields,
        spans=spans,
        rankings=rankings,
        unsupported=tuple(left_out),
        metadata=_entry_names(document.get("metadata")),
        vectors=_entry_names(document.get("vectors")),
        min_submitted=least if isinstance(least, int) and not isinstance(least, bool) else None,
    )


def build_argilla_settings(questions: Iterable[Mapping[str, Any]], content: Mapping[str, Any], guidelines: str = "") -> dict[str, Any]:
    """Return settings that `rg.Settings.from_json` takes, for questions about items with such a content.

    questions: fields of a question file each. Raises UserError for a question that Argilla can't ask.
    """
    fields = list(_content_fields(content))
    return {
        "guidelines": guidelines or None,
        "questions": [_question_entry(question, fields) for question in questions],
        "fields": [_field_entry(name, kind) for name, kind in fields],
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


_HINT = "save the dataset with dataset.to_disk(FOLDER), or its settings with settings.to_json(FILE)"


def _read_document(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"can't be read as JSON: {error}", _HINT, where=path.name) from None


def _parse_question(entry: Any, where: str) -> dict[str, Any]:
    settings = entry.get("settings") if isinstance(entry, dict) else None
    if not isinstance(settings, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise UserError(f"a question has a name and settings, not {entry!r:.80}", _HINT, where=where)
    kind = _KINDS_BY_TYPE.get(str(settings.get("type")))
    if kind is None:
        raise UserError(f"no question type is called {settings.get('type')!r:.40}", f"types: {', '.join(_KINDS_BY_TYPE)}", where=where)
    fields: dict[str, Any] = {
        "name": entry["name"],
        "kind": kind,
        "options": [] if kind in ("rank", "write") else _parse_options(settings.get("options"), kind, where),
        "instructions": _instructions(entry),
        "settings": _question_settings(kind, settings, entry),
    }
    return {name: value for name, value in fields.items() if value}


def _parse_options(given: Any, kind: str, where: str) -> list[Any]:
    if not isinstance(given, list) or not all(isinstance(option, dict) and "value" in option for option in given):
        raise UserError(f'options are a list of {{"value"}}, not {given!r:.80}', _HINT, where=where)
    options = [option["value"] for option in given]
    wanted = int if kind == "rating" else str
    if not all(isinstance(option, wanted) and not isinstance(option, bool) for option in options):
        raise UserError(f"the options of a {kind} are {'numbers' if wanted is int else 'texts'}, not {options!r:.80}", _HINT, where=where)
    return sorted(options) if kind == "rating" else options


def _instructions(entry: Mapping[str, Any]) -> str:
    """Return the title where it says more than the name, the description, and options whose texts differ from their values."""
    said = [entry.get("title") if entry.get("title") != entry.get("name") else "", entry.get("description")]
    options = entry["settings"].get("options")
    for option in options if isinstance(options, list) else ():
        if isinstance(option, dict) and option.get("text") not in (None, option.get("value")):
            said.append(f"{option.get('value')}: {option['text']}")
    return "\n".join(part for part in said if isinstance(part, str) and part.strip())


def _question_settings(kind: str, settings: Mapping[str, Any], entry: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "spans":
        return {"overlap": settings.get("allow_overlapping") is True}
    if kind == "rank" and isinstance(settings.get("options"), list):
        return {"responses": len(settings["options"])}
    return {"minimum": 1} if kind == "multilabel" and entry.get("required") is True else {}


def _ranked_fields(options: list[Any], fields: tuple[str, ...]) -> dict[str, str]:
    """Return the field that each option of a ranking stands for, by its name; empty where one stands for none."""
    known = {_normalize_name(name): name for name in fields}
    found = {option: known[_normalize_name(option)] for option in options if _normalize_name(option) in known}
    return found if len(options) >= 2 and len(set(found.values())) == len(options) else {}


def _normalize_name(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _entry_names(given: Any) -> tuple[str, ...]:
    entries = given if isinstance(given, list) else []
    return tuple(entry["name"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("name"), str))


def _content_fields(content: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield the fields that show a content, with their types."""
    for part in ("text", "prompt", "completion"):
        if part in content:
            yield part, "text"
    if "messages" in content:
        yield "messages", "chat"
    for number in range(1, len(content.get("responses", ())) + 1):
        yield f"response_{number}", "text"


def _field_entry(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "title": name, "required": True, "settings": {"type": kind, "use_markdown": False}}


def _question_entry(question: Mapping[str, Any], fields: list[tuple[str, str]]) -> dict[str, Any]:
    """Return a question as Argilla's settings have it."""
    name, kind = question["name"], question["kind"]
    if kind not in _TYPES_BY_KIND:
        raise UserError(
            f"Argilla has no question like {name!r}, a {kind}", "leave it out, or export it as jsonl", where=f"question {name!r}"
        )
    responses = [field for field, _ in fields if field.startswith("response_")]
    options: list[Any] = list(question.get("options") or ())
    settings: dict[str, Any] = {"type": _TYPES_BY_KIND[kind]}
    if kind == "compare":
        options = [*responses, *[TIE_OPTION] * ((question.get("settings") or {}).get("ties") is not False)]
    if kind == "rank":
        options = responses
    if kind == "rating":
        settings["options"] = [{"value": point} for point in options]
    elif kind != "write":
        settings["options"] = [{"value": option, "text": option} for option in options]
    if kind == "spans":
        texts = [field for field, type_ in fields if type_ == "text"]
        if not texts:
            raise UserError("Argilla marks spans in text fields, not in chats", "export it as jsonl", where=f"question {name!r}")
        settings |= {"field": texts[-1], "allow_overlapping": (question.get("settings") or {}).get("overlap") is True}
    if kind == "write":
        settings["use_markdown"] = False
    required = kind in ("choice", "rating", "compare", "rank") or (question.get("settings") or {}).get("minimum", 0) > 0
    return {
        "name": name,
        "title": name,
        "description": question.get("instructions") or None,
        "required": required,
        "settings": settings,
    }
