"""Fine-tuning where a service offers it: upload, create, follow. Everything is found again by its content, so that nothing is
uploaded, begun or paid twice, also not by another process after a kill.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preceptor.domain import digest_of
from preceptor.errors import UserError
from preceptor.providers.service import MARK, Service

if TYPE_CHECKING:
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent

ENDED = ("succeeded", "failed", "cancelled")
USABLE = ("validating_files", "queued", "running", "paused", "succeeded")
LOOK_SECONDS = 5.0


def upload(service: Service, path: Path) -> str:
    """The id of a file with this content at the service, uploaded unless it is there."""
    data = path.read_bytes()
    name = f"{MARK}-{hashlib.sha256(data).hexdigest()[:24]}.jsonl"

    def there() -> str | None:
        files = service.client.files.list(purpose="fine-tune")
        return next((file.id for file in files if file.filename == name and file.bytes == len(data)), None)

    with service.in_words("an upload"):
        plain = service.client.with_options(max_retries=0)
        return there() or service.once(lambda: plain.files.create(file=(name, data), purpose="fine-tune").id, there)


def begin(
    service: Service,
    *,
    model: str,
    training_file: str,
    validation_file: str | None,
    hyperparameters: Mapping[str, Any],
    suffix: str | None,
    seed: int,
) -> FineTuningJob:
    """The supervised job with these settings: the one there is, unless it failed or was cancelled, else a new one."""
    wanted: dict[str, Any] = {"model": model, "training_file": training_file, "validation_file": validation_file, "suffix": suffix}
    wanted |= {"seed": seed, "method": {"type": "supervised", "supervised": {"hyperparameters": dict(hyperparameters)}}}
    mark = {MARK: digest_of(wanted)[:32]}

    def there() -> FineTuningJob | None:
        jobs = service.client.fine_tuning.jobs.list(metadata=mark)
        return next((job for job in jobs if job.status in USABLE and job.metadata == mark), None)

    given = {name: value for name, value in wanted.items() if value is not None}
    with service.in_words("a fine-tuning job"):
        plain = service.client.with_options(max_retries=0)
        return there() or service.once(lambda: plain.fine_tuning.jobs.create(**given, metadata=mark), there)


def follow(service: Service, id_: str, tell: Callable[[FineTuningJobEvent], None], *, look_seconds: float = LOOK_SECONDS) -> FineTuningJob:
    """Wait for a job's end, telling each event once; the job. UserError when it failed or was cancelled."""
    seen: set[str] = set()
    while True:
        job = service.job(id_)  # before its events, so that the last of them are told
        with service.in_words(f"the events of {id_}"):
            fresh = [event for event in service.client.fine_tuning.jobs.list_events(id_, limit=100) if event.id not in seen]
        for event in reversed(fresh):
            seen.add(event.id)
            tell(event)
        if job.status in ENDED:
            break
        if str(job.status) == "paused":  # which the client's types don't know
            raise UserError(f"job {id_} is paused at {service.address}", "resume it there, then run the same again")
        time.sleep(look_seconds)
    if job.status != "succeeded" or not job.fine_tuned_model:
        why = f": {job.error.message}" if job.error is not None and job.error.message else ""
        raise UserError(f"job {id_} {job.status}{why}", "mend what it says, and begin another")
    return job
