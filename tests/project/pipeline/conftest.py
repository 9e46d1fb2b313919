"""A stand-in of the hosted service with a job about colours, and a project to bring it home to."""

from __future__ import annotations

import pytest

from hosted_lines import lines
from preceptor import Project
from preceptor.generation import OpenAIClient
from preceptor.generation import openai_client as service_module
from preceptor.testing.fake_servers import FakeOpenAIServer


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(service_module, "FIRST_WAIT", 0.01)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


@pytest.fixture
def hosted(quick):
    with FakeOpenAIServer.from_training_file(lines(0, 40), lines(40, 80), right=0.8) as made:
        yield made


@pytest.fixture
def service(hosted):
    made = OpenAIClient(key=hosted.key, base_url=hosted.base_url)
    yield made
    made.close()


@pytest.fixture
def home(tmp_path):
    made = Project.create(tmp_path / "shop")
    yield made
    made.close()
