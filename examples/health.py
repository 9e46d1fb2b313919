"""Healthcare: two experts read an abstract, a third decides where they differ, and "maybe" is an answer like any other.

Data: pubmedqa (Jin et al. 2019, MIT): questions to abstracts of studies, answered with yes, no or maybe by two annotators (one saw the
authors' conclusion, one didn't), and a final decision. All answers are people's. That the decision came from an expert who is
asked only where the two differ is how this story reads it.

Run: python examples/health.py [--out DIR]; about eight minutes on two cores.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from _stories import Summary, begun, chapter, figures, finish, frozen, rows_of, run, still_to_do, tell, thinned, write

from preceptor import Project
from preceptor.reporting.report import Report
from preceptor.runs import SuiteOptions
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.types import Model

DATA = "tasks/pubmedqa/items.jsonl"
QUESTION, ANSWERS = "answer", ("yes", "no", "maybe")
PEOPLE = ("annotator_reasoning_required", "annotator_reasoning_free")
EACH = {"yes": 170, "no": 130, "maybe": 110}  # all that are maybe, and as many others as the time allows
TOKENS = 128  # of question and conclusion; the encoder reads no more
ASKED = 50  # questions to which a model writes an answer


def story(out: Path) -> Summary:
    """Judgments, decisions, soft targets, what each class and each degree of sureness is worth, written answers."""
    rows = [row for label in ANSWERS for row in thinned((r for r in rows_of(DATA) if r["label"] == label), EACH[label], by="label")]
    project = begun(out / "evidence", "health")
    chapter(f"1. {len(rows)} abstracts; two people answered, an expert decides where they differ")
    agreed = judged(project, out, rows)
    chapter("2. A model learns from how sure they were")
    frozen(project, QUESTION, "v1")
    truth = {row["id"]: row["label"] for row in rows}
    reports, chances = {}, {}
    for targets in ("soft", "hard"):
        model = project.train(
            "classify", snapshot="v1", base="minilm", epochs=5, learning_rate=1e-4, dtype="float32", max_tokens=TOKENS, targets=targets
        )
        reports[targets] = project.evaluate(model, truth=truth)
        chances[targets] = predicted(project, model)
    finish(reports["soft"], out)
    chapter("3. Each class by itself; soft targets against hard; and answering only where it is sure")
    classes = by_class(chances["soft"], truth)
    doubt = compared(chances, truth)
    sure = selective(project, out, rows, chances["soft"], truth)
    chapter("4. Written answers, held against the abstract")
    words = faithful(out, rows)
    project.close()
    still_to_do(
        "ask three people or more: with two, nobody can tell who is careful, and half of the doubt is luck",
        "let experts give verdicts on the claims that wait: preceptor people invite NAME --role expert --skill medicine, then",
        "preceptor serve; without people's verdicts no rate of made-up claims exists, whatever a judge scores",
        "route what the model is unsure of to a person: the figures at half coverage say what that would cost",
        "ask regulatory counsel whether this is a medical device where you are, before the first patient",
        "let a model read the results: this one reads the authors' conclusion and takes their word for it",
    )
    return {**agreed, **figures(reports["soft"], "accuracy", "macro_f1", "ece"), **classes, **doubt, **sure, "faithfulness": words}


def judged(project: Project, out: Path, rows: list[dict[str, Any]]) -> Summary:
    """Two people's answers from a file each, and a decision where they differ."""
    items = [
        {
            "id": row["id"],
            "prompt": f"{row['question']}\n\nCONCLUSION: {row['long_answer']}",
            "sources": [*row["contexts"], row["long_answer"]],
            "year": row["year"],
        }
        for row in rows
    ]  # the model reads question and conclusion, people the whole abstract beside them
    project.read(write(out / "studies.jsonl", items))
    for person in PEOPLE:
        said = ({"item": row["id"], "annotator": person, "answer": row[person]} for row in rows)
        project.read(write(out / f"{person}.jsonl", said), question=QUESTION)
    alike = estimate_mean([float(len({row[person] for person in PEOPLE}) == 1) for row in rows])
    tell("the two say the same", alike)
    apart = [row for row in rows if len({row[person] for person in PEOPLE}) > 1]
    for row in apart:
        project.adjudicate(row["id"], QUESTION, row["label"], by="the set's decision", explanation="the two annotators differ")
    tell("decided by an expert, since they differ", len(apart))
    tell("of these the decision is maybe", estimate_mean([float(row["label"] == "maybe") for row in apart]))
    return {"two people agree": alike}


def predicted(project: Project, model: Model) -> dict[str, np.ndarray]:
    """The model's probabilities of each test row, in the order of ANSWERS."""
    snapshot = project.load_snapshot("v1")
    test = list(snapshot.rows("test"))
    table = project.training.predict_probabilities(model, [row.text for row in test])
    order = [snapshot.answers.index(answer) for answer in ANSWERS]
    return {row.id: chances[order] for row, chances in zip(test, table, strict=True)}


def by_class(chances: dict[str, np.ndarray], truth: dict[str, str]) -> Summary:
    """How many of each answer the model finds: accuracy hides the rare one."""
    found: Summary = {}
    for code, answer in enumerate(ANSWERS):
        right = [float(table.argmax() == code) for item, table in chances.items() if truth[item] == answer]
        found[f"found of {answer}"] = estimate_mean(right)
        tell(f"found of {answer}", found[f"found of {answer}"])
    return found


def compared(chances: dict[str, dict[str, np.ndarray]], truth: dict[str, str]) -> Summary:
    """The probability of the right answer under soft and hard targets, on the same rows."""
    loss = {
        targets: [float(-np.log(table[ANSWERS.index(truth[item])])) for item, table in of_each.items()]
        for targets, of_each in chances.items()
    }
    difference = compare_paired(loss["soft"], loss["hard"])
    tell("log loss, soft minus hard targets", difference)
    return {"log loss, soft minus hard targets": difference}


def selective(project: Project, out: Path, rows: list[dict[str, Any]], chances: dict[str, np.ndarray], truth: dict[str, str]) -> Summary:
    """Errors if the model answered only the half that it is surest of, by the template's suite."""
    asked = {row["id"]: row["question"] for row in rows}
    answers = [
        {"id": item, "prompt": asked[item], "reference": truth[item], "answer": ANSWERS[table.argmax()], "confidence": float(table.max())}
        for item, table in chances.items()
    ]
    report = project.evaluate(str(write(out / "answers.jsonl", answers)), suites=["evidence"])
    finish(report, out, "selective")
    found = {"errors, all answered": report.estimates["error"], "errors, the surest half answered": report.estimates["selective_risk"]}
    for name, value in found.items():
        tell(name, value)
    return found


def faithful(out: Path, rows: list[dict[str, Any]]) -> str:
    """What a small model writes about an abstract, claim by claim, and that people's verdicts are missing."""
    project = begun(out / "patients", "health", "answers")
    chosen = rows[:: len(rows) // ASKED][:ASKED]
    prompts = [
        {"id": row["id"], "prompt": f"{' '.join(row['contexts'])[:1200]}\n\n{row['question']} Answer in two sentences.",
         "sources": row["contexts"], "group": row["id"]}
        for row in chosen
    ]  # fmt: skip
    from preceptor.evaluation.prompts import read_prompts

    asked = read_prompts(write(out / "prompts.jsonl", prompts))
    said, _ = project.evaluation.generate_answers(project.evaluation.find_subject("smollm2"), asked, max_tokens=48)
    lines = [{**prompt, "answer": text} for prompt, text in zip(prompts, said.texts, strict=True)]
    report: Report = project.evaluate(
        str(write(out / "written.jsonl", lines)), suites=["faithfulness", "policy"], suite_options=SuiteOptions()
    )
    finish(report, out, "written")
    section = report.document["suites"]["faithfulness"]
    for line in section["summary"]:
        print(f"  {line}")
    project.close()
    return f"{section['looks']['waiting']} answers wait for people's verdicts; there is no rate until they are given"


if __name__ == "__main__":
    run(story, __doc__ or "")
