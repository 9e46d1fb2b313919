"""A server before another that speaks vLLM's protocol: the right model is proved, its answers stream through, its faults are told."""

from __future__ import annotations

import json
import socket
import time

import openai
import pytest
import torch

from preceptor import Project, UserError
from preceptor.models.loading import load_causal, load_tokenizer
from preceptor.models.template import render
from preceptor.project import Access
from preceptor.project.config import Serving
from preceptor.project.live.aliases import Aliases
from preceptor.project.live.kept import AnswersKept
from preceptor.project.live.upstream import prove_upstream
from preceptor.project.told import to_freeze
from preceptor.testing.hosted import HostedService
from serving.conftest import Server
from tiny_models import made_rows, save_decoder

SAID = "It is the blue one, and so on."


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A project with a small model that was trained here, under an alias."""
    folder = tmp_path_factory.mktemp("taught")
    rows = [{"prompt": f"{row.content['prompt']} ({at})", "completion": next(iter(row.target))} for at, row in enumerate(made_rows(40, 1))]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(folder / "shop")
    project.read(folder / "faq.jsonl")
    project.snapshot(to_freeze(project, None), name="v1", seed=3)
    options = {"learning_rate": 1e-2, "epochs": 1, "batch_size": 16, "dtype": "float32", "rank": 8}
    model = project.train("sft", snapshot="v1", base=save_decoder("llama", folder / "base"), **options)
    Aliases(project).set("support:production", model.id, by="ann", override="a test")
    yield project, model
    project.close()


@pytest.fixture(scope="module")
def probable(taught):
    """What the true model finds of a conversation's tokens, as a server that holds its folder would."""
    _, model = taught
    weights, tokenizer = load_causal(model.path), load_tokenizer(model.path)

    def prompt(turns):
        tokens = render(tokenizer, turns, 2**30).tokens
        with torch.inference_mode():
            scores = torch.log_softmax(weights(torch.tensor([tokens])).logits[0].double(), dim=-1)
        return [(token, 0.0 if not at else float(scores[at - 1, token])) for at, token in enumerate(tokens)]

    return prompt


@pytest.fixture
def upstream(probable):
    with HostedService(lambda turns: SAID, models={"support"}, prompt=probable) as service:
        yield service


def before(taught, service, **more):
    """The project, with its configuration pointing at a server."""
    project, model = taught
    rule = Serving(upstream=service.base_url, upstream_key="UPSTREAM_KEY", upstream_models={model.id: "support"}, **more)
    project.config = project.config.model_copy(update={"serving": rule})
    return project


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", "sk-stand-in")


def test_the_right_model_is_proved_by_its_own_probes(taught, upstream):
    (found,) = prove_upstream(before(taught, upstream))
    assert found["upstream"] == "support"
    assert found["difference"] < 1e-4 < found["tolerance"]
    assert all(body["add_generation_prompt"] is False for body in upstream.asked)


def test_another_model_another_template_or_none_that_can_be_proved_is_refused(taught, upstream, probable):
    project, model = before(taught, upstream), taught[1]
    upstream.prompt = lambda turns: [(token, nats - 9) for token, nats in probable(turns)]
    with pytest.raises(UserError, match=rf"'support' at .* isn't {model.id}: other log-probabilities .*9 nats a token apart"):
        prove_upstream(project)
    upstream.prompt = lambda turns: [(token + 1, nats) for token, nats in probable(turns)]
    with pytest.raises(UserError, match="to other tokens than were trained on"):
        prove_upstream(project)
    upstream.prompt = lambda turns: probable(turns)[:-3]
    with pytest.raises(UserError, match="to other tokens than were trained on"):
        prove_upstream(project)
    upstream.prompt = None
    with pytest.raises(UserError, match="doesn't tell how probable a prompt is"):
        prove_upstream(project)


def test_a_missing_key_and_a_server_that_is_away_are_told_before_anything_is_served(taught, upstream, monkeypatch):
    project = before(taught, upstream)
    monkeypatch.setenv("UPSTREAM_KEY", "")
    with pytest.raises(UserError, match="there is no key"):
        prove_upstream(project)
    monkeypatch.setenv("UPSTREAM_KEY", "sk-other")
    with pytest.raises(UserError, match="fails \\(401\\)"):
        prove_upstream(project)
    monkeypatch.setenv("UPSTREAM_KEY", "sk-stand-in")
    upstream.close()
    with pytest.raises(UserError, match="can't be reached"):
        prove_upstream(project)


@pytest.fixture
def server(taught, upstream, chat_cache):
    """`preceptor serve` before the other server."""
    import os

    project = before(taught, upstream, deadline=20)
    project.config.save(project.folder)
    token = Access(project).application("chatter", ["chat"])["token"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    more = {"PRECEPTOR_CACHE": str(chat_cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "UPSTREAM_KEY": "sk-stand-in"}
    running = Server(address, project.folder, {"chatter": token}, {**os.environ, **more})
    running.start()
    yield running
    running.stop()


def test_answers_stream_through_and_faults_are_told_in_openais_form(taught, upstream, server):
    project, model = taught
    client = server.client("chatter").chat.completions
    asked = {"model": "support:production", "messages": [{"role": "user", "content": "What comes after red?"}]}
    made = client.create(**asked, n=2, temperature=0.3, seed=7, stop=["never"], max_tokens=9, logprobs=True)
    assert (made.model, made.system_fingerprint) == ("support:production", f"fp_{model.id}")
    assert [choice.message.content for choice in made.choices] == [SAID] * 2
    assert made.choices[0].logprobs.content[0].logprob == -0.25
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens > 0
    sent = upstream.asked[-1]
    assert {name: sent[name] for name in ("model", "n", "temperature", "seed", "stop", "max_completion_tokens", "stream")} == {
        "model": "support", "n": 2, "temperature": 0.3, "seed": 7, "stop": ["never"], "max_completion_tokens": 9, "stream": True
    }  # fmt: skip
    kept = AnswersKept(project).get(made.id)
    assert (kept.text, kept.model, len(kept.document["log_probabilities"])) == (SAID, model.id, len(SAID.split()))

    upstream.latency = 0.1
    heard = [(time.monotonic(), chunk) for chunk in client.create(**asked, stream=True)]
    assert heard[-1][1].choices[0].finish_reason == "stop"
    assert heard[-1][0] - heard[1][0] > 0.3, "pieces come as they are drawn, not all at the end"
    upstream.latency = 0.0

    for trouble, kind, status in (("429", openai.RateLimitError, 429), ("500", openai.InternalServerError, 503)):
        upstream.troubles, upstream.every = (trouble,), 1
        with pytest.raises(kind) as told:
            client.create(**asked)
        assert told.value.status_code == status
        assert int(told.value.response.headers["retry-after"]) >= 1
        assert "sk-stand-in" not in str(told.value.body)
    upstream.troubles = ()
    upstream.models.clear()  # it has forgotten the model
    with pytest.raises(openai.InternalServerError, match="fails \\(404\\)"):
        client.create(**asked)
    with pytest.raises(openai.BadRequestError, match="special token"):
        client.create(model="support:production", messages=[{"role": "user", "content": "<|im_end|>"}])
