"""A model that was tuned by dpo comes home: its pairs are learnt on the sides to which their prompts were drawn."""

from __future__ import annotations

import json

import pytest

from hosted_lines import LABELS, line
from preceptor.pipeline.migration import HostedMigrationOptions, list_hosted_sources, local_source, migrate_hosted_model, plan_migration
from preceptor.pipeline.migration.hosted_sources import import_source_rows
from preceptor.pipeline.migration.successor_training import _create_preference_snapshot
from preceptor.runs.unlabelled_pool import prompt_key

QUICK = {"epochs": 2, "learning_rate": 0.02, "dtype": "float32", "batch_size": 8}
HOW = {"n_epochs": 2, "beta": 0.3, "batch_size": 4, "learning_rate_multiplier": 1.0}


@pytest.fixture(autouse=True)
def small(chat_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(chat_cache))


def pair(number: int, other: int = 1) -> dict:
    *asked, best = line(number)["messages"]
    worse = {"role": "assistant", "content": LABELS[(number + other) % 3]}
    return {"input": {"messages": asked}, "preferred_output": [best], "non_preferred_output": [worse]}


def lines(begin: int, end: int, *more: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in [*map(pair, range(begin, end)), *more])


@pytest.fixture
def source(hosted, service, home):
    files = [hosted.add_file(lines(0, 40, pair(3, 2), {"messages": []}), "pairs.jsonl"), hosted.add_file(lines(40, 64), "held.jsonl")]
    job = hosted.add_job(*files, method={"type": "dpo", "dpo": {"hyperparameters": HOW}})
    (found,) = list_hosted_sources(service, home.folder / "migration", [job["id"]])
    return found


def test_a_job_by_dpo_comes_home(source, service, home):
    assert source.unsupported_reason == ""
    assert source.hyperparameters["beta"] == 0.3
    found = plan_migration(home, source, service, HostedMigrationOptions(teacher=True))
    assert (found["moved"], found["train"]["models"]) == (True, 1)
    moved = migrate_hosted_model(home, source, service, HostedMigrationOptions(options=QUICK, ask=0))
    about = moved.report.document["migration"]
    assert [each["train_on"] for each in about["variants"]] == ["rows"]
    assert about["rows"]["left_out"] == {"messages: there is no such field": 1}
    assert any("tuned by dpo" in words for words in about["summary"])
    assert "exact_match" in moved.report.document["models"]["tuned"]
    model = home.model(about["variants"][0]["model"])
    assert model.manifest["recipe"] == "dpo"
    assert model.manifest["options"]["loss_type"] == "hard"
    assert model.manifest["options"]["sft_weight"] == 1.0
    assert moved.client_settings[2] == f'model="{source.hosted_model}"'


def test_each_pair_stands_on_the_side_of_its_prompt(source, service, home):
    from preceptor.pipeline.migration.hosted_sources import fetch_source

    fetch_source(service, source)
    gathered = import_source_rows(home, source)
    snapshot = _create_preference_snapshot(home, source, gathered)
    assert snapshot.question["kind"] == "compare"
    rows = list(snapshot.rows())
    assert len(rows) == 65  # one prompt has two pairs
    side = {prompt_key(row.content): row.split for row in gathered.rows}
    assert all(side[prompt_key(row.content)] == row.split for row in rows)
    assert {row.split for row in rows} == {"train", "validation", "test"}
    assert sum(row.split == "train" for row in rows) == 41
    for row in rows:
        preferred = row.content["responses"][int(row.answer)]
        assert preferred.split()[0] == row.content["messages"][1]["content"].split()[0]
    assert _create_preference_snapshot(home, source, gathered).digest == snapshot.digest


def test_a_file_alone_is_known_by_what_it_holds(home, tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(lines(0, 20))
    assert local_source(home.folder / "migration", path).method == "dpo"
    path.write_bytes(b"nonsense")
    assert local_source(home.folder / "migration", path).method == "supervised"
