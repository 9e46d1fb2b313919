"""Legal: does a clause say what is asked; and drafts that a lawyer corrects, from which the model learns to write.

Data: contract tasks of LegalBench (Guha et al. 2023; CUAD and ContractNLI, CC-BY-4.0): clauses of American contracts, each with a
question and its answer by lawyers, six to eight clauses a question. There are no corrected drafts among them: the lawyer who corrects
here is simulated from the sets' answers, and writes in a fixed form.

Run: python examples/legal.py [--out DIR]; about eight minutes on two cores.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from _stories import Summary, begun, chapter, figures, finish, frozen, rights, rows_of, run, still_to_do, tell, tell_slices, write

from preceptor import Estimate, Project
from preceptor.evaluation.prompts import read_prompts
from preceptor.statistics import compare_paired, estimate_mean
from preceptor.storage.snapshot_rows import SnapshotRow

CLAUSES, TASKS = "tasks/legalbench_fewshot/items.jsonl", "tasks/legalbench_fewshot/tasks.jsonl"
KINDS = ("cuad_", "contract_nli_")
STATE = re.compile(
    r"\b(?:laws? of (?:the )?(?:State|Commonwealth|Republic) of [A-Z]\w+|(?:Delaware|New York|California|Texas|Nevada|England)\b)"
)
LONGEST = 80  # words of a clause; longer ones take a small model too long
DRAFTS = 80


def story(out: Path) -> Summary:
    """Clauses by few-shot and by tuning, then a round of corrections."""
    rows = clauses()
    project = begun(out / "clauses", "legal")
    chapter(f"1. {len(rows)} clauses, each with a question; the contract is the group")
    judged(project, out, rows)
    chapter("2. Shown two examples each time, or tuned on all of them")
    beside = few_shot_or_tuned(project, out)
    project.close()
    chapter(f"3. {DRAFTS} drafts, no more for the time they take, corrected by a simulated lawyer")
    corrections = corrected(out, rows)
    still_to_do(
        "judge your own contracts: these are six examples a question, and no model of this size learns a question from six",
        "let two lawyers of the law in question judge each clause, and a third decide where they differ",
        "correct drafts by hand on the page (preceptor serve): the corrections here have one form, which is easier to learn than law",
        "take a base that can draft: 135 million parameters show how the round goes, and write no memorandum",
        "say in policy.toml whose law you answer for; this story put the United States there",
    )
    return {**beside, **corrections}


def clauses() -> list[dict[str, Any]]:
    """Clauses with their question in words, answer, contract, and whether they name a law."""
    said = {row["task"]: row["base_prompt"] for row in rows_of(TASKS)}
    found = []
    for row in rows_of(CLAUSES):
        if not row["task"].startswith(KINDS):
            continue
        asked = re.sub(r"\s+", " ", said[row["task"]].partition("\n\nClause:")[0]).strip()
        asked = re.sub(r"^Identify if the clause provides that (.*?)\.?$", r"Does the clause provide that \1?", asked)
        text = " ".join(row["fields"]["text"].split())
        if len(text.split()) > LONGEST:
            continue
        kind = "confidentiality" if row["task"].startswith("contract_nli") else "commercial terms"
        found.append(
            {
                "id": row["id"],
                "prompt": f"Clause: {text}\n\n{asked}",
                "clause": row["label"],
                "contract": row["fields"]["document_name"].strip(),
                "jurisdiction": "names one" if STATE.search(text) else "names none",
                "about": kind,
            }
        )
    return found


def judged(project: Project, out: Path, rows: list[dict[str, Any]]) -> None:
    """The lawyers' answers of the sets as judgments of one annotator."""
    kept = ("id", "prompt", "clause", "contract", "jurisdiction", "about")
    report = project.read(
        write(out / "clauses.jsonl", ({k: row[k] for k in kept} for row in rows)), question="clause", label="clause", group="contract"
    )
    snapshot = frozen(project, "clause", "v1")
    tell("clauses and contracts", f"{report.items}, {len({row['contract'] for row in rows})}")
    tell("rows by side of the split", ", ".join(f"{count} {side}" for side, count in snapshot.summary()["rows"].items()))


def few_shot_or_tuned(project: Project, out: Path) -> Summary:
    """The same test rows by a model that is shown examples, and by a small encoder that was tuned."""
    tuned = project.train("classify", snapshot="v1", base="minilm", epochs=6, learning_rate=1e-4, dtype="float32", max_tokens=128)
    report = project.evaluate(tuned)
    finish(report, out)
    shown = project.train("in_context", snapshot="v1", base="smollm2", shots=2, calibration=4, max_tokens=112)
    few = project.evaluate(shown)
    test = list(project.load_snapshot("v1").rows("test"))
    right = {"tuned": rights(project, report), "few-shot": rights(project, few)}
    difference = compare_paired(*right.values(), clusters=[row.group for row in test])
    found = {
        "clauses right, tuned (23 million parameters)": report.estimates["accuracy"],
        "clauses right, few-shot (135 million)": few.estimates["accuracy"],
        "tuned minus few-shot, same clauses": difference,
        **{f"found of {answer}, {name}": found_of(answer, test, each) for name, each in right.items() for answer in ("Yes", "No")},
    }
    for name, value in found.items():
        tell(name, value)
    tell_slices(report)
    return found


def found_of(answer: str, rows: list[SnapshotRow], right: list[float]) -> Estimate:
    """How many of the clauses with this answer are told: a model that always says the same has all of one and none of the other."""
    told = [(each, row.group) for row, each in zip(rows, right, strict=True) if row.answer == answer]
    return estimate_mean([each for each, _ in told], clusters=[group for _, group in told])


def corrected(out: Path, rows: list[dict[str, Any]]) -> Summary:
    """A small model drafts notes, a simulated lawyer corrects them, the model learns from the corrections."""
    project = begun(out / "drafts", "legal", "drafts")
    policy = project.folder / "policy.toml"
    policy.write_text(policy.read_text(encoding="utf-8").replace('["England", "Wales"]', '["United States"]'), encoding="utf-8")
    chosen = rows[::2][:DRAFTS]
    prompts = [{"id": row["id"], "prompt": f"{row['prompt']} Answer in a note of two sentences.", "group": row["contract"],
                "asks_for": "a draft"} for row in chosen]  # fmt: skip
    asked = read_prompts(write(out / "prompts.jsonl", prompts))
    drafts = project.evaluation.generate_answers(project.evaluation.find_subject("smollm2"), asked, max_tokens=48)[0].texts
    project.read(write(out / "drafts.jsonl", ({**p, "completion": d or "(nothing)"} for p, d in zip(prompts, drafts, strict=True))))
    usable = 0
    project.add_annotator("lawyer (simulated)")
    for row, draft in zip(chosen, drafts, strict=True):
        wanted = note(row)
        fits = " ".join(draft.split()) == wanted
        usable += fits
        project.judge(
            row["id"], "draft", annotator="lawyer (simulated)", answer="usable" if fits else "needs mending", key=f"{row['id']}-d"
        )
        text = {"text": wanted, "from": draft or "(nothing)"}
        project.judge(row["id"], "mended", annotator="lawyer (simulated)", answer=text, key=f"{row['id']}-m")
    tell("drafts, of which usable as they were", f"{len(drafts)}, {usable}")
    print(f"  draft:     {' '.join(drafts[0].split())[:100]}\n  corrected: {note(chosen[0])}")
    frozen(project, "mended", "v1")
    model = project.train(
        "sft", snapshot="v1", base="smollm2", epochs=2, learning_rate=5e-4, adapter="lora-top", max_tokens=300, dtype="float32"
    )
    report = project.evaluate(model, suites=["policy"])
    finish(report, out, "drafts")
    found = {
        "drafts: words as corrected, tuned": report.estimates["token_f1"],
        "drafts: words as corrected, tuned minus base": report.estimates["tuned_minus_base_token_f1"],
        **{f"drafts: {name}": value for name, value in figures(report, "violations", "retention").items()},
    }
    for name, value in found.items():
        tell(name, value)
    project.close()
    return found


def note(row: dict[str, Any]) -> str:
    """What the simulated lawyer writes: the answer, and what the clause says of whose law it is."""
    said = "The clause says so." if row["clause"] == "Yes" else "The clause doesn't say so."
    law = "It names a law" if row["jurisdiction"] == "names one" else "It names no law"
    return f"{row['clause']}. {said} {law}; read it under the law of the contract, in the United States that of a state."


if __name__ == "__main__":
    run(story, __doc__ or "")
