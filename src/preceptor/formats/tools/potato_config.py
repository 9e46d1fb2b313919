"""Read a Potato project's config.yaml: its questions, the files with its items, and where its annotators' answers are."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from preceptor.errors import MissingPackage, UserError
from preceptor.formats.interchange import get_list, get_table

COMPARISON_TYPES = ("pairwise",)
_MAX_POINTS = 101  # of a scale; a slider with more has no kind here
_SINGLE_TYPES = ("radio", "select")
_TEXT_TYPES = ("text", "textbox", "text_edit")
_SPAN_TYPES = ("span", "highlight", "error_span")
_CONFIG_NAMES = ("config.yaml", "config.yml", "config.json")
_DISPLAY_TYPES = ("pure_display", "video")
_OUTPUT_FOLDER = "annotation_output"


@dataclass(frozen=True)
class PotatoQuestion:
    """One question of a Potato project, in the terms of `preceptor.questions`. potato_type: Potato's own kind."""

    name: str
    kind: str
    options: tuple[Any, ...]
    instructions: str
    settings: Mapping[str, Any]
    potato_type: str


@dataclass(frozen=True)
class PotatoDataFile:
    """A file with items, and how its text is encoded."""

    path: Path
    encoding: str = "utf-8"


@dataclass(frozen=True)
class PotatoProject:
    """A Potato project, as its config describes it.

    config: the path of the config. name, description, instructions: its texts. questions: those that have a kind here. unsupported: the
    names of the others with the reason. id_key, text_key: the fields of an item. data_files: the files with the items. output: the folder
    with a folder for each annotator. gold: a file of {"id", "gold_label": {question: answer}, "explanation"}. people: the users that the
    config names.
    """

    config: Path
    name: str
    description: str
    instructions: str
    questions: tuple[PotatoQuestion, ...]
    unsupported: Mapping[str, str]
    id_key: str
    text_key: str
    data_files: tuple[PotatoDataFile, ...]
    output: Path
    gold: Path | None = None
    people: tuple[str, ...] = field(default=())

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each question by its name."""
        return {scheme.name: scheme.kind for scheme in self.questions}

    @property
    def has_comparisons(self) -> bool:
        """Whether annotators compare texts, so that an item is a list of them."""
        return any(scheme.potato_type in COMPARISON_TYPES for scheme in self.questions)


def find_potato_config(folder: Path) -> Path | None:
    """Return the config of the project that a folder holds: config.yaml, or the only YAML file with annotation_schemes; else None."""
    for name in _CONFIG_NAMES:
        if (folder / name).is_file():
            return folder / name
    found = [path for pattern in ("*.y*ml", "configs/*.y*ml") for path in sorted(folder.glob(pattern)) if _names_schemes(path)]
    return found[0] if len(found) == 1 else None


def read_potato_project(path: Path) -> PotatoProject:
    """Return the project of a config, or of the folder that holds one.

    Raises UserError, which lists everything that is wrong with its questions at once. Needs PyYAML (MissingPackage without it).
    """
    config = find_potato_config(path) if path.is_dir() else path
    if config is None or not config.is_file():
        raise UserError("there is no config of a Potato project", "name the folder with its config.yaml, or that file", where=str(path))
    try:
        return _parse_project(config, _load_yaml(config))
    except UserError as error:
        raise UserError(error.message, error.hint, where=error.where or str(config)) from None


def _names_schemes(path: Path) -> bool:
    try:
        with path.open(encoding="utf-8", errors="ignore") as file:
            return any(line.lstrip("\"' ").startswith("annotation_schemes") for line in file)
    except OSError:  # a folder of that name, or a file without read permission
        return False


def _load_yaml(config: Path) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise MissingPackage("reading a Potato project's config.yaml", "potato") from None
    try:
        loaded = yaml.safe_load(config.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError(f"can't be read: {os.strerror(error.errno or 0)}", "check its permissions") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UserError(f"this is not YAML: {' '.join(str(error).split())[:300]}", "mend it; Potato must be able to read it") from None
    if not isinstance(loaded, dict):
        raise UserError("the config holds no named values", "a Potato config names annotation_schemes, data_files and so on")
    return loaded


def _parse_project(config: Path, loaded: dict[str, Any]) -> PotatoProject:
    base = config.parent / _get_text(loaded, "task_dir", ".")
    if not base.is_dir():
        base = config.parent  # task_dir may be relative to where Potato is started
    root = config.parent.parent if config.parent.name == "configs" else config.parent
    keys = get_table(loaded, "item_properties")
    gold = get_table(loaded, "gold_standards").get("items_file") or get_table(get_table(loaded, "quality_control"), "gold_standards").get(
        "items_file"
    )
    questions, left_out = _parse_questions(get_list(loaded, "annotation_schemes"))
    return PotatoProject(
        config=config,
        name=_get_text(loaded, "annotation_task_name", base.resolve().name),
        description=_get_text(loaded, "annotation_task_description", ""),
        instructions=_get_text(loaded, "annotation_instructions", ""),
        questions=questions,
        unsupported=left_out,
        id_key=_get_text(keys, "id_key", "id"),
        text_key=_get_text(keys, "text_key", "text"),
        data_files=tuple(_data_files(loaded, base, root)),
        output=_project_path(root, base, _get_text(loaded, "output_annotation_dir", _OUTPUT_FOLDER), "output_annotation_dir"),
        gold=_project_path(root, base, gold, "gold_standards") if isinstance(gold, str) else None,
        people=tuple(user for user in get_list(get_table(loaded, "user_config"), "users") if isinstance(user, str)),
    )


def _get_text(table: Mapping[str, Any], name: str, otherwise: str) -> str:
    value = table.get(name)
    if value is None or value == "":
        return otherwise
    if isinstance(value, str | int | float):
        return str(value)
    raise UserError(f"{name} must be a text, not {value!r:.60}")


def _project_path(root: Path, base: Path, given: str, what: str) -> Path:
    """Return a path of the config; raises UserError where it leaves the project's folder: a foreign config mustn't choose what is read."""
    path = base / given
    if "\0" in given or not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{what} names {given!r:.80}, which isn't in the project's folder", "copy it into the folder and name it there")
    return path


def _data_files(loaded: Mapping[str, Any], base: Path, root: Path) -> Iterator[PotatoDataFile]:
    for given in get_list(loaded, "data_files"):
        entry = {"path": given} if isinstance(given, str) else given
        if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
            raise UserError(f"data_files names paths, not {given!r:.60}")
        yield PotatoDataFile(_project_path(root, base, entry["path"], "data_files"), _get_text(entry, "encoding", "utf-8"))
    directory = loaded.get("data_directory")
    if isinstance(directory, str) and _project_path(root, base, directory, "data_directory").is_dir():
        encoding = _get_text(loaded, "data_directory_encoding", "utf-8")
        yield from (
            PotatoDataFile(path, encoding)
            for path in sorted((base / directory).iterdir())
            if path.suffix in (".json", ".jsonl", ".csv", ".tsv")
        )


def _parse_questions(schemes: list[Any]) -> tuple[tuple[PotatoQuestion, ...], dict[str, str]]:
    if not schemes:
        raise UserError("annotation_schemes names no question", "is this the config of a Potato project?")
    questions, left_out, faults = list[PotatoQuestion](), dict[str, str](), list[str]()
    for number, scheme in enumerate(schemes, start=1):
        try:
            if not isinstance(scheme, dict):
                raise UserError(f"it must hold named values, not {scheme!r:.60}")
            name = _get_text(scheme, "name", "")
            if not name:
                raise UserError("it has no name")
            made = _parse_question(name, scheme)
        except UserError as error:
            faults.append(f"scheme {number}: {error.message}")
            continue
        if isinstance(made, PotatoQuestion):
            questions.append(made)
        elif made:
            left_out[name] = made
    if faults:
        raise UserError("; ".join(faults[:20]), "mend annotation_schemes")
    return tuple(questions), left_out


def _parse_question(name: str, scheme: Mapping[str, Any]) -> PotatoQuestion | str:
    """Return the question, or why it has no kind here; empty where it only shows something."""
    asked_as = _get_text(scheme, "annotation_type", "radio")
    instructions = _get_text(scheme, "description", "")
    labels = tuple(map(_label_name, get_list(scheme, "labels")))

    def asked(kind: str, options: tuple[Any, ...] = (), instructions: str = instructions, **settings: Any) -> PotatoQuestion:
        return PotatoQuestion(name, kind, options, instructions, settings, asked_as)

    if asked_as in _SINGLE_TYPES:
        return asked("choice", labels)
    if asked_as == "multiselect":
        return asked("multilabel", labels)
    if asked_as == "likert":
        return asked("rating", tuple(range(1, _get_whole_number(scheme, "size", 5) + 1)), _add_scale_ends(instructions, scheme))
    if asked_as in ("slider", "number"):
        points = _scale_points(scheme, asked_as)
        return asked("rating", points) if points else "a number without a scale of few points has no kind here"
    if asked_as in _TEXT_TYPES:
        return asked("write", correct=True) if asked_as == "text_edit" else asked("write")
    if asked_as in _SPAN_TYPES and labels:
        return asked("spans", labels, overlap=True)
    if asked_as in COMPARISON_TYPES and not get_list(scheme, "dimensions"):
        return asked("compare", responses=2, ties=bool(scheme.get("allow_tie", False)) or scheme.get("mode") == "scale")
    return "" if asked_as in _DISPLAY_TYPES else f"a question of Potato's kind {asked_as!r} has no kind here"


def _label_name(given: Any) -> str:
    name = given.get("name", given.get("label")) if isinstance(given, dict) else given
    if not isinstance(name, str | int | float) or name == "":
        raise UserError(f"a label must be a text, not {given!r:.60}")
    return str(name)  # YAML reads a bare yes as true, and Potato stores it as "True"


def _get_whole_number(scheme: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = scheme.get(name, otherwise)
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= _MAX_POINTS:
        raise UserError(f"{name} must be a whole number from 2 to {_MAX_POINTS}, not {value!r:.60}")
    return value


def _add_scale_ends(instructions: str, scheme: Mapping[str, Any]) -> str:
    """Return the instructions with what the ends of the scale mean."""
    low, high = _get_text(scheme, "min_label", ""), _get_text(scheme, "max_label", "")
    ends = ", ".join(f"{point}: {meaning}" for point, meaning in ((1, low), (_get_whole_number(scheme, "size", 5), high)) if meaning)
    return f"{instructions}\n{ends}".strip() if ends else instructions


def _scale_points(scheme: Mapping[str, Any], asked_as: str) -> tuple[int, ...]:
    names = ("min_value", "max_value", "step") if asked_as == "slider" else ("min", "max", "step")
    low, high, step = (scheme.get(name, 1 if name == "step" else None) for name in names)
    if not all(isinstance(value, int) and not isinstance(value, bool) for value in (low, high, step)) or step < 1 or high <= low:
        return ()
    points = range(low, high + 1, step)
    return tuple(points) if len(points) <= _MAX_POINTS else ()
