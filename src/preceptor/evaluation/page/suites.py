"""The page's sections about suites: what each measured, its figures, and its worst examples with their evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.domain import Estimate
from preceptor.domain.items import source_text
from preceptor.evaluation.page.kinds import kind_of
from preceptor.evaluation.page.parts import Document, Evidence, Picture, Section, Table, is_estimate, look, picture
from preceptor.evaluation.page.slices import slice_table
from preceptor.evaluation.plots import Row, interval_plot
from preceptor.evaluation.suites.knowing.picture import risk_curve
from preceptor.evaluation.wording import count, figure_name, sentence, spread

FEW = 2  # sentences that make a paragraph; more are easier to read as points
MOST_EXAMPLES = 12
HEAD, TAIL = 900, 500  # characters that an example keeps of a text's beginning and end
_TEXTS = (  # keys of an example, and the name under which its text stands
    ("prompt", "asked"),
    ("response", "answered"),
    ("answer", "answered"),
    ("text", "answered"),
    ("claim", "claim"),
    ("evidence", "the sources say"),
    ("reference", "reference"),
    ("rule", "rule"),
)
_MARKED = ("response", "answer", "text")
_PASSAGES = ("claim", "passage", "match", "quote")
_VERDICTS = {"contradicted": "people found it contradicted", "not_found": "people didn't find it in the sources", "supported": "supported"}


def suite_sections(document: Document) -> Iterator[Section]:
    """A section for each suite, in the report's order."""
    for number, (name, suite) in enumerate((look(document, "suites") or {}).items()):
        if isinstance(suite, Mapping):
            yield _section(f"suite-{number}-{re.sub(r'[^a-z0-9]+', '-', str(name).lower()).strip('-')}", str(name), suite, document)


def _section(key: str, name: str, suite: Document, document: Document) -> Section:
    title = sentence(str(suite.get("title") or name))
    words = [str(each) for each in suite.get("words") or ()]
    rows = suite.get("rows")
    resting = [f"Measured on {count(rows)} answers."] if isinstance(rows, int) and rows else []
    slices = [slice_table(f"Slices of {name}", suite["slices"])] if look(suite, "slices", "found") else []
    return Section(
        key,
        title,
        [" ".join([*resting, *words])] if len(words) <= FEW and (resting or words) else resting,
        [*_beside_pictures(name, suite), *_pictures(name, suite, document), *_risk_picture(name, suite)],
        [*(table for table in (_rules_table(suite), _judge_table(suite)) if table.rows), *slices],
        points=words if len(words) > FEW else (),
        evidence=[_example(each) for each in (suite.get("examples") or ())[:MOST_EXAMPLES] if isinstance(each, Mapping)],
    )


def _beside_pictures(name: str, suite: Document) -> Iterator[Picture]:
    """Figures that are to be seen side by side, each group on one scale: `beside` names them, by what their rows are called."""
    for key, rows in (suite.get("beside") or {}).items():
        figures = [(label, figure) for label, part in rows.items() if is_estimate(figure := look(suite, "figures", part))]
        if figures:
            kind = kind_of(key, Estimate.of(figures[0][1]))
            shown = [Row(str(label), Estimate.of(figure), strong=at == len(figures) - 1) for at, (label, figure) in enumerate(figures)]
            drawn = interval_plot(f"{name}: {figure_name(key)}", shown, show=kind.show, limits=kind.limits)
            yield Picture(sentence(figure_name(key)), drawn, kind.meaning)


def _pictures(name: str, suite: Document, document: Document) -> Iterator[Picture]:
    apart = {part for rows in (suite.get("beside") or {}).values() for part in rows.values()}
    thresholds = {bound.get("figure"): bound.get("needs") for bound in look(document, "release", "bounds") or ()}
    for key, value in (suite.get("figures") or {}).items():
        if not is_estimate(value) or key in apart:
            continue
        estimate = Estimate.of(value)
        kind, needs = kind_of(key, estimate), thresholds.get(f"{name}.{key}", thresholds.get(key))
        mark = None if needs is None else (needs, f"bound {kind.show(needs)}")
        row = Row(f"{count(estimate.n)} units", estimate, strong=True)
        drawn = interval_plot(f"{name}: {figure_name(key)}", [row], show=kind.show, limits=kind.limits, mark=mark)
        yield Picture(sentence(figure_name(key)), drawn, kind.meaning or f"As the suite {name} defines it.")


def _risk_picture(name: str, suite: Document) -> Iterator[Picture]:
    """Errors by how much is answered, where a suite measured that."""
    points = [(at["coverage"], Estimate.of(at["risk"])) for at in suite.get("curve") or () if is_estimate(at.get("risk"))]
    if len(points) > 1:
        words = "Fewer answers, the surest first, should have fewer errors among them."
        yield picture(words, risk_curve, f"{name}: errors by share answered", points)


def _rules_table(suite: Document) -> Table:
    """The rules of a policy, the most often broken first."""
    rules = sorted((suite.get("rules") or {}).items(), key=lambda each: -(each[1].get("broken") or 0))
    rows = [
        [
            str(rule.get("title") or name),
            str(rule.get("severity") or "–"),
            f"{count(rule.get('broken') or 0)} of {count(rule.get('applies') or 0)}",
            spread(Estimate.of(rule["violations"])) if is_estimate(rule.get("violations")) else "–",
        ]
        for name, rule in rules
    ]
    return Table("Its rules, and how often each was broken", ["rule", "gravity", "broken", "share"], rows)


def _judge_table(suite: Document) -> Table:
    judge = suite.get("judge")
    known = judge.items() if isinstance(judge, Mapping) else ()
    rows = [[str(key).replace("_", " "), str(value)[:12] if key == "digest" else str(value)] for key, value in known]
    return Table("The judge", ["", "which"], [row for row in rows if row[1] not in ("None", "0")], numeric=False)


def _example(example: Document) -> Evidence:
    parts = []
    for key, name in _TEXTS:
        for text in _texts(example.get(key)):
            pieces = _marked(text, example) if key in _MARKED else [(_cut(text), False)]
            if key != "claim" or not _is_quoted(example):
                parts.append((name, pieces))
    return Evidence(parts, _said(example))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else ["(nothing)"]
    if isinstance(value, Mapping):
        return [source_text(value)]
    return [text for each in value for text in _texts(each)] if isinstance(value, Sequence) else []


def _said(example: Document) -> str:
    """Why it stands here: the example's own words, people's verdict, the judge's score, its values."""
    told = [str(example[key]) for key in ("words", "why") if isinstance(example.get(key), str)]
    if verdict := example.get("verdict"):
        told.append(_VERDICTS.get(str(verdict), str(verdict).replace("_", " ")))
    for key, name in (("judge", "the judge gives it"), ("confidence", "the model's certainty was")):
        if isinstance(example.get(key), int | float):
            told.append(f"{name} {example[key]:.2f}")
    told += [
        f"{figure_name(str(key))} {value:.2f}" for key, value in (example.get("values") or {}).items() if isinstance(value, int | float)
    ]
    if example.get("answerable") is False:
        told.append("nobody can answer this")
    return sentence(f"{'; '.join(each.rstrip('.') for each in told)}.") if told else ""


def _is_quoted(example: Document) -> bool:
    claim = example.get("claim")
    return isinstance(claim, str) and any(claim and claim in str(example.get(key) or "") for key in _MARKED)


def _marked(text: str, example: Document) -> list[tuple[str, bool]]:
    """A text in pieces, its faulty passages marked: by their places, else where the passage that is named stands."""
    places = [(mark["start"], mark["end"]) for mark in example.get("marks") or () if _is_place(mark, text)]
    for key in _PASSAGES:
        passage = example.get(key)
        if not places and isinstance(passage, str) and passage and passage in text:
            places = [(text.index(passage), text.index(passage) + len(passage))]
    pieces, at = list[tuple[str, bool]](), 0
    for start, end in sorted(places):
        if start >= at:
            pieces += [(_cut(text[at:start]), False), (text[start:end], True)]
            at = end
    return [piece for piece in [*pieces, (_cut(text[at:]), False)] if piece[0]]


def _is_place(mark: Any, text: str) -> bool:
    ends = (mark.get("start"), mark.get("end")) if isinstance(mark, Mapping) else (None, None)
    return all(isinstance(end, int) for end in ends) and 0 <= ends[0] < ends[1] <= len(text)  # type: ignore[operator]


def _cut(text: str) -> str:
    """A long text's beginning and end, without the empty lines that a model may write by the dozen."""
    short = text if len(text) <= HEAD + TAIL else f"{text[:HEAD]} […] {text[-TAIL:]}"
    return re.sub(r"\n\s*\n\s*", "\n", short)
