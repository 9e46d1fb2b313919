"""A local model writes as it is served."""

from __future__ import annotations

import pytest

from preceptor.generation import LocalProvider
from preceptor.generation.offline import generate_answers
from preceptor.generation.sampling import GenerationRequest, SamplingParams
from preceptor.models.causal_lm import ChatModel, ContextLengthExceeded

TALKS = [[{"role": "user", "content": "how are you today " * number}] for number in (3, 1, 2)]


def test_it_writes_what_the_engine_draws_in_the_order_asked(tiny_chat):
    provider, chat = LocalProvider(tiny_chat), ChatModel(tiny_chat)
    for sampling in (SamplingParams(temperature=0.0, seed=0), SamplingParams(temperature=0.7, top_p=0.9, seed=4)):
        wanted = [generate_answers(chat, [GenerationRequest(chat.encode_prompt(talk), 12, sampling)])[0][0].text for talk in TALKS]
        how = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": sampling.seed}
        assert provider.write(TALKS, max_tokens=12, **how) == wanted
    assert provider.write([]) == []


def test_what_doesnt_fit_is_refused(tiny_chat):
    with pytest.raises(ContextLengthExceeded):
        LocalProvider(tiny_chat).write([[{"role": "user", "content": "how are you " * 200}]])
