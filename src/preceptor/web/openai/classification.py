"""Answer /v1/classify, and chat calls to classification models."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from preceptor.annotation import AuthenticatedVisitor
from preceptor.web.errors import OpenAIError
from preceptor.web.openai.dependencies import get_state, note_model, require_scope
from preceptor.web.openai.models import find_model
from preceptor.web.openai.request_body import StrictModel, parse_body, read_json_body

if TYPE_CHECKING:
    from preceptor.web.openai.classifier_queue import ClassificationOutput
    from preceptor.web.openai.generation_stream import ChatContext, GenerationStream


router = APIRouter()
MAX_TEXTS, MAX_TEXT_CHARACTERS = 512, 200_000  # texts in a request, characters of each
LABEL_THRESHOLD = 0.5  # probability from which an answer applies, where several can


class ClassificationRequest(StrictModel):
    """The body of a classification request: a model, and texts to classify."""

    model: str
    input: str | list[str] = Field(min_length=1)
    user: str | None = None  # the client's own id of its user; it changes nothing

    def texts(self) -> list[str]:
        """Return all texts; raise OpenAIError for too many, and for one that is empty, too long or not valid text."""
        found = [self.input] if isinstance(self.input, str) else self.input
        if len(found) > MAX_TEXTS:
            raise OpenAIError(
                f"input holds {len(found):,} texts", f"send at most {MAX_TEXTS} at once", param="input", code="too_many_inputs"
            )
        for number, text in enumerate(found):
            place = "input" if isinstance(self.input, str) else f"input[{number}]"
            if not text.strip() or len(text) > MAX_TEXT_CHARACTERS:
                raise OpenAIError(
                    f"{place} has {len(text):,} characters", f"send from 1 to {MAX_TEXT_CHARACTERS:,}", param=place, code="invalid_value"
                )
            try:
                text.encode()
            except UnicodeEncodeError:
                raise OpenAIError(f"{place} holds half a character", "send whole ones", param=place, code="invalid_value") from None
        return found


@router.post("/classify")
async def classify_texts(request: Request, visitor: Annotated[AuthenticatedVisitor, Depends(require_scope("chat"))]) -> Response:
    """Return the probability of each answer for each text, the most probable first."""
    asked = parse_body(ClassificationRequest, await read_json_body(request))
    texts, state = asked.texts(), get_state(request)
    seconds = state.project.config.serving.request_timeout_seconds
    until = asyncio.get_running_loop().time() + seconds
    model = await run_in_threadpool(find_model, state, asked.model, visitor)
    note_model(request, model.name)
    if model.kind != "classify":
        raise OpenAIError(
            f"{model.name} writes, and doesn't choose between answers", "ask /v1/chat/completions", param="model", code="invalid_value"
        )
    waiting = asyncio.wrap_future(state.classification.classify(model.fingerprint, texts, caller=visitor.name))
    watch = asyncio.create_task(_cancel_on_disconnect(request, waiting))
    try:
        async with asyncio.timeout_at(until):
            read = await waiting
    except TimeoutError:
        hint = "send fewer texts at once, or try again; [serving] request_timeout_seconds in preceptor.toml"
        raise OpenAIError(f"the texts weren't read within {seconds:g} seconds", hint, code="deadline_exceeded", status=504) from None
    except asyncio.CancelledError:
        raise OpenAIError("the client has hung up", code="client_closed", status=499) from None
    finally:
        watch.cancel()
    data = [_classification_document(read, row) for row in range(len(texts))]
    tokens = sum(min(each, read.limit) for each in read.token_counts or ())
    about = {"object": "list", "created": int(time.time()), "model": model.name, "system_fingerprint": f"fp_{model.fingerprint}"}
    return JSONResponse({**about, "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})


def start_classification(drawing: GenerationStream) -> Callable[[], Any]:
    """Queue a chat call to a classification model, and return what cancels it; raise OpenAIError for what such a model can't honour.

    The answer is put into the stream's queue: the name of the most probable class, as one token that was sampled from all class names.
    """
    call = drawing.context
    text = _require_single_text(call)
    reading = call.state.classification.classify(call.model.fingerprint, [text], caller=call.visitor.name)
    loop = asyncio.get_running_loop()
    reading.add_done_callback(lambda done: done.cancelled() or loop.call_soon_threadsafe(_deliver_answer, drawing, done))
    return reading.cancel


def _deliver_answer(drawing: GenerationStream, done: Any) -> None:
    from preceptor.generation.sampling import GenerationChunk, TokenLogprob

    if (error := done.exception()) is not None:
        drawing.queue.put_nowait(error)
        return
    read: ClassificationOutput = done.result()
    if read.is_multilabel:
        hint = "ask /v1/classify, which gives the probability of each"
        fault = OpenAIError(
            f"of {drawing.context.model.name}'s answers several can hold at once", hint, param="model", code="invalid_value"
        )
        drawing.queue.put_nowait(fault)
        return
    drawing.prompt_tokens = min(read.token_counts[0], read.limit) if read.token_counts else 0
    ranked = [(name, name.encode(), math.log(value) if value > 0 else -9999.0) for name, value in _rank_answers(read, 0)]
    drawing.class_names = tuple(name for name, _, _ in ranked)
    name, data, value = ranked[0]
    said = TokenLogprob(name, data, value, tuple(ranked[: drawing.context.params.logprob_count or 0]))
    drawing.queue.put_nowait(GenerationChunk(0, 0, name, (said,), 1, "stop"))


def _require_single_text(call: ChatContext) -> str:
    """Return the one text to classify; raise OpenAIError for parameters that have no meaning for a classification model."""
    asked = call.params
    usual = {"n": 1, "stop": [], "logit_bias": {}, "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_p": 1.0}
    for name, value in usual.items():
        if getattr(asked, name) != value:
            raise OpenAIError(
                f"{name}: {call.model.name} chooses between answers, and draws none", "leave it out", param=name, code="unsupported_value"
            )
    if asked.temperature not in (0.0, 1.0):
        why = f"{call.model.name} gives the most probable of its answers at any temperature"
        raise OpenAIError(why, "leave temperature out, or set it to 0", param="temperature", code="unsupported_value")
    if call.options.documents:
        why = f"{call.model.name} reads one text, and no sources"
        raise OpenAIError(why, "leave it out", param="metadata.preceptor.documents", code="unsupported_value")
    if [turn["role"] for turn in call.messages] != ["user"] or not call.messages[0]["content"].strip():
        why = f"{call.model.name} chooses an answer for one text"
        raise OpenAIError(why, "send one message, of the role user, with the text", param="messages", code="unsupported_value")
    return call.messages[0]["content"]


def _rank_answers(read: ClassificationOutput, row: int) -> list[tuple[str, float]]:
    pairs = zip(read.answers, map(float, read.probabilities[row]), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def _classification_document(read: ClassificationOutput, row: int) -> dict[str, Any]:
    """Return one text's answers; `labels` where several can apply, `cut` where the text was longer than the model reads."""
    ranked = _rank_answers(read, row)
    found: dict[str, Any] = {"object": "classification", "index": row, "label": ranked[0][0], "probabilities": dict(ranked)}
    if read.is_multilabel:
        found["labels"] = [name for name, value in ranked if value >= LABEL_THRESHOLD]
    if read.token_counts is not None:
        found["cut"] = read.token_counts[row] > read.limit
    return found


async def _cancel_on_disconnect(request: Request, waiting: asyncio.Future[Any]) -> None:
    """Cancel the classification once the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    waiting.cancel()
