"""A report as a model card: Markdown in the Hugging Face form, its head with a `model-index` that other software reads.

The head is YAML in which every text is quoted as JSON quotes it (which YAML reads alike) and every number is written out, so that
no name and no exponent is taken for something else. Figures stand there with their intervals in their names: the form has no place
for them.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.domain import Estimate
from preceptor.evaluation.page.kinds import kind_of
from preceptor.evaluation.page.limits import limits_section
from preceptor.evaluation.page.models import openings_sentences, subject
from preceptor.evaluation.page.outcome import OUTCOMES, cost_section, lineage_section, verdict
from preceptor.evaluation.page.parts import Document, Section, Table, is_estimate, look
from preceptor.evaluation.page.slices import decisions_table, previous_section, slices_section
from preceptor.evaluation.wording import decimal, figure_name, interval, sentence, spread, whole_percent

TASKS = {"choice": "text-classification", "rating": "text-classification", "multilabel": "text-classification"}
WRITES = "text-generation"
_UNPRINTABLE = re.compile(
    "[^\\x20-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
)  # of YAML, within quotes


def card(document: Document) -> str:
    """The card's text; what the report doesn't hold is absent."""
    said = verdict(document)
    name = _name(document)
    parts = [
        f"---\n{_yaml(_head(document, name))}---\n",
        f"# {_plain(name)}\n",
        f"**{_plain(said.headline)}**\n",
        "\n".join(_plain(words) for words in said.decided),
        "\n".join(f"- **{word}**: {_plain(words)}" for _, word, words in said.bounds),
        "\n".join(_plain(words) for words in said.sentences),
        *_part("How it was made", "\n".join(f"- {line}" for line in _made(document))),
        *_part("How good it is", _figures(document)),
        *_section(slices_section(document)),
        *_section(previous_section(document)),
        *_suites(document),
        *_section(limits_section(document)),
        *_section(cost_section(document)),
        *_part("What was decided", _table(decisions_table(document)) if document.get("decisions") else ""),
        *_section(lineage_section(document)),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part.strip("\n") for part in parts if part.strip())) + "\n"


def _head(document: Document, name: str) -> dict[str, Any]:
    """The card's data: what software looks for, without anything that isn't known."""
    base, task = look(document, "training", "base"), _task(document)
    result = {
        "task": {"type": task, "name": str(look(document, "question", "name") or task)},
        "dataset": {
            "type": "preceptor-snapshot",
            "name": str(document.get("title") or "snapshot"),
            "split": str(look(document, "split", "name") or "test"),
            **({"revision": str(document["snapshot"])} if document.get("snapshot") else {}),
        },
        "metrics": [_metric(key, found) for key, found in _estimates(document)],
    }
    return {
        **({"base_model": str(base)} if base else {}),
        "pipeline_tag": task,
        "tags": ["preceptor", *([f"recipe-{look(document, 'training', 'recipe')}"] if look(document, "training", "recipe") else [])],
        **({"model-index": [{"name": name, "results": [result]}]} if result["metrics"] else {}),
    }


def _estimates(document: Document) -> Iterator[tuple[str, Estimate]]:
    """The reported model's figures, then those of each suite as NAME.figure; only what has a finite value."""
    for key, value in (look(document, "models", subject(document)) or {}).items():
        if is_estimate(value):
            yield key, Estimate.of(value)
    for name, suite in (look(document, "suites") or {}).items():
        for key, value in (suite.get("figures") or {}).items():
            if is_estimate(value):
                yield f"{name}.{key}", Estimate.of(value)


def _metric(key: str, found: Estimate) -> dict[str, Any]:
    ends = interval(found, decimal).removeprefix("interval ")
    words = f"{sentence(figure_name(key))}, {whole_percent(found.confidence)} interval {ends}, n = {found.n}"
    return {"type": key, "value": found.value, "name": words.replace("\u00a0", " ")}


def _task(document: Document) -> str:
    if document.get("generation"):
        return WRITES
    return TASKS.get(str(look(document, "question", "kind")), "text-classification")


def _name(document: Document) -> str:
    return str(look(document, "lineage", "model") or document.get("title") or "model")


def _made(document: Document) -> Iterator[str]:
    question, training = look(document, "question") or {}, look(document, "training") or {}
    if question.get("name"):
        answers = ", ".join(str(answer) for answer in question.get("answers") or ())
        yield _plain(f"Question: {question['name']}{f' ({answers})' if answers else ''}")
    if training.get("recipe"):
        yield _plain(f"Recipe: {training['recipe']}{' from ' + str(training['base']) if training.get('base') else ''}")
    yield from openings_sentences(document)
    if state := look(document, "release", "decision"):
        yield f"Gate: {OUTCOMES.get(state, ('', str(state)))[1]}"


def _figures(document: Document) -> str:
    found = [(key, value) for key, value in _estimates(document) if "." not in key]
    rows = [_row(key, value) for key, value in found]
    return _table(Table("", ["figure", "value (95 % interval)", "n", "what it is"], rows)) if rows else ""


def _row(key: str, found: Estimate) -> list[str]:
    kind = kind_of(key, found)
    return [figure_name(key), spread(found, kind.show), f"{found.n:,}", kind.meaning]


def _suites(document: Document) -> Iterator[str]:
    for name, suite in (look(document, "suites") or {}).items():
        figures: Mapping[str, Any] = suite.get("figures") or {}
        rows = [_row(key, Estimate.of(value)) for key, value in figures.items() if is_estimate(value)]
        told = "\n".join(f"- {_plain(str(words))}" for words in suite.get("words") or ())
        table = _table(Table("", ["figure", "value (95 % interval)", "n", "what it is"], rows)) if rows else ""
        yield from _part(str(suite.get("title") or name), "\n\n".join(part for part in (table, told) if part))


def _section(section: Section) -> Iterator[str]:
    """A section of the page without its pictures."""
    parts = [*(_plain(words) for words in section.paragraphs), "\n".join(f"- {_plain(point)}" for point in section.points)]
    parts += [_table(table) for table in section.tables]
    yield from _part(section.title, "\n\n".join(part for part in parts if part))


def _part(title: str, body: str) -> Iterator[str]:
    if body.strip():
        yield f"## {_plain(title)}\n\n{body}"


def _table(table: Table) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """A text from outside in one line, with nothing in it that Markdown or HTML would obey."""
    line = html.escape(" ".join(str(text).replace("\u00a0", " ").split()), quote=False)
    return line if line == "---" else re.sub(r"([\\`*_\[\]#])", r"\\\1", line)


def _yaml(value: Any, indent: str = "") -> str:
    """Block YAML of mappings, lists, texts and numbers."""
    lines = []
    for key, part in value.items():
        if isinstance(part, Mapping):
            lines.append(f"{indent}{key}:\n{_yaml(part, indent + '  ')}")
        elif isinstance(part, list):
            lines.append(f"{indent}{key}:\n" + "".join(_item(each, indent) for each in part))
        else:
            lines.append(f"{indent}{key}: {_scalar(part)}\n")
    return "".join(lines)


def _item(value: Any, indent: str) -> str:
    if not isinstance(value, Mapping):
        return f"{indent}- {_scalar(value)}\n"
    return f"{indent}- {_yaml(value, indent + '  ').removeprefix(indent + '  ')}"


def _scalar(value: Any) -> str:
    """JSON of a text; a number without an exponent, which YAML 1.1 takes for a text where it has no point."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a figure of a report is finite")
        text = f"{value:.10f}".rstrip("0")
        return f"{text}0" if text.endswith(".") else text
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
