"""The page's words and examples about a model that writes: how it was measured, what it wrote, what it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from preceptor.evaluation.page.parts import Document, Rendered, Table, Writing, look
from preceptor.evaluation.wording import count, decimal, times

SHOWN = 300  # tokens of a row, its last


def generation_sentences(document: Document) -> Iterator[str]:
    """How answers were made, what was left out, and that parity held."""
    generation = look(document, "generation") or {}
    if most := generation.get("max_tokens"):
        cut = look(generation, "cut", "tuned") or 0
        ran = f"{count(cut)} of {count(generation.get('rows', 0))} ran into that limit" if cut else "none ran into that limit"
        yield (
            f"Answers are the most probable token each time, as served, and at most {count(most)} tokens long, "
            f"{times(generation.get('room', 2))} the longest reference: {ran}."
        )
    if left_out := generation.get("left_out"):
        told = "; ".join(f"{count(number)} × {reason}" for reason, number in left_out.items())
        yield f"Rows that could not be measured: {told}."
    if generation.get("labels"):
        yield f"The completions are {count(generation['labels'])} labels, so that accuracy and macro-F1 can be told."
    if generation and not generation.get("base"):
        yield "Its base was not at hand (--base DIR), so nothing stands beside it."
    yield from _parity_sentences(look(document, "parity") or {}, "tokens" if generation else "answers")


def written_example(example: Document, names: Mapping[str, str]) -> Writing:
    """One row: what was asked, the reference, and each model's answer under its name."""
    answers = [(names.get(str(key), str(key)), _closed_up(str(text))) for key, text in (example.get("answers") or {}).items()]
    f1, probability = example.get("token_f1"), example.get("log_probability")
    parts = ["The same text." if example.get("exact_match") else "" if f1 is None else f"Word F1 {f1:.2f}."]
    parts.append("" if probability is None else f"{decimal(probability)} nats a token of the reference.")
    return Writing(str(example.get("prompt", "")), str(example.get("reference", "")), answers, " ".join(part for part in parts if part))


def rendered_rows(training: Document) -> list[Rendered]:
    """Rows as they were trained on, token by token; of a long one the end, where the answer stands."""
    rows = []
    for row in training.get("rendered") or ():
        tokens = [(_visible(str(token.get("text", ""))), bool(token.get("learnt"))) for token in row.get("tokens") or ()]
        rows.append(Rendered(str(row.get("id", "")), tokens[-SHOWN:], max(0, len(tokens) - SHOWN)))
    return rows


def rendered_sentences(training: Document) -> Iterator[str]:
    """How to read the rows that are shown."""
    rows: Sequence[Any] = training.get("rendered") or ()
    if rows:
        yield "Below, a few rows as they were trained on: the marked tokens are learnt, the others only read."


def left_out_table(training: Document) -> Table:
    """How many rows were learnt from and left out, by reason; of a model that writes also where none was."""
    rows, left_out = training.get("rows") or {}, training.get("left_out") or {}
    body = []
    if training.get("rendered") or left_out:
        for split, used in rows.items():
            reasons = left_out.get(split) or {}
            told = "; ".join(f"{count(number)} × {reason}" for reason, number in sorted(reasons.items())) or "–"
            body.append([str(split), count(used), count(sum(reasons.values())), told])
    return Table("Rows that were learnt from, and those left out", ["split", "used", "left out", "why"], body, numeric=False)


def _parity_sentences(parity: Document, what: str) -> Iterator[str]:
    stages = [stage for stage in parity.get("stages") or () if stage.get("dtype") == "float32" and stage.get("difference") is not None]
    if stages:
        names = ", ".join(str(stage.get("stage")) for stage in stages)
        apart = max(stage["difference"] for stage in stages)
        yield (
            f"Parity holds: {names}, it gives the {what} of {count(parity.get('rows', 0))} validation rows the log-probabilities "
            f"that it had when it was trained, to within {apart:.1g} nats."
        )


def _closed_up(text: str) -> str:
    """A text without the empty lines that a model may write by the dozen."""
    return "\n".join(line for line in text.splitlines() if line.strip())


def _visible(token: str) -> str:
    """A token whose line ends can be seen."""
    return token.replace("\n", "↵\n")
