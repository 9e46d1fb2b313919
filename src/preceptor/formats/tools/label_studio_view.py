"""A labelling config for questions of ours, so that tasks that `label_studio` writes can be imported as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from preceptor.errors import UserError
from preceptor.formats.tools.label_studio_config import config_from
from preceptor.formats.tools.named_texts import response_names


def view_from(questions: Iterable[Mapping[str, Any]], content: Mapping[str, Any]) -> str:
    """The `<View>` for questions (fields of a question file) about items with such a content; UserError where there is no control."""
    asked = list(questions)
    root = Element("View")
    objects = list(_objects(root, content, ranked=any(question["kind"] == "rank" for question in asked)))
    for question in asked:
        if instructions := str(question.get("instructions") or "").strip():
            SubElement(root, "Header", value=instructions)
        _control(root, question, objects, content)
    ElementTree.indent(root)
    xml = ElementTree.tostring(root, encoding="unicode")
    config_from(xml)
    return xml + "\n"


def _objects(root: Element, content: Mapping[str, Any], ranked: bool) -> Iterator[str]:
    """Show the content; yields the names under which it is shown."""
    for part in ("text", "prompt", "completion"):
        if part in content:
            SubElement(root, "Text", name=part, value=f"${part}")
            yield part
    if "messages" in content:
        SubElement(root, "Paragraphs", name="messages", value="$messages", layout="dialogue", nameKey="role", textKey="content")
        yield "messages"
    for name in response_names(content):
        SubElement(root, "Text", name=name, value=f"${name}")
        yield name
    for part in ("sources", "claims"):
        _each(root, part, content.get(part) or ())
    if ranked:
        SubElement(root, "List", name="items", value="$items")
        yield "items"


def _each(root: Element, part: str, texts: Sequence[Any]) -> None:
    """Show each of a list of texts, or of sources with titles."""
    if texts:
        tag = SubElement(root, "Repeater", on=f"${part}", indexFlag="{{idx}}")
        value = f"${part}[{{{{idx}}}}]" + ("" if isinstance(texts[0], str) else ".text")
        SubElement(tag, "Text", name=f"{part}_{{{{idx}}}}", value=value)


def _control(root: Element, question: Mapping[str, Any], objects: list[str], content: Mapping[str, Any]) -> None:
    name, kind, options = question["name"], question["kind"], [str(option) for option in question.get("options") or ()]
    if "," in name:
        raise UserError(f"Label Studio takes no comma in a name: {name!r}", "rename the question", where=f"question {name!r}")
    shown = {"name": name, "toName": objects[0]}
    match kind:
        case "choice" | "multilabel":
            tag = SubElement(
                root, "Choices", shown, choice="single" if kind == "choice" else "multiple", required=str(_is_required(question)).lower()
            )
            _options(tag, "Choice", options)
        case "rating":
            _rating(root, shown, question)
        case "write":
            SubElement(root, "TextArea", shown, rows="4", maxSubmissions="1", editable="true", **_begun(question))
        case "spans":
            about = next(name for name in ("completion", "messages", *objects) if name in objects)  # one object a control
            tag = SubElement(root, "ParagraphLabels" if about == "messages" else "Labels", shown | {"toName": about})
            _options(tag, "Label", options)
        case "compare":
            names = response_names(content)
            if len(names) != 2:
                raise UserError(f"Label Studio compares two responses, not {len(names)}", "export as jsonl", where=f"question {name!r}")
            SubElement(root, "Pairwise", shown | {"toName": ",".join(names)})
        case "rank":
            SubElement(root, "Ranker", shown | {"toName": "items"})
        case _:
            raise UserError(
                f"Label Studio has no control for {name!r}, a {kind}", "leave it out, or export as jsonl", where=f"question {name!r}"
            )


def _rating(root: Element, shown: Mapping[str, str], question: Mapping[str, Any]) -> None:
    """A number between the scale's ends: stars count from 1, and a scale may not."""
    scale = question.get("options") or (1, 2, 3, 4, 5)
    SubElement(root, "Number", dict(shown), min=str(scale[0]), max=str(scale[-1]), step=str(scale[1] - scale[0]))


def _options(tag: Element, of: str, options: list[str]) -> None:
    for option in options:
        SubElement(tag, of, value=option)


def _begun(question: Mapping[str, Any]) -> dict[str, str]:
    """A correction begins with the text that it corrects."""
    return {"value": "$completion"} if (question.get("settings") or {}).get("correct") is True else {}


def _is_required(question: Mapping[str, Any]) -> bool:
    return question["kind"] == "choice" or int((question.get("settings") or {}).get("minimum") or 0) > 0
