"""What people do about findings: experts, merging, leaving out, masking. Each makes a new snapshot, and later ones keep to it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from preceptor import Project
from preceptor.annotation import redundancy
from preceptor.errors import UserError
from preceptor.planning import target_judgment_counts
from preceptor.snapshots import curation
from preceptor.snapshots.check_page import build_difference_tables, compare_snapshots
from preceptor.snapshots.remediation import drop_rows, mask_personal_data, merge_duplicates, send_to_experts
from preceptor.storage import curations, events, questions, slots
from preceptor.storage.snapshots import Snapshot

KILLED = """
import os, sys
from preceptor import Project
from preceptor.snapshots import remediation
project = Project.open(sys.argv[1])
setattr(*{"noted": (remediation.artifacts, "add_snapshot"), "kept": (remediation.curations, "add_many"),
            "derived": (remediation, "derive_snapshot")}[sys.argv[2]],
        lambda *given, **more: os._exit(9))
remediation.drop_rows(project, project.load_snapshot("v1"), ["i-000", "i-001"], reason="spam", by="boss", name="v2")
"""


def rows(snapshot):
    return {row.id: row for row in snapshot.rows()}


def sides(snapshot):
    return {row.id: row.split for row in snapshot.rows()}


def log(project):
    with project.database.reading() as connection:
        return [(each["kind"], each["actor"]) for each in events.read_events(connection)]


def test_suspects_climb_to_experts_the_gravest_first(small, finding_of):
    small.project.add_annotator("eve", "expert")
    found = finding_of("undecided", "experts", {"i-005": None, "i-004": None, "i-003": None})
    sent = send_to_experts(small.project, small.snapshot, found, most=2, by="boss")
    assert (sent.item_count, sent.decided_count, sent.has_experts) == (2, 0, True)
    assert sent.summary == "2 items put before experts, the gravest first"
    assert [each.item for each in curation.list_suspects(small.project, "mood")] == ["i-005", "i-004"]
    handed = set()
    while (held := small.project.next("eve", "mood", guide=False)) is not None and held.tier == 2:
        small.project.submit(held.slot, "eve", "neutral")
        handed.add(held.item)
    assert handed == {"i-004", "i-005"}
    send_to_experts(small.project, small.snapshot, found, by="boss")
    small.project.add_annotator("ed", "expert")
    again = set()
    while (held := small.project.next("ed", "mood", guide=False)) is not None and held.tier == 2:
        small.project.submit(held.slot, "ed", "neutral")
        again.add(held.item)
    assert again == {"i-003", "i-004", "i-005"}
    assert log(small.project)[-1] == ("suspects put before experts", "boss")


def test_without_an_expert_it_says_so(small, finding_of):
    sent = send_to_experts(small.project, small.snapshot, finding_of("undecided", "experts", {"i-005": None}), by="boss")
    assert not sent.has_experts
    assert "1 item put before experts" in sent.summary
    assert "preceptor people invite NAME --role expert" in sent.summary


def test_what_somebody_decided_isnt_sent_again_unless_it_was_taken_back(small, finding_of):
    found = finding_of("labels", "experts", {"i-005": None, "i-004": None})
    send_to_experts(small.project, small.snapshot, found, by="boss")
    curation.curate_item(small.project, "i-005", "mood", "keep", by="eve")
    sent = send_to_experts(small.project, small.snapshot, found, by="boss")
    assert (sent.item_count, sent.decided_count) == (1, 1)
    assert send_to_experts(small.project, small.snapshot, finding_of("leaks", "drop", {"i-005": None}), by="boss").item_count == 1
    curation.undo_curation(small.project, "i-005", "mood", by="eve")
    assert send_to_experts(small.project, small.snapshot, found, by="boss").item_count == 2


def test_the_row_with_most_judgments_stays_and_has_those_of_all(small, finding_of):
    small.judge("i-004", "positive", people=("cid",))
    before = small.project.snapshot("mood", name="v2")
    made = merge_duplicates(
        small.project, before, finding_of("duplicates", "merge", {"i-004": "i-004", "i-005": "i-004", "i-009": None}), by="boss", name="v3"
    )
    was, now = rows(before), rows(made)
    if was["i-004"].split == was["i-005"].split:
        assert set(was) - set(now) == {"i-005"}
        assert now["i-004"].lineage == tuple(sorted([*was["i-004"].lineage, *was["i-005"].lineage]))
        pooled = {a: (3 * was["i-004"].target.get(a, 0) + 2 * was["i-005"].target.get(a, 0)) / 5 for a in now["i-004"].target}
        assert now["i-004"].target == pytest.approx(pooled, abs=1e-6)
    assert sides(made) == {id_: side for id_, side in sides(before).items() if id_ in now}
    assert Snapshot.load(small.project.objects.path(before.digest)).digest == before.digest
    assert made.manifest["derived"] == {
        "from": before.digest, "action": "merge", "by": "boss", "reason": "the same as another row", "check": "duplicates", "rows": 1,
    }  # fmt: skip
    assert small.project.snapshot("mood").digest == made.digest


def test_left_out_with_a_reason_and_later_snapshots_agree(small):
    made = drop_rows(small.project, small.snapshot, ["i-010", "i-011", "i-010"], reason="spam", by="boss", check="empty", name="v2")
    assert set(rows(small.snapshot)) - set(rows(made)) == {"i-010", "i-011"}
    assert sides(made) == {id_: side for id_, side in sides(small.snapshot).items() if id_ in rows(made)}
    later = small.project.snapshot("mood")
    assert later.digest == made.digest == small.project.load_snapshot("v2").digest
    assert next(each for each in made.manifest["checks"] if each["check"] == "curated")["reasons"] == {"rejected: spam": 2}
    again = drop_rows(small.project, made, ["i-012"], reason="about somebody else", by="boss")
    assert next(each for each in again.manifest["checks"] if each["check"] == "curated")["reasons"] == {
        "rejected: spam": 2,
        "rejected: about somebody else": 1,
    }
    assert small.project.snapshot("mood").digest == again.digest
    changed = compare_snapshots(small.project, small.snapshot, again)
    assert changed["removed"] == ["i-010", "i-011", "i-012"]
    assert changed["why"]["i-012"] == {"reason": "rejected: about somebody else", "by": "boss"}
    assert changed["people"] == {"came": {}, "went": {"ann": 3, "bob": 3}}


def test_masked_rows_keep_their_ids_and_later_snapshots_are_masked_too(small):
    small.project.add_items(
        [{"id": "pii", "text": "write to anna.smith@gmail.com, I love it"}, {"id": "pii-2", "text": "ANNA.SMITH@gmail.com hates it"}]
    )
    small.judge("pii", "positive")
    small.judge("pii-2", "negative")
    before = small.project.snapshot("mood", name="raw")
    made = mask_personal_data(small.project, before, by="boss", name="masked")
    texts = [rows(made)[item].text for item in ("pii", "pii-2")]
    assert all("smith" not in text.lower() and "[EMAIL-" in text for text in texts)
    place = texts[0].partition("[")[2].partition("]")[0]
    assert place in texts[1]
    assert (made.manifest["masked"], made.manifest["derived"]["action"]) == (["pii", "pii-2"], "mask")
    assert sides(made) == sides(before)
    later = small.project.snapshot("mood")
    assert (later.digest, later.manifest["masked"]) == (made.digest, ["pii", "pii-2"])
    changed = compare_snapshots(small.project, before, made)
    assert (changed["contents"], changed["added"], changed["targets"]) == (["pii", "pii-2"], [], {})
    with pytest.raises(UserError, match="nothing to mask"):
        mask_personal_data(small.project, made, by="boss")
    assert drop_rows(small.project, made, ["pii"], reason="spam", by="boss").manifest["masked"] == ["pii-2"]


def test_groups_named_by_addresses_are_masked_alike_and_ids_are_told(small):
    people = [
        ("i-a", "anna.smith@gmail.com"),
        ("i-b", "anna.smith@gmail.com"),
        ("bo.lee@gmail.com", "one-of-a-kind"),
        ("i-c", "12345678901"),
    ]
    small.project.add_items(
        {"id": item, "group": group, "text": f"{place} call me: kim.{place}@gmail.com"} for place, (item, group) in enumerate(people)
    )
    for item, _ in people:
        small.judge(item, "positive")
    before = small.project.snapshot("mood", name="raw")
    found = small.project.check(before, only=["personal"]).get_finding("personal")
    assert "in the id or group" in found.summary
    assert {each.item: each.document["named"] for each in found.rows} == {
        "i-a": ["group"],
        "i-b": ["group"],
        "bo.lee@gmail.com": ["id"],
        "i-c": [],
    }
    assert "in its group: an e-mail address of a person" in next(each.reason for each in found.rows if each.item == "i-a")
    for made in (mask_personal_data(small.project, before, by="boss"), small.project.snapshot("mood")):
        kept = rows(made)
        assert kept["i-a"].group == kept["i-b"].group
        assert kept["i-a"].group.startswith("[EMAIL-")
        assert kept["i-c"].group == "12345678901"
        assert sides(made) == sides(before)
    again = small.project.check(made, only=["personal"]).get_finding("personal")
    assert ([each.item for each in again.rows], again.action) == (["bo.lee@gmail.com"], "none")


def test_once_masked_each_later_snapshot_is_masked_also_after_one_that_was_derived_unmasked(small):
    small.project.add_items([{"id": "pii", "text": "write to anna.smith@gmail.com, I love it"}])
    small.judge("pii", "positive")
    before = small.project.snapshot("mood", name="raw")
    mask_personal_data(small.project, before, by="boss", name="masked")
    without = drop_rows(small.project, before, ["i-000"], reason="spam", by="boss", name="without-one")
    later = small.project.snapshot("mood", name="later")
    assert later.digest == without.digest
    assert "smith" not in rows(later)["pii"].text
    assert later.manifest["masked"] == ["pii"]
    assert "i-000" not in rows(later)


def test_completions_are_masked_in_what_is_asked_and_what_is_answered(tmp_path):
    project = Project.create(tmp_path / "q")
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"prompt": "who is {n * n}?", "completion": "ask bo{n}.lee@gmail.com, or person {n}"}}\n' for n in range(40))
    )
    project.read(tmp_path / "rows.jsonl")
    made = mask_personal_data(project, project.snapshot("completion"), by="boss")
    assert all("lee@" not in answer and "[EMAIL-" in answer for row in made.rows() for answer in row.target)
    assert project.snapshot("completion").digest == made.digest
    project.close()


@pytest.mark.parametrize("point", ["derived", "kept", "noted"])
def test_killed_in_the_middle_nothing_is_half_done_and_the_same_again_does_it(small, point):
    folder = small.project.folder
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder), point], check=False, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert ended.returncode == 9
    with small.project.database.reading() as connection:
        assert curations.active_decisions(connection, questions.get(connection, "mood")[0]) == {}
    assert [row["name"] for row in small.project.snapshots()] == ["v1"]
    assert ("rows left out", "boss") not in log(small.project)
    assert small.project.snapshot("mood").digest == small.snapshot.digest
    made = drop_rows(small.project, small.snapshot, ["i-000", "i-001"], reason="spam", by="boss", name="v2")
    assert small.project.load_snapshot("v2").digest == made.digest == small.project.snapshot("mood").digest


@pytest.mark.parametrize("name", ["", "  ", "../x", "a/b", "a\\b", ".hidden", "two\nlines", "x" * 201])
def test_a_name_that_nobody_could_call_it_by_is_refused_and_nothing_is_noted(small, name):
    for act in (
        lambda: drop_rows(small.project, small.snapshot, ["i-000"], reason="spam", by="boss", name=name),
        lambda: small.project.snapshot("mood", name=name),
    ):
        with pytest.raises(UserError, match="can't be a snapshot's name"):
            act()
    assert [row["name"] for row in small.project.snapshots()] == ["v1"]
    assert small.project.snapshot("mood").digest == small.snapshot.digest  # nothing was left out


def test_who_decides_has_a_name_of_200_characters_at_most(small):
    drop_rows(small.project, small.snapshot, ["i-000"], reason="spam", by="b" * 200)
    for act in (
        lambda: drop_rows(small.project, small.snapshot, ["i-001"], reason="spam", by="b" * 201),
        lambda: curation.curate_item(small.project, "i-001", "mood", "keep", by="b" * 201),
    ):
        with pytest.raises(UserError, match="201 characters"):
            act()


def test_a_reason_has_2000_characters_at_most(small):
    with pytest.raises(UserError, match=r"2,001 characters"):
        drop_rows(small.project, small.snapshot, ["i-000"], reason="x" * 2001, by="boss")
    drop_rows(small.project, small.snapshot, ["i-000"], reason=" " + "x" * 2000, by="boss")


def test_what_no_expert_can_decide_is_not_sent(small, finding_of):
    with pytest.raises(UserError, match="isn't an expert's to decide"):
        send_to_experts(small.project, small.snapshot, finding_of("balance", "none", {"i-000": None}), by="boss")
    assert curation.list_suspects(small.project, "mood") == []


def test_a_difference_names_the_answers_that_became_more_or_fewer_alone(small):
    made = drop_rows(small.project, small.snapshot, ["i-000"], reason="spam", by="boss")
    answers = next(
        table
        for table in build_difference_tables(compare_snapshots(small.project, small.snapshot, made))
        if table.caption.startswith("Answers")
    )
    assert [row[0] for row in answers.rows] == ["negative"]
    assert build_difference_tables(compare_snapshots(small.project, made, made)) == []


def test_a_name_that_is_taken_changes_nothing(small):
    drop_rows(small.project, small.snapshot, ["i-000"], reason="spam", by="boss", name="v2")
    with pytest.raises(UserError, match="is there already"):
        drop_rows(small.project, small.snapshot, ["i-001"], reason="spam", by="boss", name="v2")
    with small.project.database.reading() as connection:
        assert set(curations.active_decisions(connection, questions.get(connection, "mood")[0])) == {"i-000"}


@pytest.mark.parametrize(
    ("gone", "reason", "by", "words"),
    [
        (["i-000"], " ", "boss", "needs a reason"),
        (["i-000"], "spam", " ", "who decides"),
        (["none", "i-000"], "spam", "boss", "1 of 2 items aren't in the snapshot: none"),
        ([], "spam", "boss", "nothing to leave out"),
        ([f"i-{n:03d}" for n in range(90)], "spam", "boss", "nothing would be left"),
    ],
)
def test_what_makes_no_sense_is_refused(small, gone, reason, by, words):
    with pytest.raises(UserError, match=words):
        drop_rows(small.project, small.snapshot, gone, reason=reason, by=by)
    assert len(small.project.snapshots()) == 1


def test_nothing_is_merged_or_sent_that_wasnt_found(small, finding_of):
    with pytest.raises(UserError, match="nothing to merge"):
        merge_duplicates(small.project, small.snapshot, finding_of("duplicates", "merge", {}), by="boss")
    with pytest.raises(UserError, match="found no row to send"):
        send_to_experts(small.project, small.snapshot, finding_of("labels", "experts", {"elsewhere": None}), by="boss")


def test_a_snapshot_of_an_earlier_version_is_left_alone(small, finding_of):
    small.project.add_question("mood", "choice", ["bad", "good"])
    for action in (
        lambda: drop_rows(small.project, small.snapshot, ["i-000"], reason="spam", by="boss"),
        lambda: send_to_experts(small.project, small.snapshot, finding_of("labels", "experts", {"i-000": None}), by="boss"),
    ):
        with pytest.raises(UserError, match="'mood' was changed since"):
            action()


def test_suspects_that_wait_for_experts_hold_up_nobody_else(small, finding_of):
    """Hundreds of suspects sent at once stopped guidance, which took them for slots that everybody could still take."""
    send_to_experts(small.project, small.snapshot, finding_of("labels", "experts", {f"i-{n:03d}": None for n in range(80)}), by="boss")
    with small.project.database.reading() as connection:
        key, _ = questions.get(connection, "mood")
        waiting = [count.tier for count in slots.counts_by_item(connection, key).values() if count.open]
        assert waiting.count(2) == 80
        assert not slots.has_more_open_than(connection, key, waiting.count(0))
    assert redundancy.update_redundancy(small.project, "mood", target_judgment_counts) is not None


def test_nobody_is_asked_about_what_was_left_out_until_that_is_taken_back(small, finding_of):
    small.project.add_annotator("exp", "expert")
    send_to_experts(
        small.project,
        small.snapshot,
        finding_of("labels", "experts", {"i-010": None, "i-012": None}),
        by="boss",
    )
    drop_rows(small.project, small.snapshot, ["i-010"], reason="spam", by="boss")
    assert small.project.next("exp").item == "i-012"
    small.project.submit(small.project.next("exp").slot, "exp", "positive")
    assert small.project.next("exp", guide=False) is None
    curation.undo_curation(small.project, "i-010", "mood", by="boss")
    assert small.project.next("exp", guide=False).item == "i-010"


def test_suspects_come_to_the_work_page_too_the_gravest_first(small, finding_of):
    small.project.add_annotator("exp", "expert")
    names = [f"i-{n:03}" for n in (40, 12, 33, 27)]
    send_to_experts(small.project, small.snapshot, finding_of("labels", "experts", dict.fromkeys(names)), by="boss")
    for name in names:
        slot = small.project.next("exp", guide=False)
        assert slot.item == name
        small.project.submit(slot.slot, "exp", "positive")


def test_a_snapshot_that_is_derived_keeps_to_what_was_decided_since(small):
    curation.curate_item(small.project, "i-020", "mood", "reject", reason="not ours", by="exp")
    made = drop_rows(small.project, small.snapshot, ["i-010"], reason="spam", by="boss")
    assert {"i-010", "i-020"}.isdisjoint(row.id for row in made.rows())
    check = next(each for each in made.manifest["checks"] if each["check"] == "curated")
    assert check["reasons"] == {"rejected: spam": 1, "rejected: not ours": 1}
    assert small.project.snapshot("mood").digest == made.digest
