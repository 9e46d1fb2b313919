"""Fine-tuning at a service: the same file and the same job are found again rather than made twice."""

from __future__ import annotations

import pytest

from preceptor import UserError
from preceptor.generation import OpenAIClient
from preceptor.generation import openai_client as service_module
from preceptor.generation.openai_client import create_fine_tuning_job, follow_job, upload_training_file
from preceptor.testing.fake_servers import FakeOpenAIServer

HOW = {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"}


@pytest.fixture
def hosted():
    with FakeOpenAIServer(lambda turns: "yes") as made:
        yield made


@pytest.fixture
def service(hosted, monkeypatch):
    monkeypatch.setattr(service_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)
    made = OpenAIClient(key=hosted.key, base_url=hosted.base_url)
    yield made
    made.close()


def start(service, file, **changes):
    given = {"model": "gpt-4o-mini", "training_file": file, "validation_file": None, "hyperparameters": HOW, "suffix": "shop", "seed": 1}
    return create_fine_tuning_job(service, **{**given, **changes})


@pytest.mark.parametrize("trouble", ["", "lost", "drop", "429"])
def test_nothing_is_made_twice(hosted, service, tmp_path, trouble):
    hosted.troubles, hosted.every = ((trouble,) if trouble else ()), (2 if trouble == "lost" else 3)
    path = tmp_path / "train.jsonl"
    path.write_text('{"messages": []}\n')
    file = upload_training_file(service, path)
    assert upload_training_file(service, path) == file
    job = start(service, file)
    assert start(service, file).id == job.id
    assert (len(hosted.files), len(hosted.trained)) == (1, 1)
    told = []
    done = follow_job(service, job.id, told.append, look_seconds=0)
    assert done.fine_tuned_model in hosted.models
    assert [event.message for event in told] == ["Fine-tuning job started", "The job has successfully completed"]
    assert start(service, file, seed=2).id != job.id  # other settings are another job
    path.write_text('{"messages": [1]}\n')
    assert upload_training_file(service, path) != file


def test_a_failed_job_says_why_and_is_begun_anew(hosted, service, tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("{}\n")
    file = upload_training_file(service, path)
    job = start(service, file)
    hosted.jobs[0] |= {"status": "failed", "fine_tuned_model": None, "error": {"code": "bad", "message": "too few examples", "param": None}}
    with pytest.raises(UserError, match="failed: too few examples"):
        follow_job(service, job.id, lambda event: None, look_seconds=0)
    assert start(service, file).id != job.id
    with pytest.raises(UserError, match=r"400.*no such file"):
        start(service, "file-nowhere")
