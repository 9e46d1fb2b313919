"""kill -9 of the server, in the middle of a job and of an upload: the job goes on, and nothing half is there."""

from __future__ import annotations

import json
import socket
import time

import pytest

LONG = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 30, "batch_size": 4, "learning_rate_multiplier": 5}}}


def rows(count: int) -> bytes:
    turns = lambda n: [{"role": "user", "content": f"how are you {n}"}, {"role": "assistant", "content": "fine"}]  # noqa: E731
    return "".join(json.dumps({"messages": turns(number)}) + "\n" for number in range(count)).encode()


def test_a_job_goes_on_where_a_killed_server_left_it(own_server):
    client = own_server.client("program").fine_tuning.jobs
    file = own_server.client("program").files.create(file=("train.jsonl", rows(40)), purpose="fine-tune")
    job = client.create(model="smollm2", training_file=file.id, method=LONG, seed=1)
    waiting = client.create(model="smollm2", training_file=file.id, method=LONG, seed=2)

    def steps() -> list[int]:
        return [event.data["step"] for event in client.list_events(job.id, limit=1000) if event.type == "metrics"][::-1]

    until = time.monotonic() + 120
    while len(before := steps()) < 2:
        assert time.monotonic() < until
        time.sleep(0.1)
    own_server.kill()
    reached = max(int(folder.name.partition("-")[2]) for folder in own_server.folder.glob("runs/*/checkpoints/checkpoint-*"))
    time.sleep(1.5)  # what it had begun ends with it
    own_server.start()
    while (now := client.retrieve(job.id)).status != "succeeded":
        assert now.status == "running", now.error
        assert time.monotonic() < until + 90
        time.sleep(0.2)
    told = steps()
    assert told[-1] >= 200
    assert min(told[len(before) :]) >= min(reached, before[-1])  # it went on at a checkpoint, not at nothing
    messages = [event.message for event in client.list_events(job.id, limit=1000)]
    for words in ("10% of the training file", "Fine-tuning job started"):
        assert sum(message.startswith(words) for message in messages) == 1
    assert client.retrieve(waiting.id).status in ("queued", "running")
    client.cancel(waiting.id)


def test_an_upload_of_a_killed_server_is_not_there(own_server):
    with socket.create_connection(("127.0.0.1", int(own_server.address.rpartition(":")[2]))) as line:
        line.sendall(
            b"POST /v1/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 1000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n'
            b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' % own_server.tokens["program"].encode()
        )
        line.sendall(rows(5000))
        files = own_server.folder / "objects" / "files"
        until = time.monotonic() + 120
        while not list(files.glob("incoming/*")) and time.monotonic() < until:
            time.sleep(0.02)
        own_server.kill()
    time.sleep(1)
    assert len(list(files.glob("incoming/*"))) == 1  # removed in a day, and by no name that anybody asks for
    assert [path for path in files.rglob("*") if path.is_file() and path.parent.name != "incoming"] == []
    own_server.start()
    assert list(own_server.client("program").files.list()) == []
    again = own_server.client("program").files.create(file=("a", rows(5000)), purpose="fine-tune")
    assert again.bytes == len(rows(5000))


@pytest.mark.parametrize("age", [0, 100_000])
def test_what_a_kill_has_left_is_removed_in_time(project, age):
    import os

    from preceptor.jobs.fine_tuning_jobs import UploadStore

    left = project.folder / "objects" / "files" / "incoming" / "abc"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (time.time() - age,) * 2)
    UploadStore(project).delete_expired()
    assert left.exists() == (age == 0)
