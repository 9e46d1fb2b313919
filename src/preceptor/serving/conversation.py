"""Messages in OpenAI's form as turns of text, which is all that the models here read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from preceptor.serving.bodies import Given, parsed
from preceptor.serving.faults import Refused

ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# What an answer of ours or OpenAI's brings with it when it is sent back; only nothing can stand there.
_EMPTY = ("refusal", "tool_calls", "function_call", "audio", "annotations", "name", "tool_call_id")


class TextPart(Given):
    """A part of a message that is text."""

    type: Literal["text"]
    text: str


class Turn(Given):
    """A message."""

    role: str
    content: str | list[TextPart]
    refusal: None = None
    tool_calls: list[None] | None = Field(None, max_length=0)
    function_call: None = None
    audio: None = None
    annotations: list[None] | None = Field(None, max_length=0)
    name: None = None
    tool_call_id: None = None


def turns(messages: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Role and text of each message, the model's own names of roles; Refused at the first that isn't text."""
    found = []
    for number, message in enumerate(messages):
        place = f"messages[{number}]"
        if message.get("role") not in ROLES:
            why = "the models here call no tools" if message.get("role") in ("tool", "function") else f"roles: {', '.join(ROLES)}"
            raise Refused(f"the role {message.get('role')!r:.80} can't be used", why, param=f"{place}.role", code="invalid_value")
        for name in _EMPTY:
            if message.get(name):
                raise Refused(f"{place}.{name} can't be read by the models here", "leave it out", param=f"{place}.{name}")
        try:
            turn = parsed(Turn, message)
        except Refused as fault:
            hint, param = fault.hint or "content is text, or a list of parts of type text", f"{place}.{fault.where}"
            raise Refused(f"{place}.{fault.message}", hint, param=param, code=fault.code) from None
        text = turn.content if isinstance(turn.content, str) else "".join(part.text for part in turn.content)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused("the text holds half a character", "send whole ones", param=f"{place}.content", code="invalid_value") from None
        found.append({"role": ROLES[turn.role], "content": text})
    return found
