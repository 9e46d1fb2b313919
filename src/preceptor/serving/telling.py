"""Answers in OpenAI's form: as one document, or as the chunks of a stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from preceptor.serving.drawing import Drawing
from preceptor.serving.settling import Settled

if TYPE_CHECKING:
    from preceptor.models.generation import Piece


def whole(drawing: Drawing, settled: Settled) -> dict[str, Any]:
    """All answers as one document; what a person said stands in place of what was drawn, and has no log-probabilities."""
    choices, asked = [], drawing.call.asked
    for number, answer in enumerate(drawing.answers()):
        text, drawn = (answer.text, True) if settled.text is None else (settled.text, False)
        message = {"role": "assistant", "content": text, "refusal": None}
        probabilities = told(answer.said) if asked.logprobs and drawn else None
        finish = answer.finish if drawn else "stop"
        choices.append({"index": number, "message": message, "logprobs": probabilities, "finish_reason": finish})
    about = drawing.call.about("chat.completion")
    return {**about, "choices": choices, "usage": drawing.usage, "service_tier": "default", **settled.more}


def chunk(drawing: Drawing, choices: list[dict[str, Any]], **more: Any) -> str:
    """A document of a stream."""
    usage = {"usage": None} if with_usage(drawing) else {}
    return event({**drawing.call.about("chat.completion.chunk"), "choices": choices, **usage, **more})


def with_usage(drawing: Drawing) -> bool:
    """Whether a stream's last chunk tells the usage."""
    options = drawing.call.asked.stream_options
    return options is not None and options.include_usage


def opening(number: int) -> dict[str, Any]:
    """Who speaks."""
    return {"index": number, "delta": {"role": "assistant", "content": "", "refusal": None}, "logprobs": None, "finish_reason": None}


def text_of(piece: Piece, *, logprobs: bool) -> list[dict[str, Any]]:
    """What a piece adds to an answer's text, as choices of a chunk."""
    if not piece.text and not (logprobs and piece.said):
        return []
    probabilities = told(piece.said) if logprobs else None
    return [{"index": piece.choice, "delta": {"content": piece.text}, "logprobs": probabilities, "finish_reason": None}]


def ending(number: int, finish: str) -> dict[str, Any]:
    """Why an answer ended."""
    return {"index": number, "delta": {}, "logprobs": None, "finish_reason": finish}


def told(said: Any) -> dict[str, Any]:
    """Tokens with their log-probabilities as OpenAI writes them."""

    def token(text: str, data: bytes, value: float) -> dict[str, Any]:
        return {"token": text, "logprob": value, "bytes": list(data)}

    content = []
    for each in said:
        others = [token(*other) for other in each.top]
        content.append({**token(each.text, each.data, each.log_probability), "top_logprobs": others})
    return {"content": content, "refusal": None}


def event(document: dict[str, Any]) -> str:
    """A document as an event of a stream."""
    return f"data: {json.dumps(document, ensure_ascii=False, allow_nan=False)}\n\n"
