"""What /v1/chat/completions may be asked, and what it can't do and says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from preceptor.serving.bodies import Given, parsed, refuse_unsupported
from preceptor.serving.faults import Refused

if TYPE_CHECKING:
    from preceptor.models.sampling import Sampling

USUAL_TOKENS = 2048  # of an answer where none are asked for: a model that rambles holds up others
MOST_CHOICES = 16
_TOOLS = "the models here call no tools"
UNSUPPORTED: dict[str, tuple[str, tuple[Any, ...]]] = {
    "tools": (_TOOLS, ([],)),
    "tool_choice": (_TOOLS, ("none", "auto")),
    "parallel_tool_calls": (_TOOLS, ()),
    "functions": (_TOOLS, ([],)),
    "function_call": (_TOOLS, ("none", "auto")),
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


class StreamOptions(Given):
    """How an answer is streamed."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class ResponseFormat(Given):
    """What form an answer has: text. Another can't be promised by a model that draws freely."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: dict[str, Any] | None = None


class ChatRequest(Given):
    """A request for answers."""

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
    n: int = Field(1, ge=1, le=MOST_CHOICES)
    stop: str | list[str] = Field(default_factory=list)
    stream: bool = False
    metadata: dict[str, str] | None = None  # wishes of ours, and tags that are kept with the answer
    store: bool | None = None  # false: the answer isn't kept, and takes no feedback
    stream_options: StreamOptions | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    response_format: ResponseFormat = ResponseFormat(type="text")
    user: str | None = None  # who asks, at theirs; it changes nothing
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> ChatRequest:
        """From a body; Refused with the parameter's name for what is wrong, unknown, or can't be honoured."""
        asked = parsed(cls, refuse_unsupported(body, UNSUPPORTED))
        if asked.max_tokens is not None and asked.max_completion_tokens is not None:
            raise Refused("max_tokens and max_completion_tokens are one and the same", "send the latter", param="max_tokens")
        if asked.top_logprobs is not None and not asked.logprobs:
            raise Refused("top_logprobs needs logprobs", "set logprobs to true", param="top_logprobs", code="invalid_value")
        if asked.stream_options is not None and not asked.stream:
            raise Refused("stream_options needs stream", "set stream to true", param="stream_options", code="invalid_value")
        if asked.store:
            why = "answers aren't kept to be listed again"
            raise Refused(f"store isn't supported: {why}", "leave it out", param="store", code="unsupported_parameter")
        if asked.response_format.type != "text":
            why = f"{asked.response_format.type} can't be promised by the models here"
            raise Refused(
                why, "leave it out, ask for JSON in words, and check what comes", param="response_format", code="unsupported_value"
            )
        if len(asked.stops) > 4 or not all(asked.stops):
            raise Refused("stop is a text, or a list of at most four, none of them empty", param="stop", code="invalid_value")
        return asked

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop)

    @property
    def tokens(self) -> int | None:
        """How many tokens an answer may have, if that is said."""
        return self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens

    @property
    def top(self) -> int | None:
        """How many of the most probable tokens are told; None when no log-probabilities are asked for."""
        return (self.top_logprobs or 0) if self.logprobs else None

    def sampling(self, vocabulary: int) -> Sampling:
        """How tokens are drawn, of so many; Refused for a bias on a token that isn't there."""
        from preceptor.models.sampling import Sampling

        bias = {}
        for token, extra in self.logit_bias.items():
            if not (token.isascii() and token.isdigit() and int(token) < vocabulary and -100 <= extra <= 100):
                message = f"logit_bias: {json.dumps({token: extra})} is no token's number (below {vocabulary}) with a bias from -100 to 100"
                raise Refused(message, param="logit_bias", code="invalid_value")
            bias[int(token)] = extra
        how = {"presence": self.presence_penalty, "frequency": self.frequency_penalty, "bias": bias}
        return Sampling(self.temperature, self.top_p, self.seed, **how)  # type: ignore[arg-type]
