"""Stream chat from an OpenAI-compatible server such as vLLM, and read its prompt log-probabilities."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from preceptor.errors import MissingPackage, UnavailableError, UserError
from preceptor.generation.interface import Message
from preceptor.generation.openai_client import redact_address

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from openai.types.chat import ChatCompletionChunk


NO_KEY = "none"  # sent to a server that needs no key: the client requires one
RETRY_SECONDS = 5.0
RETRY_HINT = "try again later"
STATUS_HINTS = {
    401: "[serving] upstream_key names the variable with its key",
    404: "see [serving] upstream (it ends in /v1) and upstream_models",
}


class UpstreamOverloaded(UnavailableError):
    """Raised where the server is overloaded. retry_after: seconds after which it may be called again."""

    def __init__(self, message: str, hint: str, retry_after: float) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class UpstreamUnavailable(UnavailableError):
    """Raised where the server can't be reached or broke off: after that, another model may answer at its address."""


class UpstreamClient:
    """A client for one server. Streaming retries nothing: the caller learns at once that the server can't answer, and decides.

    key: the environment variable that holds the server's key; empty for a server without one. Raises UserError where it isn't set.
    """

    def __init__(self, base_url: str, *, key: str = "", seconds: float = 120.0) -> None:
        self._key = os.environ.get(key, "").strip() if key else NO_KEY
        if not self._key:
            raise UserError(
                f"there is no key for {redact_address(base_url)}",
                f"set {key} in the environment of the server",
                where="serving.upstream_key",
            )
        self.address, self._seconds = base_url.rstrip("/"), seconds
        self.display_address = redact_address(self.address)  # for messages
        self._client: AsyncOpenAI | None = None

    async def stream_chat(self, request: Mapping[str, Any]) -> AsyncGenerator[ChatCompletionChunk]:
        """Stream the chunks of an answer to a body of /v1/chat/completions. Raises UserError with the server's message where it refuses."""
        if self._client is None:
            self._client = _import_openai().AsyncOpenAI(api_key=self._key, base_url=self.address, max_retries=0, timeout=self._seconds)
        with self._translate_errors("the model's server"):
            async with await self._client.chat.completions.create(**request, stream=True) as stream:
                async for chunk in stream:
                    yield chunk

    def max_tokens_by_model(self) -> dict[str, int]:
        """Return the context length of each of the server's models that reports one (`max_model_len`, as vLLM), prompt and answer."""
        with self._translate_errors("the model's server"), self._open_client(retries=0) as client:
            told = {model.id: (model.model_extra or {}).get("max_model_len") for model in client.models.list()}
        return {name: most for name, most in told.items() if isinstance(most, int)}

    def prompt_log_probabilities(self, model: str, turns: Sequence[Message]) -> list[dict[int, float]]:
        """Return the log-probability of each token of a conversation as the server's own template renders it.

        One dict for each token, token -> nats, empty for the first. By `prompt_logprobs`, which vLLM takes beside OpenAI's fields. Raises
        UserError where the server doesn't support it.
        """
        extra = {"prompt_logprobs": 0, "add_generation_prompt": False}  # 0: no alternatives, so that a token reported is the one read
        with (
            self._translate_errors(self.display_address, "it must answer prompt_logprobs, as vLLM does"),
            self._open_client(retries=2) as client,
        ):
            request: dict[str, Any] = {"model": model, "messages": [dict(turn) for turn in turns], "max_tokens": 1, "temperature": 0}
            made = client.chat.completions.create(**request, extra_body=extra)
        told = (made.model_extra or {}).get("prompt_logprobs")
        if not isinstance(told, list):
            message = f"{self.display_address} doesn't tell how probable a prompt is, so that nothing shows which model it draws from"
            raise UserError(message, "it must answer prompt_logprobs, as vLLM does")
        return [{int(token): float(each["logprob"]) for token, each in (place or {}).items()} for place in told]

    def _open_client(self, *, retries: int) -> OpenAI:
        return _import_openai().OpenAI(api_key=self._key, base_url=self.address, max_retries=retries, timeout=self._seconds)  # type: ignore[no-any-return]

    @contextmanager
    def _translate_errors(self, name: str, refused: str = "see what it says") -> Iterator[None]:
        """Turn the client's exceptions into Preceptor's errors, without the key; only errors of the request are UserError.

        name: what the server is called in messages; not its address where API clients read them. refused: the hint where it refuses a
        request.
        """
        openai = _import_openai()
        try:
            yield
        except openai.RateLimitError as fault:
            raise UpstreamOverloaded(f"{name} has too much to do", RETRY_HINT, _retry_after_seconds(fault)) from None
        except openai.APITimeoutError:
            raise UnavailableError(f"{name} doesn't answer in time", RETRY_HINT) from None
        except openai.APIConnectionError:
            raise UpstreamUnavailable(f"{name} can't be reached", RETRY_HINT) from None
        except (openai.BadRequestError, openai.UnprocessableEntityError) as fault:
            raise UserError(f"{name} refuses this: {self._error_message(fault)}", refused) from None
        except openai.APIStatusError as fault:
            raise UnavailableError(
                f"{name} fails ({fault.status_code}): {self._error_message(fault)}", STATUS_HINTS.get(fault.status_code, RETRY_HINT)
            ) from None
        except openai.APIError as fault:  # in the middle of a stream
            raise UnavailableError(f"{name} broke off: {self._error_message(fault)}", RETRY_HINT) from None

    def _error_message(self, fault: Any) -> str:
        body = fault.body if isinstance(getattr(fault, "body", None), Mapping) else {}
        return " ".join(str(body.get("message") or body.get("detail") or fault.message).replace(self._key, "(the key)").split())[:300]


def _import_openai() -> Any:
    try:
        import openai
    except ModuleNotFoundError:
        raise MissingPackage("an upstream server", "openai") from None
    return openai


def _retry_after_seconds(fault: Any) -> float:
    """Return the seconds the server asks for by Retry-After, or `RETRY_SECONDS`."""
    try:
        return max(0.0, float(fault.response.headers.get("retry-after", "")))
    except ValueError:
        return RETRY_SECONDS
