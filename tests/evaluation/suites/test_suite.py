"""Suites' files: what a good one says, and what is told about a bad one."""

from __future__ import annotations

import pytest

from preceptor.errors import UserError
from preceptor.evaluation.suites import read_suite

TASK = 'kind = "generation"\nmetrics = ["exact_match", { name = "chrf", word_order = 2 }]\n'


def write(folder, text, name="returns.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_suite_takes_its_name_from_its_file_and_its_paths_from_its_folder(tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"prompt": "?"}\n')
    suite = read_suite(write(tmp_path, TASK + 'prompts = "questions.jsonl"\nslices = ["topic"]\n'))
    assert (suite.name, suite.title, suite.max_tokens, suite.slices) == ("returns", "returns", 256, ("topic",))
    assert suite.prompts == (tmp_path / "questions.jsonl").resolve()


def test_the_digest_is_of_what_the_files_say_wherever_they_lie(tmp_path):
    digests = []
    for folder, prompt in (("a", "one"), ("b", "one"), ("c", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "questions.jsonl").write_text(f'{{"prompt": "{prompt}"}}\n')
        digests.append(read_suite(write(tmp_path / folder, TASK + 'prompts = "questions.jsonl"\n')).digest)
    assert digests[0] == digests[1] != digests[2]


def test_a_bad_suite_is_told_with_what_to_do(tmp_path, subtests):
    for text, told in [
        ('metrics = ["bleu"]', "must say its kind; kind = one of 'generation'"),
        ('kind = "generaton"', "no kind of suite is called 'generaton', did you mean 'generation'? kinds: generation, policy, "),
        ('kind = ["policy"]', "no kind of suite is called ['policy']; kinds: "),
        ('kind = "generation"', "a suite without a metric measures nothing; metrics ="),
        ('kind = "selective_prediction"', "a suite without a metric measures nothing"),
        ('kind = "generation"\nmetrics = ["exact_mach"]', "no metric is called 'exact_mach', did you mean 'exact_match'?"),
        ('kind = "generation"\nmetrics = ["bleu", "bleu"]', "'bleu' is named twice"),
        (
            'kind = "generation"\nmetrics = [{ name = "chrf", word_ordr = 2 }]',
            "no option is called 'word_ordr', did you mean 'word_order'?",
        ),
        ('kind = "generation"\nmetrics = [{ word_order = 2 }]', "needs a name"),
        (TASK + 'promts = "x.jsonl"', "no option is called 'promts', did you mean 'prompts'?"),
        (TASK + 'prompts = "x.jsonl"', "there is no prompts file"),
        (TASK + 'policy = "p.toml"', "there is no policy file"),
        (TASK + "coverages = [1.5]", "shares of the answers, above 0 and at most 1"),
        ('kind = "policy"', "needs a policy's file"),
        ('kind = "policy"\nmetrics = ["bleu"]', "has figures of its own and takes no metrics"),
        ('kind = "multiple_choice"', "needs a file of questions with options"),
        ("kind = task", "can't be read: Invalid value (at line 1, column 8)"),
    ]:
        with subtests.test(text=text, told=told):
            path = write(tmp_path, text)
            with pytest.raises(UserError) as error:
                read_suite(path)
            assert told in str(error.value)
            assert "returns.toml" in str(error.value)
            assert error.value.hint


def test_a_suite_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(UserError, match="there is no file for a suite here"):
        read_suite(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="can't be read"):
        read_suite(tmp_path / "bytes.toml")
