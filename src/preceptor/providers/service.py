"""A service that speaks OpenAI's interface, asked by OpenAI's own client: patiently, and never twice for what is paid once.

What is only read is tried again by the client itself, which waits as long as the service asks for, or longer each time, with
jitter. What costs is tried again here: after an attempt whose answer was lost, it is first looked whether it was carried out.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from preceptor.errors import MissingPackage, NotFound, Unavailable, UserError
from preceptor.providers.addresses import shown_address
from preceptor.providers.provider import Message

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types import FileObject
    from openai.types.chat import ChatCompletion
    from openai.types.fine_tuning import FineTuningJob

TRIES = 7
SECONDS = 120.0  # for one answer
FIRST_WAIT, LONGEST_WAIT = 0.5, 20.0  # seconds before another try, doubled each time
MARK = "preceptor"  # the name of our metadata, by which what was asked for is found again
T = TypeVar("T")


class Denied(UserError):
    """The service doesn't accept the key, or not for this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a hosted model wrote. seconds: until it was there, None where that isn't known; read, written: tokens that are billed."""

    text: str
    refused: bool
    finish: str
    seconds: float | None
    read: int
    written: int


class Service:
    """One service and one key. The key comes from an argument, a file, or OPENAI_API_KEY; it is never written or shown."""

    def __init__(self, *, key: str | None = None, key_file: str | Path | None = None, base_url: str | None = None) -> None:
        self._key = key or _key_in(key_file) or os.environ.get("OPENAI_API_KEY", "").strip()
        if not self._key:
            raise UserError("there is no key for the service", "set OPENAI_API_KEY, or name a file that holds it: --key-file FILE")
        try:
            from openai import OpenAI
        except ModuleNotFoundError:
            raise MissingPackage("hosted models", "openai") from None
        self._once = OpenAI(api_key=self._key, base_url=base_url, max_retries=0, timeout=SECONDS)
        self._reading = self._once.with_options(max_retries=TRIES)
        self.keeps = True  # whether answers can be found again there, as far as is known

    @property
    def shown(self) -> str:
        """Where it is, for messages."""
        return shown_address(self.address)

    @property
    def address(self) -> str:
        """Where it is."""
        return str(self._once.base_url).rstrip("/")

    @property
    def client(self) -> OpenAI:
        """OpenAI's client, which tries what fails again: for what is read, and for what may be done twice."""
        return self._reading

    def close(self) -> None:
        """End its connections."""
        self._once.close()

    def jobs(self) -> Iterator[FineTuningJob]:
        """The fine-tuning jobs of the key's project, newest first."""
        try:
            with self.in_words("the list of fine-tuning jobs"):
                yield from self._reading.fine_tuning.jobs.list(limit=100)
        except (AttributeError, ValueError):  # the client has no error of its own for a page that isn't of the interface
            message = f"{self.shown} doesn't answer as OpenAI's interface does"
            raise UserError(message, "check the address; it ends with /v1") from None

    def job(self, id_: str) -> FineTuningJob:
        """One job; NotFound when there is none."""
        with self.in_words(f"job {id_}"):
            return self._reading.fine_tuning.jobs.retrieve(id_)

    def file(self, id_: str) -> FileObject:
        """What a file is; NotFound when it was deleted."""
        with self.in_words(f"file {id_}"):
            return self._reading.files.retrieve(id_)

    def content(self, id_: str, size: int) -> bytes:
        """A file of so many bytes, whole: what comes cut off is fetched again."""
        for turn in range(TRIES):
            with self.in_words(f"file {id_}"):
                data = self._reading.files.content(id_).read()
            if len(data) == size:
                return data
            time.sleep(_wait(turn))
        raise Unavailable(f"file {id_} never came whole from {self.shown}: {len(data):,} of {size:,} bytes", "run this again later")

    def has_model(self, name: str) -> bool:
        """Whether a model can still be asked."""
        try:
            with self.in_words(f"model {name}"):
                self._reading.models.retrieve(name)
        except NotFound:
            return False
        return True

    def ask(
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
    ) -> Answer:
        """One answer, paid once: where the service keeps answers, one that was lost on its way is found again under `key`.

        Keeping is asked for by `store`, with the key as metadata; a service that refuses this is asked without it.
        """
        asked: dict[str, Any] = {"model": model, "messages": [dict(turn) for turn in messages], "max_completion_tokens": max_tokens}
        asked |= {"temperature": temperature, "top_p": top_p, "seed": seed, **({"stop": list(stop)} if stop else {})}

        def send() -> Answer:
            begun = time.monotonic()
            made = self._create(asked, key)
            return _answer(made, time.monotonic() - begun)

        with self.in_words(f"an answer of {model}"):
            return self.once(send, lambda: self.recall(key))

    def recall(self, key: str) -> Answer | None:
        """The answer that was asked for under a key before, where the service has kept it."""
        import openai

        if not self.keeps:
            return None
        try:
            kept = self._reading.chat.completions.list(metadata={MARK: key}, limit=1).data
        except (openai.APIStatusError, AttributeError):
            self.keeps = False  # it has no such list
            return None
        return _answer(kept[0], None) if kept else None

    def once(self, attempt: Callable[[], T], done: Callable[[], T | None]) -> T:
        """Do what must not be done twice. done: what an attempt whose answer was lost has brought about, if anything."""
        import openai

        for turn in range(TRIES):
            try:
                return attempt()
            except openai.APIConnectionError as fault:
                last: openai.APIError = fault
                time.sleep(_wait(turn))
                if (found := done()) is not None:
                    return found
            except (openai.RateLimitError, openai.InternalServerError) as fault:
                if fault.code == "insufficient_quota":
                    raise
                last = fault
                time.sleep(_asked_wait(fault, turn))
        raise last

    @contextmanager
    def in_words(self, what: str) -> Iterator[None]:
        """Turns what the client raises into errors that say what to do."""
        import openai

        try:
            yield
        except openai.AuthenticationError:
            raise Denied(f"{self.shown} doesn't accept the key", "check OPENAI_API_KEY or --key-file, and the key's project") from None
        except openai.PermissionDeniedError as fault:
            raise Denied(f"the key may not have {what}: {self._said(fault)}", "take a key with that permission") from None
        except openai.NotFoundError as fault:
            raise NotFound(f"{what} isn't at {self.shown}: {self._said(fault)}", "it may be deleted, or of another project") from None
        except openai.APIConnectionError as fault:
            raise Unavailable(f"{self.shown} can't be reached for {what}: {self._said(fault)}", "run this again later") from None
        except openai.APIStatusError as fault:
            later = fault.status_code == 429 or fault.status_code >= 500
            kind = Unavailable if later and fault.code != "insufficient_quota" else UserError
            hint = "run this again later" if kind is Unavailable else "see what it says"
            raise kind(f"{self.shown} refuses {what} ({fault.status_code}): {self._said(fault)}", hint) from None

    def _create(self, asked: Mapping[str, Any], key: str) -> ChatCompletion:
        import openai

        if self.keeps:
            try:
                return self._once.chat.completions.create(**asked, store=True, metadata={MARK: key})  # type: ignore[no-any-return]
            except openai.BadRequestError as fault:
                if fault.param not in ("store", "metadata"):
                    raise
                self.keeps = False
        return self._once.chat.completions.create(**asked)  # type: ignore[no-any-return]

    def _said(self, fault: Any) -> str:
        body = fault.body if isinstance(getattr(fault, "body", None), Mapping) else {}
        return " ".join(str(body.get("message") or fault.message).replace(self._key, "(the key)").split())[:300]


def _key_in(path: str | Path | None) -> str:
    if path is None:
        return ""
    try:
        found = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the key can't be read: {type(error).__name__}", "a text file that holds the key alone", where=str(path)) from None
    if not found or len(found.split()) > 1 or not found.isascii():
        raise UserError("the file doesn't hold one key alone", "a text file that holds the key alone", where=str(path))
    return found


def _answer(made: ChatCompletion, seconds: float | None) -> Answer:
    choice, usage = made.choices[0], made.usage
    refused = bool(choice.message.refusal) or choice.finish_reason == "content_filter"
    text = choice.message.content or choice.message.refusal or ""
    read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
    return Answer(text, refused, choice.finish_reason, seconds, read, written)


def _asked_wait(fault: Any, turn: int) -> float:
    """What the service asks for (Retry-After, in seconds), else as `_wait`."""
    try:
        return min(max(0.0, float(fault.response.headers.get("retry-after", ""))), SECONDS) * random.uniform(1.0, 1.1)
    except ValueError:
        return _wait(turn)


def _wait(turn: int) -> float:
    return float(min(LONGEST_WAIT, FIRST_WAIT * 2**turn) * random.uniform(0.5, 1.0))
