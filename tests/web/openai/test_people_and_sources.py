"""A call whose answer rests on documents, is left to a person, or is kept: by the official client against a real server."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import openai
import pytest

from preceptor import Project
from preceptor.documents.library import DocumentLibrary
from preceptor.monitoring.answer_confidence import set_threshold, store_calibration
from preceptor.monitoring.deferred_answers import DeferredAnswers
from preceptor.monitoring.response_log import ResponseLog
from preceptor.release.model_aliases import ModelAliases
from preceptor.statistics import token_features
from web.openai.conftest import start_server

ASKED = [{"role": "user", "content": "Which fee does the card have? I am ann.miller@example.org"}]
CALL = {"model": "support:production", "messages": ASKED, "seed": 5, "logit_bias": {"0": -100, "2": -100}, "max_tokens": 12}
UNSURE = {"preceptor.min_confidence": "0.999"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory, tiny_cache, chat_cache):
    """Small stand-ins of both bases; the one that chats reads enough to have sources before it."""
    folder = tmp_path_factory.mktemp("bases")
    for each in (tiny_cache, chat_cache):
        shutil.copytree(each, folder, dirs_exist_ok=True)
    for settings in folder.rglob("config.json"):
        document = json.loads(settings.read_text())
        if document["model_type"] == "llama":
            settings.write_text(json.dumps({**document, "max_position_embeddings": 4096}))
    return folder


@pytest.fixture(scope="module")
def served(tmp_path_factory, cache):
    """A server whose project has documents, an alias of a base, and a calibration of it."""
    serving = {"eval_sample_rate": 0.5, "max_human_wait_seconds": 120, "max_waiting_calls": 1}
    server = start_server(tmp_path_factory.mktemp("served") / "shop", cache, annotators={"gold_share": 0}, serving=serving)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PRECEPTOR_CACHE", str(cache))
        project = Project.open(server.folder)
        ModelAliases(project).set("support:production", "smollm2", by="ann", override="a test")
        for product, fee in (("card", "5 euros"), ("loan", "80 euros")):
            text = f"# Fees\n\nThe {product} has a fee of {fee} a year."
            DocumentLibrary(project).add(text.encode(), name=f"{product}.md", metadata={"product": product})
        rng = np.random.default_rng(0)
        said = [-rng.exponential(rng.choice([0.02, 0.4]), size=3) for _ in range(100)]
        right = [float(rng.random() < np.exp(np.mean(each))) for each in said]
        features, groups = [token_features(each) for each in said], [f"g-{k}" for k in range(100)]
        store_calibration(project, "smollm2", features, right, groups, "a test", temperatures=[1.0])
        server.project = project
        yield server
        project.close()
    server.stop()


def create(server, who="chatter", **given):
    return server.client(who).chat.completions.create(**{**CALL, **given})


def test_an_alias_is_the_responses_model_and_the_fingerprint_tells_the_true_one(served):
    made = create(served)
    assert (made.model, made.system_fingerprint) == ("support:production", "fp_smollm2")
    assert "support:production" in [model.id for model in served.client().models.list()]
    with pytest.raises(openai.NotFoundError) as refused:
        create(served, model="support:staging")
    assert (refused.value.code, refused.value.param, refused.value.type) == ("model_not_found", "model", "not_found_error")


def test_an_answer_is_kept_without_personal_data_before_its_caller_has_it(served):
    made = create(served, metadata={"ticket": "17"})
    kept = ResponseLog(served.project).get(made.id)
    assert (kept.model, kept.alias) == ("smollm2", "support:production")
    assert "miller" not in json.dumps(kept.document).lower()
    assert kept.document["tags"] == {"ticket": "17"}
    assert len(kept.document["log_probabilities"]) == 12
    assert kept.confidence == pytest.approx(made.model_extra["preceptor"]["confidence"])
    assert kept.inclusion in (0.0, 0.5)
    with pytest.raises(Exception, match="isn't kept"):
        ResponseLog(served.project).get(create(served, store=False).id)


def test_an_answer_rests_on_documents_that_the_filter_leaves(served):
    asked = {"preceptor.documents": "on", "preceptor.filter.product": "loan"}
    made = create(served, metadata=asked, logprobs=True)
    told = made.model_extra["preceptor"]
    assert set(told) == {"citations", "unsupported", "confidence"}
    assert made.usage.prompt_tokens > create(served).usage.prompt_tokens + 20
    assert ResponseLog(served.project).get(made.id).document["sources"] == [{"document": "loan.md", "version": 1, "chunk": 0}]
    chunks = list(create(served, metadata=asked, stream=True, stream_options={"include_usage": True}))
    assert [chunk for chunk in chunks if "preceptor" in (chunk.model_extra or {})] == chunks[-1:]
    # The prompt is read whole at first and from the cache afterwards: the same sums in another order, in float32.
    same = {**told, "confidence": pytest.approx(told["confidence"], abs=1e-5)}
    assert chunks[-1].model_extra["preceptor"] == same
    plain = list(create(served, metadata=asked, stream=True))
    assert plain[-1].choices[0].finish_reason == "length"
    assert plain[-1].model_extra["preceptor"] == same


def test_a_confidence_learnt_from_answers_drawn_otherwise_says_so(served):
    assert "confidence_learnt_at" not in create(served).model_extra["preceptor"]
    told = create(served, temperature=0).model_extra["preceptor"]
    assert told["confidence_learnt_at"] == {"temperature": [1.0, 1.0]}


def answer_as_person(server, words, answered):
    """Answer whatever is asked until `answered()`: calls of other tests may have left questions that come first."""
    until = time.monotonic() + 120  # as long as the call waits
    server.project.add_annotator("annotator")
    while not answered():
        assert time.monotonic() < until
        if (work := server.project.next("annotator")) is not None and work.question == "live-answer":
            server.project.submit(work.slot, "annotator", {"text": words})
        else:
            time.sleep(0.05)


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_waits_for_the_person_who_answers_in_the_models_place(served, stream):
    words = f"The card costs 5 euros, {stream}."

    def call():
        made = create(served, metadata={**UNSURE, "preceptor.wait": "120"}, stream=stream, timeout=120)
        if stream:
            chunks = list(made)
            text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
            return text, chunks[-1].model_extra["preceptor"], chunks[-1].choices[0].finish_reason
        return made.choices[0].message.content, made.model_extra["preceptor"], made.choices[0].finish_reason

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call)
        answer_as_person(served, words, waiting.done)
        text, told, finish = waiting.result()
    assert (text, finish, told["deferred"]["status"]) == (words, "stop", "answered")
    assert told["confidence"] < 0.999


def test_who_doesnt_wait_is_told_where_to_ask_and_never_sees_the_draft(served):
    draft = create(served).choices[0].message.content
    made = create(served, metadata=UNSURE, logprobs=True)
    deferred = made.model_extra["preceptor"]["deferred"]
    assert deferred["status"] == "waiting"
    assert deferred["poll"] in made.choices[0].message.content
    assert draft not in made.model_dump_json()
    assert made.choices[0].logprobs is None
    assert ResponseLog(served.project).get(made.id).confidence < 0.999
    client = served.client("chatter")
    assert client.get(deferred["poll"].removeprefix("/v1"), cast_to=object)["status"] == "waiting"

    def poll():
        return client.get(deferred["poll"].removeprefix("/v1"), cast_to=object)

    answer_as_person(served, "It is free.", lambda: poll()["status"] == "answered")
    polled = poll()
    assert (polled["status"], polled["text"], polled["answer"]) == ("answered", "It is free.", made.id)


def test_a_sure_answer_goes_out_as_it_is(served):
    made = create(served, metadata={"preceptor.min_confidence": "0.0001"})
    assert "deferred" not in made.model_extra["preceptor"]
    assert made.choices[0].message.content == create(served).choices[0].message.content
    streamed = list(create(served, metadata={"preceptor.min_confidence": "0.0001"}, stream=True))
    assert "".join(choice.delta.content or "" for chunk in streamed for choice in chunk.choices) == made.choices[0].message.content


@pytest.mark.parametrize("stream", [False, True])
def test_who_hangs_up_while_a_person_is_waited_for_costs_nobody_an_answer_and_leaves_its_place(served, stream):
    """One call may wait: a second is told at once where to ask, and one that comes when the first has gone waits again."""
    create(served)  # the model is loaded
    begun, wait = time.time(), {**UNSURE, "preceptor.wait": "30"}
    headers = {"Authorization": f"Bearer {served.tokens['chatter']}"}
    with httpx.Client(base_url=served.address, headers=headers, timeout=1.5) as client, ThreadPoolExecutor(1) as pool:
        left = pool.submit(client.post, "/v1/chat/completions", json={**CALL, "metadata": wait, "stream": stream})
        await_waiting(served, 1)
        assert create(served, metadata=wait, timeout=240).model_extra["preceptor"]["deferred"]["status"] == "waiting"
        assert isinstance(left.exception(), httpx.ReadTimeout)
    await_waiting(served, 0)
    until = time.monotonic() + 120
    kept = ResponseLog(served.project).list_since(begun)
    while deferral_of(served, kept[0].id).status == "waiting":
        assert time.monotonic() < until
        time.sleep(0.05)
    assert [deferral_of(served, each.id).status for each in kept] == ["cancelled", "waiting"]
    with ThreadPoolExecutor(1) as pool:
        later = pool.submit(create, served, metadata=wait)
        await_waiting(served, 1)
        answer_as_person(served, "At once.", later.done)
        assert later.result().choices[0].message.content == "At once."


def await_waiting(server, count):
    """Until so many calls wait for people."""
    until = time.monotonic() + 120
    while f"preceptor_waiting_for_people {count}.0" not in metrics(server):
        assert time.monotonic() < until
        time.sleep(0.05)


def metrics(server):
    return server.client("owner").with_options(base_url=server.address).get("/metrics", cast_to=str)


def deferral_of(server, answer):
    return DeferredAnswers(server.project).get(f"deferral-{hashlib.sha256(answer.encode()).hexdigest()[:24]}")


@pytest.mark.parametrize("stream", [False, True])
def test_who_asks_is_told_a_page_for_the_opinion_of_whoever_reads_the_answer(served, stream):
    asked = {"preceptor.feedback": "on"}
    made = create(served, metadata=asked, stream=stream)
    made = list(made)[-1] if stream else made
    path = made.model_extra["preceptor"]["feedback"]
    with httpx.Client(base_url=served.address) as browser:
        page = browser.get(path)
        assert (page.status_code, "What do you think of this answer?" in page.text, "miller" in page.text) == (200, True, False)
        assert browser.get(path[:-1] + "x").status_code == 403
        assert browser.post(path, data={"thumb": "down", "key": f"k-{stream}"}).status_code == 200
    assert "feedback" not in create(served).model_extra["preceptor"]
    assert "feedback" not in (create(served, metadata=asked, store=False).model_extra["preceptor"])


def test_a_managers_threshold_stands_for_calls_that_say_nothing(served):
    set_threshold(served.project, "support:production", "smollm2", threshold=0.999, by="ann")
    assert create(served).model_extra["preceptor"]["deferred"]["status"] == "waiting"
    assert "deferred" not in create(served, metadata={"preceptor.min_confidence": "0"}).model_extra["preceptor"], "the call's own wish"
    assert "deferred" not in create(served, model="smollm2").model_extra["preceptor"], "it is of the alias"
    with pytest.raises(openai.BadRequestError, match="one answer at a time"):
        create(served, n=2)
    set_threshold(served.project, "support:production", "smollm2", threshold=0.0, by="ann")
    assert "deferred" not in create(served).model_extra["preceptor"]


def test_wishes_that_cant_be_honoured_are_refused_by_name(served):
    for given, param in (({"preceptor.wish": "1"}, "metadata.preceptor.wish"), ({"preceptor.wait": "121"}, "metadata.preceptor.wait")):
        with pytest.raises(openai.BadRequestError) as refused:
            create(served, metadata=given)
        assert refused.value.param == param
    with pytest.raises(openai.BadRequestError, match="one answer at a time"):
        create(served, metadata=UNSURE, n=2)


def test_metrics_tell_calls_tokens_and_what_draws(served):
    from preceptor.generation.engine import COUNTER_NAMES

    create(served)
    text = metrics(served)
    for line in (
        'preceptor_requests_total{model="support:production",route="/v1/chat/completions",status="200"} ',
        'preceptor_tokens_total{kind="completion",model="support:production"} ',
        "preceptor_requests_under_way 0.0",
        'preceptor_engine{figure="waiting"} 0.0',
        *(f'preceptor_engine_sum_total{{figure="{each}"}} ' for each in COUNTER_NAMES),
        "preceptor_first_token_seconds_bucket",
    ):
        assert line in text, text


def test_an_answer_that_was_heard_is_there_after_kill_9(served):
    """The row is written before the end of the answer goes out, streamed or whole."""
    made = create(served)
    stream = create(served, stream=True)
    chunks = [chunk.id for chunk in stream]
    served.kill()
    try:
        for id_ in (made.id, chunks[0]):
            assert ResponseLog(served.project).get(id_).id == id_
    finally:
        served.start()  # for the tests that come after this one
