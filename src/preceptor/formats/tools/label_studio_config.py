"""Read Label Studio's labelling config, the `<View>` in XML, as questions, and write one for questions.

    <View>
      <Text name="txt" value="$text"/>
      <Choices name="tone" toName="txt" choice="single"><Choice value="calm"/><Choice value="angry"/></Choices>
    </View>

A control (Choices) becomes a question of its name; the objects (Text) that it is about name the fields of a task's `data`. Controls without
a corresponding kind of question (boxes on images, sound, dates, questions about each region) are reported by name. A config that is written
fits the tasks that the format `label_studio` writes, so that they can be imported as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from preceptor.errors import UserError
from preceptor.formats.tools.content_fields import response_field_names

SPAN_TYPES = ("labels", "hypertextlabels", "paragraphlabels")
TAXONOMY_SEPARATOR = " > "  # between the levels of a taxonomy's path, which is one option here
_MAX_POINTS = 101  # a number with a longer scale is no rating
_CORRECTED_FIELDS = ("completion", "response", "answer", "output")  # texts that annotators start from and correct
_HINT = "copy the labelling config from the project's settings (Labeling Interface, Code) into a file that ends in .xml"


@dataclass(frozen=True)
class LabelingControl:
    """A control tag of a labelling config.

    name: its name, and that of its question. type: as regions call it. kind: the kind of question, "" where there is none. to: the objects
    that it is about. options, settings, instructions, follows: those of its question. conditional: whether it isn't always shown.
    """

    name: str
    type: str
    kind: str
    to: tuple[str, ...] = ()
    options: tuple[Any, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    instructions: str = ""
    follows: dict[str, Any] | None = None
    conditional: bool = False


@dataclass(frozen=True)
class LabelingConfig:
    """A labelling config.

    controls: by their names, in order. objects: the field of `data` that each object shows, by the object's name.
    """

    controls: dict[str, LabelingControl] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)


def questions_from_config(xml: str) -> list[dict[str, Any]]:
    """Return the questions of a config as fields of a question file: name, kind, options, instructions, settings, follows.

    Raises UserError where the text isn't a labelling config.
    """
    return [_question_fields(control) for control in _parse_labeling_config(xml).controls.values() if control.kind]


def unsupported_controls(xml: str) -> list[str]:
    """Return the names of the controls without a corresponding kind of question; raises UserError where it isn't a labelling config."""
    return [control.name for control in _parse_labeling_config(xml).controls.values() if not control.kind]


def _parse_labeling_config(xml: str, where: str = "labelling config") -> LabelingConfig:
    """Return a parsed `<View>`; raises UserError where it isn't one."""
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:  # a config needs none, and nested entities can fill the memory
        raise UserError("a labelling config has no DOCTYPE and no entities", _HINT, where=where)
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise UserError(f"not valid XML: {error}", _HINT, where=where) from None
    if root.tag != "View":
        raise UserError(f"a labelling config begins with <View>, not <{root.tag}>", _HINT, where=where)
    try:
        return _parse_view(root, where)
    except RecursionError:
        raise UserError("nested too deeply for a labelling config", _HINT, where=where) from None


def _parse_view(root: Element, where: str) -> LabelingConfig:
    objects = {tag.get("name", ""): tag.get("value", "").removeprefix("$") for tag in root.iter() if _is_object(tag)}
    controls: dict[str, LabelingControl] = {}
    for tag, header, condition in _tags_in_order(root):
        if _is_control(tag):
            control = _parse_control(tag, header, condition)
            if control.name in controls:
                raise UserError(f"two controls are called {control.name!r}", "give each its own name", where=where)
            controls[control.name] = control
    return LabelingConfig(controls, objects)


@dataclass(frozen=True)
class _AdjacentLabelingConfig:
    """A config that lies beside an export. has_same_name: whether it has the export's name, so that there is no doubt about it."""

    name: str
    config: LabelingConfig
    has_same_name: bool


def find_labeling_config(path: Path) -> _AdjacentLabelingConfig | None:
    """Return the config with an export's name, else the only labelling config in its folder, as XML or in a project's JSON."""
    found = [(file, xml) for file in sorted(path.parent.glob("*.xml")) if "<View" in (xml := _read_text(file))]
    for file, xml in found:
        if file.stem == path.stem:
            return _AdjacentLabelingConfig(file.name, _parse_labeling_config(xml, file.name), has_same_name=True)
    if len(found) == 1:
        return _AdjacentLabelingConfig(found[0][0].name, _parse_labeling_config(found[0][1], found[0][0].name), has_same_name=False)
    project = path.parent / "project.json"
    if not found and project != path and project.is_file() and (document := read_label_studio_project(project)):
        return _AdjacentLabelingConfig(project.name, _parse_labeling_config(document["label_config"], project.name), has_same_name=False)
    return None


def read_label_studio_project(path: Path) -> dict[str, Any]:
    """Return a project as Label Studio's API gives it (`label_config`, `expert_instruction`, `title`); empty where the file has none."""
    try:
        document = json.loads(_read_text(path))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and isinstance(document.get("label_config"), str) else {}


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", errors="replace")
    except OSError:
        return ""


def _is_object(tag: Element) -> bool:
    return "name" in tag.attrib and "toName" not in tag.attrib and tag.get("value", "").startswith("$")


def _is_control(tag: Element) -> bool:
    return bool(tag.get("name")) and ("toName" in tag.attrib or tag.tag == "Chat") and tag.tag != "Filter"


def _tags_in_order(root: Element) -> Iterator[tuple[Element, str, Element | None]]:
    """Yield each tag with the headers since the last control, and the element whose condition decides whether it is shown."""
    headers: list[str] = []
    for tag, condition in _with_conditions(root, None):
        if tag.tag == "Header":
            headers.append((tag.get("value") or tag.text or "").strip())
            continue
        yield tag, "\n".join(header for header in headers if header and not header.startswith("$")), condition
        if _is_control(tag):
            headers = []


def _with_conditions(tag: Element, around: Element | None) -> Iterator[tuple[Element, Element | None]]:
    condition = tag if tag.get("visibleWhen") else around
    yield tag, condition
    for inner in tag:
        yield from _with_conditions(inner, condition)


def _parse_control(tag: Element, header: str, condition: Element | None) -> LabelingControl:
    kind, options, settings = _control_kind(tag)
    return LabelingControl(
        name=tag.get("name", "").strip(),
        type=tag.tag.lower() if tag.tag != "Chat" else "chatmessage",
        kind="" if tag.get("perRegion") == "true" else kind,
        to=tuple(name.strip() for name in tag.get("toName", tag.get("name", "")).split(",")),
        options=options,
        settings=settings,
        instructions=header,
        follows=None if condition is None else _parse_condition(condition),
        conditional=condition is not None,
    )


def _control_kind(tag: Element) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return the kind of question that a control stands for, with its options and settings; "" where there is none."""
    match tag.tag:
        case "Choices":
            options = tuple(_option_names(tag, "Choice"))
            if tag.get("choice") != "multiple":
                return "choice", options, {}
            return "multilabel", options, {"minimum": 1} if tag.get("required") == "true" and options else {}
        case "Labels" | "HyperTextLabels" | "ParagraphLabels":
            return "spans", tuple(_option_names(tag, "Label")), {"overlap": True}
        case "Taxonomy":
            return "multilabel", tuple(TAXONOMY_SEPARATOR.join(path) for path in _taxonomy_paths(tag)), {}
        case "Rating":
            return "rating", tuple(range(1, int(_number_attribute(tag, "maxRating", 5)) + 1)), {}
        case "Number":
            points = _scale_points(tag)
            return ("rating", points, {}) if points else ("write", (), {})
        case "Pairwise":
            return "compare", (), {"responses": 2, "ties": False}
        case "Ranker":
            return "rank", (), {}
        case "TextArea":
            return "write", (), {"correct": True} if tag.get("value", "").removeprefix("$") in _CORRECTED_FIELDS else {}
        case "Chat":
            return "write", (), {}
    return "", (), {}


def _option_names(tag: Element, of: str) -> Iterator[str]:
    """Yield the options as annotations call them: an alias replaces the value."""
    yield from dict.fromkeys(name for option in tag.iter(of) if (name := _option_name(option)))


def _option_name(option: Element) -> str:
    return option.get("alias") or option.get("value") or ""


def _taxonomy_paths(tag: Element, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield all nodes of a taxonomy, each with those above it."""
    for node in tag.findall("Choice"):
        path = (*above, _option_name(node))
        yield path
        yield from _taxonomy_paths(node, path)


def _number_attribute(tag: Element, attribute: str, default: float) -> float:
    try:
        number = float(tag.get(attribute, default))
    except ValueError:
        return default
    return number if 1 <= number <= _MAX_POINTS else default


def _scale_points(tag: Element) -> tuple[float, ...]:
    """Return the points from `min` to `max` where they are whole and few enough; none where it is any number."""
    try:
        low, high, step = (float(tag.get(name, default)) for name, default in (("min", "x"), ("max", "x"), ("step", "1")))
    except ValueError:
        return ()
    whole = all(number.is_integer() for number in (low, high, step))
    if not whole or step < 1 or not 1 <= (high - low) / step < _MAX_POINTS:
        return ()
    return tuple(range(int(low), int(high) + 1, int(step)))


def _parse_condition(tag: Element) -> dict[str, Any] | None:
    """Return the question after which a part of the page is shown, where a choice decides it."""
    if tag.get("visibleWhen") not in ("choice-selected", "choice-unselected") or not tag.get("whenTagName"):
        return None
    answers = [answer.strip() for answer in tag.get("whenChoiceValue", "").split(",") if answer.strip()]
    shown = tag.get("visibleWhen") == "choice-selected"
    return {"question": tag.get("whenTagName"), **({"answers": answers} if answers and shown else {})}


def _question_fields(control: LabelingControl) -> dict[str, Any]:
    fields = {
        "name": control.name,
        "kind": control.kind,
        "options": list(control.options),
        "instructions": control.instructions,
        "settings": control.settings,
        "follows": control.follows,
    }
    return {name: value for name, value in fields.items() if value}


def build_labeling_config(questions: Iterable[Mapping[str, Any]], content: Mapping[str, Any]) -> str:
    """Return the `<View>` for questions about items with such a content; raises UserError for one without a control.

    questions: fields of a question file each. content: that of an item, whose parts become objects.
    """
    asked = list(questions)
    root = Element("View")
    objects = list(_add_objects(root, content, ranked=any(question["kind"] == "rank" for question in asked)))
    for question in asked:
        if instructions := str(question.get("instructions") or "").strip():
            SubElement(root, "Header", value=instructions)
        _add_control(root, question, objects, content)
    ElementTree.indent(root)
    xml = ElementTree.tostring(root, encoding="unicode")
    _parse_labeling_config(xml)
    return xml + "\n"


def _add_objects(root: Element, content: Mapping[str, Any], ranked: bool) -> Iterator[str]:
    """Add the tags that show the content; yield the names under which it is shown."""
    for part in ("text", "prompt", "completion"):
        if part in content:
            SubElement(root, "Text", name=part, value=f"${part}")
            yield part
    if "messages" in content:
        SubElement(root, "Paragraphs", name="messages", value="$messages", layout="dialogue", nameKey="role", textKey="content")
        yield "messages"
    for name in response_field_names(content):
        SubElement(root, "Text", name=name, value=f"${name}")
        yield name
    for part in ("sources", "claims"):
        _add_repeater(root, part, content.get(part) or ())
    if ranked:
        SubElement(root, "List", name="items", value="$items")
        yield "items"


def _add_repeater(root: Element, part: str, texts: Sequence[Any]) -> None:
    """Add the tags that show each of a list of texts, or of sources with titles."""
    if texts:
        tag = SubElement(root, "Repeater", on=f"${part}", indexFlag="{{idx}}")
        value = f"${part}[{{{{idx}}}}]" + ("" if isinstance(texts[0], str) else ".text")
        SubElement(tag, "Text", name=f"{part}_{{{{idx}}}}", value=value)


def _add_control(root: Element, question: Mapping[str, Any], objects: list[str], content: Mapping[str, Any]) -> None:
    name, kind, options = question["name"], question["kind"], [str(option) for option in question.get("options") or ()]
    if "," in name:
        raise UserError(f"Label Studio takes no comma in a name: {name!r}", "rename the question", where=f"question {name!r}")
    shown = {"name": name, "toName": objects[0]}
    match kind:
        case "choice" | "multilabel":
            tag = SubElement(
                root, "Choices", shown, choice="single" if kind == "choice" else "multiple", required=str(_is_required(question)).lower()
            )
            _add_options(tag, "Choice", options)
        case "rating":
            _add_rating(root, shown, question)
        case "write":
            SubElement(root, "TextArea", shown, rows="4", maxSubmissions="1", editable="true", **_initial_text(question))
        case "spans":
            about = next(name for name in ("completion", "messages", *objects) if name in objects)  # one object a control
            tag = SubElement(root, "ParagraphLabels" if about == "messages" else "Labels", shown | {"toName": about})
            _add_options(tag, "Label", options)
        case "compare":
            names = response_field_names(content)
            if len(names) != 2:
                raise UserError(f"Label Studio compares two responses, not {len(names)}", "export as jsonl", where=f"question {name!r}")
            SubElement(root, "Pairwise", shown | {"toName": ",".join(names)})
        case "rank":
            SubElement(root, "Ranker", shown | {"toName": "items"})
        case _:
            raise UserError(
                f"Label Studio has no control for {name!r}, a {kind}", "leave it out, or export as jsonl", where=f"question {name!r}"
            )


def _add_rating(root: Element, shown: Mapping[str, str], question: Mapping[str, Any]) -> None:
    """Add a number between the scale's ends: stars count from 1, and a scale may not."""
    scale = question.get("options") or (1, 2, 3, 4, 5)
    SubElement(root, "Number", dict(shown), min=str(scale[0]), max=str(scale[-1]), step=str(scale[1] - scale[0]))


def _add_options(tag: Element, of: str, options: list[str]) -> None:
    for option in options:
        SubElement(tag, of, value=option)


def _initial_text(question: Mapping[str, Any]) -> dict[str, str]:
    """Return the initial text of a question: a correction begins with the text that it corrects."""
    return {"value": "$completion"} if (question.get("settings") or {}).get("correct") is True else {}


def _is_required(question: Mapping[str, Any]) -> bool:
    return question["kind"] == "choice" or int((question.get("settings") or {}).get("minimum") or 0) > 0
