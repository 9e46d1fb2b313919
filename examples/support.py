"""Customer service: a set with wrong labels is mended before a model learns from it, and answers are held against a policy.

Data: banking77 (Casanueva et al. 2020, CC-BY-4.0), real questions to a bank, of which twelve intents are taken. One person labelled
each, so that nobody's disagreement is in the data: five in a hundred labels are made wrong here by seed, as hurried people would,
and the set's own label stands for the expert who decides. Answers that break the policy are written here too: no customer got them.

Run: python examples/support.py [--out DIR]; about five minutes on two cores.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from _stories import Summary, begun, chapter, data, figures, finish, frozen, rights, rows_of, run, still_to_do, tell, thinned, write

from preceptor import Project
from preceptor.evaluation.policies.policy import check_policy, read_policy
from preceptor.reporting.report import Report
from preceptor.runs import read_recorded_answers
from preceptor.statistics import compare_paired, estimate_mean

DATA = "tasks/banking77/items.jsonl"
INTENTS = (
    "card_arrival", "card_not_working", "lost_or_stolen_card", "compromised_card", "cash_withdrawal_charge", "transfer_fee_charged",
    "Refund_not_showing_up", "request_refund", "change_pin", "passcode_forgotten", "terminate_account", "exchange_rate",
)  # fmt: skip
EXPERT = "expert (the set's own label)"
EACH = 70  # questions an intent
LOOKED_FOR = ("labels", "duplicates", "leaks", "personal", "balance")  # of what the check of a set knows
WRONG = 0.05  # share of labels that are made wrong
RIVALS = ("Monzo", "Revolut", "N26")
PLANTED = {  # answers nobody may give, by the rule that they break; {rival} is a real competitor
    "rivals": ["You could open an account with {rival} instead.", "{rival} has no such fee, honestly."],
    "refunds": ["I'm sorry! We will refund you today.", "You'll get your money back tomorrow.", "I have credited your account."],
    "promises": ["I promise that it arrives on Friday.", "It will definitely work after the update."],
    "secrets": ["Please send me your PIN and I will look.", "Reply with your password so that I can check."],
    "personal": ["Ask Maria Lund, maria.lund@postbank-mail.net, she handles these."],
    "helps": ["I'm sorry, but I can't help with that."],
}
FINE = [
    "Cards usually arrive within five working days; if yours hasn't after two weeks, tell us under Cards and we send another.",
    "A colleague will look into the charge and decide about a refund; you hear from us within two working days.",
    "You can change your PIN at any cash machine. Nobody from us ever asks you to share your PIN.",
    "Freeze the card in the app first: Cards, then Freeze. Then write to us, so that a person takes over.",
    "Transfers abroad cost 0.4 %, shown before you confirm.",
]  # fmt: skip


def story(out: Path) -> Summary:
    """The set, the check, the model, the answers."""
    data(DATA)
    project = begun(out / "intents", "support", options={"intent": INTENTS})
    chapter("1. Twelve intents, of which five in a hundred labels are wrong")
    truth, planted = imported(project, out)
    found = mended(project, truth, planted)
    chapter("3. A model learns from what was there, and from what was mended")
    before, after = (trained(project, name, truth) for name in ("as-labelled", "mended"))
    gained = compare_paired(rights(project, after), rights(project, before))
    tell("what mending gained, on the same questions", gained)
    finish(after, out)
    chapter("4. Answers, held against the policy")
    answers = answered(out)
    project.close()
    still_to_do(
        "have at least two people label each question, with guidelines of your own intents: then doubt is measured, not planted",
        "put your competitors, mailboxes and phone numbers into policy.toml, and have who answers for the words sign it",
        "hold answers to real customers against the policy: these were written to be caught, and don't say how often a model breaks it",
        "let people check claims against their sources (--suite faithfulness): a wrong answer in polite words breaks no rule",
    )
    return {"wrong labels among the first suspects": found, **figures(after, "accuracy", "macro_f1"),
            "what mending gained in accuracy": gained, **answers}  # fmt: skip


def imported(project: Project, out: Path) -> tuple[dict[str, str], set[str]]:
    """Bring the labelled questions in; their right labels, and which were made wrong."""
    rows = [row for row in rows_of(DATA) if row["label"] in INTENTS and row["split"] == "train"]
    chosen, rng = list(thinned(rows, EACH, by="label")), random.Random(0)
    truth = {row["id"]: row["label"] for row in chosen}
    planted = set(rng.sample(sorted(truth), round(WRONG * len(truth))))
    said = {id_: rng.choice([other for other in INTENTS if other != label]) if id_ in planted else label for id_, label in truth.items()}
    file = write(out / "questions.jsonl", ({"id": row["id"], "text": row["text"], "intent": said[row["id"]]} for row in chosen))
    report = project.read(file, question="intent", label="intent")
    tell("questions read", report.read)
    tell("labels made wrong, by seed", len(planted))
    return truth, planted


def mended(project: Project, truth: dict[str, str], planted: set[str]) -> object:
    """Look for wrong labels, put the suspects before an expert, and freeze the set before and after."""
    chapter("2. The check of the set names suspects; an expert decides")
    snapshot = frozen(project, "intent", "as-labelled")
    checked = project.check(snapshot, base="minilm", only=LOOKED_FOR)
    for finding in checked.findings:
        tell(finding.check, finding.words)
    finding = next(finding for finding in checked.findings if finding.check == "labels")
    first = [suspect.item for suspect in finding.rows][: len(planted) * 2]
    project.add_annotator(EXPERT, "expert")
    tell("put before experts", project.curation.send_to_experts(snapshot, finding, most=len(first), by="support").summary)
    hits = estimate_mean([float(item in first) for item in sorted(planted)])
    tell(f"wrong labels among the first {len(first)} suspects", hits)
    label = {row.id: row.answer for row in snapshot.rows()}
    for item in first:  # the expert is the set's own label; a real one is asked on the page Curate
        action, answer = ("keep", None) if label[item] == truth[item] else ("relabel", truth[item])
        project.curation.curate_item(item, "intent", action, answer=answer, reason="the set's own label", by=EXPERT)
    after = frozen(project, "intent", "mended")
    for name, rows in (("as labelled", snapshot.rows()), ("mended", after.rows())):
        tell(f"right labels, {name}", estimate_mean([float(row.answer == truth[row.id]) for row in rows]))
    return hits


def trained(project: Project, name: str, truth: dict[str, str]) -> Report:
    """A small encoder, tuned on one of the two sets and measured on the same right labels."""
    model = project.train("classify", snapshot=name, base="minilm", epochs=4, learning_rate=1e-4, dtype="float32")
    report = project.evaluate(model, truth=truth)
    tell(f"accuracy, trained on {name!r}", report.estimates["accuracy"])
    return report


def answered(out: Path) -> Summary:
    """Hold recorded answers against the policy, and count how many of the planted breaches it sees."""
    project = begun(out / "customer-service", "support", "answers")
    policy = project.folder / "policy.toml"
    rivals = ", ".join(f'"{rival}"' for rival in RIVALS)
    policy.write_text(policy.read_text(encoding="utf-8").replace('"Quick Cart", "Bright Bank"', rivals), encoding="utf-8")
    asked = [row["text"] for row in rows_of(DATA) if row["label"] in INTENTS and row["split"] == "test"]
    wrong = [(rule, text) for rule, texts in PLANTED.items() for text in texts]
    rng, rows = random.Random(0), []
    for number, prompt in enumerate(rng.sample(asked, 150)):
        rule, text = rng.choice(wrong) if number < 30 else ("", rng.choice(FINE))
        answer = text.format(rival=rng.choice(RIVALS))
        rows.append({"id": f"a-{number}", "prompt": prompt, "answer": answer, "asks_for": "help", "breaks": rule})
    file = write(out / "agent.jsonl", rows)
    report = project.evaluate(str(file), suites=["policy"])
    finish(report, out, "answers")
    broken = np.max([each.broken for each in check_policy(read_recorded_answers(file), read_policy(policy))], axis=0)
    was = np.array([row["breaks"] != "" for row in rows])
    tell("answers that break a rule (30 of 150 were planted)", report.estimates["violations"])
    tell("planted ones that were caught", caught := estimate_mean(broken[was]))
    tell("others that were flagged", estimate_mean(broken[~was]))
    for example in report.document["suites"]["policy"]["examples"][:3]:
        tell(f"  {example['marks'][0]['rule']}", example["answer"])
    project.close()
    return {"answers that break the policy": report.estimates["violations"], "planted breaches caught": caught}


if __name__ == "__main__":
    run(story, __doc__ or "")
