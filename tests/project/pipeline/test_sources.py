"""What a service has to be moved: jobs, files that are there, files that aren't."""

from __future__ import annotations

import pytest

from hosted_lines import lines
from preceptor import UserError
from preceptor.errors import NotFoundError
from preceptor.pipeline.migration import list_hosted_sources, local_source
from preceptor.pipeline.migration.hosted_sources import fetch_source, list_source_files


def contents(hosted) -> int:
    return sum(count for name, count in hosted.served.items() if name.endswith("/content"))


def test_files_are_fetched_once_and_whole(hosted, service, tmp_path):
    hosted.troubles, hosted.every = ("short", "500", "429"), 2
    (source,) = list_hosted_sources(service, tmp_path)
    assert [each["here"] for each in list_source_files(service, source)] == [False, False]
    assert contents(hosted) == 0
    fetch_source(service, source)
    fetch_source(service, source)
    assert contents(hosted) == 2
    assert source.file_path("train").read_bytes() == lines(0, 40)
    assert source.file_path("validation").read_bytes() == lines(40, 80)
    assert [each["here"] for each in list_source_files(service, source)] == [True, True]
    assert not list(tmp_path.rglob("*.part"))
    assert hosted.key not in "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())


def test_two_jobs_on_one_file_fetch_it_once(hosted, service, tmp_path):
    hosted.add_job("file-1", suffix="again")
    for source in list_hosted_sources(service, tmp_path):
        fetch_source(service, source)
    assert contents(hosted) == 2


def test_a_deleted_file_is_told_with_what_to_do(hosted, service, tmp_path):
    del hosted.files["file-1"]
    (source,) = list_hosted_sources(service, tmp_path)
    assert [each.get("missing", False) for each in list_source_files(service, source)] == [True, False]
    with pytest.raises(UserError, match="the train file file-1 of ftjob-3 was deleted") as told:
        fetch_source(service, source)
    assert told.value.hint == "give your own copy: --train FILE"
    own = tmp_path / "own.jsonl"
    own.write_bytes(lines(0, 20))
    kept = source.with_local_files({"train": own})
    fetch_source(service, kept)
    assert kept.file_path("train") == own


def test_jobs_that_cannot_be_moved_say_why(hosted, service, tmp_path):
    hosted.add_job("file-1", status="failed")
    hosted.add_job("file-1", status="cancelled")
    hosted.add_job("", suffix="bare")
    hosted.add_job("file-1", method={"type": "dpo", "dpo": {"hyperparameters": {}}})
    hosted.add_job("file-1", method={"type": "reinforcement", "reinforcement": {}})
    found = {source.name: source.unsupported_reason for source in list_hosted_sources(service, tmp_path)}
    assert list(found.values()) == [
        "it was trained by reinforcement, which can't be moved yet",
        "",
        "it names no training file",
        "it is cancelled",
        "it failed",
        "",
    ]


def test_jobs_are_found_by_id_and_by_model(hosted, service, tmp_path):
    job = hosted.add_job("file-1")
    for name in (job["id"], job["fine_tuned_model"]):
        assert [source.name for source in list_hosted_sources(service, tmp_path, [name])] == [job["id"]]
    with pytest.raises(NotFoundError, match="no fine-tuning job is called 'ftjob-9'"):
        list_hosted_sources(service, tmp_path, ["ftjob-9"])


def test_a_page_that_is_no_service_is_told(hosted, service, tmp_path, monkeypatch):
    monkeypatch.setattr(hosted, "handle", lambda *given: (200, b"<html>hello</html>"))
    with pytest.raises(UserError, match="doesn't answer as OpenAI's interface does"):
        list_hosted_sources(service, tmp_path)


def test_files_alone_are_a_source_too(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(lines(0, 20))
    source = local_source(tmp_path / "migration", path, name="ft:gpt-4o:shop::x")
    assert (source.hosted_model, source.file_roles(), source.unsupported_reason) == ("ft:gpt-4o:shop::x", ["train"], "")
    assert source.folder == local_source(tmp_path / "migration", path).folder
    with pytest.raises(UserError, match="no such file"):
        local_source(tmp_path, tmp_path / "nowhere.jsonl")
