"""The page's section about what a model was rewarded for: how the reward rose, whether a judge agrees, and answers to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from preceptor.evaluation.page.parts import Document, Evidence, Section, Table, figure, look
from preceptor.evaluation.wording import count, decimal, signed_decimal, spread, whole_percent

_KINDS = {"best": "one of the best", "median": "one of the middle", "worst": "one of the worst"}
_LONGEST = 2000  # characters of a prompt or an answer that are shown


def reinforcement_section(document: Document) -> Section:
    """The looks at held-out prompts while the policy learned, and its best, median and worst answers to them."""
    training = look(document, "training") or {}
    tables = [table for table in (_looks_table(training),) if table.rows]
    paragraphs = [" ".join(found)] if (found := list(_sentences(training))) else []
    return Section(
        "reinforcement", "What it was rewarded for", paragraphs, tables=tables,
        evidence=list(_samples(training)), evidence_title="What it wrote to held-out prompts: the best, middle and worst by reward",
    )  # fmt: skip


def _sentences(training: Document) -> Iterator[str]:
    if (before := figure(training, "reward", "base")) is not None and (now := figure(training, "reward", "now")) is not None:
        yield f"Answers to held-out prompts earned {spread(before, decimal)} from the base and earn {spread(now, decimal)} now."
    if (change := figure(training, "reward", "change")) is not None:
        clear = "beyond chance" if change.low > 0 or change.high < 0 else "which may be chance"
        yield f"The difference on the same prompts is {spread(change, signed_decimal)}, {clear}."
        if before is not None and change.confidence > before.confidence:
            yield "The weights are the best of all looks at these prompts, and the intervals of what they earn allow for that."
    if words := look(training, "stopped", "words"):
        yield f"The guard against reward hacking stopped the training, and the last good weights were kept: {words}"


def _looks_table(training: Document) -> Table:
    looks = training.get("looks") or ()
    judged = any("judge" in each for each in looks)
    head = ["after step", "reward", *(["judge"] if judged else []), "nats from base", "tokens", "different word pairs"]
    rows = []
    for each in looks:
        judge = [decimal(each["judge"]) if "judge" in each else "–"] if judged else []
        figures = [decimal(each["kl"]), count(round(each["length"])), whole_percent(each["distinct"])]
        rows.append([count(each["step"]), decimal(each["reward"]), *judge, *figures])
    return Table("Looks at the same held-out prompts, means", head, rows)


def _samples(training: Document) -> Iterator[Evidence]:
    samples = training.get("samples") or {}
    for kind, name in _KINDS.items():
        for sample in samples.get(kind) or ():
            parts = [("asked", [(_cut(sample.get("prompt")), False)]), ("answered", [(_cut(sample.get("text")), False)])]
            yield Evidence(parts, f"{name.capitalize()}: {_earned(sample)}{'' if sample.get('ended', True) else ', cut off'}.")


def _earned(sample: Mapping[str, object]) -> str:
    by_part = sample.get("parts")
    told = ", ".join(f"{name} {decimal(value)}" for name, value in by_part.items()) if isinstance(by_part, Mapping) else ""
    return f"earned {decimal(float(str(sample.get('reward', 0))))}{f' ({told})' if told else ''}"


def _cut(text: object) -> str:
    shown = str(text or "").strip() or "(nothing)"
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + " …"
