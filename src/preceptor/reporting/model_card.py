"""Write a report as a model card: Markdown in the Hugging Face format with a `model-index`.

The front matter is YAML in which every text is quoted as in JSON (which is valid YAML) and every number is written out, so that no name and
no exponent is parsed as something else. Intervals are part of the figures' names: the format has no field for them.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from preceptor.evaluation.number_format import (
    capitalize_first,
    figure_name,
    format_decimal,
    format_estimate,
    format_interval,
    format_whole_percent,
)
from preceptor.reporting.model_sections import reuse_sentences
from preceptor.reporting.page_elements import PageSection, PageTable, ReportDocument, is_estimate, look_up, metric_display, reported_model
from preceptor.reporting.release_sections import GATE_OUTCOMES, cost_section, limits_section, lineage_section, report_verdict
from preceptor.reporting.suite_sections import decisions_table, previous_section, slices_section
from preceptor.types import Estimate

_HUB_TASKS = {"choice": "text-classification", "rating": "text-classification", "multilabel": "text-classification"}
_GENERATION_TASK = "text-generation"
_UNPRINTABLE = re.compile(
    "[^\\x20-\\x7e\\xa0-\\u2027\\u202a-\\ud7ff\\ue000-\\ufefe\\uff00-\\ufffd\\U00010000-\\U0010ffff]"
)  # characters that YAML doesn't allow within quotes


def render_model_card(document: ReportDocument) -> str:
    """Render the card's text; what the report doesn't hold is absent."""
    said = report_verdict(document)
    name = _card_name(document)
    parts = [
        f"---\n{_dump_yaml(_card_metadata(document, name))}---\n",
        f"# {_escape_markdown(name)}\n",
        f"**{_escape_markdown(said.headline)}**\n",
        "\n".join(_escape_markdown(words) for words in said.decision_sentences),
        "\n".join(f"- **{word}**: {_escape_markdown(words)}" for _, word, words in said.bounds),
        "\n".join(_escape_markdown(words) for words in said.sentences),
        *_card_part("How it was made", "\n".join(f"- {line}" for line in _provenance_lines(document))),
        *_card_part("How good it is", _metrics_table(document)),
        *_section_markdown(slices_section(document)),
        *_section_markdown(previous_section(document)),
        *_suite_parts(document),
        *_section_markdown(limits_section(document)),
        *_section_markdown(cost_section(document)),
        *_card_part("What was decided", _table_markdown(decisions_table(document)) if document.get("decisions") else ""),
        *_section_markdown(lineage_section(document)),
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n\n".join(part.strip("\n") for part in parts if part.strip())) + "\n"


def _card_metadata(document: ReportDocument, name: str) -> dict[str, Any]:
    """Return the card's metadata for software, without anything that isn't known."""
    base, task = look_up(document, "training", "base"), _hub_task(document)
    result = {
        "task": {"type": task, "name": str(look_up(document, "question", "name") or task)},
        "dataset": {
            "type": "preceptor-snapshot",
            "name": str(document.get("title") or "snapshot"),
            "split": str(look_up(document, "split", "name") or "test"),
            **({"revision": str(document["snapshot"])} if document.get("snapshot") else {}),
        },
        "metrics": [_metric_entry(key, found) for key, found in _iter_estimates(document)],
    }
    return {
        **({"base_model": str(base)} if base else {}),
        "pipeline_tag": task,
        "tags": ["preceptor", *([f"recipe-{look_up(document, 'training', 'recipe')}"] if look_up(document, "training", "recipe") else [])],
        **({"model-index": [{"name": name, "results": [result]}]} if result["metrics"] else {}),
    }


def _iter_estimates(document: ReportDocument) -> Iterator[tuple[str, Estimate]]:
    """Yield the reported model's figures, then those of each suite as NAME.figure; only what has a finite value."""
    for key, value in (look_up(document, "models", reported_model(document)) or {}).items():
        if is_estimate(value):
            yield key, Estimate.from_dict(value)
    for name, suite in (look_up(document, "suites") or {}).items():
        for key, value in (suite.get("figures") or {}).items():
            if is_estimate(value):
                yield f"{name}.{key}", Estimate.from_dict(value)


def _metric_entry(key: str, found: Estimate) -> dict[str, Any]:
    ends = format_interval(found, format_decimal).removeprefix("interval ")
    words = f"{capitalize_first(figure_name(key))}, {format_whole_percent(found.confidence)} interval {ends}, n = {found.n}"
    return {"type": key, "value": found.value, "name": words.replace("\u00a0", " ")}


def _hub_task(document: ReportDocument) -> str:
    if document.get("generation"):
        return _GENERATION_TASK
    return _HUB_TASKS.get(str(look_up(document, "question", "kind")), "text-classification")


def _card_name(document: ReportDocument) -> str:
    return str(look_up(document, "lineage", "model") or document.get("title") or "model")


def _provenance_lines(document: ReportDocument) -> Iterator[str]:
    question, training = look_up(document, "question") or {}, look_up(document, "training") or {}
    if question.get("name"):
        answers = ", ".join(str(answer) for answer in question.get("answers") or ())
        yield _escape_markdown(f"Question: {question['name']}{f' ({answers})' if answers else ''}")
    if training.get("recipe"):
        yield _escape_markdown(f"Recipe: {training['recipe']}{' from ' + str(training['base']) if training.get('base') else ''}")
    yield from reuse_sentences(document)
    if state := look_up(document, "release", "decision"):
        yield f"Gate: {GATE_OUTCOMES.get(state, ('', str(state)))[1]}"


def _metrics_table(document: ReportDocument) -> str:
    found = [(key, value) for key, value in _iter_estimates(document) if "." not in key]
    rows = [_metric_row(key, value) for key, value in found]
    return _table_markdown(PageTable("", ["figure", "value (95 % interval)", "n", "what it is"], rows)) if rows else ""


def _metric_row(key: str, found: Estimate) -> list[str]:
    kind = metric_display(key, found)
    return [figure_name(key), format_estimate(found, kind.number_format), f"{found.n:,}", kind.meaning]


def _suite_parts(document: ReportDocument) -> Iterator[str]:
    for name, suite in (look_up(document, "suites") or {}).items():
        figures: Mapping[str, Any] = suite.get("figures") or {}
        rows = [_metric_row(key, Estimate.from_dict(value)) for key, value in figures.items() if is_estimate(value)]
        told = "\n".join(f"- {_escape_markdown(str(words))}" for words in suite.get("summary") or ())
        table = _table_markdown(PageTable("", ["figure", "value (95 % interval)", "n", "what it is"], rows)) if rows else ""
        yield from _card_part(str(suite.get("title") or name), "\n\n".join(part for part in (table, told) if part))


def _section_markdown(section: PageSection) -> Iterator[str]:
    """Yield a section of the page without its pictures."""
    parts = [
        *(_escape_markdown(words) for words in section.paragraphs),
        "\n".join(f"- {_escape_markdown(point)}" for point in section.points),
    ]
    parts += [_table_markdown(table) for table in section.tables]
    yield from _card_part(section.title, "\n\n".join(part for part in parts if part))


def _card_part(title: str, body: str) -> Iterator[str]:
    if body.strip():
        yield f"## {_escape_markdown(title)}\n\n{body}"


def _table_markdown(table: PageTable) -> str:
    lines = [table.head, ["---"] * len(table.head), *table.rows]
    return "\n".join(f"| {' | '.join(_table_cell(cell) for cell in line)} |" for line in lines)


def _table_cell(text: str) -> str:
    return _escape_markdown(text).replace("|", "\\|")


def _escape_markdown(text: str) -> str:
    """Return an untrusted text in one line, with all Markdown and HTML markup escaped."""
    line = html.escape(" ".join(str(text).replace("\u00a0", " ").split()), quote=False)
    return line if line == "---" else re.sub(r"([\\`*_\[\]#])", r"\\\1", line)


def _dump_yaml(value: Any, indent: str = "") -> str:
    """Dump mappings, lists, texts and numbers as block YAML."""
    lines = []
    for key, part in value.items():
        if isinstance(part, Mapping):
            lines.append(f"{indent}{key}:\n{_dump_yaml(part, indent + '  ')}")
        elif isinstance(part, list):
            lines.append(f"{indent}{key}:\n" + "".join(_yaml_item(each, indent) for each in part))
        else:
            lines.append(f"{indent}{key}: {_yaml_scalar(part)}\n")
    return "".join(lines)


def _yaml_item(value: Any, indent: str) -> str:
    if not isinstance(value, Mapping):
        return f"{indent}- {_yaml_scalar(value)}\n"
    return f"{indent}- {_dump_yaml(value, indent + '  ').removeprefix(indent + '  ')}"


def _yaml_scalar(value: Any) -> str:
    """Return a text as JSON; a number without an exponent, which YAML 1.1 takes for a text where it has no point."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a figure of a report is finite")
        text = f"{value:.10f}".rstrip("0")
        return f"{text}0" if text.endswith(".") else text
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
