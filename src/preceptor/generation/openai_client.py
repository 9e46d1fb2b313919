"""Call a service with OpenAI's interface: answers that are paid once, files, and fine-tuning jobs.

Reads are retried by OpenAI's own client, which waits as long as the service asks for, or longer each time, with jitter. Requests that cost
are retried here: after an attempt whose answer was lost, the service is first asked whether it was carried out.

Fine-tuning uploads a file, creates a job and follows it. Files and jobs are found again by their content, so that nothing is uploaded,
started or paid twice, not even by another process after a kill.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from preceptor.errors import MissingPackage, NotFoundError, UnavailableError, UserError
from preceptor.generation.interface import Message
from preceptor.types import json_digest

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import FileObject
    from openai.types.chat import ChatCompletion
    from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent


def redact_address(address: str) -> str:
    """Return an address without a user, password or query that it may hold."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "the server's address"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


MAX_TRIES = 7
TIMEOUT_SECONDS = 120.0  # for one answer
FIRST_WAIT, MAX_WAIT = 0.5, 20.0  # seconds before another attempt, doubled each time
METADATA_KEY = "preceptor"  # the metadata key by which requests are found again
T = TypeVar("T")


class AccessDenied(UserError):
    """Raised where the service doesn't accept the key, or not for this request."""


@dataclass(frozen=True, slots=True)
class HostedAnswer:
    """What a hosted model generated.

    refused: whether it refused or was filtered. finish: the service's finish reason. seconds: until it arrived, None where that isn't
    known. read, written: billed tokens of the prompt and of the answer.
    """

    text: str
    refused: bool
    finish: str
    seconds: float | None
    read: int
    written: int


class OpenAIClient:
    """A client for one service and one key. The key comes from an argument, a file, or OPENAI_API_KEY; it is never written or shown.

    Raises UserError where there is no key, and MissingPackage without the package `openai`.
    """

    def __init__(self, *, key: str | None = None, key_file: str | Path | None = None, base_url: str | None = None) -> None:
        self._key = key or _read_key_file(key_file) or os.environ.get("OPENAI_API_KEY", "").strip()
        if not self._key:
            raise UserError("there is no key for the service", "set OPENAI_API_KEY, or name a file that holds it: --key-file FILE")
        try:
            from openai import OpenAI
        except ModuleNotFoundError:
            raise MissingPackage("hosted models", "openai") from None
        self._client = OpenAI(api_key=self._key, base_url=base_url, max_retries=0, timeout=TIMEOUT_SECONDS)
        self._retrying_client = self._client.with_options(max_retries=MAX_TRIES)
        self.stores_answers = True  # whether the service stores answers, as far as is known

    @property
    def display_address(self) -> str:
        """The service's address for messages, without credentials."""
        return redact_address(self.address)

    @property
    def address(self) -> str:
        """The service's address."""
        return str(self._client.base_url).rstrip("/")

    @property
    def client(self) -> OpenAI:
        """OpenAI's client with retries: for reads, and for requests that may be repeated."""
        return self._retrying_client

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def list_jobs(self) -> Iterator[FineTuningJob]:
        """Yield the fine-tuning jobs of the key's project, newest first."""
        try:
            with self.translate_errors("the list of fine-tuning jobs"):
                yield from self._retrying_client.fine_tuning.jobs.list(limit=100)
        except (AttributeError, ValueError):  # the client has no error of its own for a page that isn't of the interface
            message = f"{self.display_address} doesn't answer as OpenAI's interface does"
            raise UserError(message, "check the address; it ends with /v1") from None

    def get_job(self, id_: str) -> FineTuningJob:
        """Return a fine-tuning job. Raises NotFoundError when there is none."""
        with self.translate_errors(f"job {id_}"):
            return self._retrying_client.fine_tuning.jobs.retrieve(id_)

    def get_file(self, id_: str) -> FileObject:
        """Return a file's description. Raises NotFoundError when it was deleted."""
        with self.translate_errors(f"file {id_}"):
            return self._retrying_client.files.retrieve(id_)

    def download_file(self, id_: str, size: int) -> bytes:
        """Download a file of `size` bytes; a truncated download is repeated.

        Raises UnavailableError when it never arrives whole.
        """
        for turn in range(MAX_TRIES):
            with self.translate_errors(f"file {id_}"):
                data = self._retrying_client.files.content(id_).read()
            if len(data) == size:
                return data
            time.sleep(_backoff_seconds(turn))
        raise UnavailableError(
            f"file {id_} never came whole from {self.display_address}: {len(data):,} of {size:,} bytes", "run this again later"
        )

    def has_model(self, name: str) -> bool:
        """Return whether the service still has a model."""
        try:
            with self.translate_errors(f"model {name}"):
                self._retrying_client.models.retrieve(name)
        except NotFoundError:
            return False
        return True

    def complete_chat(
        self,
        model: str,
        messages: Sequence[Message],
        *,
        key: str,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> HostedAnswer:
        """Request an answer, paid once: where the service stores answers, one that was lost on its way is found again under `key`.

        Storing is requested by `store`, with the key as metadata; a service that refuses this is asked without it.
        """
        request: dict[str, Any] = {"model": model, "messages": [dict(turn) for turn in messages], "max_completion_tokens": max_tokens}
        request |= {"temperature": temperature, "top_p": top_p, "seed": seed, **({"stop": list(stop)} if stop else {})}

        def send() -> HostedAnswer:
            begun = time.monotonic()
            made = self._create(request, key)
            return _parse_completion(made, time.monotonic() - begun)

        with self.translate_errors(f"an answer of {model}"):
            return self.run_once(send, lambda: self.find_stored_answer(key))

    def find_stored_answer(self, key: str) -> HostedAnswer | None:
        """Return the answer that was requested under a key before, if the service has stored it."""
        import openai

        if not self.stores_answers:
            return None
        try:
            kept = self._retrying_client.chat.completions.list(metadata={METADATA_KEY: key}, limit=1).data
        except (openai.APIStatusError, AttributeError):
            self.stores_answers = False  # it has no such list
            return None
        return _parse_completion(kept[0], None) if kept else None

    def run_once(self, attempt: Callable[[], T], done: Callable[[], T | None]) -> T:
        """Run a request that must not be carried out twice, with retries.

        done: returns the result of an attempt whose answer was lost, or None if it wasn't carried out.
        """
        import openai

        for turn in range(MAX_TRIES):
            try:
                return attempt()
            except openai.APIConnectionError as fault:
                last: openai.APIError = fault
                time.sleep(_backoff_seconds(turn))
                if (found := done()) is not None:
                    return found
            except (openai.RateLimitError, openai.InternalServerError) as fault:
                if fault.code == "insufficient_quota":
                    raise
                last = fault
                time.sleep(_retry_after_seconds(fault, turn))
        raise last

    @contextmanager
    def translate_errors(self, what: str) -> Iterator[None]:
        """Turn the client's exceptions into errors with a message and a hint. what: what was requested, as the message names it."""
        import openai

        try:
            yield
        except openai.AuthenticationError:
            raise AccessDenied(
                f"{self.display_address} doesn't accept the key", "check OPENAI_API_KEY or --key-file, and the key's project"
            ) from None
        except openai.PermissionDeniedError as fault:
            raise AccessDenied(f"the key may not have {what}: {self._error_message(fault)}", "take a key with that permission") from None
        except openai.NotFoundError as fault:
            raise NotFoundError(
                f"{what} isn't at {self.display_address}: {self._error_message(fault)}", "it may be deleted, or of another project"
            ) from None
        except openai.APIConnectionError as fault:
            raise UnavailableError(
                f"{self.display_address} can't be reached for {what}: {self._error_message(fault)}", "run this again later"
            ) from None
        except openai.APIStatusError as fault:
            later = fault.status_code == 429 or fault.status_code >= 500
            kind = UnavailableError if later and fault.code != "insufficient_quota" else UserError
            hint = "run this again later" if kind is UnavailableError else "see what it says"
            raise kind(f"{self.display_address} refuses {what} ({fault.status_code}): {self._error_message(fault)}", hint) from None

    def _create(self, request: Mapping[str, Any], key: str) -> ChatCompletion:
        import openai

        if self.stores_answers:
            try:
                return self._client.chat.completions.create(**request, store=True, metadata={METADATA_KEY: key})  # type: ignore[no-any-return]
            except openai.BadRequestError as fault:
                if fault.param not in ("store", "metadata"):
                    raise
                self.stores_answers = False
        return self._client.chat.completions.create(**request)  # type: ignore[no-any-return]

    def _error_message(self, fault: Any) -> str:
        body = fault.body if isinstance(getattr(fault, "body", None), Mapping) else {}
        return " ".join(str(body.get("message") or fault.message).replace(self._key, "(the key)").split())[:300]


def _read_key_file(path: str | Path | None) -> str:
    if path is None:
        return ""
    try:
        found = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the key can't be read: {type(error).__name__}", "a text file that holds the key alone", where=str(path)) from None
    if not found or len(found.split()) > 1 or not found.isascii():
        raise UserError("the file doesn't hold one key alone", "a text file that holds the key alone", where=str(path))
    return found


def _parse_completion(made: ChatCompletion, seconds: float | None) -> HostedAnswer:
    choice, usage = made.choices[0], made.usage
    refused = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
    text = choice.message.content or choice.message.refusal or ""
    read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return HostedAnswer(text, refused, choice.finish_reason, seconds, read, written)


def _retry_after_seconds(fault: Any, turn: int) -> float:
    """Return the seconds that the service asks for (Retry-After), else `_backoff_seconds`."""
    try:
        return min(max(0.0, float(fault.response.headers.get("retry-after", ""))), TIMEOUT_SECONDS) * random.uniform(1.0, 1.1)
    except ValueError:
        return _backoff_seconds(turn)


def _backoff_seconds(turn: int) -> float:
    return float(min(MAX_WAIT, FIRST_WAIT * 2**turn) * random.uniform(0.5, 1.0))


FINAL_STATUSES = ("succeeded", "failed", "cancelled")
REUSABLE_STATUSES = ("validating_files", "queued", "running", "paused", "succeeded")
POLL_SECONDS = 5.0


def upload_training_file(service: OpenAIClient, path: Path) -> str:
    """Upload a training file unless the service has one with this content, and return its id."""
    data = path.read_bytes()
    name = f"{METADATA_KEY}-{hashlib.sha256(data).hexdigest()[:24]}.jsonl"

    def there() -> str | None:
        files = service.client.files.list(purpose="fine-tune")
        return next((file.id for file in files if file.filename == name and file.bytes == len(data)), None)

    with service.translate_errors("an upload"):
        plain = service.client.with_options(max_retries=0)
        return there() or service.run_once(lambda: plain.files.create(file=(name, data), purpose="fine-tune").id, there)


def create_fine_tuning_job(
    service: OpenAIClient,
    *,
    model: str,
    training_file: str,
    validation_file: str | None,
    hyperparameters: Mapping[str, Any],
    suffix: str | None,
    seed: int,
) -> FineTuningJob:
    """Create a supervised fine-tuning job, or return the existing one with these settings unless it failed or was cancelled."""
    wanted: dict[str, Any] = {"model": model, "training_file": training_file, "validation_file": validation_file, "suffix": suffix}
    wanted |= {"seed": seed, "method": {"type": "supervised", "supervised": {"hyperparameters": dict(hyperparameters)}}}
    mark = {METADATA_KEY: json_digest(wanted)[:32]}

    def there() -> FineTuningJob | None:
        jobs = service.client.fine_tuning.jobs.list(metadata=mark)
        return next((job for job in jobs if job.status in REUSABLE_STATUSES and job.metadata == mark), None)

    given = {name: value for name, value in wanted.items() if value is not None}
    with service.translate_errors("a fine-tuning job"):
        plain = service.client.with_options(max_retries=0)
        return there() or service.run_once(lambda: plain.fine_tuning.jobs.create(**given, metadata=mark), there)


def follow_job(
    service: OpenAIClient, id_: str, tell: Callable[[FineTuningJobEvent], None], *, look_seconds: float = POLL_SECONDS
) -> FineTuningJob:
    """Wait for a job's end, reporting each event once, and return the job.

    tell: called with each event. look_seconds: between two requests. Raises UserError when the job failed, was cancelled or is paused.
    """
    seen: set[str] = set()
    while True:
        job = service.get_job(id_)  # before its events, so that the last of them are reported
        with service.translate_errors(f"the events of {id_}"):
            fresh = [event for event in service.client.fine_tuning.jobs.list_events(id_, limit=100) if event.id not in seen]
        for event in reversed(fresh):
            seen.add(event.id)
            tell(event)
        if job.status in FINAL_STATUSES:
            break
        if str(job.status) == "paused":  # a status missing from the client's types
            raise UserError(f"job {id_} is paused at {service.address}", "resume it there, then run the same again")
        time.sleep(look_seconds)
    if job.status != "succeeded" or not job.fine_tuned_model:
        why = f": {job.error.message}" if job.error is not None and job.error.message else ""
        raise UserError(f"job {id_} {job.status}{why}", "mend what it says, and begin another")
    return job
