"""Fine-tuning jobs of a served project, as a program with the official client follows them."""

from __future__ import annotations

import time


def upload(server, content: bytes, who: str = "program") -> str:
    return server.client(who).files.create(file=("train.jsonl", content), purpose="fine-tune").id


def wait(server, id_: str, *states: str, seconds: float = 280):
    """The job as soon as it is in one of these states."""
    until = time.monotonic() + seconds
    while True:
        job = server.client("program").fine_tuning.jobs.retrieve(id_)
        if job.status in states:
            return job
        assert job.status not in ("succeeded", "failed", "cancelled"), (job.status, job.error)
        assert time.monotonic() < until, (job.status, said(server, id_))
        time.sleep(0.1)


def said(server, id_: str) -> list[str]:
    return [event.message for event in server.client("program").fine_tuning.jobs.list_events(id_)][::-1]
