"""Preference files checked before anything is trained, and what becomes of them in the project."""

from __future__ import annotations

import json

import pytest

from preceptor.jobs.preference_files import build_rows, check_file, import_examples, parse_preference
from preceptor.jobs.training_files import MalformedTrainingFile

ASK = {"role": "user", "content": "how are you"}
FINE, BAD = {"role": "assistant", "content": "fine"}, {"role": "assistant", "content": "who asks?"}


def row(number: int = 0, **changes) -> dict:
    asked = {"messages": [{**ASK, "content": f"how are you {number}"}]}
    return {"input": asked, "preferred_output": [FINE], "non_preferred_output": [BAD], **changes}


def lines(count: int = 20, **changes) -> bytes:
    """A file; changes: line number (from 1) -> another row, or text as it is."""
    rows = [changes.get(f"line_{number}", row(number)) for number in range(1, count + 1)]
    return ("\n".join(each if isinstance(each, str) else json.dumps(each) for each in rows) + "\n").encode()


@pytest.fixture
def write(tmp_path):
    def call(content: bytes):
        path = tmp_path / "0a1b2c"
        path.write_bytes(content)
        return path

    return call


WRONG = [
    (lines(line_17='{"input": ['), "line 17: not valid JSON"),
    (lines(line_3={"messages": [ASK, FINE]}), "line 3: messages: there is no such field"),
    (lines(line_3={"preferred_output": [FINE], "non_preferred_output": [BAD]}), "line 3: input: must be an object"),
    (lines(line_3=row(input={"messages": []})), "line 3: input.messages: must be a list"),
    (lines(line_3=row(input={"messages": [{"role": "user", "content": 3}]})), "line 3: input.messages[0].content: must be text"),
    (lines(line_3=row(input={"messages": [ASK], "tools": [{"type": "function"}]})), "line 3: input.tools: the models here call no tools"),
    (lines(line_3=row(input={"messages": [ASK, FINE]})), "line 3: input.messages[1].role: must be what the user asks last"),
    (lines(line_4=row(preferred_output="fine")), "line 4: preferred_output: must be a list of messages"),
    (lines(line_4=row(preferred_output=[FINE, FINE])), "line 4: preferred_output: must be one message of the assistant"),
    (lines(line_4=row(non_preferred_output=[ASK])), "line 4: non_preferred_output: must be one message of the assistant"),
    (lines(line_4=row(non_preferred_output=[{**BAD, "content": " "}])), "line 4: non_preferred_output[0].content: is empty"),
    (lines(line_4=row(non_preferred_output=[{**BAD, "tool_calls": [{}]}])), "line 4: non_preferred_output[0].tool_calls: can't be read"),
    (
        lines(line_4=row(preferred_output=[{**FINE, "content": "", "weight": 0}])),
        "line 4: preferred_output[0].weight: both answers of a pair",
    ),
    (lines(line_5=row(non_preferred_output=[FINE])), "line 5: non_preferred_output: is the same as preferred_output"),
    (lines(line_5=row(non_preferred_output=[{**FINE, "content": f" {FINE['content']}"}])), "line 5: non_preferred_output: is the same as"),
    (lines(line_6=row(preferred_completion=[FINE])), "line 6: preferred_completion: there is no such field"),
    (lines(9), "9 examples"),
]


def test_what_is_wrong_is_told_with_line_and_field(write, subtests):
    for content, words in WRONG:
        with subtests.test(content=content, words=words):
            with pytest.raises(MalformedTrainingFile) as found:
                check_file(write(content), "train.jsonl")
            assert words in found.value.message
            assert "train.jsonl" in found.value.message
            assert "preferred_output" in found.value.hint or "add more" in found.value.hint


def test_a_good_file_is_counted(write):
    assert check_file(write(lines(20)), "train.jsonl") == 20
    whole = row(input={"messages": [{"role": "developer", "content": "be kind"}, ASK, FINE, ASK], "tools": [], "parallel_tool_calls": True})
    assert [turn["role"] for turn in parse_preference(whole).messages] == [
        "system", "user", "assistant", "user",
    ]  # fmt: skip


def test_pairs_are_items_told_once_and_their_place_tells_nothing(write, project):
    path = write(lines(40) + lines(40))
    taken = import_examples(project, path, "train.jsonl")
    assert len(taken) == 40
    assert import_examples(project, path, "train.jsonl").keys() == taken.keys()
    assert project.counts()["judgments"] == 40
    project.add_annotator("ann")
    assert project.next("ann") is None  # nobody is asked about them
    assert [question.name for question in project.questions()] == ["sentiment"]
    rows, about = build_rows(project, taken, "train.jsonl", {"train": 0.8, "validation": 0.2})
    best = [row.content["responses"][int(row.answer)] for row in rows]
    assert set(best) == {"fine"}
    assert {row.answer for row in rows} == {"0", "1"}
    assert all(len(row.lineage) == 1 for row in rows)
    assert {row.split for row in rows} == {"train", "validation"}
    assert {check["check"]: check["found"] for check in about["checks"]}["groups on two sides"] == 0


def test_one_prompt_stays_on_one_side_whatever_is_answered(write, project):
    said = [{"role": "assistant", "content": f"answer {number}"} for number in range(60)]
    more = {f"line_{n}": row(n % 5, preferred_output=[said[n % 60]]) for n in range(1, 61)}
    taken = import_examples(project, write(lines(60, **more)), "train.jsonl")
    rows, _ = build_rows(project, taken, "train.jsonl", {"train": 0.5, "validation": 0.5})
    sides: dict[str, set[str]] = {}
    for each in rows:
        sides.setdefault(each.content["messages"][0]["content"], set()).add(each.split)
    assert all(len(found) == 1 for found in sides.values())


def test_lines_that_contradict_each_other_are_undecided_and_another_file_changes_nothing(write, project):
    turned = row(1, preferred_output=[BAD], non_preferred_output=[FINE])
    taken = import_examples(project, write(lines(12, line_12=turned)), "train.jsonl")
    assert len(taken) == 11
    import_examples(
        project,
        write(lines(12, **{f"line_{n}": row(n, preferred_output=[BAD], non_preferred_output=[FINE]) for n in range(1, 13)})),
        "other",
    )
    rows, _ = build_rows(project, taken, "train.jsonl", {"train": 1.0})
    undecided = [row for row in rows if row.target == {"0": 0.5, "1": 0.5}]
    assert [each.content["messages"][0]["content"] for each in undecided] == ["how are you 1"]
    assert sum(max(row.target.values()) == 1.0 for row in rows) == 10
