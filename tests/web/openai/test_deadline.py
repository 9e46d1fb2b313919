"""A call's deadline holds from the moment when it is read: also while libraries load, the prompt is laid out and sources are found."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from preceptor.web.errors import OpenAIError
from preceptor.web.openai.chat import finalize_answer
from preceptor.web.openai.dependencies import ChatBackend
from preceptor.web.openai.generation_stream import GenerationStream


def call_of(**parts) -> SimpleNamespace:
    project = SimpleNamespace(config=SimpleNamespace(serving=SimpleNamespace(request_timeout_seconds=0.2)))
    state = SimpleNamespace(project=project, backend=ChatBackend(), upstream=None, catalog=None)
    return SimpleNamespace(
        state=state, params=SimpleNamespace(n=1), model=SimpleNamespace(kind="chat"), visitor=SimpleNamespace(name="a"), **parts
    )


@pytest.mark.parametrize("slow", ["prompt", "engine", "citing"])
def test_what_takes_too_long_before_and_after_drawing_is_refused_in_time(slow, monkeypatch):
    """A cold first call hung past its deadline, for as long as the prompt was rendered."""
    going = threading.Event()
    call = call_of(build_generation_request=lambda: going.wait(60), grounded=SimpleNamespace(check_citations=lambda text: going.wait(60)))
    if slow == "engine":
        from preceptor.generation.sampling import GenerationRequest, SamplingParams

        call.prompt = lambda: GenerationRequest((1,), 1, SamplingParams(1.0, 1.0, 0), 1, (), 0)
        monkeypatch.setattr(ChatBackend, "engine", lambda self: going.wait(60))

    async def run() -> None:
        until = asyncio.get_running_loop().time() + 0.2
        if slow == "citing":
            await finalize_answer(GenerationStream(call, 1, until))
        else:
            await GenerationStream.start(call, until)

    try:
        with pytest.raises(OpenAIError) as refused:
            asyncio.run(run())
    finally:
        going.set()
    assert (refused.value.status, refused.value.code) == (504, "deadline_exceeded")
