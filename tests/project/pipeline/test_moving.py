"""A model on its way home, whole: over a bad network, stopped and started, without its teacher, within a budget, to people."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest

from hosted_lines import lines
from preceptor import UserError
from preceptor.annotation.access_control import AccessControl
from preceptor.formats.durable_files import load_sealed_json
from preceptor.generation import AccessDenied, LocalProvider, OpenAIClient
from preceptor.pipeline.migration import HostedMigrationOptions, list_hosted_sources, local_source, migrate_hosted_model, plan_migration
from preceptor.pipeline.migration.migration_plan import _GIB, propose_base
from preceptor.pipeline.migration.successor_training import generate_answers, prompt_messages
from preceptor.release.model_catalog import ModelCatalog
from preceptor.storage.snapshot_rows import SnapshotRow
from preceptor.testing.fake_servers import NETWORK_FAULTS

QUICK = {"epochs": 6, "learning_rate": 0.02, "dtype": "float32", "batch_size": 8, "patience": 100}
WISHES = HostedMigrationOptions(teacher=True, max_cost=1.0, train_on="rows", options=QUICK)


@pytest.fixture(autouse=True)
def small(chat_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(chat_cache))


def test_a_model_comes_home_and_nothing_is_paid_twice(hosted, service, home):
    hosted.troubles, hosted.every = NETWORK_FAULTS, 5
    (source,) = list_hosted_sources(service, home.folder / "migration")
    moved = migrate_hosted_model(home, source, service, replace(WISHES, train_on="best"))
    document = moved.report.document
    assert Counter(each.mark for each in hosted.billed).most_common(1)[0][1] == 1
    assert len(hosted.billed) == 80  # each question once: those that are trained on, too
    # old against new, each with its interval, on the same rows
    models, comparison = document["models"], document["comparison"]
    for name in ("accuracy", "macro_f1", "exact_match", "token_f1", "format", "refusals", "latency"):
        for each in (models["tuned"][name], models["hosted"][name]):
            assert each["low"] is None or each["low"] <= each["value"] <= (each["high"] or 9)
        assert name == "accuracy" or f"tuned_minus_hosted_{name}" in comparison
    about = document["migration"]
    assert {each["train_on"] for each in about["variants"]} == {"rows", "teacher", "both"}
    assert [each["taken"] for each in about["variants"]] == [True, False, False]
    assert about["teacher"]["answers"] == 80
    assert about["teacher"]["paid"] == pytest.approx(sum(0.3e-6 * each.read + 1.2e-6 * each.written for each in hosted.billed))
    assert about["month"]["successor"]["value"] == 73.0  # one machine, all month
    assert "hosted" in about["month"]
    # what came over: the file's answers and the hosted model's, with who gave them
    judges = Counter(row["annotator"] for row in home.export("judgments"))
    assert judges[f"model:{source.hosted_model}"] == 80
    assert judges["import:ftjob-3 (train)"] == judges["import:ftjob-3 (validation)"] == 40
    lineage = home.lineage(document["lineage"]["model"])
    assert f"model:{source.hosted_model}" in lineage["annotators"] or about["variants"][0]["train_on"] == "rows"
    # a page, without any key
    page = moved.page.read_text()
    assert "From the hosted model to its successor" in page
    kept = b"".join(path.read_bytes() for path in home.folder.rglob("*") if path.is_file())
    assert hosted.key.encode() not in kept
    token = moved.client_settings[1].split('"')[1]
    assert token.encode() not in kept
    # the old name, at a new address
    visitor = AccessControl(home).authenticate_token(token)
    found = ModelCatalog(home).find(source.hosted_model, visitor)
    assert found.fingerprint == document["lineage"]["model"]
    assert moved.client_settings[2] == f'model="{source.hosted_model}"'
    # the same again does nothing again
    before = (len(hosted.billed), hosted.served["GET /v1/files/file-1/content"])
    again = migrate_hosted_model(home, source, service, replace(WISHES, train_on="best"))
    assert (len(hosted.billed), hosted.served["GET /v1/files/file-1/content"]) == before
    assert again.report.document["models"] == document["models"]
    assert again.report.document["openings"] == document["openings"]
    assert document["openings"]["rows"]["others"] == 0
    assert "handed" not in again.client_settings[1]
    assert token not in again.client_settings[1]


def test_people_see_both_answers_blind_and_their_verdict_is_told(hosted, service, home):
    (source,) = list_hosted_sources(service, home.folder / "migration")
    first = migrate_hosted_model(home, source, service, WISHES).report.document["migration"]
    assert first["people"] is None
    assert first["asked"] > 0
    tuned = set(load_sealed_json(next(source.folder.glob("said-m-*.json")).read_bytes())["texts"])
    judged = 0
    home.add_annotator("ann")
    while (found := home.next("ann", first["question"])) is not None:
        assert set(found.content) == {"prompt", "responses"}
        new = [text in tuned for text in found.content["responses"]]
        home.submit(found.slot, "ann", {"winner": new.index(True)})
        judged += 1
    assert judged == first["asked"]
    people = migrate_hosted_model(home, source, service, WISHES).report.estimates["migration.people"]
    assert people.value > 0.5
    assert people.n <= judged
    home.add_annotator("bob")
    assert home.next("bob") is None or home.config.redundancy.min_judgments > 1  # of the rows that came over nobody is asked


def test_a_model_that_is_gone_is_succeeded_without_it(hosted, service, home):
    hosted.models.clear()
    (source,) = list_hosted_sources(service, home.folder / "migration")
    assert "can't be asked any more" in plan_migration(home, source, service, WISHES)["summary"]
    moved = migrate_hosted_model(home, source, service, replace(WISHES, train_on="best"))
    assert hosted.billed == []
    assert set(moved.report.document["models"]) == {"tuned", "base"}
    assert "goes on without a teacher" in moved.report.document["migration"]["summary"][0]
    assert "goes on without a teacher" in moved.page.read_text()


def test_answers_that_were_paid_for_outlive_the_model_that_gave_them(hosted, service, home):
    (source,) = list_hosted_sources(service, home.folder / "migration")
    first = migrate_hosted_model(home, source, service, WISHES).report.document
    paid = len(hosted.billed)
    hosted.models.clear()
    again = migrate_hosted_model(home, source, service, WISHES).report.document
    assert len(hosted.billed) == paid
    assert again["models"]["hosted"]["accuracy"] == first["models"]["hosted"]["accuracy"]
    with pytest.raises(UserError, match=r"isn't at .* any more, and .* answers are here"):
        migrate_hosted_model(home, source, service, replace(WISHES, train_on="teacher"))
    assert "hosted" in json.loads((source.folder / "report.json").read_text())["models"], "the report stands"


def test_a_job_that_is_listed_no_more_goes_on_from_what_was_fetched(hosted, service, home):
    root = home.folder / "migration"
    (source,) = list_hosted_sources(service, root)
    migrate_hosted_model(home, source, service, replace(WISHES, teacher=False))
    hosted.jobs.clear()
    (kept,) = list_hosted_sources(service, root, ["ftjob-3"])
    assert (kept.name, kept.hosted_model, kept.files) == (source.name, source.hosted_model, source.files)


def test_what_it_would_cost_is_counted_from_above_once_the_files_are_here(hosted, service, home):
    (source,) = list_hosted_sources(service, home.folder / "migration")
    assert "very roughly" in plan_migration(home, source, service, replace(WISHES, train_on="both"))["pay"]["summary"]
    migrate_hosted_model(home, source, service, replace(WISHES, teacher=False))
    counted = plan_migration(home, source, service, replace(WISHES, train_on="both"))["pay"]
    assert counted["summary"].startswith("at most ")
    with pytest.raises(UserError, match="nothing was sent"):
        migrate_hosted_model(home, source, service, replace(WISHES, train_on="both", max_cost=0.9 * counted["dollars"]))
    migrate_hosted_model(home, source, service, replace(WISHES, train_on="both", max_cost=counted["dollars"]))


def test_nothing_is_sent_above_the_cap(hosted, service, home):
    (source,) = list_hosted_sources(service, home.folder / "migration")
    with pytest.raises(UserError, match="nothing was sent"):
        migrate_hosted_model(home, source, service, replace(WISHES, max_cost=0.0001))
    assert hosted.billed == []
    with pytest.raises(UserError, match="can't be moved: it failed"):
        migrate_hosted_model(home, replace(source, unsupported_reason="it failed"), service, WISHES)


def test_a_key_that_is_refused_midway_ends_it(hosted, service, home):
    (source,) = list_hosted_sources(service, home.folder / "migration")
    wrong = OpenAIClient(key="sk-wrong", base_url=hosted.base_url)
    with pytest.raises(AccessDenied):
        migrate_hosted_model(home, source, wrong, WISHES)
    wrong.close()
    assert home.counts()["items"] == 0


def test_files_alone_come_home_under_the_old_name(home, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(lines(0, 60))
    source = local_source(home.folder / "migration", path, name="ft:gpt-4o:shop::x")
    assert "pay: nothing" in plan_migration(home, source, None, WISHES)["summary"]
    moved = migrate_hosted_model(home, source, None, replace(WISHES, teacher=False))
    assert moved.client_settings[2] == 'model="ft:gpt-4o:shop::x"'
    assert set(moved.report.document["models"]) == {"tuned", "base"}
    words = moved.report.document["migration"]["summary"]
    assert any("no hosted model to ask" in each for each in words)


def test_a_plan_reads_and_does_nothing(hosted, service, home):
    (source,) = list_hosted_sources(service, home.folder / "migration")
    found = plan_migration(home, source, service, WISHES)
    assert found["fetch"]["bytes"] == len(lines(0, 40)) + len(lines(40, 80))
    assert found["train"]["models"] == 1
    assert found["pay"]["dollars"] > 0
    assert not source.folder.exists()
    assert not any(name.endswith("/content") for name in hosted.served)
    assert home.counts()["items"] == 0
    del hosted.files["file-2"]
    assert (
        "the validation file file-2 was deleted; give your own copy: --validation FILE"
        in plan_migration(home, source, service, WISHES)["summary"]
    )
    assert (
        plan_migration(home, replace(source, unsupported_reason="it failed"), service, WISHES)["summary"]
        == "ftjob-3 isn't moved: it failed"
    )
    with pytest.raises(UserError, match="what llama costs isn't known"):
        plan_migration(home, replace(source, job={**source.job, "fine_tuned_model": _rename(hosted, "llama")}), service, WISHES)


def _rename(hosted, name: str) -> str:
    hosted.models.add(name)
    return name


def test_a_base_is_proposed_that_fits(tiny_chat):
    assert "are free" in propose_base(memory=16 * _GIB).summary
    assert "may not be enough" in propose_base(memory=0.5 * _GIB).summary
    assert propose_base(str(tiny_chat)).memory_bytes < _GIB
    with pytest.raises(UserError, match=r"no chat base 'smolm2', did you mean 'smollm2'\?"):
        propose_base("smolm2")


def test_what_does_not_fit_is_an_empty_answer(tiny_chat):
    rows = [SnapshotRow(f"i-{n}", {"messages": [{"role": "user", "content": "fine " * n}]}, {"x": 1.0}, 1.0, "test", "g") for n in (3, 400)]
    provider = LocalProvider(tiny_chat)
    assert [provider.fits(prompt_messages(row)) for row in rows] == [True, False]
    assert generate_answers(provider, rows, 8) == [*provider.write([prompt_messages(rows[0])], max_tokens=8), ""]
