"""A server before another that speaks vLLM's protocol: the right model is proved, its answers stream through, its faults are told."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time

import openai
import pytest
import torch

from preceptor import Project, UserError
from preceptor.annotation.access_control import AccessControl
from preceptor.annotation.implicit_questions import choose_snapshot_question
from preceptor.config import ServingOptions
from preceptor.models.chat_template import render_conversation
from preceptor.models.loading import load_causal, load_tokenizer
from preceptor.monitoring.response_log import ResponseLog
from preceptor.release.model_aliases import ModelAliases
from preceptor.runs.parity_check import check_upstream_parity
from preceptor.testing.fake_servers import FakeVLLMServer
from tiny_models import made_rows, save_decoder
from web.openai.conftest import Server

SAID = "It is the blue 🙂, and so on."


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A project with a small model that was trained here, under an alias."""
    folder = tmp_path_factory.mktemp("taught")
    rows = [{"prompt": f"{row.content['prompt']} ({at})", "completion": next(iter(row.target))} for at, row in enumerate(made_rows(40, 1))]
    (folder / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    project = Project.create(folder / "shop")
    project.read(folder / "faq.jsonl")
    project.snapshot(choose_snapshot_question(project, None), name="v1", seed=3)
    options = {"learning_rate": 1e-2, "epochs": 1, "batch_size": 16, "dtype": "float32", "rank": 8}
    model = project.train("sft", snapshot="v1", base=save_decoder("llama", folder / "base"), **options)
    ModelAliases(project).set("support:production", model.id, by="ann", override="a test")
    yield project, model
    project.close()


@pytest.fixture(scope="module")
def probable(taught):
    """What the true model finds of a conversation's tokens, as a server that holds its folder would."""
    _, model = taught
    weights, tokenizer = load_causal(model.path), load_tokenizer(model.path)

    def prompt(turns):
        tokens = render_conversation(tokenizer, turns, 2**30).tokens
        with torch.inference_mode():
            scores = torch.log_softmax(weights(torch.tensor([tokens])).logits[0].double(), dim=-1)
        return [(token, 0.0 if not at else float(scores[at - 1, token])) for at, token in enumerate(tokens)]

    return prompt


@pytest.fixture(scope="module")
def tokens(taught):
    """An answer's tokens as the true model draws them, each with the text that it adds, and the one that ends it."""
    tokenizer = load_tokenizer(taught[1].path)

    def cut(text):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        whole = [tokenizer.decode(ids[:end]).rstrip("\ufffd") for end in range(len(ids) + 1)]
        added = [after.removeprefix(before) for before, after in itertools.pairwise(whole)]
        return [*zip(ids, added, strict=True), (tokenizer.eos_token_id, "")]

    return cut


@pytest.fixture(scope="module")
def service(probable, tokens):
    with FakeVLLMServer(lambda turns: SAID, tokens=tokens, reads=120) as service:
        yield service


def restore(service, probable):
    """Put the stand-in back as it should be, whatever a test before did to it."""
    service.models, service.prompt, service.troubles, service.every, service.latency = {"support"}, probable, (), 1, 0.0


@pytest.fixture
def upstream(service, probable):
    restore(service, probable)
    return service


def before(taught, service, **more):
    """The project, with its configuration pointing at a server."""
    project, model = taught
    rule = ServingOptions(upstream=service.base_url, upstream_key="UPSTREAM_KEY", upstream_models={model.id: "support"}, **more)
    project.config = project.config.model_copy(update={"serving": rule})
    return project


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("UPSTREAM_KEY", "sk-stand-in")


def test_the_right_model_is_proved_by_its_own_probes(taught, upstream):
    (found,) = check_upstream_parity(before(taught, upstream))
    assert found["upstream"] == "support"
    assert found["difference"] < 1e-4 < found["tolerance"]
    probes = [body for body in upstream.asked if "prompt_logprobs" in body]  # other tests ask for answers
    assert probes
    assert all((body["add_generation_prompt"], body["prompt_logprobs"]) == (False, 0) for body in probes)


def test_another_model_another_template_or_none_that_can_be_proved_is_refused(taught, upstream, probable):
    project, model = before(taught, upstream), taught[1]
    upstream.prompt = lambda turns: [(token, nats - 9) for token, nats in probable(turns)]
    with pytest.raises(UserError, match=rf"'support' at .* isn't {model.id}: other log-probabilities .*9 nats a token apart"):
        check_upstream_parity(project)
    upstream.prompt = lambda turns: [(token + 1, nats) for token, nats in probable(turns)]
    with pytest.raises(UserError, match="to other tokens than were trained on"):
        check_upstream_parity(project)
    upstream.prompt = lambda turns: probable(turns)[:-3]
    with pytest.raises(UserError, match="to other tokens than were trained on"):
        check_upstream_parity(project)
    upstream.prompt = None
    with pytest.raises(UserError, match="doesn't tell how probable a prompt is"):
        check_upstream_parity(project)
    upstream.troubles = ("422",)
    with pytest.raises(UserError, match="refuses this: Unexpected fields in the request; it must answer prompt_logprobs"):
        check_upstream_parity(project)


def test_a_missing_key_and_a_server_that_is_away_are_told_before_anything_is_served(taught, upstream, monkeypatch):
    project = before(taught, upstream)
    monkeypatch.setenv("UPSTREAM_KEY", "")
    with pytest.raises(UserError, match="there is no key"):
        check_upstream_parity(project)
    monkeypatch.setenv("UPSTREAM_KEY", "sk-other")
    with pytest.raises(UserError, match=r"fails \(401\).*upstream_key"):
        check_upstream_parity(project)
    monkeypatch.setenv("UPSTREAM_KEY", "sk-stand-in")
    with FakeVLLMServer(lambda turns: SAID) as gone:
        project = before(taught, gone)
    with pytest.raises(UserError, match="can't be reached"):
        check_upstream_parity(project)


@pytest.fixture(scope="module")
def server(taught, service, probable, chat_cache):
    """`preceptor serve` before the other server."""
    restore(service, probable)  # fixtures of a module are made before those of a test: `upstream` hasn't been yet
    project = before(taught, service, request_timeout_seconds=20)
    project.config.save(project.folder)
    token = AccessControl(project).issue_application_token("chatter", ["chat"])["token"]
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    more = {"PRECEPTOR_CACHE": str(chat_cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "UPSTREAM_KEY": "sk-stand-in"}
    running = Server(address, project.folder, {"chatter": token}, {**os.environ, **more})
    running.start()
    yield running
    running.stop()


ASKED = {"model": "support:production", "messages": [{"role": "user", "content": "What comes after red?"}]}


def test_answers_stream_through_as_if_they_were_drawn_here(taught, upstream, tokens, server):
    project, model = taught
    client = server.client("chatter").chat.completions
    made = client.create(**ASKED, n=2, temperature=0.3, seed=7, stop=["never"], max_tokens=50, logprobs=True)
    assert (made.model, made.system_fingerprint) == ("support:production", f"fp_{model.id}")
    assert [choice.message.content for choice in made.choices] == [SAID] * 2
    told = made.choices[0].logprobs.content
    assert b"".join(bytes(each.bytes) for each in told).decode() == SAID, "half characters too, and not the token that ends the answer"
    assert any(each.token.startswith("bytes:") for each in told)
    assert made.usage.completion_tokens == 2 * len(tokens(SAID))
    assert made.usage.prompt_tokens_details.cached_tokens == 16
    sent = upstream.asked[-1]
    names = ("model", "n", "temperature", "seed", "stop", "max_completion_tokens", "stream", "top_k", "repetition_penalty")
    assert [sent[name] for name in names] == ["support", 2, 0.3, 7, ["never"], 50, True, 0, 1.0]
    kept = ResponseLog(project).get(made.id)
    assert (kept.text, kept.model, len(kept.document["log_probabilities"])) == (SAID, model.id, len(told))

    upstream.latency = 0.1
    heard = [(time.monotonic(), chunk) for chunk in client.create(**ASKED, stream=True)]
    assert heard[-1][1].choices[0].finish_reason == "stop"
    assert heard[-1][0] - heard[1][0] > 0.3, "pieces come as they are drawn, not all at the end"


def test_what_vllm_does_otherwise_isnt_seen_here(upstream, server):
    client = server.client("chatter").chat.completions
    stopped = client.create(**ASKED, stop=[" blue"], max_tokens=50, logprobs=True).choices[0]
    assert stopped.message.content == "".join(each.token for each in stopped.logprobs.content) == "It is the"
    cut = client.create(**ASKED, temperature=0, max_tokens=2)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 2)
    twice = client.create(**ASKED, temperature=0, n=2)  # which vLLM refuses, as it does a top_p of 0
    assert [choice.message.content for choice in twice.choices] == [SAID] * 2
    assert client.create(**ASKED, top_p=0).choices[0].message.content == SAID
    assert 50 < upstream.asked[-1]["max_completion_tokens"] < upstream.reads, "no more than it reads"
    with pytest.raises(openai.BadRequestError, match="reads 120 tokens") as told:
        client.create(**ASKED, max_tokens=500)
    assert told.value.code == "context_length_exceeded"
    assert upstream.asked[-1]["cache_salt"], "what it has read is found again by the same caller only"


def test_faults_are_told_in_openais_form(upstream, server):
    client = server.client("chatter").chat.completions
    client.create(**ASKED)
    for trouble, kind, status in (
        ("429", openai.RateLimitError, 429),
        ("500", openai.InternalServerError, 503),
        ("cut", openai.InternalServerError, 503),
    ):
        upstream.troubles = (trouble,)
        with pytest.raises(kind) as told:
            client.create(**ASKED)
        assert told.value.status_code == status
        assert int(told.value.response.headers["retry-after"]) >= 1
        assert not {"sk-stand-in", upstream.base_url} & set(str(told.value.body).split())
    with pytest.raises(openai.APIError) as told:  # killed in the middle of a stream
        list(client.create(**ASKED, stream=True))
    assert told.value.code == "unavailable"
    upstream.troubles, right = (), upstream.prompt
    upstream.prompt = lambda turns: [(token, nats - 9) for token, nats in right(turns)]
    for _ in range(2):
        with pytest.raises(openai.InternalServerError, match="come back as another"):
            client.create(**ASKED)
    upstream.prompt = right
    assert client.create(**ASKED).choices[0].message.content == SAID
    upstream.models.clear()  # it has forgotten the model
    with pytest.raises(openai.InternalServerError, match="fails \\(404\\)"):
        client.create(**ASKED)
    with pytest.raises(openai.BadRequestError, match="special token"):
        client.create(model="support:production", messages=[{"role": "user", "content": "<|im_end|>"}])
