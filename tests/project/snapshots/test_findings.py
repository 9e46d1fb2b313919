"""The single checks: people, batches, live inputs, lengths for a base, balance, label errors. Each with a planted fault."""

from __future__ import annotations

import json

import pytest

from preceptor import Project

ANSWERS = ("negative", "neutral", "positive")
SAYS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}


@pytest.fixture(autouse=True)
def tiny(tiny_cache, monkeypatch):
    """A BERT of random weights stands for MiniLM: it tells the words of reviews apart, and nothing is fetched."""
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))


@pytest.fixture
def reviews(tmp_path):
    """120 reviews in words that the tiny base knows; the last 30 are of a batch that is only negative and long."""
    project = Project.create(tmp_path / "p")
    project.add_question("mood", "choice", ANSWERS)
    items, said = [], {}
    for n in range(120):
        late = n >= 90
        said[f"r-{n:03d}"] = "negative" if late else ANSWERS[n % 3]
        words = SAYS[said[f"r-{n:03d}"]].split()
        text = " ".join([*(words[(n // 5**k + k) % 5] for k in range(3)), f"no {n * n}"] * (6 if late else 1))
        items.append({"id": f"r-{n:03d}", "text": text, "batch": "late" if late else f"early {n % 3}"})
    project.add_items(items)
    project.add_annotator("ann")
    for item, answer in said.items():
        project.judge(item, "mood", annotator="ann", answer=answer)
    yield project, said
    project.close()


def found(project, check, **more):
    snapshot = project.load_snapshot("v1") if project.snapshots() else project.snapshot("mood", name="v1")
    return project.check(snapshot, only=[check], **more).get_finding(check)


def test_a_batch_of_other_answers_and_lengths_is_told_with_its_rows(reviews):
    project, _ = reviews
    finding = found(project, "batches")
    assert finding.found >= 1
    assert {row.item for row in finding.rows} >= {f"r-{n:03d}" for n in range(90, 120)}
    assert all(row.reason.startswith("batch ") for row in finding.rows)
    assert "<svg" in finding.drawings[0].svg


def test_live_inputs_unlike_the_set_are_told_and_those_like_it_are_not(reviews, tmp_path):
    project, _ = reviews
    snapshot = project.snapshot("mood", name="v1")
    texts = [row.text for row in snapshot.rows()]
    (tmp_path / "same.jsonl").write_text("".join(json.dumps({"review": text}) + "\n" for text in texts))
    assert "live" not in {row.item for row in found(project, "live", live=tmp_path / "same.jsonl").rows}
    (tmp_path / "other.csv").write_text("text\n" + "".join(f"good good good good {n} {'box ' * 60}\n" for n in range(40)))
    finding = found(project, "live", live=tmp_path / "other.csv")
    assert finding.found >= 1
    assert "lengths" in finding.summary
    assert all(row.item.startswith("other.csv, input ") for row in finding.rows)


def test_texts_that_the_base_would_cut_are_told_with_what_is_lost(reviews):
    project, _ = reviews
    long = " ".join(["good", "bad"] * 100)
    project.add_items([{"id": "long", "text": f"{long} box"}])
    project.add_annotator("ann")
    project.judge("long", "mood", annotator="ann", answer="positive")
    finding = found(project, "truncation", base="minilm")
    assert {row.item for row in finding.rows} == {"long"}
    assert finding.rows[0].document["tokens"] > 128
    assert finding.action == "none"
    assert "128 tokens" in finding.summary


def test_completions_that_a_writer_would_leave_out_are_told_with_the_reason(tmp_path, tiny_chat):
    project = Project.create(tmp_path / "q")
    rows = [{"prompt": f"how are you {n}?", "completion": f"fine {n}, thanks"} for n in range(40)]
    rows.append({"prompt": "how long?", "completion": "so " * 600})
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project.read(tmp_path / "rows.jsonl")
    snapshot = project.snapshot("completion")
    finding = project.check(snapshot, only=["truncation"], base=str(tiny_chat)).get_finding("truncation")
    assert [project.load_snapshot(snapshot.digest).lineage(row.item) != () for row in finding.rows] == [True]
    assert "the answer would be cut" in finding.rows[0].reason
    assert finding.action == "drop"
    project.close()


def test_who_says_one_answer_for_another_is_told_with_the_items(tmp_path):
    project = Project.create(tmp_path / "p")
    project.add_question("mood", "choice", ANSWERS)
    project.add_items({"id": f"i-{n:03d}", "text": f"text {n} like no other, {n * n}"} for n in range(90))
    for n in range(90):
        truth = ANSWERS[n % 3]
        for person in ("ann", "bob", "cid", "zed"):
            answer = "neutral" if person == "zed" and truth == "negative" else truth
            project.add_annotator(person)
            project.judge(f"i-{n:03d}", "mood", annotator=person, answer=answer)
    finding = found(project, "people")
    assert finding.found == 1
    assert {row.item for row in finding.rows} <= {f"i-{n:03d}" for n in range(0, 90, 3)}
    assert {row.reason for row in finding.rows} == {"zed answered neutral here, the others negative (3 people)"}
    assert finding.rows[0].document["who"] == "zed"
    assert finding.action == "experts"
    project.close()


def test_rare_answers_are_told_with_their_rows(tmp_path):
    project = Project.create(tmp_path / "p")
    project.add_question("mood", "choice", ANSWERS)
    project.add_items({"id": f"i-{n:03d}", "text": f"text {n} like no other, {n * n}", "place": "ab"[n % 2]} for n in range(200))
    project.add_annotator("ann")
    for n in range(200):
        project.judge(f"i-{n:03d}", "mood", annotator="ann", answer="neutral" if n % 20 == 0 else ANSWERS[2 * (n % 2)])
    finding = found(project, "balance")
    assert finding.found >= 1
    assert {row.item for row in finding.rows} >= {f"i-{n:03d}" for n in range(0, 200, 20)}
    assert any("neutral" in row.reason for row in finding.rows)
    project.close()


def test_wrong_labels_are_told_with_what_the_model_thinks(tmp_path):
    project = Project.create(tmp_path / "p")
    project.add_question("mood", "choice", ("negative", "positive"))
    texts, wrong = {}, {f"i-{n:03d}" for n in range(0, 160, 19)}
    for n in range(160):
        truth = ("negative", "positive")[n % 2]
        words = SAYS[truth].split()
        texts[f"i-{n:03d}"] = " ".join(words[n // 5**k % 5] for k in range(6))
    project.add_items({"id": id_, "text": text} for id_, text in texts.items())
    for n, id_ in enumerate(texts):
        said = ("negative", "positive")[(n + (id_ in wrong)) % 2]
        for person in ("ann", "bob"):
            project.add_annotator(person)
            project.judge(id_, "mood", annotator=person, answer=said)
    finding = found(project, "labels")
    assert len({row.item for row in finding.rows} & wrong) >= len(wrong) // 2
    first = finding.rows[0]
    assert first.document["thought"] in first.document["model"]
    assert first.score >= finding.rows[-1].score
    assert "minilm" in finding.summary
    again = found(project, "labels")
    assert [row.item for row in again.rows] == [row.item for row in finding.rows]
    project.close()
