"""A model's answers are written once and kept; a kill, a prompt that is too long, or a file without answers is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from preceptor import UserError
from preceptor.errors import NotFound
from preceptor.evaluation.answers import Asked
from preceptor.project.suites import answering
from preceptor.project.suites.subjects import is_recorded, subject_of
from tiny_models import save_decoder


def asked(count: int, text: str = "What comes after {n}?") -> list[Asked]:
    return [Asked(f"q-{n}", f"g-{n}", ({"role": "user", "content": text.format(n=n)},)) for n in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_decoder("llama", tmp_path_factory.mktemp("base"))


@pytest.fixture
def subject(project, folder):
    return subject_of(project, str(folder))


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
    counted = Counted(subject.writer(), most)
    changed = replace(subject)
    object.__setattr__(changed, "writer", lambda: counted)
    return changed, counted


def test_the_same_again_writes_nothing(project, subject):
    first, unread = answering.written(project, subject, asked(5), max_tokens=4)
    assert unread == []
    assert len(first.texts) == 5
    again, counted = counting(subject)
    second, _ = answering.written(project, again, asked(5), max_tokens=4)
    assert (second, counted.written) == (first, 0)
    other, _ = answering.written(project, again, asked(5), max_tokens=3)
    assert counted.written == 5
    assert other.digest != first.digest


def test_what_was_cut_off_goes_on(project, subject, tmp_path):
    prompts = asked(answering.AT_ONCE * 2 + 3)
    whole, _ = answering.written(project, subject, prompts, max_tokens=4)
    kept = next((project.folder / answering.ANSWERS).glob("*.jsonl"))
    kept.unlink()
    killed, _ = counting(subject, most=answering.AT_ONCE)
    with pytest.raises(KeyboardInterrupt):
        answering.written(project, killed, prompts, max_tokens=4)
    with kept.open("ab") as file:
        file.write(b'{"16": "half a li')  # what a kill leaves of a line
    again, counted = counting(subject)
    found, _ = answering.written(project, again, prompts, max_tokens=4)
    assert counted.written == answering.AT_ONCE + 3
    assert found == whole


def test_a_prompt_that_is_too_long_is_left_out_by_name(project, subject):
    prompts = [*asked(2), Asked("long", "g", ({"role": "user", "content": "red " * 5000},))]
    found, unread = answering.written(project, subject, prompts, max_tokens=4)
    assert (unread, [each.id for each in found.asked]) == (["long"], ["q-0", "q-1"])
    with pytest.raises(UserError, match="can read none of the 1 prompts"):
        answering.written(project, subject, prompts[2:], max_tokens=4)


def test_recorded_answers_are_read_with_their_prompts(tmp_path):
    path = tmp_path / "gpt.jsonl"
    rows = [{"id": "a", "prompt": "p", "answer": "said", "sources": ["s"], "topic": "returns"}, {"prompt": "q", "response": ""}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = answering.recorded(path)
    assert (found.subject, list(found.texts)) == ("gpt", ["said", ""])
    assert found.asked[0].sources == ("s",)
    assert found.asked[0].metadata == {"topic": "returns"}
    path.write_text('{"prompt": "p"}\n')
    with pytest.raises(UserError, match="there is no answer to prompt '1'"):
        answering.recorded(path)
    path.write_text("")
    with pytest.raises(UserError):
        answering.recorded(path)


def test_who_can_be_asked(project, modelled, folder):
    assert is_recorded("answers.jsonl")
    assert not is_recorded("m-1234")
    with pytest.raises(NotFound, match="there is no model, base or file called 'm-none'"):
        subject_of(project, "m-none")
    assert subject_of(project, str(folder)).identity == subject_of(project, str(folder)).identity
