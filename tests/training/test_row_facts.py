"""What a base reads of each row: what is cut, what would be left out and why, and where the unread text begins."""

import pytest

from preceptor.models import load_tokenizer
from preceptor.models.causal_lm import prepare_tokenizer
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.training.examples import measure_row_tokens


def row(number, content, answer="yes", weight=1.0):
    return SnapshotRow(f"i-{number}", content, {answer: weight and 1.0}, weight, "train", "g")


def test_a_classifier_reads_the_beginning_only(tiny_cache, monkeypatch):
    from preceptor.models.base_models import find_base_folder

    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    tokenizer = load_tokenizer(find_base_folder("minilm"))
    rows = [
        row(1, {"text": "good great"}),
        row(2, {"text": "good great love fine best bad awful"}),
        row(3, {"text": " \n"}),
        row(4, {"text": "good"}, weight=0.0),
    ]
    found = measure_row_tokens({"train": rows[:2], "test": rows[2:]}, tokenizer, 6, writes=False)
    assert [(fact.id, fact.split, fact.tokens, fact.problem) for fact in found] == [
        ("i-1", "train", 4, ""),
        ("i-2", "train", 9, "cut"),
        ("i-3", "test", 2, "empty"),
        ("i-4", "test", 3, "weight"),
    ]
    assert found[1].truncated == " best bad awful"
    assert found[1].explanation == "6 of 9 tokens are read; the rest isn't, from ' best bad awful' on"
    assert [fact.supervised_tokens for fact in found] == [1, 1, 1, 0]


@pytest.fixture
def chat(tiny_chat):
    return prepare_tokenizer(tiny_chat)


def test_a_writer_learns_the_answer_or_says_why_not(chat):
    rows = [
        row(1, {"prompt": "how are you"}, "fine thanks"),
        row(2, {"prompt": "how are you " * 40}, "fine"),
        row(3, {"prompt": "how"}, "fine thanks " * 40),
        row(4, {"prompt": "how"}, "  "),
        row(5, {"prompt": "<|im_start|>"}, "fine"),
        row(6, {"prompt": "how"}, "fine", weight=0.0),
    ]
    fits, prompt, cut, empty, marks, weight = measure_row_tokens({"train": rows}, chat, 64, writes=True)
    assert (fits.problem, fits.limit) == ("", 64)
    assert 2 < fits.supervised_tokens < fits.tokens <= 64
    assert (prompt.problem, prompt.supervised_tokens) == ("prompt too long", 0)
    assert "the prompt alone has" in prompt.explanation
    assert (cut.problem, cut.tokens > 64) == ("too long", True)
    assert cut.truncated.endswith("<|im_end|>")
    assert [fact.problem for fact in (empty, marks, weight)] == ["empty", "marks", "weight"]


def test_an_answer_without_an_end_is_told(chat):
    chat.chat_template = "{% for message in messages %}{{ message['content'] + '\n' }}{% endfor %}"
    (fact,) = measure_row_tokens({"train": [row(1, {"prompt": "how"}, "fine")]}, chat, 64, writes=True)
    assert fact.problem == "no end"
    assert "no end-of-turn token" in fact.explanation


def test_what_is_told_is_what_training_leaves_out(chat):
    from preceptor.training.sft import render_rows

    rows = [row(number, {"prompt": "how are you " * number}, "fine " * number) for number in range(1, 40, 3)]
    told = {fact.id for fact in measure_row_tokens({"train": rows}, chat, 96, writes=True) if fact.problem}
    assert told == {each.id for each, _ in render_rows(rows, chat, 96)[1]}
    assert 0 < len(told) < len(rows)


def test_no_rows(chat):
    assert measure_row_tokens({"train": []}, chat, 64, writes=False) == []
