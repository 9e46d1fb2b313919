"""Chat files checked before anything is trained: what is wrong, in which line and field."""

from __future__ import annotations

import json
import time

import pytest

from preceptor.errors import UserError
from preceptor.jobs.training_files import (
    MalformedTrainingFile,
    check_file,
    find_completion_judgments,
    import_examples,
    parse_conversation,
    read_conversations,
)

ASK = {"role": "user", "content": "how are you"}
SAY = {"role": "assistant", "content": "fine"}


def lines(count: int = 20, **changes) -> bytes:
    """A training file; changes: line number (from 1) -> another row, or text as it is."""
    rows = []
    for number in range(1, count + 1):
        row = changes.get(f"line_{number}", {"messages": [{**ASK, "content": f"how are you {number}"}, SAY]})
        rows.append(row if isinstance(row, str) else json.dumps(row))
    return ("\n".join(rows) + "\n").encode()


@pytest.fixture
def check(tmp_path):
    def call(content: bytes) -> int:
        path = tmp_path / "0a1b2c"
        path.write_bytes(content)
        return check_file(path, "train.jsonl")

    return call


BAD = [
    (lines(line_17='{"messages": ['), "line 17: not valid JSON"),
    (lines(line_3="[]"), "line 3: this is a list"),
    (lines(line_3={"messages": []}), "line 3: messages: must be a list"),
    (lines(line_3={"messages": "hi"}), "line 3: messages: must be a list"),
    (lines(line_3={"messages": ["hi"]}), "line 3: messages[0]: must be an object"),
    (lines(line_3={"prompt": "x", "completion": "y"}), "line 3: prompt: there is no such field"),
    (lines(line_5={"messages": [ASK]}), "line 5: messages: holds no message of the assistant"),
    (lines(line_5={"messages": [ASK, {**SAY, "weight": 0}]}), "line 5: messages: holds no message of the assistant"),
    (lines(line_5={"messages": [SAY]}), "line 5: messages[0].role: begins with the answer"),
    (lines(line_5={"messages": [{"role": "user", "content": 3}, SAY]}), "line 5: messages[0].content: must be text"),
    (lines(line_5={"messages": [{"role": "user", "content": [{"type": "image_url"}]}, SAY]}), "line 5: messages[0].content: must be text"),
    (lines(line_5={"messages": [{"role": "boss", "content": "x"}]}), 'line 5: messages[0].role: "boss" can\'t be used'),
    (lines(line_5={"messages": [{"role": "tool", "content": "x"}]}), "the models here call no tools"),
    (lines(line_5={"messages": [{**ASK, "nonsense": 1}, SAY]}), "line 5: messages[0].nonsense: there is no such field"),
    (lines(line_2={"messages": [{**ASK, "weight": 1}, SAY]}), "line 2: messages[0].weight: must be 0 or 1"),
    (lines(line_2={"messages": [ASK, {**SAY, "weight": True}]}), "line 2: messages[1].weight: must be 0 or 1"),
    (lines(line_2={"messages": [ASK, {**SAY, "content": " "}]}), "line 2: messages[1].content: is empty"),
    (lines(line_2={"messages": [ASK, SAY], "tools": [{"type": "function"}]}), "line 2: tools: the models here call no tools"),
    (lines(9), "9 examples"),
    (b"\n\n", "is empty"),
    (b"\xff\xfen\x00", "UTF-16"),
    (lines(12) + b"\xff\n", "line 13"),
    (lines(12, line_12='{"messages": [{"role": "user", "content": "\\ud800"}]}'), "line 12: column 'messages' holds half a character"),
]


def test_what_is_wrong_is_told_with_line_and_field(check, subtests):
    for content, words in BAD:
        with subtests.test(content=content, words=words):
            with pytest.raises(MalformedTrainingFile) as found:
                check(content)
            assert words in found.value.message
            assert "train.jsonl" in found.value.message
            assert "0a1b2c" not in str(found.value)


def test_a_good_file_is_counted(check):
    assert check(lines(20)) == 20
    assert check(b"\xef\xbb\xbf" + lines(11) + b"\n\n") == 11
    assert check(lines(line_1={"messages": [ASK, SAY], "tools": [], "parallel_tool_calls": None})) == 20


def test_many_faults_are_told_in_part(check):
    with pytest.raises(MalformedTrainingFile, match="and 15 more lines") as found:
        check(lines(**{f"line_{number}": {"messages": []} for number in range(1, 21)}))
    assert found.value.message.count("must be a list") == 5


def test_one_bad_line_in_very_many_is_found_as_it_is_read(check):
    begun = time.monotonic()
    with pytest.raises(MalformedTrainingFile, match="line 99999: messages"):
        check(lines(100_000, line_99999={"messages": [ASK]}))
    assert time.monotonic() - begun < 30


def test_a_conversation_ends_with_the_last_answer_that_is_learnt():
    turns = parse_conversation({"messages": [{"role": "developer", "content": "be kind"}, ASK, SAY, ASK, {**SAY, "weight": 0}]})
    assert turns == [{"role": "system", "content": "be kind"}, ASK, SAY]
    parts = {"role": "user", "content": [{"type": "text", "text": "how "}, {"type": "text", "text": "are you"}]}
    assert parse_conversation({"messages": [parts, {**SAY, "weight": 0}, ASK, {**SAY, "weight": 1}]}) == [
        ASK,
        {**SAY, "weight": 0},
        ASK,
        SAY,
    ]
    with pytest.raises(UserError):
        parse_conversation({"messages": [ASK]})


def test_a_file_is_taken_in_once_and_its_answers_are_judgments(tmp_path, project):
    path = tmp_path / "train.jsonl"
    path.write_bytes(lines(20) + lines(20))
    found = import_examples(project, path, "train.jsonl")
    assert len(found) == 20
    assert len(list(read_conversations(path))) == 40
    assert import_examples(project, path, "train.jsonl").keys() == found.keys()
    assert project.counts()["items"] == 20
    numbers = find_completion_judgments(project, found.keys())
    assert all(len(each) == 1 for each in numbers.values())
    project.add_annotator("ann")
    assert project.next("ann") is None  # the project's own question isn't asked about them
