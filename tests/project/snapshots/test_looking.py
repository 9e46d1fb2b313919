"""Looking through a snapshot: planted faults are found, results are kept, and what can't be looked for says why."""

from __future__ import annotations

import json

import pytest

from preceptor.errors import UserError
from preceptor.snapshots import snapshot_checks as module
from preceptor.snapshots.snapshot_checks import CHECK_NAMES, SnapshotCheckResult
from preceptor.storage import artifacts
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import write_snapshot
from preceptor.types import Question

ANSWERS = ("negative", "neutral", "positive")
LONG = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


@pytest.fixture
def crossed(small):
    """A snapshot as another tool may have split it: with everything wrong that a split can get wrong."""

    def row(id_, text, split, group=None, answer="neutral"):
        return SnapshotRow(id_, {"text": text}, {answer: 1.0}, 1.0, split, group or id_, (1,))

    rows = [
        row(f"t-{n}", f"training text {n * n} about thing {n}, {chr(97 + n % 26) * 5}", "train", answer=ANSWERS[n % 3]) for n in range(60)
    ]
    rows += [row(f"h-{n}", f"held out, {n * 7919} with {chr(97 + n % 26) * 6} and more", "test", answer=ANSWERS[n % 3]) for n in range(30)]
    rows += [row("exact", "Training text  3481 about thing 59, hhhhh", "test"), row("near", rows[20].text + "!", "validation")]
    rows += [
        row("source", f"so it says: {LONG}, and then more", "train"),
        row("quote", f"we quote: {LONG}; that is all there is to it", "test"),
    ]
    rows += [row("group", "a held-out text of a group of its own kind", "test", group="t-5")]
    rows += [
        row(f"form-{n}", f"your order {n * 7919} has been shipped to {place} by our partner", "train")
        for n, place in enumerate(("Rome", "Oslo", "Lima"))
    ]
    rows += [row("form-test", "your order 12 has been shipped to Bern by our partner", "test")]
    rows += [row("void", " … ", "train"), row("halves", "a text that nobody can decide", "train")]
    rows[-1] = SnapshotRow("halves", rows[-1].content, {"negative": 0.4, "neutral": 0.35, "positive": 0.25}, 1.0, "train", "halves", (1,))
    about = {"seed": 0, "fractions": {"train": 0.7, "validation": 0.15, "test": 0.15}, "checks": [], "method": "another tool's"}
    made = write_snapshot(small.project.objects, Question("mood", "choice", ANSWERS), ANSWERS, rows, about)
    with small.project.database.writing() as connection:
        artifacts.add_snapshot(connection, digest=made.digest, name="crossed", question="mood")
    small.crossed = made
    return small


def items(checked, check):
    return {suspect.item for suspect in checked.get_finding(check).rows}


def test_what_a_split_can_get_wrong_is_found(crossed):
    checked = crossed.project.check(crossed.crossed, vectors=False)
    assert {"exact", "near"} <= items(checked, "leaks")
    assert items(checked, "quotes") == {"quote"}
    assert items(checked, "groups") == {"group"}
    assert "form-test" in items(checked, "templates")
    assert {"exact", "t-59", "near", "t-20"} <= items(checked, "duplicates")
    assert items(checked, "empty") == {"void"}
    assert items(checked, "undecided") == {"halves"}
    assert checked.get_finding("undecided").rows[0].reason == "negative 40%, neutral 35%, positive 25%"
    leak = next(suspect for suspect in checked.get_finding("leaks").rows if suspect.item == "exact")
    assert (leak.others, leak.document["split"], leak.score) == (("t-59",), "test", 1.0)


def test_where_nothing_is_planted_nothing_is_found(small):
    checked = small.project.check(small.snapshot, vectors=False)
    for check in ("duplicates", "groups", "leaks", "quotes", "personal", "empty", "undecided"):
        assert checked.get_finding(check).found == 0, check
    assert checked.rows == 90


def test_each_check_is_made_or_says_why_not(small):
    checked = small.project.check(small.snapshot, vectors=False)
    assert {each.check for each in checked.findings} | set(checked.skipped) == set(CHECK_NAMES)
    assert "--live FILE" in checked.skipped["live"]
    assert "--base NAME" in checked.skipped["truncation"]
    assert "weren't wanted" in checked.skipped["labels"]
    with pytest.raises(UserError, match="truncation wasn't looked for"):
        checked.get_finding("truncation")
    with pytest.raises(UserError, match="did you mean 'leaks'"):
        checked.get_finding("leak")


def test_nothing_is_changed_by_looking(small):
    before = {path: path.read_bytes() for path in small.project.objects.root.rglob("*") if path.is_file()}
    small.project.check(small.snapshot, vectors=False)
    assert {path: path.read_bytes() for path in small.project.objects.root.rglob("*") if path.is_file()} == before
    assert len(small.project.snapshots()) == 1


def test_the_second_look_makes_nothing_anew(small, monkeypatch):
    first = small.project.check(small.snapshot, only=["duplicates", "personal", "empty"])
    monkeypatch.setattr(module.SnapshotCheck, "run", lambda self, subject: pytest.fail("made anew"))
    again = small.project.check(small.snapshot, only=["duplicates", "personal", "empty"])
    assert [each.to_dict() for each in again.findings] == [each.to_dict() for each in first.findings]


def test_who_judges_since_is_looked_at_anew(small, monkeypatch):
    made = []
    monkeypatch.setattr(module.SnapshotCheck, "run", lambda self, subject: made.append(self.title) or [])
    for _ in range(2):
        small.project.check(small.snapshot, only=["people", "empty"])
    small.judge("i-000", "positive", people=("cid",))
    small.project.check(small.snapshot, only=["people", "empty"])
    assert made == ["people", "empty rows", "people"]


def test_a_kept_result_that_was_spoilt_is_made_anew(small):
    small.project.check(small.snapshot, only=["empty"])
    for path in (small.project.folder / "checks" / small.snapshot.digest).glob("*.json"):
        path.write_text("[{")
    assert small.project.check(small.snapshot, only=["empty"]).get_finding("empty").found == 0


def test_the_document_says_all_and_comes_back(small):
    checked = small.project.check(small.snapshot, vectors=False)
    assert SnapshotCheckResult.from_dict(json.loads(json.dumps(checked.to_dict(), allow_nan=False))).to_dict() == checked.to_dict()


def test_progress_is_told_stage_by_stage(small):
    steps = []
    small.project.check(small.snapshot, only=["duplicates", "personal"], progress=steps.append)
    assert list(dict.fromkeys(step.stage for step in steps)) == ["duplicates", "personal data"]


def test_of_texts_that_are_written_the_checks_of_classes_say_so(small, tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "".join(f'{{"prompt": "what is {n} times {n}?", "completion": "it is {n * n}"}}\n' for n in range(40))
    )
    other = type(small.project).create(tmp_path / "q")
    other.read(tmp_path / "rows.jsonl")
    checked = other.check(other.snapshot("completion"), vectors=False)
    assert "only answers of which one is right" in checked.skipped["labels"]
    assert checked.get_finding("empty").found == 0
    other.close()
