"""A model's answers are written once and kept; a kill, a prompt that is too long, or a file without answers is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from preceptor import UserError
from preceptor.errors import NotFoundError
from preceptor.evaluation.prompts import SuitePrompt
from preceptor.runs import suite_answers
from preceptor.runs.suite_answers import find_subject, is_answers_file
from tiny_models import save_decoder


def asked(count: int, text: str = "What comes after {n}?") -> list[SuitePrompt]:
    return [SuitePrompt(f"q-{n}", f"g-{n}", ({"role": "user", "content": text.format(n=n)},)) for n in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_decoder("llama", tmp_path_factory.mktemp("base"))


@pytest.fixture
def subject(project, folder):
    return find_subject(project, str(folder))


class Counted:
    """A subject's writer that counts what it is asked to write, and may be cut off."""

    def __init__(self, writer, most=10**9):
        self.writer, self.written, self.most = writer, 0, most

    def fits(self, turns):
        return self.writer.fits(turns)

    def write(self, conversations, **how):
        if self.written >= self.most:
            raise KeyboardInterrupt
        self.written += len(conversations)
        return self.writer.write(conversations, **how)


def counting(subject, most=10**9):
    counted = Counted(subject.load_writer(), most)
    changed = replace(subject)
    object.__setattr__(changed, "load_writer", lambda: counted)
    return changed, counted


def test_the_same_again_writes_nothing(project, subject):
    first, unread = suite_answers.generate_answers(project, subject, asked(5), max_tokens=4)
    assert unread == []
    assert len(first.texts) == 5
    again, counted = counting(subject)
    second, _ = suite_answers.generate_answers(project, again, asked(5), max_tokens=4)
    assert (second, counted.written) == (first, 0)
    other, _ = suite_answers.generate_answers(project, again, asked(5), max_tokens=3)
    assert counted.written == 5
    assert other.digest != first.digest


def test_what_was_cut_off_goes_on(project, subject, tmp_path):
    prompts = asked(suite_answers.ANSWER_BATCH * 2 + 3)
    whole, _ = suite_answers.generate_answers(project, subject, prompts, max_tokens=4)
    kept = next((project.folder / suite_answers.ANSWERS_FOLDER).glob("*.jsonl"))
    kept.unlink()
    killed, _ = counting(subject, most=suite_answers.ANSWER_BATCH)
    with pytest.raises(KeyboardInterrupt):
        suite_answers.generate_answers(project, killed, prompts, max_tokens=4)
    with kept.open("ab") as file:
        file.write(b'{"16": "half a li')  # what a kill leaves of a line
    again, counted = counting(subject)
    found, _ = suite_answers.generate_answers(project, again, prompts, max_tokens=4)
    assert counted.written == suite_answers.ANSWER_BATCH + 3
    assert found == whole


def test_a_prompt_that_is_too_long_is_left_out_by_name(project, subject):
    prompts = [*asked(2), SuitePrompt("long", "g", ({"role": "user", "content": "red " * 5000},))]
    found, unread = suite_answers.generate_answers(project, subject, prompts, max_tokens=4)
    assert (unread, [each.id for each in found.prompts]) == (["long"], ["q-0", "q-1"])
    with pytest.raises(UserError, match="can read none of the 1 prompts"):
        suite_answers.generate_answers(project, subject, prompts[2:], max_tokens=4)


def test_recorded_answers_are_read_with_their_prompts(tmp_path):
    path = tmp_path / "gpt.jsonl"
    rows = [{"id": "a", "prompt": "p", "answer": "said", "sources": ["s"], "topic": "returns"}, {"prompt": "q", "response": ""}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = suite_answers.read_recorded_answers(path)
    assert (found.subject, list(found.texts)) == ("gpt", ["said", ""])
    assert found.prompts[0].sources == ("s",)
    assert found.prompts[0].metadata == {"topic": "returns"}
    path.write_text('{"prompt": "p"}\n')
    with pytest.raises(UserError, match="there is no answer to prompt '1'"):
        suite_answers.read_recorded_answers(path)
    path.write_text("")
    with pytest.raises(UserError):
        suite_answers.read_recorded_answers(path)


def test_who_can_be_asked(project, modelled, folder):
    assert is_answers_file("answers.jsonl")
    assert not is_answers_file("m-1234")
    with pytest.raises(NotFoundError, match="there is no model, base or file called 'm-none'"):
        find_subject(project, "m-none")
    assert find_subject(project, str(folder)).identity == find_subject(project, str(folder)).identity
