"""Sentiment: people are asked until each answer is certain, and a small model learns how sure they were.

Data: sentences of Amazon reviews, each rated by 20 people from -4 to 4 (Hutto and Gilbert 2014), from the package vaderSentiment on
PyPI, fetched and checked the first time. The people are recorded and answer as if they were here; nothing is simulated.

Run: python examples/sentiment.py [--out DIR]; about five minutes on two cores.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from _stories import Summary, begun, chapter, figures, finish, frozen, rights, run, still_to_do, tell

from preceptor import Project
from preceptor.models.base_models import VADER_ASSET, fetch_asset
from preceptor.pipeline.demo import RATERS_PER_TEXT, RecordedJudgments, read_recorded_judgments, replay_annotators
from preceptor.reporting.report import Report
from preceptor.statistics import compare_paired, estimate_mean

QUESTION = "sentiment"
ITEMS = 1_200


def story(out: Path) -> Summary:
    """Asking, a snapshot, two models, the gate."""
    project = begun(out / "reviews", "sentiment", gold=False)  # recorded people can't answer our gold
    recorded = subset(read_recorded_judgments(fetch_asset(VADER_ASSET), "amazon"), ITEMS)
    chapter(f"1. {len(recorded.rows):,} of 3,708 sentences; recorded people are asked until each answer is certain")
    bought = asked(project, recorded)
    chapter("2. The people's doubt is what the model learns")
    snapshot = frozen(project, QUESTION, "v1")
    soft, hard = (trained(project, recorded, targets) for targets in ("soft", "hard"))
    both = (rights(project, report) for report in (soft, hard))
    gained = compare_paired(*both, clusters=[row.group for row in snapshot.rows("test")])
    tell("accuracy, soft minus hard targets", gained)
    chapter("3. What it is worth")
    finish(soft, out)
    project.close()
    still_to_do(
        "invite people and let them pass the gold of the template: recorded people couldn't be tested or taught",
        "ask about your own texts, with a column of customers or products as group, and with --group, or the intervals are too narrow",
        "use all sentences: here a third of them, for the time it takes; the whole set is `preceptor demo`",
        "decide what a wrong neutral costs you, and bound that; the gate of the template knows only accuracy, macro F1 and calibration",
    )
    return {**bought, **figures(soft, "accuracy", "macro_f1", "ece"), "accuracy, soft minus hard targets": gained,
            "log loss, soft targets": soft.estimates["log_loss"], "log loss, hard targets": hard.estimates["log_loss"]}  # fmt: skip


def subset(recorded: RecordedJudgments, most: int) -> RecordedJudgments:
    """The sentences of the first reviews, whole reviews as they come, up to about so many."""
    kept: list[dict[str, object]] = []
    groups: set[object] = set()
    for row in recorded.rows:
        if row["group"] in groups or len(kept) < most:
            groups.add(row["group"])
            kept.append(row)
    answers = {str(row["id"]): recorded.answers[str(row["id"])] for row in kept}
    return RecordedJudgments(recorded.name, kept, answers, recorded.excluded_count)


def asked(project: Project, recorded: RecordedJudgments) -> Summary:
    """Ask as live people are asked, and set what was bought against what all 20 people say."""
    said = tomllib.loads((project.folder / "questions" / f"{QUESTION}.toml").read_text(encoding="utf-8"))
    project.add_question(QUESTION, "rating", said["options"], said["instructions"], **said["settings"], panel=RATERS_PER_TEXT)
    project.add_items(recorded.rows)
    replay_annotators(project, recorded, lambda progress: None)
    consensus, truth = project.consensus(QUESTION), recorded.true_answers()
    top = dict(zip(consensus.items, consensus.top, strict=True))
    used = int(consensus.judgment_counts.sum())
    share, agreeing = used / (RATERS_PER_TEXT * len(truth)), estimate_mean([float(top[item] == answer) for item, answer in truth.items()])
    tell("judgments asked for, of all that there are", f"{used:,} of {RATERS_PER_TEXT * len(truth):,} ({share:.1%})")
    tell("agreement of what they say with all 20 people", agreeing)
    return {"judgments used": f"{share:.1%}", "agreement with all 20 people": agreeing}


def trained(project: Project, recorded: RecordedJudgments, targets: str) -> Report:
    """A small encoder, tuned on the posterior or on its most probable answer, measured on what all 20 people say."""
    model = project.train("classify", snapshot="v1", base="minilm", epochs=2.5, learning_rate=1e-4, dtype="float32", targets=targets)
    report = project.evaluate(model, truth=recorded.true_answers())
    tell(f"accuracy, {targets} targets", report.estimates["accuracy"])
    tell(f"log loss, {targets} targets", report.estimates["log_loss"])
    return report


if __name__ == "__main__":
    run(story, __doc__ or "")
