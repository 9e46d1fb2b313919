"""Models that choose between answers, by /v1/classify and in a chat, against a real server and by the official client."""

from __future__ import annotations

import json
import math
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import openai
import pytest

from preceptor import Project
from preceptor.runs.prediction import predict_probabilities
from preceptor.storage import artifacts, model_settings
from preceptor.types import Release
from preceptor.web.openai.classifier_queue import ClassifierQueue, ClassifierQueueFull

FAST = {"learning_rate": 1e-3, "epochs": 1, "min_steps": 2, "dtype": "float32"}
TEXTS = [f"text number {n} of {'good' if n % 2 else 'bad'} box" for n in range(70)]
ANSWERS = {"sentiment": ["bad", "good"], "topic": ["box", "cable", "page"], "labels": ["praise", "complaint"]}


def train(folder, base) -> dict[str, str]:
    """Three models in a server's project: two of one answer, and one whose answers can hold together; all but one are released."""
    project = Project.open(folder)
    project.add_items({"id": f"i-{n}", "text": text} for n, text in enumerate(TEXTS))
    found = {}
    project.add_annotator("ann")
    for name, answers in ANSWERS.items():
        project.add_question(name, "multilabel" if name == "labels" else "choice", answers)
        for n in range(len(TEXTS)):
            given = answers[n % len(answers)]
            project.judge(f"i-{n}", name, annotator="ann", answer=[given] if name == "labels" else given)
        project.snapshot(name, name=name)
        recipe, options = ("linear_probe", {}) if name == "topic" else ("classify", FAST)
        found[name] = project.train(recipe, snapshot=name, base=base, **options).id
    with project.database.writing() as connection:
        for name in ("sentiment", "labels"):
            artifacts.add_release(connection, Release(found[name], "owner", "overridden: a test", "no-report"))
    project.close()
    return found


@pytest.fixture(scope="module")
def models(server, tiny_cache):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PRECEPTOR_CACHE", str(tiny_cache))
        yield train(server.folder, "minilm")


def ask(server, body, who="chatter") -> httpx.Response:
    headers = {"Authorization": f"Bearer {server.tokens[who]}"}
    return httpx.post(f"{server.address}/v1/classify", content=json.dumps(body), headers=headers, timeout=240)


def test_texts_get_the_probabilities_of_evaluation(server, models):
    made = ask(server, {"model": models["sentiment"], "input": TEXTS}).json()
    project = Project.open(server.folder)
    wanted = predict_probabilities(project, project.model(models["sentiment"]), TEXTS)
    project.close()
    assert [row["index"] for row in made["data"]] == list(range(len(TEXTS)))
    for row, numbers in zip(made["data"], wanted, strict=True):
        assert [row["probabilities"][name] for name in ANSWERS["sentiment"]] == pytest.approx(list(numbers), abs=1e-5)
        assert row["label"] == ANSWERS["sentiment"][numbers.argmax()] == next(iter(row["probabilities"]))
        assert row["cut"] is False
    assert made["usage"]["prompt_tokens"] > len(TEXTS)
    (one,) = ask(server, {"model": models["sentiment"], "input": TEXTS[3]}).json()["data"]
    assert one["probabilities"] == pytest.approx(made["data"][3]["probabilities"], abs=1e-5)
    (long,) = ask(server, {"model": models["sentiment"], "input": "good box " * 5000}).json()["data"]
    assert long["cut"] is True


def test_of_several_labels_those_that_apply_are_told(server, models):
    (row,) = ask(server, {"model": models["labels"], "input": TEXTS[:1]}).json()["data"]
    assert row["labels"] == [name for name, value in row["probabilities"].items() if value >= 0.5]


REFUSED = [
    ({"input": "x"}, 400, "model", "required"),
    ({"model": "smollm2", "input": "x"}, 400, "model", "writes"),
    ({"model": "m-nothing", "input": "x"}, 404, "model", "isn't there"),
    ({"model": "sentiment"}, 400, "input", "required"),
    ({"model": "sentiment", "input": []}, 400, "input", "at least 1"),
    ({"model": "sentiment", "input": ["a", " "]}, 400, "input[1]", "characters"),
    ({"model": "sentiment", "input": [1]}, 400, "input[0]", "string"),
    ({"model": "sentiment", "input": "x" * 200_001}, 400, "input", "200,001"),
    ({"model": "sentiment", "input": ["x"] * 513}, 400, "input", "at most 512"),
    ({"model": "sentiment", "input": "\ud800"}, 400, "input", "half a character"),
    ({"model": "sentiment", "input": "x", "nonsense": 1}, 400, "nonsense", "unknown parameter"),
    ({"model": "topic", "input": "x"}, 404, "model", "released"),
]


def test_what_cant_be_honoured_is_refused_in_openais_form(server, models, subtests):
    for body, status, param, words in REFUSED:
        with subtests.test(body=body, status=status, param=param, words=words):
            given = {**body, "model": models.get(body["model"], body["model"])} if "model" in body else body
            found = ask(server, given)
            error = found.json()["error"]
            assert (found.status_code, error["param"]) == (status, param)
            assert words in error["message"]


def test_an_annotator_may_not_classify(server, models):
    assert ask(server, {"model": models["sentiment"], "input": "x"}, "annotator").status_code == 403


def chat(server, model, text=TEXTS[1], **given):
    messages = given.pop("messages", [{"role": "user", "content": text}])
    return server.client("chatter").chat.completions.create(model=model, messages=messages, **given)


def test_in_a_chat_it_says_the_most_probable_answer_whole_and_as_a_stream(server, models):
    (row,) = ask(server, {"model": models["sentiment"], "input": TEXTS[1]}).json()["data"]
    made = chat(server, models["sentiment"], logprobs=True, top_logprobs=2, temperature=0)
    (choice,) = made.choices
    assert (choice.message.content, choice.finish_reason) == (row["label"], "stop")
    (token,) = choice.logprobs.content
    assert token.token == row["label"]
    assert {each.token: math.exp(each.logprob) for each in token.top_logprobs} == pytest.approx(row["probabilities"], abs=1e-5)
    assert made.usage.completion_tokens == 1
    assert made.usage.prompt_tokens > 3
    stream = list(chat(server, models["sentiment"], stream=True, max_tokens=1))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == row["label"]
    assert stream[-1].choices[0].finish_reason == "stop"
    assert models["sentiment"] in [model.id for model in server.client("chatter").models.list()]


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"temperature": 0.7}, "temperature"),
        ({"n": 2}, "n"),
        ({"stop": "x"}, "stop"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"messages": [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "x"}]}, "messages"),
        ({"metadata": {"preceptor.documents": "on"}}, "metadata.preceptor.documents"),
    ],
)
def test_a_chat_refuses_what_means_nothing_to_it(server, models, given, param):
    with pytest.raises(openai.BadRequestError) as refused:
        chat(server, models["sentiment"], **given)
    assert refused.value.param == param


def test_a_person_who_answers_in_its_place_chooses_as_it_does_and_trains_the_next(server, models):
    project = Project.open(server.folder)
    choose_threshold_of_unknown(project, models["sentiment"])
    asked, headers = "a box that nobody has seen before", {"Authorization": f"Bearer {server.tokens['annotator']}"}
    with httpx.Client(base_url=server.address, headers=headers) as annotator, ThreadPoolExecutor(1) as pool:
        calling = pool.submit(chat, server, models["sentiment"], asked, metadata={"preceptor.wait": "30"}, timeout=240)
        until = time.monotonic() + 120
        while (work := annotator.get("/api/v1/next").json())["item"]["content"] != {"text": asked}:
            assert time.monotonic() < until
            annotator.post(f"/api/v1/slots/{work['slot']}/pass", json={})
        assert work["question"]["options"] == ANSWERS["sentiment"]
        assert annotator.post("/api/v1/judgments", json={"slot": work["slot"], "answer": "wonderful"}).status_code == 422
        assert annotator.post("/api/v1/judgments", json={"slot": work["slot"], "answer": "good"}).status_code == 201
        made = calling.result()
    assert (made.choices[0].message.content, made.model_extra["preceptor"]["deferred"]["status"]) == ("good", "answered")
    assert {row.text: row.answer for row in project.snapshot("sentiment").rows()}[asked] == "good"
    with project.database.writing() as connection:
        model_settings.put_setting(connection, "threshold", models["sentiment"], {"threshold": 0.0})
    project.close()


def choose_threshold_of_unknown(project, model) -> None:
    """As where an alias, or a new calibration's loss, leaves a threshold to a model that nothing calibrates."""
    with project.database.writing() as connection:
        model_settings.put_setting(connection, "threshold", model, {"threshold": 0.5, "model": model, "by": "mia", "created": 0.0})


def test_a_chat_with_several_labels_is_refused(server, models):
    with pytest.raises(openai.BadRequestError, match="several can hold"):
        chat(server, models["labels"])


class Slow:
    """A model that says of each text how long it is, and notes what it read at once."""

    answers = ("short", "long")

    def __init__(self) -> None:
        self.read: list[int] = []

    def predict(self, texts):
        self.read.append(len(texts))
        if "broken" in texts:
            raise ValueError("broken")
        return np.array([[1 / len(text), 1 - 1 / len(text)] for text in texts])


def test_requests_share_their_reading_and_a_large_one_doesnt_hold_up_others(project):
    slow, asked = Slow(), ClassifierQueue(project, waiting=1000)
    asked._models["m"] = slow
    with asked._changed:  # nothing is read before all have asked
        large = asked.classify("m", ["x" * (1 + n % 7) for n in range(300)])
        small = [asked.classify("m", ["x" * n, "y"]) for n in range(2, 5)]
        gone = asked.classify("m", ["z"] * 300)
        gone.cancel()
        with pytest.raises(ClassifierQueueFull, match="wait to be read") as refused:
            asked.classify("m", ["x"] * 900)
        greedy = [asked.classify("m", ["x"] * 300, caller="greedy") for _ in range(2)]
        other = asked.classify("m", ["x"] * 200, caller="other")
    assert refused.value.retry_after > 0
    with pytest.raises(ClassifierQueueFull):
        greedy[1].result(0)
    for n, future in zip(range(2, 5), small, strict=True):
        assert future.result(120).probabilities[0, 0] == 1 / n
        assert slow.read[:1] == [16 + 2 * 3]
    assert large.result(120).probabilities[:, 0].tolist() == [1 / (1 + n % 7) for n in range(300)]
    assert len(other.result(120).probabilities) == 200
    assert len(greedy[0].result(120).probabilities) == 300
    assert sum(slow.read) == 300 + 6 + 300 + 200
    with pytest.raises(ValueError, match="broken"):
        asked.classify("m", ["broken"]).result(120)
    assert asked.classify("m", ["x"]).result(120).answers == Slow.answers
