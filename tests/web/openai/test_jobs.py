"""Fine-tuning by the official client: a small model is really trained, in a process of its own."""

from __future__ import annotations

import json

import openai
import pytest

from preceptor import Project
from serving_jobs import said, upload, wait

HELLO = [{"role": "user", "content": "how are you today 3"}]
QUICK = {"n_epochs": 2, "batch_size": 8, "learning_rate_multiplier": 5}
WELL = {"n_epochs": 12, "batch_size": 6, "learning_rate_multiplier": 80}


def lines(count: int = 40, **changes) -> bytes:
    """A training file; changes: line number (from 1) -> another row, or text as it is."""
    rows = []
    for number in range(1, count + 1):
        turns = [{"role": "user", "content": f"how are you today {number}"}, {"role": "assistant", "content": "fine thanks"}]
        row = changes.get(f"line_{number}", {"messages": turns})
        rows.append(row if isinstance(row, str) else json.dumps(row))
    return ("\n".join(rows) + "\n").encode()


def create(server, who: str = "program", content: bytes | None = None, **given):
    file = given.pop("training_file", None) or upload(server, lines() if content is None else content, who)
    method = {"type": "supervised", "supervised": {"hyperparameters": QUICK}}
    return server.client(who).fine_tuning.jobs.create(**{"model": "smollm2", "training_file": file, "method": method, **given})


@pytest.fixture(scope="module")
def done(server):
    """A job that has succeeded, on a file with a row that no other test's file has."""
    method = {"type": "supervised", "supervised": {"hyperparameters": WELL}}
    own = {"messages": [{"role": "user", "content": "how are you today greeter"}, {"role": "assistant", "content": "fine thanks"}]}
    job = create(server, content=lines(41, line_41=own), suffix="greeter", seed=7, metadata={"team": "shop"}, method=method)
    assert (job.status, job.fine_tuned_model, job.finished_at) == ("validating_files", None, None)
    return wait(server, job.id, "succeeded")


def test_a_job_trains_a_model(server, done):
    assert done.object == "fine_tuning.job"
    assert done.fine_tuned_model.startswith("ft:smollm2:shop:greeter:m-")
    assert done.organization_id == "shop"
    assert done.seed == 7
    assert done.metadata == {"team": "shop"}
    assert done.error is None
    assert done.trained_tokens > 0
    assert done.finished_at >= done.created_at
    assert done.hyperparameters.model_dump() == WELL
    assert done.method.supervised.hyperparameters.n_epochs == 12


def test_its_events_say_what_happened(server, done):
    told = said(server, done.id)
    for words in (
        "Created fine-tuning job",
        "Validating training file",
        "Files validated",
        "Fine-tuning job started",
        "10% of the training",
    ):
        assert any(message.startswith(words) for message in told), words
    assert told[-1] == "The job has successfully completed"
    events = list(server.client("program").fine_tuning.jobs.list_events(done.id, limit=3))
    assert [event.message for event in events][::-1] == told
    metrics = [event for event in events if event.type == "metrics"]
    assert metrics[0].data["step"] == metrics[0].data["total_steps"]
    assert metrics[0].data["valid_loss"] > 0
    assert {event.level for event in events} == {"info"}


def test_its_checkpoint_and_results_can_be_read(server, done):
    client = server.client("program")
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(done.id)
    assert checkpoint.fine_tuned_model_checkpoint == done.fine_tuned_model
    assert checkpoint.fine_tuning_job_id == done.id
    assert checkpoint.metrics.valid_loss == checkpoint.metrics.full_valid_loss
    assert checkpoint.step_number == checkpoint.metrics.step
    header, *rows = client.files.content(done.result_files[0]).text.splitlines()
    assert header == "step,train_loss,valid_loss"
    assert len(rows) >= 2
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.checkpoints.list(done.id, after="ftckpt-nothing")


def test_who_had_it_trained_chats_with_it_and_others_only_once_it_is_released(server, done):
    def ask(who: str):
        return server.client(who).chat.completions.create(model=done.fine_tuned_model, messages=HELLO, temperature=0, max_tokens=20)

    def listed(who: str) -> list[str]:
        return [model.id for model in server.client(who).models.list()]

    assert ask("program").choices[0].message.content == "fine thanks"
    assert {"smollm2", done.fine_tuned_model} <= set(listed("program")), "beside what other tests had trained"
    for who in ("chatter", "owner"):
        with pytest.raises(openai.NotFoundError, match="released"):
            ask(who)
        assert listed(who) == ["smollm2"]
    release(server, done.fine_tuned_model.rpartition(":")[2])
    made = ask("chatter")
    assert made.choices[0].message.content == "fine thanks"
    assert made.choices[0].finish_reason == "stop"
    assert made.system_fingerprint == f"fp_{done.fine_tuned_model.rpartition(':')[2]}"
    assert listed("chatter") == ["smollm2", done.fine_tuned_model]


def test_served_log_probabilities_are_those_of_evaluation(server, done):
    from preceptor import Project
    from preceptor.generation import LocalProvider

    project = Project.open(server.folder)
    folder = project.model(done.fine_tuned_model.rpartition(":")[2]).path
    project.close()
    asked = [[{"role": "user", "content": f"how are you today {number}"}] for number in range(3)]
    for number, messages in enumerate(asked):
        made = server.client("program").chat.completions.create(
            model=done.fine_tuned_model, messages=messages, temperature=0, logprobs=True, max_tokens=20
        )
        served = [token.logprob for token in made.choices[0].logprobs.content]
        said = LocalProvider(folder).score_rows({"a": [*messages, {"role": "assistant", "content": made.choices[0].message.content}]})
        evaluated = said.log_probabilities["a"]
        assert len(evaluated) == len(served) + 1, number  # with the token that ends the turn
        assert served == pytest.approx(list(evaluated[:-1]), abs=1e-4)


def release(server, model: str) -> None:
    """Let a model out, as the gate would."""
    from preceptor import Project
    from preceptor.storage import artifacts
    from preceptor.types import Release

    project = Project.open(server.folder)
    with project.database.writing() as connection:
        artifacts.add_release(connection, Release(model, "owner", "overridden: a test", "no-report"))
    project.close()


def test_items_and_lineage_of_a_file_stand_in_the_project(server, done):
    from preceptor import Project

    project = Project.open(server.folder)
    assert project.counts()["items"] >= 40
    trace = project.lineage(done.fine_tuned_model.rpartition(":")[2])
    assert f"import:train.jsonl ({done.training_file})" in json.dumps(trace)
    assert not [question for question in project.questions() if not question.purpose]  # nobody is asked about them
    project.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [(lines(line_5={"messages": [{"role": "user", "content": 3}]}), "line 5: messages[0].content"), (b"\xff\xfe", "UTF")],
)
def test_a_bad_training_file_fails_the_job_with_line_and_field(server, content, words):
    job = wait(server, create(server, content=content).id, "failed")
    assert words in job.error.message
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert job.finished_at is not None
    assert "train.jsonl" in job.error.message


def test_a_bad_validation_file_is_named(server):
    job = create(server, validation_file=upload(server, lines(line_4="nonsense")))
    failed = wait(server, job.id, "failed")
    assert (failed.error.code, failed.error.param) == ("invalid_validation_file", "validation_file")


REFUSED = [
    ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 3}}}}, "method.dpo.hyperparameters.beta", "2"),
    ({"method": {"type": "dpo", "supervised": {"hyperparameters": QUICK}}}, "method.supervised", "for another type"),
    ({"method": {"type": "reinforcement"}}, "method.type", "preceptor train grpo"),
    ({"training_file": "file-nothing"}, "training_file", "no file"),
    ({"validation_file": "file-nothing"}, "validation_file", "no file"),
    ({"model": "gpt-4o-mini"}, "model", "isn't there"),
    ({"suffix": "a" * 65}, "suffix", "64"),
    ({"integrations": [{"type": "wandb", "wandb": {"project": "x"}}]}, "integrations", "nothing is sent"),
    ({"metadata": {f"key {n}": "x" for n in range(17)}}, "metadata", "16"),
    ({"extra_body": {"epochs": 3}}, "epochs", "unknown parameter"),
    (
        {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 0}}}},
        "method.supervised.hyperparameters.n_epochs",
        "1",
    ),
]


def test_what_cant_be_honoured_is_refused_by_name(server, subtests):
    for given, param, words in REFUSED:
        with subtests.test(given=given, param=param, words=words):
            with pytest.raises(openai.APIStatusError) as refused:
                create(server, **given)
            assert refused.value.status_code in (400, 404)
            assert refused.value.param == param
            assert words in refused.value.body["message"]


def test_jobs_take_a_token_with_its_scope_and_their_names_must_be_known(server):
    with pytest.raises(openai.PermissionDeniedError, match="scope train"):
        server.client("chatter").fine_tuning.jobs.list()
    for ask in ("retrieve", "cancel", "pause", "resume", "list_events"):
        with pytest.raises(openai.NotFoundError):
            getattr(server.client("program").fine_tuning.jobs, ask)("ftjob-nothing")


def test_jobs_are_listed_in_pages_and_by_metadata(server, done):
    client = server.client("program")
    everything = [job.id for job in client.fine_tuning.jobs.list(limit=2)]
    assert done.id in everything
    assert len(everything) == len(set(everything))
    found = client.fine_tuning.jobs.list(limit=2, metadata={"team": "shop"})
    assert [job.id for job in found] == [done.id]


def test_a_job_is_paused_resumed_and_cancelled_and_another_waits_meanwhile(server):
    client = server.client("program")
    endless = {"type": "supervised", "supervised": {"hyperparameters": {**QUICK, "n_epochs": 50, "batch_size": 1}}}
    first = create(server, method=endless)
    wait(server, first.id, "running")
    second = create(server)
    wait(server, second.id, "queued")
    assert "1 job is before this one" in " ".join(said(server, second.id))
    assert Project.open(server.folder).status()["jobs"] == {"running": 1, "queued": 1}
    with pytest.raises(openai.BadRequestError, match="hasn't ended"):
        client.files.delete(first.training_file)
    assert client.fine_tuning.jobs.pause(first.id).status == "paused"
    wait(server, second.id, "running", "succeeded")
    assert client.fine_tuning.jobs.resume(first.id).status == "queued"
    assert client.fine_tuning.jobs.cancel(second.id).status == "cancelled"
    wait(server, first.id, "running")
    assert client.fine_tuning.jobs.cancel(first.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError, match="is cancelled"):
        client.fine_tuning.jobs.resume(first.id)
    client.files.delete(first.training_file)


def test_a_validation_file_is_validated_on_and_what_stands_in_both_is_told(server):
    job = create(server, validation_file=upload(server, lines(12)))
    done = wait(server, job.id, "succeeded")
    assert done.validation_file == job.validation_file
    assert "12 examples stand in both files" in " ".join(said(server, job.id))
