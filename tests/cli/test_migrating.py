"""`preceptor migrate openai`: what it says before it does anything, and of what it can't do."""

from __future__ import annotations

import pytest

from hosted_lines import lines
from preceptor import Project
from preceptor.testing.fake_servers import FakeOpenAIServer


@pytest.fixture
def hosted():
    with FakeOpenAIServer.from_training_file(lines(0, 40), lines(40, 80)) as made:
        yield made


@pytest.fixture
def migrate(run, hosted, tmp_path, monkeypatch):
    """Runs the command in a new project, with the right key unless told otherwise."""
    folder = tmp_path / "shop"
    Project.create(folder).close()
    monkeypatch.setenv("OPENAI_API_KEY", hosted.key)
    monkeypatch.setenv("OPENAI_BASE_URL", hosted.base_url)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    return lambda *args: run("migrate", "openai", "--project", folder, *args)


def test_a_dry_run_says_what_would_be_fetched_trained_and_paid(migrate, hosted):
    told = migrate("--dry-run", "--teacher")
    assert told.code == 0
    for words in ("ftjob-3: ft:gpt-4o-mini", "fetch: 2 files", "train: 3 models", "pay: very roughly 0.0"):
        assert words in told.out
    found = migrate("--dry-run", "--json").document["plans"][0]
    assert found["pay"]["dollars"] == 0
    assert found["train"]["base"] == "smollm2"
    assert hosted.billed == []


@pytest.mark.parametrize(
    ("args", "fault"),
    [
        (["ftjob-404"], "no fine-tuning job is called 'ftjob-404'"),
        (["--teacher"], "nothing was sent; allow it: --max-cost 0.00"),
        (["--train", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["--validation", "a.jsonl"], "files of your own belong to one job"),
        (["ftjob-3", "--train", "nowhere.jsonl"], "nowhere.jsonl: no such file"),
        (["--base", "smolm"], "there is no chat base 'smolm', did you mean 'smollm2'?"),
        (["--prices", "nowhere.toml"], "the prices can't be read"),
        (["-o", "epochs"], "an option is written key=value"),
        (["--key-file", "nowhere"], "the key can't be read"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(migrate, hosted, args, fault):
    told = migrate(*args)
    assert told.code == 1
    assert fault in told.err
    assert len([line for line in told.err.splitlines() if line.startswith("error:")]) == 1
    assert hosted.billed == []


def test_a_key_is_needed_and_must_be_right(migrate, monkeypatch, tmp_path):
    (tmp_path / "key").write_text("sk-wrong\n")
    told = migrate("--key-file", tmp_path / "key")
    assert told.code == 1
    assert "doesn't accept the key" in told.err
    assert "sk-wrong" not in told.err
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "there is no key for the service" in migrate().err


def test_a_service_without_jobs_or_that_is_away(migrate, hosted, monkeypatch):
    hosted.jobs.clear()
    assert "there is no fine-tuning job at" in migrate().err
    monkeypatch.setattr("preceptor.generation.openai_client.MAX_TRIES", 1)
    told = migrate("--base-url", "http://127.0.0.1:9/v1")
    assert (told.code, "can't be reached" in told.err) == (1, True)


def test_of_several_jobs_those_that_cannot_be_moved_are_told_and_none_is_an_error(migrate, hosted):
    hosted.jobs.clear()
    del hosted.files["file-1"]
    hosted.add_job("file-1")
    hosted.add_job("file-2", status="failed")
    told = migrate("--json")
    assert told.code == 1
    assert [fault["message"].partition(" ")[2] for fault in told.document["faults"]] == [
        "can't be moved: it failed",
        f"train file file-1 of ftjob-4 was deleted at {hosted.base_url}",
    ]
