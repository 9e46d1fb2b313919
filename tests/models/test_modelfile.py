"""Ollama's template lays a conversation as the model's own does, or there is none."""

from __future__ import annotations

import re

import pytest

from preceptor.errors import UserError
from preceptor.models.causal_lm import ChatTokenizer
from preceptor.models.chat_template import render_chat_text
from preceptor.models.gguf_export import render_modelfile
from tiny_models import MISTRAL, save_decoder

TURNS = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Yes?"},
    {"role": "user", "content": "What's next?"},
]


def as_ollama(template: str, turns) -> str:
    """Go's template, for the few words that it has here."""
    first, body, rest = re.fullmatch(r"(.*?)\{\{ range \.Messages \}\}(.*)\{\{ end \}\}(.*)", template, re.DOTALL).groups()
    branches = re.findall(r'(?:\{\{ (?:else )?if eq \.Role "(\w+)" \}\}|\{\{ else \}\})(.*?)(?=\{\{ (?:else|end))', body, re.DOTALL)
    known = {role or "assistant": text for role, text in branches}
    return first + "".join(known[turn["role"]].replace("{{ .Content }}", turn["content"]) for turn in turns) + rest


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return ChatTokenizer(save_decoder("llama", tmp_path_factory.mktemp("llama") / "base"))


def test_both_templates_lay_a_conversation_alike(chat):
    made = render_modelfile(chat, "model.gguf")
    template = re.search(r'TEMPLATE """(.*?)"""', made, re.DOTALL).group(1)
    for turns in (TURNS, TURNS[1:], TURNS[:2], TURNS[1:2]):
        assert as_ollama(template, turns) == render_chat_text(chat.tokenizer, turns, answering=True)
    assert made.startswith("FROM ./model.gguf\n")
    assert 'PARAMETER stop "<|im_end|>"' in made


def test_a_system_message_of_the_template_s_own_is_ollama_s_too(chat):
    usual = chat.tokenizer.chat_template
    try:
        chat.tokenizer.chat_template = (
            "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}" + usual
        )
        made = render_modelfile(chat, "m.gguf")
        assert 'SYSTEM """You are kind."""' in made
        template = re.search(r'TEMPLATE """(.*?)"""', made, re.DOTALL).group(1)
        kind = {"role": "system", "content": "You are kind."}
        assert as_ollama(template, [kind, *TURNS[1:]]) == render_chat_text(chat.tokenizer, TURNS[1:], answering=True)
    finally:
        chat.tokenizer.chat_template = usual


def test_a_template_that_does_more_is_refused(chat):
    usual = chat.tokenizer.chat_template
    try:
        chat.tokenizer.chat_template = "{{ messages | length }}" + usual
        with pytest.raises(UserError, match="does more than lay turns one after another"):
            render_modelfile(chat, "m.gguf")
    finally:
        chat.tokenizer.chat_template = usual


def test_one_without_a_system_role_is_refused_and_not_guessed(chat):
    usual = chat.tokenizer.chat_template
    try:
        chat.tokenizer.chat_template = MISTRAL
        with pytest.raises(UserError, match=r"llama\.cpp|word for word"):
            render_modelfile(chat, "m.gguf")
    finally:
        chat.tokenizer.chat_template = usual
