"""Parse a chat request: OpenAI's parameters, its messages, and Preceptor's options in `metadata`.

Messages must be text, which is all that the models here read; parameters that can't be honoured are refused with the reason. The options
are `preceptor.*` keys of `metadata`, as OpenAI's client sends them:

preceptor.documents        on: the answer rests on the project's documents, and cites them; off
preceptor.filter.NAME      only documents with this value in their metadata
preceptor.min_confidence   0 to 1: below it a person answers
preceptor.wait             seconds for which the call waits for that person; 0, the default: it doesn't wait
preceptor.feedback         on: the response has the path of a page on which a person may give feedback on the answer; off

All other keys are tags.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from preceptor.config import ServingOptions
from preceptor.web.errors import OpenAIError
from preceptor.web.openai.request_body import StrictModel, drop_unsupported, parse_body

if TYPE_CHECKING:
    from preceptor.generation.sampling import SamplingParams


MESSAGE_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Fields of our answers and OpenAI's that clients send back with a message; they must be empty.
_EMPTY_FIELDS = ("refusal", "tool_calls", "function_call", "audio", "annotations", "name", "tool_call_id")


class TextPart(StrictModel):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class RequestMessage(StrictModel):
    """A message: its role and its content, a text or a list of parts; the other fields must be empty."""

    role: str
    content: str | list[TextPart]
    refusal: None = None
    tool_calls: list[None] | None = Field(None, max_length=0)
    function_call: None = None
    audio: None = None
    annotations: list[None] | None = Field(None, max_length=0)
    name: None = None
    tool_call_id: None = None


def parse_messages(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Return role and text of each message, with the models' own names of roles; raise OpenAIError at the first that isn't text."""
    found = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message.get("role") not in MESSAGE_ROLES:
            why = "the models here call no tools" if message.get("role") in ("tool", "function") else f"roles: {', '.join(MESSAGE_ROLES)}"
            raise OpenAIError(f"the role {message.get('role')!r:.80} can't be used", why, param=f"{place}.role", code="invalid_value")
        for name in _EMPTY_FIELDS:
            if message.get(name):
                raise OpenAIError(f"{place}.{name} can't be read by the models here", "leave it out", param=f"{place}.{name}")
        try:
            turn = parse_body(RequestMessage, message)
        except OpenAIError as fault:
            hint, param = fault.hint or "content is text, or a list of parts of type text", f"{place}.{fault.where}"
            raise OpenAIError(f"{place}.{fault.message}", hint, param=param, code=fault.code) from None
        text = turn.content if isinstance(turn.content, str) else "".join(part.text for part in turn.content)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise OpenAIError(
                "the text holds half a character", "send whole ones", param=f"{place}.content", code="invalid_value"
            ) from None
        found.append({"role": MESSAGE_ROLES[turn.role], "content": text})
    return found


OPTION_PREFIX, FILTER_PREFIX = "preceptor.", "preceptor.filter."
KNOWN_OPTIONS = ("preceptor.documents", "preceptor.filter.NAME", "preceptor.min_confidence", "preceptor.wait", "preceptor.feedback")
MAX_KEYS, MAX_KEY_CHARACTERS, MAX_VALUE_CHARACTERS = 16, 64, 512  # as at OpenAI


@dataclass(frozen=True, slots=True)
class RequestOptions:
    """Preceptor's options of a call.

    documents: whether the answer rests on documents, of those that the filters leave. filters: metadata that documents must have.
    min_confidence: None where the call has none. wait_seconds: for a person. feedback: whether the response links to the answer's page.
    tags: the rest of the metadata.
    """

    documents: bool = False
    filters: Mapping[str, str] = field(default_factory=dict)
    min_confidence: float | None = None
    wait_seconds: float = 0.0
    feedback: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str] | None, rule: ServingOptions, *, choices: int = 1) -> RequestOptions:
        """Parse a call's metadata; raise OpenAIError with the key's name for an option that is unknown, or can't be honoured.

        choices: how many answers the call asks for.
        """
        given = dict(metadata or {})
        _check_bounds(given)
        ours = {name: value for name, value in given.items() if name.startswith(OPTION_PREFIX)}
        filters = {name.removeprefix(FILTER_PREFIX): value for name, value in ours.items() if name.startswith(FILTER_PREFIX)}
        for name in ours:
            if name not in KNOWN_OPTIONS and not (name.startswith(FILTER_PREFIX) and name != FILTER_PREFIX):
                raise _option_error(name, "there is no such wish", f"known: {', '.join(KNOWN_OPTIONS)}")
        documents = _parse_switch("preceptor.documents", ours.get("preceptor.documents", "off"))
        if filters and not documents:
            raise _option_error(FILTER_PREFIX + next(iter(filters)), "documents aren't asked for", 'set "preceptor.documents" to "on"')
        least = _parse_number("preceptor.min_confidence", ours, 1.0)
        wait = _parse_number("preceptor.wait", ours, rule.max_human_wait_seconds) or 0.0
        if choices > 1 and (documents or least is not None):
            raise OpenAIError("one answer at a time can rest on documents or be vouched for", "set n to 1", param="n", code="invalid_value")
        feedback = _parse_switch("preceptor.feedback", ours.get("preceptor.feedback", "off"))
        return cls(documents, filters, least, wait, feedback, {name: value for name, value in given.items() if name not in ours})


def _check_bounds(given: Mapping[str, str]) -> None:
    if len(given) > MAX_KEYS:
        raise OpenAIError(f"metadata has {len(given)} keys", f"at most {MAX_KEYS}", param="metadata", code="invalid_value")
    for name, value in given.items():
        if len(name) > MAX_KEY_CHARACTERS or len(value) > MAX_VALUE_CHARACTERS:
            hint = f"at most {MAX_KEY_CHARACTERS} characters, its value {MAX_VALUE_CHARACTERS}"
            raise OpenAIError(f"metadata: the key {name!r:.80} or its value is too long", hint, param="metadata", code="invalid_value")


def _parse_switch(name: str, value: str) -> bool:
    if value not in ("on", "off"):
        raise _option_error(name, f"{value!r:.80} is neither on nor off", "on, or leave it out")
    return value == "on"


def _parse_number(name: str, given: Mapping[str, str], most: float) -> float | None:
    """Parse a number from 0 to `most`; None where it isn't given."""
    if name not in given:
        return None
    try:
        value = float(given[name])
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise _option_error(name, f"{given[name]!r:.80} is no number from 0 to {most:g}", 'write it as text, such as "0.8"')
    return value


def _option_error(name: str, why: str, hint: str) -> OpenAIError:
    return OpenAIError(f"{name:.80}: {why}", hint, param=f"metadata.{name:.80}", code="invalid_value")


DEFAULT_MAX_TOKENS = 2048  # of an answer where the call has no limit: a model that rambles delays other calls
MAX_CHOICES = 16
_NO_TOOLS = "the models here call no tools"
UNSUPPORTED_PARAMETERS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "tools": (_NO_TOOLS, ([],)),
    "tool_choice": (_NO_TOOLS, ("none", "auto")),
    "parallel_tool_calls": (_NO_TOOLS, ()),
    "functions": (_NO_TOOLS, ([],)),
    "function_call": (_NO_TOOLS, ("none", "auto")),
    "web_search_options": ("nothing is searched for", ()),
    "audio": ("the models here write text", ()),
    "modalities": ("the models here write text", (["text"],)),
    "prediction": ("answers are always drawn anew", ()),
    "reasoning_effort": ("the models here don't think first", ("none",)),
    "verbosity": ("the models here don't know it", ("medium",)),
    "moderation": ("nothing is moderated here", ()),
    "service_tier": ("there is one tier", ("auto", "default")),
    "prompt_cache_options": ("prompts aren't kept", ()),
    "prompt_cache_retention": ("prompts aren't kept", ("in_memory",)),
}


class StreamOptions(StrictModel):
    """How an answer is streamed."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class ResponseFormat(StrictModel):
    """The form of an answer: text. Others can't be guaranteed by a model that samples freely."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class ChatRequest(StrictModel):
    """The body of a chat request."""

    model: str
    messages: list[dict[str, Any]] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    max_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, ge=0, le=1)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: dict[str, float] = Field(default_factory=dict, max_length=1024)
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    n: int = Field(1, ge=1, le=MAX_CHOICES)
    stop: str | list[str] = Field(default_factory=list)
    stream: bool = False
    metadata: dict[str, str] | None = None  # Preceptor's options, and tags that are stored with the answer
    store: bool | None = None  # false: the answer isn't stored, and accepts no feedback
    stream_options: StreamOptions | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat = ResponseFormat(type="text")
    user: str | None = None  # the client's own id of its user; it changes nothing
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> ChatRequest:
        """Parse a body; raise OpenAIError with the parameter's name for what is wrong, unknown, or can't be honoured."""
        asked = parse_body(cls, drop_unsupported(body, UNSUPPORTED_PARAMETERS))
        if asked.max_tokens is not None and asked.max_completion_tokens is not None:
            raise OpenAIError("max_tokens and max_completion_tokens are one and the same", "send the latter", param="max_tokens")
        if asked.top_logprobs is not None and not asked.logprobs:
            raise OpenAIError("top_logprobs needs logprobs", "set logprobs to true", param="top_logprobs", code="invalid_value")
        if asked.stream_options is not None and not asked.stream:
            raise OpenAIError("stream_options needs stream", "set stream to true", param="stream_options", code="invalid_value")
        if asked.store:
            why = "answers aren't kept to be listed again"
            raise OpenAIError(f"store isn't supported: {why}", "leave it out", param="store", code="unsupported_parameter")
        if asked.response_format.type != "text":
            why = f"{asked.response_format.type} can't be promised by the models here"
            raise OpenAIError(
                why, "leave it out, ask for JSON in words, and check what comes", param="response_format", code="unsupported_value"
            )
        if len(asked.stop_sequences) > 4 or not all(asked.stop_sequences):
            raise OpenAIError("stop is a text, or a list of at most four, none of them empty", param="stop", code="invalid_value")
        return asked

    @property
    def stop_sequences(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def token_limit(self) -> int | None:
        """How many tokens an answer may have; None without a limit."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def logprob_count(self) -> int | None:
        """How many of the most probable tokens are returned; None when no log-probabilities are requested."""
        return (self.top_logprobs or 0) if self.logprobs else None

    def sampling_params(self, vocabulary: int) -> SamplingParams:
        """Return the sampling parameters for a vocabulary of this size; raise OpenAIError for a bias on a token that isn't in it."""
        from preceptor.generation.sampling import SamplingParams

        bias = {}
        for token, extra in self.logit_bias.items():
            if not (token.isascii() and token.isdigit() and int(token) < vocabulary and -100 <= extra <= 100):
                message = f"logit_bias: {json.dumps({token: extra})} is no token's number (below {vocabulary}) with a bias from -100 to 100"
                raise OpenAIError(message, param="logit_bias", code="invalid_value")
            bias[int(token)] = extra
        how = {"presence": self.presence_penalty, "frequency": self.frequency_penalty, "bias": bias}
        return SamplingParams(self.temperature, self.top_p, self.seed, **how)  # type: ignore[arg-type]
