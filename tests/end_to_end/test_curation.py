"""A real set with planted faults: found, put before experts, answered, and the next snapshot differs as the difference says."""

from __future__ import annotations

import json
import random

import pytest

from preceptor import Project
from preceptor.snapshots import curation
from preceptor.snapshots.check_page import compare_snapshots
from preceptor.snapshots.remediation import drop_rows, mask_personal_data, merge_duplicates, send_to_experts
from preceptor.storage import artifacts
from preceptor.storage.snapshots import write_snapshot
from preceptor.types import Question

FEW = 8  # intents
CANARIES = (
    "write to {name}.smith@gmail.com",
    "my card is 4111 1111 1111 1111",
    "account GB82 WEST 1234 5698 7654 32",
    "call me on +44 20 7946 0958",
)


@pytest.fixture(scope="module")
def planted(tmp_path_factory, shared_data):
    """Eight intents of banking77, one judgment each, of which one in twenty is wrong; copies, near copies and canaries among them."""
    lines = (shared_data / "tasks" / "banking77" / "items.jsonl").read_text(encoding="utf-8").splitlines()
    every = [json.loads(line) for line in lines]
    known = sorted({row["label"] for row in every})[:FEW]
    rng = random.Random(0)
    rows = rng.sample([row for row in every if row["label"] in known], 500)
    wrong = {row["id"] for row in rng.sample(rows, 25)}
    project = Project.create(tmp_path_factory.mktemp("bank") / "p")
    project.add_question("intent", "choice", known, "What does the customer want?")
    project.add_items({"id": row["id"], "text": row["text"]} for row in rows)
    copies = {f"copy-{n}": (rows[10 * n], rows[10 * n]["text"].upper() if n % 2 else f"{rows[10 * n]['text']}!") for n in range(20)}
    canaries = {f"canary-{n}": (rows[-n - 1], f"{CANARIES[n % 4].format(name=f'bob{n}')}: {rows[-n - 1]['text']}") for n in range(20)}
    project.add_items({"id": id_, "text": text} for id_, (_, text) in {**copies, **canaries}.items())
    project.add_annotator("ann")
    for row in rows:
        said = rng.choice([label for label in known if label != row["label"]]) if row["id"] in wrong else row["label"]
        project.judge(row["id"], "intent", annotator="ann", answer=said)
    project.add_annotator("bob")
    for id_, (row, _) in {**copies, **canaries}.items():
        project.judge(id_, "intent", annotator="bob", answer=row["label"])
    project.add_annotator("eve", "expert")
    truth = {row["id"]: row["label"] for row in rows}
    yield project, project.snapshot("intent", name="v1"), {"wrong": wrong, "copies": copies, "canaries": canaries, "truth": truth}
    project.close()


def found(project, snapshot, check):
    finding = project.check(snapshot, only=[check]).get_finding(check)
    return finding, {suspect.item for suspect in finding.rows}


def test_planted_copies_and_canaries_are_all_found_and_gone_from_the_next_snapshot(planted):
    project, snapshot, told = planted
    duplicates, items = found(project, snapshot, "duplicates")
    assert set(told["copies"]) | {row["id"] for row, _ in told["copies"].values()} <= items
    _, personal = found(project, snapshot, "personal")
    assert set(told["canaries"]) <= personal
    merged = merge_duplicates(project, snapshot, duplicates, by="boss", name="merged")
    assert found(project, merged, "duplicates")[1] == set()
    masked = mask_personal_data(project, merged, by="boss", name="masked")
    assert found(project, masked, "personal")[1] == set()
    changed = compare_snapshots(project, snapshot, masked)
    assert set(changed["removed"]) | {row.id for row in merged.rows()} == {row.id for row in snapshot.rows()}
    assert all((why["reason"], why["by"], "into" in why) == ("merged", "boss", True) for why in changed["why"].values())
    assert set(changed["contents"]) == set(masked.manifest["masked"])
    assert (changed["splits"], changed["people"]["went"]) == ({}, {}), "a merged row keeps everybody's judgments"
    assert project.snapshot("intent").digest == masked.digest


def test_leaks_that_another_split_made_are_all_found_and_left_out(planted):
    project, snapshot, told = planted
    pairs = {id_: row["id"] for id_, (row, _) in told["copies"].items()}
    held = {row.id: row for row in snapshot.rows()}
    sides = {**dict.fromkeys(pairs, "test"), **dict.fromkeys(pairs.values(), "train")}
    rows = [
        type(row)(row.id, row.content, row.target, row.weight, sides.get(row.id, row.split), row.id, row.lineage) for row in held.values()
    ]
    question = Question("intent", "choice", snapshot.answers)
    crossed = write_snapshot(
        project.objects, question, snapshot.answers, rows, {"seed": 0, "fractions": {}, "checks": [], "method": "theirs"}
    )
    with project.database.writing() as connection:
        artifacts.add_snapshot(connection, digest=crossed.digest, name="crossed", question="intent")
    leaks, items = found(project, crossed, "leaks")
    assert set(pairs) <= items
    clean = drop_rows(project, crossed, items, reason="it leaks", by="boss", check="leaks")
    assert found(project, clean, "leaks")[1] == set()
    for item in items:  # so that the other tests find the set as it was
        curation.undo_curation(project, item, "intent", by="boss")
    assert leaks.action == "drop"


@pytest.mark.slow
def test_wrong_labels_climb_to_the_expert_and_their_answers_change_the_next_snapshot(planted):
    project, snapshot, told = planted
    finding, items = found(project, snapshot, "labels")
    assert len(items & told["wrong"]) >= 0.6 * len(told["wrong"])
    sent = send_to_experts(project, snapshot, finding, by="boss")
    assert (sent.item_count, sent.has_experts) == (len(items), True)
    queue = [suspect.item for suspect in curation.list_suspects(project, "intent", limit=999)]
    assert set(queue) == items
    project.add_annotator("eve")
    first = project.next("eve", "intent", guide=False)
    assert first.item in items
    project.submit(first.slot, "eve", told["truth"].get(first.item, "age_limit"))
    before = project.snapshot("intent", name="before")
    mended = [item for item in queue if item in told["wrong"]]
    for item in mended:
        curation.curate_item(project, item, "intent", "relabel", answer=told["truth"][item], reason="as the text says", by="eve")
    after = project.snapshot("intent", name="after")
    changed = compare_snapshots(project, before, after)
    answers = {row.id: row.answer for row in after.rows()}
    assert all(answers[item] == told["truth"][item] for item in mended)
    assert set(changed["targets"]) == set(mended), "and nothing else changed: they were chosen for being wrong"
    assert sum(changed["moves"].values()) >= len(mended) - 1
    assert (changed["added"], changed["removed"], changed["splits"]) == ([], [], {})
    assert curation.count_suspects(project, "intent")["decided"] == len(mended)
