"""Too many calls, late ones, dropped ones, and a database that fails: each has its clear word, and nothing is lost silently."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import openai
import pytest
from starlette.testclient import TestClient

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from preceptor.errors import NotFoundError
from preceptor.monitoring.response_log import ResponseLog
from preceptor.web import job_handlers
from preceptor.web.app import create_app
from web.openai.conftest import start_server

HELLO = [{"role": "user", "content": "how are you today"}]
ENDLESS = {"model": "smollm2", "messages": HELLO, "logit_bias": {"0": -100, "2": -100}, "seed": 5, "max_tokens": 200}


@pytest.fixture
def serving(tmp_path, chat_cache):
    """Starts a server with what [serving] says."""
    started = []

    def start(*arguments, **rule):
        started.append(start_server(tmp_path / "shop", chat_cache, *arguments, serving=rule))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def narrow(tmp_path_factory, chat_cache):
    """A server where one call may wait, and whose answers are all drawn to be measured."""
    server = start_server(tmp_path_factory.mktemp("narrow") / "shop", chat_cache, serving={"max_queue": 1, "eval_sample_rate": 1})
    yield server
    server.stop()


def ready(server) -> int:
    try:
        with urllib.request.urlopen(f"{server.address}/health/ready", timeout=240) as answer:
            return answer.status
    except urllib.error.HTTPError as fault:
        return fault.code


def test_a_full_queue_says_when_to_come_again_and_is_not_ready(narrow):
    """Sixteen answers are drawn, one call waits; the next is told so at once, and the pages' balancer looks elsewhere."""
    chat = narrow.client("chatter").chat.completions
    streams = [chat.create(**ENDLESS, stream=True, n=16)]
    next(iter(streams[0]))
    waiting = threading.Thread(target=lambda: streams.append(chat.create(**ENDLESS, stream=True, n=16)))
    waiting.start()
    until = time.monotonic() + 120
    while ready(narrow) != 503:
        assert time.monotonic() < until
        time.sleep(0.02)
    with pytest.raises(openai.RateLimitError) as told:
        chat.create(**ENDLESS)
    assert 1 <= int(told.value.response.headers["retry-after"]) <= 60
    assert (told.value.type, told.value.code) == ("rate_limit_error", "rate_limit_exceeded")
    streams[0].close()
    waiting.join()
    assert ready(narrow) == 200
    streams[1].close()


def test_what_comes_too_late_is_a_504_and_in_a_stream_its_last_event(serving):
    server = serving(request_timeout_seconds=0.4)
    chat = server.client("chatter").chat.completions
    with pytest.raises(openai.InternalServerError) as told:
        chat.create(**ENDLESS, n=16)
    assert (told.value.status_code, told.value.code) == (504, "deadline_exceeded")
    until = time.monotonic() + 120
    while True:  # once the model is loaded, an answer begins in time and ends too late
        assert time.monotonic() < until
        try:
            heard = chat.create(**ENDLESS, n=16, stream=True)
        except openai.InternalServerError:
            continue
        with pytest.raises(openai.APIError, match=r"wasn't there within 0\.4 seconds"):
            list(heard)
        return


def test_what_a_client_heard_before_it_hung_up_is_kept(narrow):
    stream = narrow.client("chatter").chat.completions.create(**ENDLESS, stream=True)
    heard = [next(stream) for _ in range(6)]
    stream.close()
    project, until = Project.open(narrow.folder), time.monotonic() + 120
    while True:
        try:
            kept = ResponseLog(project).get(heard[0].id)
            break
        except NotFoundError:
            assert time.monotonic() < until
            time.sleep(0.05)
    assert kept.text.startswith("".join(chunk.choices[0].delta.content or "" for chunk in heard)[:3])
    assert kept.document["answers"][0]["finish"] == ""
    assert (kept.is_complete, kept.inclusion) == (False, 0.0)
    project.close()


def test_an_answer_that_cant_be_kept_goes_out_and_says_so(project, chat_cache, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_CACHE", str(chat_cache))
    token = AccessControl(project).issue_application_token("chatter", ["chat"])["token"]
    asked = {**ENDLESS, "max_tokens": 3}
    with TestClient(create_app(project.folder)) as client:

        def ask(**more):
            answer = client.post("/v1/chat/completions", json={**asked, **more}, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 200
            return answer

        assert "preceptor" not in ask().json()
        monkeypatch.setattr(ResponseLog, "log_response", lambda *_, **__: 1 / 0)
        told = ask().json()
        assert told["preceptor"] == {"kept": False}
        assert told["choices"][0]["message"]["content"]
        *_, last, done = ask(stream=True).text.strip().split("\n\n")
        assert done == "data: [DONE]"
        assert json.loads(last.removeprefix("data: "))["preceptor"] == {"kept": False}


def test_upkeep_deletes_what_was_kept_long_enough(tmp_path):
    project = Project.create(tmp_path / "shop", serving={"retention_days": 1e-9})
    ResponseLog(project).log_response("chatcmpl-1", model="m-1", turns=HELLO, text="fine")
    job_handlers.ProjectUpkeep(project).run_once()
    assert ResponseLog(project).delete_expired() == 0
    project.close()


@pytest.mark.slow
def test_metrics_are_those_of_all_workers_and_of_those_that_were_killed(serving):
    """Whichever worker is asked tells what all have answered. A counter never falls, nor doubles; what was under way in one that is gone
    is forgotten."""
    server = serving("--workers", "2")

    def ask() -> None:
        with openai.OpenAI(base_url=f"{server.address}/v1", api_key=server.tokens["chatter"], timeout=240, max_retries=9) as client:
            client.chat.completions.create(**{**ENDLESS, "max_tokens": 3})

    for _ in range(8):
        ask()
    told, answered = counted(server), 8
    assert told["preceptor_engine_sum_total", "drawn"] == told["preceptor_tokens_total", "completion"] == 24
    for worker in workers(server):
        stream = server.client("chatter").chat.completions.create(**ENDLESS, stream=True)  # under way, maybe in the one that goes
        next(stream)
        os.kill(worker, signal.SIGKILL)
        until = time.monotonic() + 120
        while len(workers(server)) < 2 or worker in workers(server):
            assert time.monotonic() < until
            time.sleep(0.1)
        stream.close()
        ask()
        answered += 1
        for _ in range(4):
            told, before = counted(server), told
            assert all(told[name] >= value for name, value in before.items() if name[0].endswith("_total"))
        while any(told[name] for name in told if name[0] == "preceptor_requests_under_way" or name[1] == "running"):
            assert time.monotonic() < until
            told = counted(server)
        assert answered <= told["preceptor_answers_kept_total", "smollm2"] <= answered + 2, "the stream's, where it ended"


def workers(server) -> set[int]:
    """The processes that answer, which are those that count."""
    known = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.joinpath("stat").read_text().rpartition(")")[2].split()[1] == str(server.process.pid):
                known[int(folder.name)] = folder.joinpath("environ").read_bytes()
        except OSError:
            continue
    where = {line.split(b"=", 1)[1].decode() for each in known.values() for line in each.split(b"\0") if line.startswith(b"PROMETHEUS")}
    return {pid for pid in known for folder in where if Path(folder, f"counter_{pid}.db").exists()}


def counted(server) -> dict[tuple[str, str], float]:
    """What /metrics tells, by name and last label that isn't the model where there is another; no histograms."""
    request = urllib.request.Request(f"{server.address}/metrics", headers={"Authorization": f"Bearer {server.tokens['owner']}"})
    with urllib.request.urlopen(request, timeout=240) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#") and "seconds" not in line]
    found = {}
    for line in lines:
        name, _, value = line.rpartition(" ")
        labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
        found[name.partition("{")[0], labels.get("kind") or labels.get("figure") or labels.get("model", "")] = float(value)
    return found
