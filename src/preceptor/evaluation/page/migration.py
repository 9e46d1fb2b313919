"""The page's section about a model that takes a hosted one's place: what came over, what it costs, and what the code changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from preceptor.domain import Estimate
from preceptor.evaluation.page.parts import Document, Section, Table, is_estimate, look
from preceptor.evaluation.wording import count, decimal, money, signed_decimal, spread


def migration_section(document: Document) -> Section:
    """From the hosted model to its successor."""
    moved = look(document, "migration") or {}
    if not moved:
        return Section("migration", "")
    paragraphs = [" ".join(_sentences(moved)), *map(str, moved.get("words") or ())]
    tables = [table for table in (_variants(moved), _latency(document), _month(moved), _lines(moved)) if table.rows]
    return Section("migration", "From the hosted model to its successor", [words for words in paragraphs if words], tables=tables)


def _sentences(moved: Document) -> Iterator[str]:
    rows = moved.get("rows") or {}
    train, validation, test = (count(rows.get(split, 0)) for split in ("train", "validation", "test"))
    yield f"{train} rows are trained on, {validation} choose, {test} measure."
    if left_out := rows.get("left_out"):
        yield f"Left out, since they can't be learnt here: {'; '.join(f'{count(number)} × {why}' for why, number in left_out.items())}."
    if teacher := moved.get("teacher"):
        paid = money(teacher["paid"], "USD")
        yield f"{moved.get('hosted')} gave {count(teacher['answers'])} answers, for {paid}."
        if teacher.get("again"):
            yield f"{count(teacher['again'])} of them may be paid twice: the service keeps no answers, and a process ended meanwhile."
    if is_estimate(people := look(moved, "people")):
        share = spread(Estimate.of(people))
        yield f"People who saw both answers side by side, without knowing whose they are, preferred the new one in {share}."
    elif asked := moved.get("asked"):
        yield f"{count(asked)} pairs of answers wait for people's judgment: preceptor serve, and invite them."


def _variants(moved: Document) -> Table:
    rows = [
        [str(each["train_on"]), str(each["model"]), spread(Estimate.of(each["score"])), "taken" if each.get("taken") else ""]
        for each in moved.get("variants") or ()
    ]
    return Table("What was trained, and how good it is on validation rows", ["trained on", "model", "score", ""], rows, numeric=False)


def _latency(document: Document) -> Table:
    rows = []
    for name, key in (("successor, on this machine", "tuned"), ("hosted", "hosted")):
        if is_estimate(found := look(document, "models", key, "latency")):
            rows.append([name, spread(Estimate.of(found), decimal)])
    if is_estimate(found := look(document, "comparison", "tuned_minus_hosted_latency")):
        rows.append(["difference, on the same questions", spread(Estimate.of(found), signed_decimal)])
    return Table("Seconds an answer", ["", "mean"], rows)


def _month(moved: Document) -> Table:
    month: Any = moved.get("month") or {}
    rows = [
        [name, spread(Estimate.of(month[key]), lambda dollars: money(dollars, "USD"))]
        for name, key in (("hosted", "hosted"), ("successor, machines kept up all month", "successor"))
        if is_estimate(month.get(key))
    ]
    return Table(f"A month of {count(month.get('requests', 0))} requests", ["", "cost"], rows)


def _lines(moved: Document) -> Table:
    names = ("base_url", "api_key", "model")
    rows = [[name, str(line)] for name, line in zip(names, moved.get("lines") or (), strict=False)]
    return Table("What your code changes", ["", "line"], rows, numeric=False)
