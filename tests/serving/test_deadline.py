"""A call's deadline holds from the moment when it is read: also while libraries load, the prompt is laid out and sources are found."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace

import pytest

from preceptor.serving.drawing import Drawing
from preceptor.serving.faults import Refused
from preceptor.serving.settling import settle
from preceptor.serving.state import Chat


def call_of(**parts) -> SimpleNamespace:
    project = SimpleNamespace(config=SimpleNamespace(serving=SimpleNamespace(deadline=0.2)))
    state = SimpleNamespace(project=project, chat=Chat(), upstream=None, catalog=None)
    return SimpleNamespace(
        state=state, asked=SimpleNamespace(n=1), model=SimpleNamespace(kind="chat"), visitor=SimpleNamespace(name="a"), **parts
    )


@pytest.mark.parametrize("slow", ["prompt", "engine", "citing"])
def test_what_takes_too_long_before_and_after_drawing_is_refused_in_time(slow, monkeypatch):
    """A cold first call hung past its deadline, for as long as the prompt was rendered."""
    going = threading.Event()
    call = call_of(prompt=lambda: going.wait(60), grounded=SimpleNamespace(cited=lambda text: going.wait(60)))
    if slow == "engine":
        from preceptor.models.generation import Request
        from preceptor.models.sampling import Sampling

        call.prompt = lambda: Request((1,), 1, Sampling(1.0, 1.0, 0), 1, (), 0)
        monkeypatch.setattr(Chat, "engine", lambda self: going.wait(60))

    async def run() -> None:
        until = asyncio.get_running_loop().time() + 0.2
        if slow == "citing":
            await settle(Drawing(call, 1, until))
        else:
            await Drawing.begin(call, until)

    try:
        with pytest.raises(Refused) as refused:
            asyncio.run(run())
    finally:
        going.set()
    assert (refused.value.status, refused.value.code) == (504, "deadline_exceeded")
