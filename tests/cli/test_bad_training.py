"""What can't be trained is refused in one line, before minutes are spent, and says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tiny_models import save_decoder, save_encoder


def one_line(ran, *parts: str) -> None:
    """The command was refused in one line that holds these parts."""
    assert ran.code == 1, ran.err or ran.out
    told = [line for line in ran.err.splitlines() if not line.endswith("…")]
    assert len(told) == 1, ran.err
    assert told[0].startswith("error: ")
    for part in parts:
        assert part in told[0]


@pytest.fixture
def models(tmp_path):
    """Folders of a model that writes and of an encoder."""
    return save_decoder("llama", tmp_path / "writer"), save_encoder("bert", tmp_path / "encoder")


@pytest.fixture
def answered(run, tmp_path, monkeypatch):
    """A project with a snapshot, v1, of 40 prompts with completions."""
    monkeypatch.chdir(tmp_path)
    assert run("init", "answers").code == 0
    monkeypatch.chdir(tmp_path / "answers")
    rows = [{"prompt": f"What is {n} and {n}?", "completion": f"It is {2 * n}."} for n in range(40)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("import", "rows.jsonl").code == 0
    assert run("snapshot", "create", "--name", "v1").code == 0


def train(run, recipe, base, *options):
    return run("train", recipe, "--snapshot", "v1", "--base", base, *options)


def test_a_base_that_does_not_write(run, answered, models):
    one_line(train(run, "sft", models[1]), "encoder (bert) is not a causal model", "use the recipe classify")


@pytest.mark.parametrize("option", ["max_tokens=2049", "max_tokens=100000"])
def test_a_context_longer_than_the_models(run, answered, models, option):
    one_line(train(run, "sft", models[0], "-o", option), f"{option} is more than writer reads at once", "at most 2,048")
    one_line(train(run, "sft", models[0], "--dry-run", "-o", option), f"{option} is more than writer reads at once")


def test_rows_of_which_none_fits(run, answered, models):
    one_line(train(run, "sft", models[0], "-o", "max_tokens=5"), "no row of the train split can be trained on", "--dry-run shows the rows")


def test_an_option_of_no_recipe(run, answered, models):
    one_line(train(run, "sft", models[0], "-o", "lora_rank=8"), "no option is called 'lora_rank', did you mean 'rank'", "known options")


def test_a_snapshot_of_texts_for_a_classifier(run, answered, models):
    one_line(train(run, "classify", models[1]), "the targets of this snapshot are texts", "preceptor train sft")


def test_a_logger_that_is_not_there(run, answered, models, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_REPORT_TO", "mlflow")
    monkeypatch.setattr("preceptor.runs.training.find_spec", lambda name: None)
    one_line(train(run, "sft", models[0]), "metrics are to go to mlflow, which isn't installed", "pip install mlflow")


def test_a_classifier_for_longer_texts_than_it_reads(run, judged_shop, models):
    assert run("snapshot", "create", "--name", "v1").code == 0
    one_line(train(run, "classify", models[1], "-o", "max_tokens=4000"), "max_tokens=4000 is more than encoder reads at once")


BAD_ROWS = {
    "an empty completion": ({"prompt": "a", "completion": "  "}, "rows.jsonl:2", "the completion is empty"),
    "an empty last turn": (
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": ""}]}, "rows.jsonl:2", "empty",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_row_without_an_answer(run, tmp_path, monkeypatch, name):
    row, where, what = BAD_ROWS[name]
    monkeypatch.chdir(tmp_path)
    assert run("init", "answers").code == 0
    Path("rows.jsonl").write_text(json.dumps({**row, **good(row)}) + "\n" + json.dumps(row) + "\n")
    one_line(run("import", "rows.jsonl", "--project", "answers"), where, what)


def good(row):
    """The same kind of row, with an answer."""
    if "messages" in row:
        return {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "fine"}]}
    return {"completion": "fine"}


def test_conversations_that_end_with_the_user(run, tmp_path, monkeypatch):
    """They come in, for people may be asked about them; there is nothing to learn from them yet."""
    monkeypatch.chdir(tmp_path)
    assert run("init", "answers").code == 0
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    Path("rows.jsonl").write_text(json.dumps({"messages": turns}) + "\n")
    assert run("import", "rows.jsonl", "--project", "answers").code == 0
    refused = run("snapshot", "create", "--project", "answers")
    one_line(refused, "there is nothing to learn from", "a conversation that ends with an answer", "preceptor question add")


def test_an_empty_split(run, tmp_path, monkeypatch, models):
    """Two rows: none is left for validation."""
    monkeypatch.chdir(tmp_path)
    assert run("init", "answers").code == 0
    rows = [{"prompt": f"What is {n}?", "completion": "It."} for n in range(2)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run("import", "rows.jsonl", "--project", "answers").code == 0
    assert run("snapshot", "create", "--name", "v1", "--project", "answers").code == 0
    one_line(train(run, "sft", models[0], "--project", "answers"), "split is empty", "add rows of more groups")


def test_a_dry_run_that_would_train_on_nothing_fails_as_the_training_would(run, answered, models):
    """It ended with 0, as if all were well."""
    one_line(train(run, "dpo", models[0], "--dry-run"), "no row of the train split can be trained on", "no pair")


def test_a_snapshot_is_found_by_the_beginning_of_its_digest_unless_something_bears_that_name(run, answered):
    digest = run("snapshot", "show", "v1", "--json").document["digest"]
    assert run("snapshot", "show", digest[:3], "--json").document["digest"] == digest
    one_line(run("snapshot", "show", "zzz"), "no snapshot is called 'zzz'")
