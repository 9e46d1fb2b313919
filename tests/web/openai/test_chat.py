"""Chat by the official client, against a real server with a small model of random weights."""

from __future__ import annotations

import http.client
import json
import math
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import openai
import pytest

HELLO = [{"role": "user", "content": "how are you today"}]
ENDS = {"0": -100, "2": -100}  # the tokens after which an answer is over
ENDLESS = {"model": "smollm2", "messages": HELLO, "logit_bias": ENDS, "seed": 5}


def create(server, **given):
    return server.client("chatter").chat.completions.create(**{**ENDLESS, "max_tokens": 20, **given})


def streamed(server, **given) -> tuple[list, dict[int, str]]:
    """The chunks of a stream, and the text of each choice."""
    chunks = list(create(server, stream=True, **given))
    texts: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    return chunks, texts


def test_an_answer_has_the_form_that_the_client_expects(server):
    made = create(server)
    assert made.object == "chat.completion"
    assert made.model == "smollm2"
    assert made.id.startswith("chatcmpl-")
    assert abs(made.created - time.time()) < 60
    assert made.system_fingerprint == "fp_smollm2"
    (choice,) = made.choices
    assert (choice.index, choice.message.role, choice.finish_reason, choice.logprobs) == (0, "assistant", "length", None)
    assert choice.message.content
    assert made.usage.completion_tokens == 20
    assert made.usage.total_tokens == made.usage.prompt_tokens + 20


def test_a_stream_is_the_answer_in_pieces(server):
    whole = create(server, n=2, logprobs=True, top_logprobs=2)
    chunks, texts = streamed(server, n=2, logprobs=True, top_logprobs=2)
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert len({chunk.id for chunk in chunks}) == 1
    assert len({chunk.created for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert not any("\ufffd" in (choice.delta.content or "").strip("\ufffd") for chunk in chunks for choice in chunk.choices)
    for number in (0, 1):
        mine = [choice for chunk in chunks for choice in chunk.choices if choice.index == number]
        assert [choice.finish_reason for choice in mine] == [None] * (len(mine) - 1) + ["length"]
        said = [token for choice in mine if choice.logprobs for token in choice.logprobs.content]
        assert said == whole.choices[number].logprobs.content


def test_usage_comes_last_and_only_when_asked_for(server):
    chunks, _ = streamed(server, stream_options={"include_usage": True})
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 20


def test_log_probabilities_are_the_models_own(server):
    made = create(server, logprobs=True, top_logprobs=5, temperature=0, logit_bias={}, max_tokens=5)
    content = made.choices[0].logprobs.content
    assert content
    for token in content:
        assert token.logprob == token.top_logprobs[0].logprob
        assert [other.logprob for other in token.top_logprobs] == sorted((other.logprob for other in token.top_logprobs), reverse=True)
        assert sum(math.exp(other.logprob) for other in token.top_logprobs) <= 1
    everything = b"".join(bytes(token.bytes) for token in content)
    told = everything.decode(errors="replace").replace("<|im_start|>", "")
    assert told.rstrip("\ufffd") == made.choices[0].message.content.rstrip("\ufffd")


def test_a_seed_repeats_and_choices_differ(server):
    one, two, other = create(server, n=3), create(server, n=3), create(server, n=3, seed=6)
    texts = [choice.message.content for choice in one.choices]
    assert texts == [choice.message.content for choice in two.choices]
    assert texts != [choice.message.content for choice in other.choices]
    assert len(set(texts)) > 1


def test_an_answer_ends_before_a_stop_sequence(server):
    free = create(server, max_tokens=60).choices[0].message.content
    stop = next(free[at : at + 2] for at in range(5, 50) if free.find(free[at : at + 2]) == at and "\ufffd" not in free[at : at + 2])
    cut = create(server, max_tokens=60, stop=[stop, "never"]).choices[0]
    assert (cut.message.content, cut.finish_reason) == (free[: free.find(stop)], "stop")
    _, texts = streamed(server, max_tokens=60, stop=stop)
    assert texts[0] == cut.message.content


def test_messages_may_come_in_parts_and_answers_may_be_sent_back(server):
    first = create(server)
    parts = [{"type": "text", "text": "how are "}, {"type": "text", "text": "you today"}]
    assert create(server, messages=[{"role": "user", "content": parts}]).choices[0].message.content == first.choices[0].message.content
    again = create(server, messages=[*HELLO, first.choices[0].message, {"role": "user", "content": "fine"}], max_tokens=2)
    assert again.usage.prompt_tokens > first.usage.total_tokens
    assert (
        create(server, messages=[{"role": "developer", "content": "be kind"}, *HELLO], max_tokens=2).choices[0].message.content is not None
    )


REFUSED = [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "call no tools"),
    ({"response_format": {"type": "json_object"}}, "response_format", "can't be promised"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "text"),
    ({"modalities": ["audio"]}, "modalities", "text"),
    ({"store": True}, "store", "aren't kept"),
    ({"extra_body": {"nonsense": 1}}, "nonsense", "unknown parameter"),
    ({"temperature": 3}, "temperature", "less than or equal to 2"),
    ({"temperature": "hot"}, "temperature", "number"),
    ({"n": 0}, "n", "greater than or equal to 1"),
    ({"n": True}, "n", "integer"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "at most four"),
    ({"stop": ""}, "stop", "empty"),
    ({"stop": [1]}, "stop[0]", "string"),
    ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
    ({"stream_options": {"include_usage": True}}, "stream_options", "needs stream"),
    ({"max_completion_tokens": 5}, "max_tokens", "one and the same"),
    ({"logit_bias": {"a": 1}}, "logit_bias", "no token's number"),
    ({"logit_bias": {"99999": 1}}, "logit_bias", "no token's number"),
    ({"messages": []}, "messages", "at least 1"),
    ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages[0].role", "call no tools"),
    ({"messages": [*HELLO, {"role": "wizard", "content": "x"}]}, "messages[1].role", "wizard"),
    ({"messages": [{"role": "user"}]}, "messages[0].content", "required"),
    ({"messages": [{"role": "user", "content": None}]}, "messages[0].content", "string"),
    ({"messages": [{"role": "user", "content": "x", "name": "ann"}]}, "messages[0].name", "can't be read"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
        "text",
    ),
    ({"messages": [{"role": "user", "content": "<|im_end|>"}]}, "messages[0].content", "special token"),
]


def test_what_cant_be_honoured_is_a_400_that_names_the_parameter(server, subtests):
    for given, param, words in REFUSED:
        with subtests.test(given=given, param=param, words=words):
            with pytest.raises(openai.BadRequestError) as refused:
                create(server, **given)
            assert refused.value.param == param
            assert words in refused.value.body["message"]
            assert refused.value.type == "invalid_request_error"


def test_neutral_values_of_what_isnt_supported_are_taken(server):
    made = create(server, tools=[], tool_choice="none", store=False, modalities=["text"], service_tier="auto", user="ann", max_tokens=1)
    assert made.usage.completion_tokens == 1


def test_a_context_that_is_too_long_says_how_long_it_is(server):
    with pytest.raises(openai.BadRequestError, match="reads 256 tokens") as refused:
        create(server, messages=[{"role": "user", "content": "how are you " * 200}])
    assert (refused.value.code, refused.value.param) == ("context_length_exceeded", "messages")
    with pytest.raises(openai.BadRequestError, match="of the answer"):
        create(server, max_tokens=250)


def test_models_are_the_bases_until_one_is_released(server):
    client = server.client("chatter")
    assert [model.id for model in client.models.list()] == ["smollm2"]
    assert client.models.retrieve("smollm2").owned_by == "preceptor"
    for ask in (lambda: client.models.retrieve("ft:nothing:here"), lambda: create(server, model="gpt-4o")):
        with pytest.raises(openai.NotFoundError) as refused:
            ask()
        assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


def test_a_token_without_the_scope_may_not_chat(server):
    with pytest.raises(openai.PermissionDeniedError, match="scope chat"):
        server.client("annotator").chat.completions.create(model="smollm2", messages=HELLO)
    with pytest.raises(openai.AuthenticationError):
        server.client("nobody").models.list()


def raw(server, body: bytes, **headers: str) -> tuple[int, dict]:
    """A request as no client would send it."""
    connection = http.client.HTTPConnection(urlsplit(server.address).netloc, timeout=120)
    with closing(connection):
        connection.request("POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {server.tokens['chatter']}", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())["error"]


def test_a_broken_body_is_a_400_in_openais_form(server, subtests):
    for body, words in [
        (b'{"model": ', "isn't JSON"),
        (b"\xff\xfe{}", "isn't UTF-8"),
        (b'{"model": "\xe9"}', "isn't UTF-8"),
        (b"[]", "JSON list"),
        (b"", "isn't JSON"),
        (b'{"temperature": NaN}', "NaN is not a number"),
        (b"[" * 100_000, "nested too deeply"),
        (b"{}", "required"),
        (b'{"model": "smollm2", "messages": [{"role": "user", "content": "\\ud800"}]}', "half a character"),
        (b'{"model": "smollm2", "messages": ["hi"]}', "dictionary"),
    ]:
        with subtests.test(body=body, words=words):
            status, error = raw(server, body)
            assert status == 400
            assert words in error["message"]
            assert set(error) == {"message", "type", "param", "code"}


def test_a_body_of_100_megabytes_is_refused_unread(server):
    with socket.create_connection(("127.0.0.1", int(server.address.rpartition(":")[2]))) as line:
        line.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 104857600\r\n\r\n"
            % server.tokens["chatter"].encode()
        )
        assert b" 413 " in line.recv(100)


def test_many_may_ask_at_once(server):
    wanted = create(server, seed=1).choices[0].message.content
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda _: create(server, seed=1).choices[0].message.content, range(24)))
    assert set(found) == {wanted}


def test_who_drops_a_stream_holds_nobody_up(server):
    """As many long streams as may be drawn at once are begun and dropped: later ones would wait for all of them."""
    client = server.client("chatter")
    for _ in range(3):
        stream = client.chat.completions.create(**ENDLESS, stream=True, n=16)
        next(iter(stream))
        stream.close()
    begun = time.monotonic()
    create(server, max_tokens=1)
    assert time.monotonic() - begun < 5
