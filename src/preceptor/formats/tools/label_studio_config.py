"""Label Studio's labelling config, the `<View>` in XML: what was asked, about which parts of a task.

    <View>
      <Text name="txt" value="$text"/>
      <Choices name="tone" toName="txt" choice="single"><Choice value="calm"/><Choice value="angry"/></Choices>
    </View>

A control (Choices) becomes a question of its name; the objects (Text) that it is about name the fields of a task's `data`.
Controls that have no kind here (boxes on images, sound, dates, what is asked about each region) are left out by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from preceptor.errors import UserError

SPANS = ("labels", "hypertextlabels", "paragraphlabels")
SEPARATOR = " > "  # between the levels of a taxonomy's path, which is one option here
_MOST_POINTS = 101  # of a number's scale that is still a rating
_CORRECTED = ("completion", "response", "answer", "output")  # texts that people begin with and mend
_HINT = "copy the labelling config from the project's settings (Labeling Interface, Code) into a file that ends in .xml"


@dataclass(frozen=True)
class Control:
    """A control tag: `type` as regions call it, `kind` of ours or "" where there is none, `to` the objects that it is about.

    conditional: whether it isn't always shown.
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
class Config:
    """Controls by their names, in order; and the field of `data` that each object shows, by the object's name."""

    controls: dict[str, Control] = field(default_factory=dict)
    objects: dict[str, str] = field(default_factory=dict)


def questions_from(xml: str) -> list[dict[str, Any]]:
    """The questions of a config as fields of a question file: name, kind, options, instructions, settings, follows."""
    return [_question(control) for control in config_from(xml).controls.values() if control.kind]


def left_out_of(xml: str) -> list[str]:
    """The names of the controls for which there is no kind of question here."""
    return [control.name for control in config_from(xml).controls.values() if not control.kind]


def config_from(xml: str, where: str = "labelling config") -> Config:
    """A `<View>` read; UserError where it isn't one."""
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:  # a config needs none, and nested entities can fill the memory
        raise UserError("a labelling config has no DOCTYPE and no entities", _HINT, where=where)
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise UserError(f"not valid XML: {error}", _HINT, where=where) from None
    if root.tag != "View":
        raise UserError(f"a labelling config begins with <View>, not <{root.tag}>", _HINT, where=where)
    try:
        return _config(root, where)
    except RecursionError:
        raise UserError("nested too deeply for a labelling config", _HINT, where=where) from None


def _config(root: Element, where: str) -> Config:
    objects = {tag.get("name", ""): tag.get("value", "").removeprefix("$") for tag in root.iter() if _is_object(tag)}
    controls: dict[str, Control] = {}
    for tag, header, condition in _in_order(root):
        if _is_control(tag):
            control = _control(tag, header, condition)
            if control.name in controls:
                raise UserError(f"two controls are called {control.name!r}", "give each its own name", where=where)
            controls[control.name] = control
    return Config(controls, objects)


@dataclass(frozen=True)
class Beside:
    """A config that lies beside an export. own: whether it has the export's name, so that there is no doubt about it."""

    name: str
    config: Config
    own: bool


def config_beside(path: Path) -> Beside | None:
    """The config of an export's name, else the one labelling config that lies in its folder, as XML or in a project's JSON."""
    found = [(file, xml) for file in sorted(path.parent.glob("*.xml")) if "<View" in (xml := _text(file))]
    for file, xml in found:
        if file.stem == path.stem:
            return Beside(file.name, config_from(xml, file.name), own=True)
    if len(found) == 1:
        return Beside(found[0][0].name, config_from(found[0][1], found[0][0].name), own=False)
    project = path.parent / "project.json"
    if not found and project != path and project.is_file() and (document := read_project(project)):
        return Beside(project.name, config_from(document["label_config"], project.name), own=False)
    return None


def read_project(path: Path) -> dict[str, Any]:
    """A project as Label Studio's API gives it (`label_config`, `expert_instruction`, `title`); empty where the file holds none."""
    try:
        document = json.loads(_text(path))
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) and isinstance(document.get("label_config"), str) else {}


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig", errors="replace")
    except OSError:
        return ""


def _is_object(tag: Element) -> bool:
    return "name" in tag.attrib and "toName" not in tag.attrib and tag.get("value", "").startswith("$")


def _is_control(tag: Element) -> bool:
    return bool(tag.get("name")) and ("toName" in tag.attrib or tag.tag == "Chat") and tag.tag != "Filter"


def _in_order(root: Element) -> Iterator[tuple[Element, str, Element | None]]:
    """Each tag with the headers before it that no control has taken yet, and what it or a part around it makes its showing depend on."""
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


def _control(tag: Element, header: str, condition: Element | None) -> Control:
    kind, options, settings = _kind(tag)
    return Control(
        name=tag.get("name", "").strip(),
        type=tag.tag.lower() if tag.tag != "Chat" else "chatmessage",
        kind="" if tag.get("perRegion") == "true" else kind,
        to=tuple(name.strip() for name in tag.get("toName", tag.get("name", "")).split(",")),
        options=options,
        settings=settings,
        instructions=header,
        follows=None if condition is None else _follows(condition),
        conditional=condition is not None,
    )


def _kind(tag: Element) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """The kind of question that a control stands for, with its options and settings; "" where there is none."""
    match tag.tag:
        case "Choices":
            options = tuple(_names(tag, "Choice"))
            if tag.get("choice") != "multiple":
                return "choice", options, {}
            return "multilabel", options, {"minimum": 1} if tag.get("required") == "true" and options else {}
        case "Labels" | "HyperTextLabels" | "ParagraphLabels":
            return "spans", tuple(_names(tag, "Label")), {"overlap": True}
        case "Taxonomy":
            return "multilabel", tuple(SEPARATOR.join(path) for path in _paths(tag)), {}
        case "Rating":
            return "rating", tuple(range(1, int(_number(tag, "maxRating", 5)) + 1)), {}
        case "Number":
            points = _scale(tag)
            return ("rating", points, {}) if points else ("write", (), {})
        case "Pairwise":
            return "compare", (), {"responses": 2, "ties": False}
        case "Ranker":
            return "rank", (), {}
        case "TextArea":
            return "write", (), {"correct": True} if tag.get("value", "").removeprefix("$") in _CORRECTED else {}
        case "Chat":
            return "write", (), {}
    return "", (), {}


def _names(tag: Element, of: str) -> Iterator[str]:
    """Options as annotations call them: an alias stands for the value."""
    yield from dict.fromkeys(name for option in tag.iter(of) if (name := _name(option)))


def _name(option: Element) -> str:
    return option.get("alias") or option.get("value") or ""


def _paths(tag: Element, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All nodes of a taxonomy, each with those above it."""
    for node in tag.findall("Choice"):
        path = (*above, _name(node))
        yield path
        yield from _paths(node, path)


def _number(tag: Element, attribute: str, default: float) -> float:
    try:
        number = float(tag.get(attribute, default))
    except ValueError:
        return default
    return number if 1 <= number <= _MOST_POINTS else default


def _scale(tag: Element) -> tuple[float, ...]:
    """The points from `min` to `max` where they are whole and few enough; without them it is any number."""
    try:
        low, high, step = (float(tag.get(name, default)) for name, default in (("min", "x"), ("max", "x"), ("step", "1")))
    except ValueError:
        return ()
    whole = all(number.is_integer() for number in (low, high, step))
    if not whole or step < 1 or not 1 <= (high - low) / step < _MOST_POINTS:
        return ()
    return tuple(range(int(low), int(high) + 1, int(step)))


def _follows(tag: Element) -> dict[str, Any] | None:
    """The question after which a part of the page is shown, where a choice decides it."""
    if tag.get("visibleWhen") not in ("choice-selected", "choice-unselected") or not tag.get("whenTagName"):
        return None
    answers = [answer.strip() for answer in tag.get("whenChoiceValue", "").split(",") if answer.strip()]
    shown = tag.get("visibleWhen") == "choice-selected"
    return {"question": tag.get("whenTagName"), **({"answers": answers} if answers and shown else {})}


def _question(control: Control) -> dict[str, Any]:
    fields = {
        "name": control.name,
        "kind": control.kind,
        "options": list(control.options),
        "instructions": control.instructions,
        "settings": control.settings,
        "follows": control.follows,
    }
    return {name: value for name, value in fields.items() if value}
