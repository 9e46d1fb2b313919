"""Hosted models over a bad network: answers come whole, are kept, are paid for once, and within a budget."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from preceptor import UserError
from preceptor.errors import NotFoundError, UnavailableError
from preceptor.generation import AccessDenied, AnswerStore, HostedProvider, OpenAIClient, read_prices
from preceptor.generation import openai_client as service_module
from preceptor.planning.prices import TokenPrice, find_price
from preceptor.testing.fake_servers import NETWORK_FAULTS, FakeOpenAIServer

HOW = {"max_tokens": 20, "temperature": 0.0}
PRICE = TokenPrice(1.0, 2.0)


def talk(number: int) -> list[dict[str, str]]:
    return [{"role": "user", "content": f"What is {number} and one?"}]


def echo(turns) -> str:
    return f"{turns[-1]['content'].split()[2]} it is"


@pytest.fixture
def hosted():
    with FakeOpenAIServer(echo) as made:
        made.add_job(made.add_file(b"{}\n", "train.jsonl"))
        yield made


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(service_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


OPEN: list[OpenAIClient] = []


@pytest.fixture(autouse=True)
def closed():
    yield
    while OPEN:
        OPEN.pop().close()


def service_of(**given) -> OpenAIClient:
    OPEN.append(OpenAIClient(**given))
    return OPEN[-1]


def provider(hosted, folder, *, most=1.0, key=None):
    (model,) = hosted.models
    service = service_of(key=key or hosted.key, base_url=hosted.base_url)
    return HostedProvider(model, service, AnswerStore(folder / "answers.jsonl"), price=PRICE, most=most)


def test_answers_come_in_order_and_are_paid_once(hosted, tmp_path):
    asked = [talk(number) for number in range(12)] + [talk(3)]
    texts = provider(hosted, tmp_path).write(asked, max_tokens=20)
    assert texts == [*[f"{number} it is" for number in range(12)], "3 it is"]
    assert len(hosted.billed) == 12  # the same question is one
    again = provider(hosted, tmp_path, most=0)  # all is kept: nothing needs a budget any more
    assert again.write(asked, max_tokens=20) == texts
    assert len(hosted.billed) == 12
    assert again.budget.spent == pytest.approx(sum(PRICE.cost(each.read, each.written) for each in hosted.billed))
    assert "sk-stand-in" not in (tmp_path / "answers.jsonl").read_text()


@pytest.mark.parametrize("trouble", NETWORK_FAULTS)
def test_no_trouble_of_the_network_is_paid_twice(hosted, tmp_path, trouble):
    hosted.troubles, hosted.every = (trouble,), 3
    made = provider(hosted, tmp_path)
    assert made.write([talk(number) for number in range(9)], max_tokens=20) == [f"{number} it is" for number in range(9)]
    assert max(Counter(each.mark for each in hosted.billed).values()) == 1
    data = b"x" * 100_000
    assert service_of(key=hosted.key, base_url=hosted.base_url).download_file(hosted.add_file(data, "a"), len(data)) == data


def test_nothing_is_sent_above_the_budget(hosted, tmp_path):
    made = provider(hosted, tmp_path, most=0.0001)
    with pytest.raises(UserError, match=r"9 answers .* may cost 0\.000\d* USD, and 0.0001 are allowed; nothing was sent") as told:
        made.write([talk(number) for number in range(9)], max_tokens=20)
    assert hosted.billed == []
    allowed = float(told.value.hint.rpartition(" ")[2])
    provider(hosted, tmp_path, most=allowed).write([talk(number) for number in range(9)], max_tokens=20)
    spent = sum(PRICE.cost(each.read, each.written) for each in hosted.billed)
    assert spent <= allowed


def test_a_service_that_keeps_nothing_is_asked_without_it(hosted, tmp_path):
    hosted.keeps = False
    assert provider(hosted, tmp_path).write([talk(1)], max_tokens=20) == ["1 it is"]
    path = tmp_path / "answers.jsonl"
    lines = path.read_text().splitlines()
    path.write_text(lines[0] + "\n" + lines[1][:40])  # a kill while the answer was written down
    made = provider(hosted, tmp_path)
    assert made.write([talk(1)], max_tokens=20) == ["1 it is"]
    assert made.repeated_requests == 1  # which is told, since nobody can know


def test_what_a_kill_lost_is_found_again(hosted, tmp_path):
    provider(hosted, tmp_path).write([talk(1)], max_tokens=20)
    path = tmp_path / "answers.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    made = provider(hosted, tmp_path)
    assert made.write([talk(1)], max_tokens=20) == ["1 it is"]
    assert (len(hosted.billed), made.repeated_requests) == (1, 0)


def test_a_foreign_line_is_refused(hosted, tmp_path):
    (tmp_path / "answers.jsonl").write_text('{"who": 1}\n')
    with pytest.raises(UserError, match=r"answers.jsonl:1: the line isn't ours"):
        provider(hosted, tmp_path)


def test_faults_say_what_to_do(hosted, tmp_path, monkeypatch):
    with pytest.raises(AccessDenied, match="doesn't accept the key"):
        provider(hosted, tmp_path, key="sk-wrong").write([talk(1)])
    gone = provider(hosted, tmp_path)
    hosted.models.clear()
    with pytest.raises(NotFoundError, match=f"an answer of {gone.name} isn't at"):
        gone.write([talk(1)])
    monkeypatch.setattr(service_module, "MAX_TRIES", 2)
    away = service_of(key="k", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(UnavailableError, match="can't be reached"):
        list(away.list_jobs())
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="there is no key"):
        OpenAIClient()


@pytest.mark.parametrize(("text", "fault"), [("", "one key alone"), ("a b", "one key alone"), (None, "can't be read")])
def test_a_key_file_holds_a_key(tmp_path, text, fault):
    if text is not None:
        (tmp_path / "key").write_text(text)
    with pytest.raises(UserError, match=fault):
        OpenAIClient(key_file=tmp_path / "key")


def test_a_key_is_never_repeated(hosted, tmp_path):
    hosted.answer = lambda turns: 1 / 0
    wrong = provider(hosted, tmp_path, key="sk-secret-1")
    with pytest.raises(UserError) as told:
        wrong.write([talk(1)])
    assert "sk-secret-1" not in str(told.value)
    assert "sk-" not in repr(service_of(key="sk-secret-1"))


def test_prices_are_found_by_the_base(tmp_path):
    assert find_price("ft:gpt-4o-mini-2024-07-18:shop::c1") == find_price("gpt-4o-mini")
    assert find_price("ft:gpt-4o-2024-08-06:shop::c1").output == 15
    with pytest.raises(UserError, match="what llama-9 costs isn't known"):
        find_price("llama-9")
    path = tmp_path / "prices.toml"
    path.write_text('["llama"]\ninput = 1\noutput = 2\n')
    assert find_price("llama-9", read_prices(path)) == TokenPrice(1.0, 2.0)
    path.write_text('["llama"]\nper = 1000\ninput = 0.001\noutput = 0.002\n')
    assert find_price("llama-9", read_prices(path)) == TokenPrice(1.0, 2.0)
    with pytest.raises(UserError, match="did you mean 'gpt-4o-mini'"):
        find_price("gtp-4o-mini")
    for text in ('["a"]\ninput = 1\n', '["a"]\nper = 10\ninput = 1\noutput = 1\n', '["a"]\ninput = "x"\noutput = 1\n', "a = 1\n", "["):
        path.write_text(text)
        with pytest.raises(UserError):
            read_prices(path)


ASKING = """
import sys
from pathlib import Path
from preceptor.generation import AnswerStore, HostedProvider, OpenAIClient
from preceptor.planning.prices import TokenPrice
url, key, model, folder = sys.argv[1:]
answers = AnswerStore(Path(folder) / "answers.jsonl")
made = HostedProvider(model, OpenAIClient(key=key, base_url=url), answers, price=TokenPrice(1.0, 2.0), most=1.0)
made.write([[{"role": "user", "content": f"What is {n} and one?"}] for n in range(40)], max_tokens=20)
print(made.repeated_requests)
"""


def test_kill_and_go_on_until_all_is_there(hosted, tmp_path):
    """Killed at whatever moment, three times over: in the end each answer is there, and was paid for once."""
    hosted.latency = 0.05
    (model,) = hosted.models
    command = [sys.executable, "-c", ASKING, hosted.base_url, hosted.key, model, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for turn in range(3):
        process = subprocess.Popen(command, env=environment)
        until, had = time.monotonic() + 60, len(hosted.billed)
        while len(hosted.billed) < had + 6 + turn and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.2)  # what was under way ends at the service
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"
    assert max(Counter(each.mark for each in hosted.billed).values()) == 1
    assert len(hosted.billed) == 40
    kept = [json.loads(line)["value"] for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert sum("answer" in line for line in kept) == 40
