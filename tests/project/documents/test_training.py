"""A local judge from pairs of a source and a claim: what is read, what is trained, and what it may not score."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from preceptor import Project, UserError
from preceptor.annotation import question_admin
from preceptor.cli.evaluate import judge_command
from preceptor.documents.claim_judge import (
    JUDGE_FOLDER,
    ClaimPair,
    load_claim_judge,
    merge_claim_pairs,
    read_claim_pairs,
    train_claim_judge,
)
from preceptor.evaluation.judges import JudgeCase
from preceptor.evaluation.judges.claim_judges import EntailmentJudge, OverlapJudge, judge_input
from preceptor.runs.claim_audit import load_claim_pairs, make_claim_question
from preceptor.types import Item

QUICK = {"epochs": 1, "min_steps": 3, "batch_size": 16, "dtype": "float32"}
WORDS = ["red", "green", "blue", "one", "two", "three", "cat", "dog"]


def pairs(count: int = 160) -> list[ClaimPair]:
    """Claims that say of a document what it says, or another word."""
    found = []
    for number in range(count):
        word, other = WORDS[number % 8], WORDS[(number + 3) % 8]
        said = word if number % 2 else other
        found.append(ClaimPair(f"The moon is {said}", (f"Note {number}: the moon is {word}, and so on.",), float(number % 2), f"d{number}"))
    return found


@pytest.fixture
def tiny(tiny_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))


def write(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_rows_of_several_people_are_one_pair_with_their_share(tmp_path):
    rows = [{"premise": "A cat sat.", "hypothesis": "A cat sat.", "label": label} for label in ("1", "1", "0", "entailment")]
    rows += [{"premise": "A cat sat.", "hypothesis": "It stood.", "label": "not found"}]
    found = read_claim_pairs([write(tmp_path / "a.csv", rows)])
    assert [(pair.claim, pair.supported) for pair in found] == [("A cat sat.", 0.75), ("It stood.", 0.0)]
    assert len({pair.group for pair in found}) == 1


def test_sources_may_be_several_and_a_label_a_share(tmp_path):
    path = tmp_path / "a.jsonl"
    row = {"sources": ["One.", {"title": "T", "text": "Two."}], "claim": "Three.", "label": 0.3, "group": "g"}
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "claim": "Four.", "label": True}))
    assert read_claim_pairs([path]) == [
        ClaimPair("Three.", ("One.", "T\nTwo."), 0.3, "g"),
        ClaimPair("Four.", ("One.", "T\nTwo."), 1.0, "g"),
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"premise": "A.", "claim": "B.", "label": "perhaps"}, "says neither"),
        ({"premise": "A.", "claim": "B.", "label": "1.5"}, "says neither"),
        ({"premise": "A.", "claim": "B."}, "no label"),
        ({"text": "A.", "claim": "B.", "label": "yes"}, "no sources"),
        ({"premise": "A.", "claim": "  ", "label": "yes"}, "claim is empty"),
    ],
)
def test_bad_rows_are_refused_where_they_stand(tmp_path, row, message):
    with pytest.raises(UserError, match=message) as caught:
        read_claim_pairs([write(tmp_path / "a.csv", [row])])
    assert caught.value.where.endswith("a.csv:2")


def test_what_can_teach_nothing_is_refused(tiny, tmp_path):
    with pytest.raises(UserError, match="too few"):
        train_claim_judge(pairs(10), tmp_path / "judge")
    with pytest.raises(UserError, match="nothing to tell apart"):
        train_claim_judge([pair for pair in pairs() if pair.supported], tmp_path / "judge")


def test_a_judge_is_trained_kept_and_known_again(tiny, tmp_path):
    told = train_claim_judge(pairs(), tmp_path / "judge", **QUICK)
    judge = EntailmentJudge(tmp_path / "judge")
    assert judge.digest == told["digest"]
    assert set(told["agreement"]) == {"plain", "balanced", "correlation"}
    assert not list(tmp_path.glob(".judge*"))
    sources = ("Note: a moon is red.", "Note: a moon is blue.", "Nothing here.")
    cases = [JudgeCase("A moon is red", (source,)) for source in sources]
    scores = judge.scores(cases)
    assert ((scores >= 0) & (scores <= 1)).all()
    assert scores[2] == 0.0  # no word of the sources has to do with it
    assert np.array_equal(judge.scores(cases[::-1]), scores[::-1])
    assert judge.evidence(cases[0]) == "Note: a moon is red."
    again = train_claim_judge(pairs(), tmp_path / "other", **QUICK)
    assert again["digest"] == told["digest"]


def test_it_knows_what_it_was_trained_on(tiny, tmp_path):
    train_claim_judge(pairs(), tmp_path / "judge", **QUICK)
    judge = EntailmentJudge(tmp_path / "judge")
    seen = pairs()[0]
    assert judge.has_seen(JudgeCase(seen.claim, seen.sources))
    assert not judge.has_seen(JudgeCase(seen.claim, ("Another note: the moon is red.",)))


def test_a_claim_can_not_pretend_to_be_its_source():
    assert judge_input("It is red [SEP] It is red", ("It is blue.",)).count("[SEP]") == 1


def test_a_folder_without_a_judge_is_refused(tmp_path):
    with pytest.raises(UserError, match="there is no judge"):
        EntailmentJudge(tmp_path)


def test_verdicts_of_people_teach_too(tiny, tmp_path):
    project = Project.create(tmp_path / "p", redundancy={"min_judgments": 2, "max_judgments": 2})
    assert load_claim_pairs(project) == []
    content = {"prompt": "?", "completion": "A. B.", "sources": ["S."], "claims": ["A.", "B."]}
    question_admin.enqueue_items(project, make_claim_question(), [Item("r@1", content, "g")])
    for who, verdicts in (("ann", ("supported", "contradicted")), ("bob", ("supported", "supported"))):
        project.add_annotator(who)
        project.judge("r@1", "faithfulness", annotator=who, answer=[{"claim": k, "verdict": v} for k, v in enumerate(verdicts)])
    found = {pair.claim: pair for pair in load_claim_pairs(project)}
    assert found["A."].supported > found["B."].supported
    assert found["A."].group == "g"
    assert found["A."].sources == ("S.",)
    project.close()


def test_the_command_trains_the_projects_judge(tiny, tmp_path):
    project = Project.create(tmp_path / "p")
    assert isinstance(load_claim_judge(project), OverlapJudge)
    rows = [{"premise": pair.sources[0], "claim": pair.claim, "label": "supported" if pair.supported else "not_found"} for pair in pairs()]
    path = write(tmp_path / "pairs.csv", rows)
    args = ["train", str(path), "--project", str(tmp_path / "p"), "--json", "-o", "epochs=1", "-o", "min_steps=3"]
    done = CliRunner().invoke(judge_command, args)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["folder"].endswith(JUDGE_FOLDER)
    assert isinstance(load_claim_judge(project), EntailmentJudge)
    project.close()


def test_equal_pairs_are_merged():
    assert merge_claim_pairs([ClaimPair("a", ("s",), 1.0, "g"), ClaimPair("a", ("s",), 0.0, "h")]) == [ClaimPair("a", ("s",), 0.5, "g")]
