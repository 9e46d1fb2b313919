"""What changed between two snapshots, row by row."""

from __future__ import annotations

from preceptor.storage import ObjectStore
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.storage.snapshots import diff_snapshots, write_snapshot
from preceptor.types import Question

QUESTION = Question("mood", "choice", ("no", "yes"))


def kept(tmp_path, *rows):
    return write_snapshot(ObjectStore(tmp_path / "objects"), QUESTION, ("no", "yes"), rows, {"checks": []})


def row(id_, answer="yes", **more):
    values = {"content": {"text": f"text {id_}"}, "target": {answer: 1.0}, "weight": 1.0, "split": "train", "group": id_, "lineage": (1,)}
    return SnapshotRow(**{"id": id_, **values, **more})


def test_each_kind_of_change_is_told(tmp_path):
    before = kept(tmp_path, row("a"), row("b"), row("c"), row("d"), row("e", lineage=(1, 2)))
    after = kept(
        tmp_path, row("a", "no"), row("b", split="test"), row("c", weight=0.5), row("d", content={"text": "masked"}), row("f", lineage=(3,))
    )
    found = diff_snapshots(before, after)
    assert (found["before"], found["after"], found["rows"]) == (before.digest, after.digest, [5, 5])
    assert (found["added"], found["removed"]) == (["f"], ["e"])
    assert found["targets"] == {"a": 1.0}
    assert found["splits"] == {"b": ["train", "test"]}
    assert found["weights"] == {"c": [1.0, 0.5]}
    assert found["contents"] == ["d"]
    assert found["labels"] == {"no": [0, 1], "yes": [5, 4]}
    assert found["moves"] == {"yes → no": 1}
    assert found["judgments"] == {"came": [3], "went": [2]}


def test_a_target_that_moves_a_little_has_a_distance_and_no_other_answer(tmp_path):
    before, after = kept(tmp_path, row("a", target={"no": 0.3, "yes": 0.7})), kept(tmp_path, row("a", target={"no": 0.4, "yes": 0.6}))
    assert diff_snapshots(before, after)["targets"] == {"a": 0.1}
    assert diff_snapshots(before, after)["moves"] == {}


def test_nothing_changed_is_nothing(tmp_path):
    one = kept(tmp_path, row("a"), row("b"))
    found = diff_snapshots(one, one)
    assert not any(found[name] for name in ("added", "removed", "targets", "splits", "weights", "contents", "moves"))
    assert found["judgments"] == {"came": [], "went": []}
