"""Many streams before a real server: who leaves, who doesn't read and who comes after a kill -9."""

from __future__ import annotations

import asyncio
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest
import uvicorn

from preceptor.web import server as server_module
from preceptor.web.errors import OpenAIError
from preceptor.web.openai import generation_stream
from preceptor.web.openai.generation_stream import MAX_UNREAD, BoundedChunkQueue

HELLO = [{"role": "user", "content": "how are you today"}]
ENDS = {"0": -100, "2": -100}  # the tokens after which an answer is over
ENDLESS = {"model": "smollm2", "messages": HELLO, "logit_bias": ENDS, "seed": 5, "max_tokens": 100}


def streams(server, count: int) -> list:
    """So many streams whose first chunk has come."""
    client = server.client("chatter")

    def begin(_: int):
        stream = client.chat.completions.create(**ENDLESS, stream=True)
        next(iter(stream))
        return stream

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def text_of(stream) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def test_sixteen_streams_say_what_one_says(server):
    wanted = server.client("chatter").chat.completions.create(**ENDLESS).choices[0].message.content
    begun = streams(server, 16)
    with ThreadPoolExecutor(16) as pool:
        assert set(pool.map(text_of, begun)) == {wanted}


def test_a_prompt_that_was_read_before_is_told_as_cached(server):
    long = [{"role": "user", "content": "how are you today fine thanks " * 12}]
    ask = lambda: server.client("chatter").chat.completions.create(**{**ENDLESS, "messages": long, "max_tokens": 5}, logprobs=True)  # noqa: E731
    first, second = ask(), ask()
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert 0 < second.usage.prompt_tokens_details.cached_tokens < second.usage.prompt_tokens
    numbers = [[token.logprob for token in each.choices[0].logprobs.content] for each in (first, second)]
    assert numbers[1] == pytest.approx(numbers[0], abs=1e-5)


def test_who_leaves_frees_its_row_and_who_doesnt_read_holds_nobody_up(server):
    """As many streams as there are rows are dropped, as many more are left unread: an answer comes all the same."""
    for stream in streams(server, 16):
        stream.close()
    body = b'{"model":"smollm2","stream":true,"max_tokens":200,"messages":[{"role":"user","content":"how are you"}]}'
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.tokens['chatter']}\r\n"
    port = int(server.address.rpartition(":")[2])
    lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(16)]
    for line in lines:
        line.sendall(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    made = server.client("owner").chat.completions.create(**{**ENDLESS, "max_tokens": 20})
    assert made.usage.completion_tokens == 20
    for line in lines:
        line.close()


def test_a_stream_that_is_never_read_is_cut_off():
    async def fill() -> None:
        cut: list[bool] = []
        unread = BoundedChunkQueue(lambda: cut.append(True))
        for number in range(2 * MAX_UNREAD):
            unread.put_nowait(number)
            assert unread.qsize() <= MAX_UNREAD
            assert bool(cut) == (number >= MAX_UNREAD)
        refused = unread.get_nowait()
        assert isinstance(refused, OpenAIError)
        assert (refused.status, unread.empty(), cut) == (408, True, [True])

    asyncio.run(fill())


def test_of_all_unread_pieces_those_of_who_is_furthest_behind_go_first(monkeypatch):
    monkeypatch.setattr(generation_stream, "MAX_UNREAD_TOTAL", 800)

    async def fill() -> None:
        cut: list[int] = []
        clients = [BoundedChunkQueue(lambda number=number: cut.append(number)) for number in range(4)]
        for step in range(500):
            for number, client in enumerate(clients[:3]):
                client.put_nowait(step)
                if number < 2 and step % 2:  # these two read half of what comes
                    client.get_nowait()
        clients[3].put_nowait(0)
        assert cut == [2]
        assert [client.qsize() for client in clients] == [250, 250, 1, 1]
        assert isinstance(clients[2].get_nowait(), OpenAIError)

    asyncio.run(fill())


def test_a_client_that_takes_nothing_is_given_up(monkeypatch):
    """The kernel ends the connection, whole answers and streams alike; who reads slowly has it all in the end."""
    monkeypatch.setattr(server_module, "SEND_TIMEOUT_SECONDS", 1)
    ended: list[str] = []

    async def answering(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body"})
        ended.append(f"{scope['path']} {(await receive())['type']}")

    async def run() -> None:
        config = uvicorn.Config(answering, port=0, http=server_module.TimeoutHttpProtocol, lifespan="off", log_level="error")
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        reads, stalls = [await asyncio.open_connection("127.0.0.1", port, limit=4096) for _ in range(2)]
        for path, (_, writer) in (("/reads", reads), ("/stalls", stalls)):
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        taken = 0
        while part := await reads[0].read(1 << 19):
            taken += len(part)
            await asyncio.sleep(0.05)
        assert taken > 20_000_000
        until = time.monotonic() + 120
        while len(ended) < 2:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        for _, writer in (reads, stalls):
            writer.close()
        server.should_exit = True
        await serving

    asyncio.run(run())
    assert sorted(ended) == ["/reads http.disconnect", "/stalls http.disconnect"]


def test_a_kill_ends_streams_with_an_exception_and_the_next_server_answers_at_once(own_server):
    ask = lambda: own_server.client("chatter").chat.completions.create(**ENDLESS).choices[0].message.content  # noqa: E731
    whole = ask()
    begun = streams(own_server, 16)
    own_server.kill()
    broken = 0
    for stream in begun:
        try:
            assert whole.endswith(text_of(stream))  # it had been sent already, all of it
        except (httpx.HTTPError, openai.APIError):
            broken += 1
    assert broken
    own_server.start()
    assert ask() == whole
