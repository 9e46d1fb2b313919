"""Fine-tuning by dpo with the official client: a small model really learns which answer is preferred."""

from __future__ import annotations

import json

import pytest

from preceptor import Project
from serving_jobs import said, upload, wait

HOW = {"n_epochs": 4, "batch_size": 8, "learning_rate_multiplier": 20, "beta": 0.2}


def lines(count: int = 40, **changes) -> bytes:
    """A file in which "fine thanks" is preferred to "how user"; changes: line number (from 1) -> another row."""
    rows = []
    for number in range(1, count + 1):
        row = {
            "input": {"messages": [{"role": "user", "content": f"how are you today {number}"}], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": "fine thanks"}],
            "non_preferred_output": [{"role": "assistant", "content": "how user"}],
        }
        rows.append(changes.get(f"line_{number}", row))
    return ("\n".join(map(json.dumps, rows)) + "\n").encode()


def create(server, content: bytes, **given):
    method = {"type": "dpo", "dpo": {"hyperparameters": HOW}}
    file = upload(server, content)
    return server.client("program").fine_tuning.jobs.create(**{"model": "smollm2", "training_file": file, "method": method, **given})


@pytest.fixture(scope="module")
def done(server):
    job = create(server, lines(), suffix="kind", seed=3)
    assert job.method.type == "dpo"
    assert job.method.dpo.hyperparameters.beta == 0.2
    return wait(server, job.id, "succeeded")


def test_a_job_learns_what_is_preferred(server, done):
    assert done.fine_tuned_model.startswith("ft:smollm2:shop:kind:m-")
    assert done.method.dpo.hyperparameters.model_dump() == HOW
    assert done.method.supervised is None
    assert done.hyperparameters.model_dump() == {name: value for name, value in HOW.items() if name != "beta"}
    assert done.trained_tokens > 0
    told = said(server, done.id)
    assert any(message.startswith("10% of the training file is held out") for message in told)
    assert told[-1] == "The job has successfully completed"
    (checkpoint,) = server.client("program").fine_tuning.jobs.checkpoints.list(done.id)
    assert checkpoint.metrics.valid_loss == checkpoint.metrics.full_valid_loss
    assert server.client("program").files.content(done.result_files[0]).text.startswith("step,train_loss,valid_loss")


def test_its_model_prefers_it_and_chats(server, done, chat_cache):
    from preceptor.generation import LocalProvider

    project = Project.open(server.folder)
    model = project.model(done.fine_tuned_model.rpartition(":")[2])
    asked = {"role": "user", "content": "how are you today 77"}
    both = {text: [asked, {"role": "assistant", "content": text}] for text in ("fine thanks", "how user")}

    def margin(folder) -> float:
        found = LocalProvider(folder).score_rows(both).log_probabilities
        return float(sum(found["fine thanks"]) - sum(found["how user"]))

    (base,) = (path.parent for path in chat_cache.rglob("config.json"))
    assert margin(model.path) > margin(base) + 1  # nats
    assert model.manifest["recipe"] == "dpo"
    assert model.manifest["beta"] == 0.2
    snapshot = project.load_snapshot(model.manifest["snapshot"])
    assert snapshot.question["kind"] == "compare"
    assert f"import:train.jsonl ({done.training_file})" in json.dumps(project.lineage(model.id))
    assert not project.questions()  # nobody is asked about the pairs
    project.close()
    made = server.client("program").chat.completions.create(model=done.fine_tuned_model, messages=[asked], max_tokens=4)
    assert made.choices[0].finish_reason in ("stop", "length")


def test_a_bad_file_fails_the_job_with_line_and_field(server):
    chat = {"messages": [{"role": "user", "content": "how are you"}, {"role": "assistant", "content": "fine"}]}
    job = wait(server, create(server, lines(line_5=chat)).id, "failed")
    assert "line 5: messages: there is no such field" in job.error.message
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    supervised = create(server, lines(), method={"type": "supervised"})
    assert "line 1: input: there is no such field" in wait(server, supervised.id, "failed").error.message
