"""Answer /v1/chat/completions, whole or streamed: cite, store and, where confidence is too low, defer to a person.

An answer is stored before its caller receives its end, so that feedback on it counts whatever happens then. A failure to store it doesn't
withhold the answer: it is sent with `"kept": false`, and the server's log and metrics report the failure.

A stream has the role, text as it is generated, why each answer ended, the usage if it was requested, and the end. Where a person may have
to answer, nothing is sent before it is known who answers; comments keep the connection open meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, StreamingResponse

from preceptor.annotation import DAY_SECONDS, AuthenticatedVisitor
from preceptor.errors import UserError
from preceptor.web import errors, prometheus_metrics
from preceptor.web.errors import CLIENT_CLOSED, OpenAIError
from preceptor.web.openai.chat_request import ChatRequest
from preceptor.web.openai.dependencies import get_state, note_model, require_scope
from preceptor.web.openai.generation_stream import ChatContext, GenerationStream, list_sampling_settings
from preceptor.web.openai.request_body import read_json_body

if TYPE_CHECKING:
    from preceptor.generation.offline import GeneratedAnswer
    from preceptor.generation.sampling import GenerationChunk


@dataclass(frozen=True, slots=True)
class FinalAnswer:
    """How an answer is finally sent.

    text: a person's answer or a notice in place of the generated text, None where the latter is sent. preceptor: the field of that name
    in the response; empty for none.
    """

    text: str | None = None
    preceptor: dict[str, Any] = field(default_factory=dict)

    @property
    def extra_fields(self) -> dict[str, Any]:
        """The fields of the response beside OpenAI's own."""
        return {"preceptor": self.preceptor} if self.preceptor else {}


async def finalize_answer(drawing: GenerationStream) -> FinalAnswer:
    """Cite and store an answer and, where confidence is too low, defer it to a person, waiting as long as the call allows."""
    call, answers = drawing.context, drawing.collect_answers()
    cited = {} if call.grounded is None else await drawing.run_in_thread(call.grounded.check_citations, answers[0].text)
    told, deferral = await run_in_threadpool(_store_and_defer, drawing, answers, cited)
    if deferral is None:
        return FinalAnswer(None, told)
    said = await _wait_for_person(call, deferral)
    address = f"/v1/deferrals/{deferral}"
    told["deferred"] = {"id": deferral, "status": "waiting" if said is None else "answered", "poll": address}
    return FinalAnswer(f"A person will answer this: GET {address}" if said is None else said, told)


def store_partial_answer(drawing: GenerationStream) -> None:
    """Store what a client has received of an answer before it disconnected: it may tell why."""
    if drawing.chunks and not drawing.finalized:
        _store_answer(drawing, drawing.collect_answers(), None, {}, inclusion=0.0, hung_up=True)


def _store_and_defer(
    drawing: GenerationStream, answers: Sequence[GeneratedAnswer], cited: dict[str, Any]
) -> tuple[dict[str, Any], str | None]:
    """Return the response's field `preceptor`, and the deferral's id if there is one."""
    drawing.finalized = True
    call, told = drawing.context, dict[str, Any]()
    confidence = None
    if call.params.n == 1:
        confidence = call.state.project.monitoring.estimate_confidence(call.model.fingerprint, _first_log_probabilities(answers))
    unsure = call.min_confidence is not None and (confidence is None or confidence < call.min_confidence)
    kept = _store_answer(drawing, answers, confidence, cited)
    if confidence is not None or call.min_confidence is not None:
        told["confidence"] = confidence
    if confidence is not None and not drawing.class_names:
        elsewhere = call.state.project.monitoring.find_temperature_mismatch(call.model.fingerprint, call.params.temperature)
        told |= {"confidence_learnt_at": {"temperature": elsewhere}} if elsewhere else {}
    if kept is False:
        told["kept"] = False
    if kept and call.options.feedback:
        told["feedback"] = call.state.project.monitoring.feedback.page_path(call.id)
    if not unsure:
        return {**cited, **told}, None
    prometheus_metrics.deferred_count.labels(call.model.name).inc()
    return told, _defer_to_person(drawing, answers[0].text, confidence)


def _store_answer(
    drawing: GenerationStream, answers: Sequence[GeneratedAnswer], confidence: float | None, cited: dict[str, Any], **how: Any
) -> bool | None:
    """Return whether the answer was stored; None where it isn't to be. how: further arguments of `ResponseLog.log_response`."""
    call = drawing.context
    if call.params.store is False:
        return None
    first, *others = answers
    more: dict[str, Any] = {"sampling": list_sampling_settings(drawing), "usage": drawing.usage}
    more |= {"tags": dict(call.options.tags)} if call.options.tags else {}
    if call.grounded is not None:
        more["sources"] = [{"document": hit.document, "version": hit.version, "chunk": hit.chunk} for hit in call.grounded.hits]
    try:
        kept = call.state.response_log.log_response(
            call.id, model=call.model.fingerprint, alias=call.alias, visitor=call.visitor, turns=call.messages, text=first.text,
            others=[answer.text for answer in others], finish=[answer.finish for answer in answers], confidence=confidence,
            log_probabilities=_first_log_probabilities(answers), cited=cited, **more, **how,
        )  # fmt: skip
    except Exception:
        errors.LOG.exception("the answer %s couldn't be kept, and goes out all the same", call.id)
        prometheus_metrics.unlogged_count.inc()
        return False
    if kept:
        prometheus_metrics.logged_count.labels(call.model.name).inc()
    return kept or None


def _defer_to_person(drawing: GenerationStream, draft: str, confidence: float | None) -> str:
    """Queue the call for a person, who sees the draft and what the model read; in a classification model's place they choose an answer."""
    call = drawing.context
    hits = [] if call.grounded is None else call.grounded.hits
    sources = [{"title": " > ".join(filter(None, (hit.document, hit.heading))), "text": hit.text} for hit in hits]
    seconds = max(call.options.wait_seconds, call.state.project.config.serving.deferral_ttl_days * DAY_SECONDS)
    about = call.model.fingerprint, call.messages, draft, confidence, call.visitor.credential, seconds
    return call.state.project.monitoring.deferrals.defer(
        call.id, *about, sources=sources, choices=drawing.class_names, held=call.options.wait_seconds > 0
    )


async def _wait_for_person(call: ChatContext, deferral: str) -> str | None:
    """Return the person's answer, if it comes in time.

    A caller who has disconnected never learns the deferral's id, so that it is cancelled.
    """
    said, stays = None, False
    try:
        if call.options.wait_seconds:
            said = await call.state.human_waiter.wait_for_answer(
                deferral, call.options.wait_seconds, call.disconnected, caller=call.visitor.name
            )
        stays = not call.disconnected.is_set()
        if call.options.wait_seconds and said is None and stays:
            await run_in_threadpool(call.state.project.monitoring.deferrals.release_connection, deferral)
    finally:
        if not stays:  # this task may be cancelled, so that it can't await the cancelling
            cancel = partial(call.state.project.monitoring.deferrals.cancel, deferral, by=call.visitor.name)
            asyncio.get_running_loop().run_in_executor(None, cancel)
    return said


def _first_log_probabilities(answers: Sequence[GeneratedAnswer]) -> list[float]:
    """Return the log-probabilities of the first answer's tokens, in nats."""
    return [each.log_probability for each in answers[0].logprobs]


def build_completion(drawing: GenerationStream, settled: FinalAnswer) -> dict[str, Any]:
    """Build the response with all answers; a person's answer replaces the generated text, and has no log-probabilities."""
    choices, asked = [], drawing.context.params
    for number, answer in enumerate(drawing.collect_answers()):
        text, drawn = (answer.text, True) if settled.text is None else (settled.text, False)
        message = {"role": "assistant", "content": text, "refusal": None}
        probabilities = format_logprobs(answer.logprobs) if asked.logprobs and drawn else None
        finish = answer.finish if drawn else "stop"
        choices.append({"index": number, "message": message, "logprobs": probabilities, "finish_reason": finish})
    about = drawing.context.response_fields("chat.completion")
    return {**about, "choices": choices, "usage": drawing.usage, "service_tier": "default", **settled.extra_fields}


def build_chunk(drawing: GenerationStream, choices: list[dict[str, Any]], **more: Any) -> str:
    """Build an event of a stream from its choices."""
    usage = {"usage": None} if includes_usage(drawing) else {}
    return format_event({**drawing.context.response_fields("chat.completion.chunk"), "choices": choices, **usage, **more})


def includes_usage(drawing: GenerationStream) -> bool:
    """Return whether a stream's last chunk contains the usage."""
    options = drawing.context.params.stream_options
    return options is not None and options.include_usage


def opening_choice(number: int) -> dict[str, Any]:
    """Return the first choice of an answer in a stream, with its role."""
    return {"index": number, "delta": {"role": "assistant", "content": "", "refusal": None}, "logprobs": None, "finish_reason": None}


def text_choices(piece: GenerationChunk, *, logprobs: bool) -> list[dict[str, Any]]:
    """Return what a chunk adds to an answer's text, as choices of a stream's document."""
    if not piece.text and not (logprobs and piece.logprobs):
        return []
    probabilities = format_logprobs(piece.logprobs) if logprobs else None
    return [{"index": piece.choice, "delta": {"content": piece.text}, "logprobs": probabilities, "finish_reason": None}]


def ending_choice(number: int, finish: str) -> dict[str, Any]:
    """Return the last choice of an answer in a stream, with the reason why it ended."""
    return {"index": number, "delta": {}, "logprobs": None, "finish_reason": finish}


def format_logprobs(said: Any) -> dict[str, Any]:
    """Format tokens with their log-probabilities as OpenAI does."""

    def token(text: str, data: bytes, value: float) -> dict[str, Any]:
        return {"token": text, "logprob": value, "bytes": list(data)}

    content = []
    for each in said:
        others = [token(*other) for other in each.top]
        content.append({**token(each.text, each.data, each.log_probability), "top_logprobs": others})
    return {"content": content, "refusal": None}


def format_event(document: dict[str, Any]) -> str:
    """Format a document as a server-sent event."""
    return f"data: {json.dumps(document, ensure_ascii=False, allow_nan=False)}\n\n"


KEEPALIVE_SECONDS = 10.0  # between two keep-alive comments
KEEPALIVE_COMMENT = ": still at it\n\n"


async def stream_events(drawing: GenerationStream, first: GenerationChunk) -> AsyncIterator[str]:
    """Yield the events of a stream whose first chunk is there; an error after that is its last event."""
    try:
        for number in range(drawing.context.params.n):
            yield build_chunk(drawing, [opening_choice(number)])
        body = _stream_live(drawing, first) if drawing.context.min_confidence is None else _stream_when_final(drawing)
        async for text in body:
            yield text
        yield "data: [DONE]\n\n"
    except Exception as error:  # the response has begun, so that its status can't report the error any more
        if isinstance(error, OpenAIError) and error.status == CLIENT_CLOSED:
            return
        prometheus_metrics.broken_stream_count.inc()
        errors.LOG.error("a stream broke off: %s", error, exc_info=None if isinstance(error, UserError) else error)
        words = OpenAIError("something went wrong here, and is in the server's log", "try again", code="internal_error", status=500)
        yield format_event(errors.openai_error_body(error if isinstance(error, UserError) else words))
    finally:
        if not drawing.finalized:
            asyncio.get_running_loop().run_in_executor(None, store_partial_answer, drawing)  # in the background: the client has gone


async def _stream_live(drawing: GenerationStream, first: GenerationChunk) -> AsyncIterator[str]:
    """Yield chunks as they are generated, and the last one's end once the answer is finalized."""
    piece, logprobs = first, drawing.context.params.logprobs
    while True:
        for choice in text_choices(piece, logprobs=logprobs):
            yield build_chunk(drawing, [choice])
        if not drawing.open_count:
            break
        if piece.finish:
            yield build_chunk(drawing, [ending_choice(piece.choice, piece.finish)])
        piece = await drawing.next_chunk()
    for text in _final_chunks(drawing, await finalize_answer(drawing), ending_choice(piece.choice, piece.finish)):
        yield text


async def _stream_when_final(drawing: GenerationStream) -> AsyncIterator[str]:
    """Yield the answer once it is final, the model's or a person's."""
    waiting = asyncio.ensure_future(_generate_and_finalize(drawing))
    try:
        while not (await asyncio.wait([waiting], timeout=KEEPALIVE_SECONDS))[0]:
            yield KEEPALIVE_COMMENT
    finally:
        waiting.cancel()
    settled = waiting.result()
    if settled.text is None:
        for piece in drawing.chunks:
            for choice in text_choices(piece, logprobs=drawing.context.params.logprobs):
                yield build_chunk(drawing, [choice])
    else:
        yield build_chunk(drawing, [{"index": 0, "delta": {"content": settled.text}, "logprobs": None, "finish_reason": None}])
    finish = drawing.collect_answers()[0].finish if settled.text is None else "stop"
    for text in _final_chunks(drawing, settled, ending_choice(0, finish)):
        yield text


async def _generate_and_finalize(drawing: GenerationStream) -> FinalAnswer:
    await drawing.wait_until_done()
    return await finalize_answer(drawing)


def _final_chunks(drawing: GenerationStream, settled: FinalAnswer, last: dict[str, Any]) -> list[str]:
    """Return the last answer's end and the usage; the field `preceptor` is in the very last chunk."""
    if not includes_usage(drawing):
        return [build_chunk(drawing, [last], **settled.extra_fields)]
    return [build_chunk(drawing, [last]), build_chunk(drawing, [], usage=drawing.usage, **settled.extra_fields)]


router = APIRouter()
ChatCaller = Annotated[AuthenticatedVisitor, Depends(require_scope("chat"))]
STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


@router.post("/chat/completions")
async def complete_chat(request: Request, visitor: ChatCaller) -> Response:
    """Answer a conversation. A parameter that can't be honoured is refused; none is ignored."""
    asked, state = ChatRequest.from_body(await read_json_body(request)), get_state(request)
    begun, until = time.monotonic(), asyncio.get_running_loop().time() + state.project.config.serving.request_timeout_seconds
    call = await run_in_threadpool(ChatContext.from_request, state, visitor, asked)
    note_model(request, call.model.name)
    under_way = ActiveGeneration(request, await GenerationStream.start(call, until))
    try:
        first = await under_way.stream.next_chunk()  # an error before the first token is an error of the whole request
        prometheus_metrics.first_token_seconds.observe(time.monotonic() - begun)
        if asked.stream:
            return StreamingResponse(_stream_and_close(under_way, first), media_type="text/event-stream", headers=STREAM_HEADERS)
        await under_way.stream.wait_until_done()
        answer = build_completion(under_way.stream, await finalize_answer(under_way.stream))
    except BaseException:
        under_way.close()
        raise
    under_way.close()
    return JSONResponse(answer)


class ActiveGeneration:
    """A generation in progress: it is counted, and stopped as soon as its client disconnects."""

    def __init__(self, request: Request, drawing: GenerationStream) -> None:
        self.stream = drawing
        self._ended = False
        self._watch = asyncio.create_task(self._watch_disconnect(request))
        prometheus_metrics.requests_in_progress.inc()

    def close(self) -> None:
        """Stop the generation, if it hasn't ended, and no longer count it."""
        if not self._ended:
            self._ended = True
            self._watch.cancel()
            self.stream.close()
            prometheus_metrics.requests_in_progress.dec()

    async def _watch_disconnect(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.stream.disconnect()
        self.close()


async def _stream_and_close(under_way: ActiveGeneration, first: GenerationChunk) -> AsyncIterator[str]:
    try:
        async for text in stream_events(under_way.stream, first):
            yield text
    finally:
        under_way.close()
