"""Finance: what a text says of a price, and whether figures that a model takes from a report are exactly right.

Data: fin_tweets (MIT), posts about securities with one label each, and TAT-QA (Zhu et al. 2021, MIT), questions about tables of annual
reports with their answers. Labels and answers are those of the sets, taken as one person's judgments; nobody is simulated.

Run: python examples/finance.py [--out DIR]; about eight minutes on two cores.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from _stories import (
    Summary,
    begun,
    chapter,
    data,
    figures,
    finish,
    frozen,
    rights,
    rows_of,
    run,
    still_to_do,
    tell,
    tell_slices,
    thinned,
    write,
)

from preceptor import Project
from preceptor.evaluation.metrics.metric import MetricMeasurement, metrics
from preceptor.registry import OptionsBase
from preceptor.statistics import estimate_mean

TWEETS, TABLES = "tasks/fin_tweets/items.jsonl", "tasks/tatqa_finance/items.jsonl"
EACH = 260  # posts a stance: neutral ones are four times as many in the set
LONGEST = 360  # characters of a table: a small model reads few of them at a time
SUMS = 20  # questions that need a sum
YEAR = re.compile(r"(?:19|20)\d\d")  # which is easily said where figures are asked for
SECURITY = re.compile(r"\$[A-Z]{1,5}\b")
TOPICS = {"analyst": r"price target|upgrad|downgrad|\bhold\b|\bbuy\b|\bsell\b|overweight|neutral from|cuts? to|raised? to",
          "results": r"earnings|revenue|\bEPS\b|quarter|profit|outlook|guidance|dividend"}  # fmt: skip


@metrics.register("same_number", options=OptionsBase)
class SameNumber:
    """The share of answers whose figures are the reference's, sign and scale included; `$` and commas don't count."""

    needs_reference = True

    def __init__(self, options: OptionsBase | None = None) -> None:
        pass

    def measure(self, texts: Any, prompts: Any) -> MetricMeasurement:
        """1 where all figures and the word of scale are the same."""
        return MetricMeasurement(
            np.array([[float(numbers(text) == numbers(one.reference))] for text, one in zip(texts, prompts, strict=True)])
        )


def numbers(text: str) -> tuple[list[float], str]:
    """The figures in a text, brackets as minus, and its word of scale; a text without figures is itself."""
    plain = re.sub(r"\((\$?[\d.,]+)\)", r"-\1", text).replace("$", "").replace(",", "")
    found = [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", plain)]
    scale = re.search(r"thousand|million|billion|percent|%", text.casefold())
    return found, scale[0].replace("%", "percent") if scale and found else "" if found else text.strip().casefold()


def story(out: Path) -> Summary:
    """The posts and their classifier, then the tables and their figures."""
    data(TWEETS), data(TABLES)
    posts = begun(out / "posts", "finance")
    chapter("1. Posts about securities: bearish, neutral or bullish")
    stance = stances(posts, out)
    posts.close()
    chapter("2. Questions about tables of annual reports, short ones for the time they take")
    reports = begun(out / "tables", "finance", "answers")
    answers = exact(reports, out)
    reports.close()
    still_to_do(
        "let three people judge each post: one label hides that people differ, and its errors look like the model's",
        "give the company or the story behind a post as group: here it is the ticker, and hardly a post names the same one as another",
        "keep the neutral posts as many as they are in life: here the set was thinned to equal parts, so the shares are not the market's",
        "take a base that reads tables and computes: one of 135 million parameters says a figure of the table, and seldom the right one",
        "let people with the skill accounting check the figures of 300 answers before any of them reaches a customer",
    )
    return {**stance, **answers}


def stances(project: Project, out: Path) -> Summary:
    """Import the posts, tune a small encoder, look at the gate and at slices."""
    chosen = list(thinned(rows_of(TWEETS), EACH, by="label"))
    rows = [
        {"id": f"t-{row['id']}", "text": row["text"], "stance": row["label"], "topic": topic(row["text"]), "company": company(row)}
        for row in chosen
    ]
    project.read(write(out / "posts.jsonl", rows), question="stance", label="stance", group="company")
    frozen(project, "stance", "v1")
    model = project.train("classify", snapshot="v1", base="minilm", epochs=3, learning_rate=1e-4, dtype="float32")
    report = project.evaluate(model)
    finish(report, out)
    found = figures(report, "accuracy", "macro_f1", "ece")
    for name, value in found.items():
        tell(name, value)
    tell_slices(report)
    return {f"stance: {name}": value for name, value in found.items()}


def company(row: dict[str, Any]) -> str:
    """The security named first, else the post alone."""
    named = SECURITY.search(row["text"])
    return named[0] if named else f"post-{row['id']}"


def topic(text: str) -> str:
    """A rough topic by words, to look at figures apart."""
    return next((name for name, pattern in TOPICS.items() if re.search(pattern, text, re.IGNORECASE)), "other")


def exact(project: Project, out: Path) -> Summary:
    """Tune a model that writes to answer from tables, and count figures that are exactly right, by kind of question."""
    suite = project.folder / "suites" / "figures.toml"
    suite.write_text(suite.read_text(encoding="utf-8").replace("metrics = [{", 'metrics = ["same_number", {'), encoding="utf-8")
    rows = questions()
    project.read(write(out / "questions.jsonl", ({k: v for k, v in row.items() if k != "answer"} for row in rows)))
    project.add_annotator("TAT-QA")
    for row in rows:
        project.judge(row["id"], "corrected", annotator="TAT-QA", answer=row["answer"], key=row["id"])
    frozen(project, "corrected", "v1")
    tell("questions, of which sums", f"{len(rows)}, {sum(row['type'] == 'sum' for row in rows)}")
    model = project.train(
        "sft", snapshot="v1", base="smollm2", epochs=3, learning_rate=5e-4, adapter="lora-top", max_tokens=400, dtype="float32"
    )
    report = project.evaluate(model, suites=["figures", "policy"])
    finish(report, out, "tables")
    test = list(project.load_snapshot("v1").rows("test"))
    right = dict(zip((row.id for row in test), rights(project, report, "exact_match"), strict=True))
    kinds = {kind: [row for row in rows if row["type"] == kind and row["id"] in right] for kind in ("copied", "sum")}
    found = {
        "figures: exactly right": report.estimates["figures.same_number"],
        "figures: word for word": report.estimates["figures.exact_match"],
        **{f"word for word, {kind} (of {len(those)})":
            estimate_mean([right[row["id"]] for row in those], clusters=[row["group"] for row in those])
           for kind, those in kinds.items()},
        "answers that break the policy": report.estimates["violations"],
        "words in common, tuned minus base": report.estimates["tuned_minus_base_token_f1"],
        "general log-probability kept": report.estimates.get("retention"),
    }  # fmt: skip
    for name, value in found.items():
        tell(name, value)
    for example in report.document["examples"][:3]:
        print(f"  asked for {example['reference']!r}, it says {example['answers']['tuned']!r}")
    return found


def questions() -> list[dict[str, Any]]:
    """Questions whose answer stands in a short table and is no year, and some that need a sum; one group a table."""
    found, sums = [], 0
    for context in rows_of(TABLES):
        if len(context["table"]) > LONGEST:
            continue
        for asked in context["questions"]:
            answer = asked["answer"]
            copied = asked["answer_type"] == "span" and len(answer) == 1 and answer[0].strip("$ %") in context["table"]
            if copied and YEAR.fullmatch(answer[0].strip()):
                continue
            if not copied and (asked["answer_type"] != "arithmetic" or sums == SUMS):
                continue
            sums += not copied
            text = " ".join(filter(None, [str(answer[0] if copied else answer), asked["scale"]]))
            found.append({"id": asked["id"], "prompt": f"{context['table']}\n\n{asked['question']}", "group": context["id"],
                          "type": "copied" if copied else "sum", "answer": text, "sources": [context["table"]]})  # fmt: skip
    return found


if __name__ == "__main__":
    run(story, __doc__ or "")
