"""Two programs at one server, each with the official client: neither finds what is the other's, and a rotated token keeps its own."""

from __future__ import annotations

import openai
import pytest

from preceptor import Project
from preceptor.annotation.access_control import AccessControl
from web.openai.conftest import start_server

LINE = b'{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}\n'


@pytest.fixture
def shop(tmp_path, chat_cache, database_url, monkeypatch):
    monkeypatch.setenv("PRECEPTOR_DATABASE", database_url)
    running = start_server(tmp_path / "shop", chat_cache)
    yield running
    running.stop()


def test_what_is_a_programs_stays_its_own_through_a_rotation_and_is_nobody_elses(shop):
    project = Project.open(shop.folder)
    access = AccessControl(project)
    shop.tokens["thief"] = access.issue_application_token("thief", ["train", "chat"])["token"]
    mine, thief, boss = shop.client("program"), shop.client("thief"), shop.client("owner")
    file = mine.files.create(file=("train.jsonl", LINE * 20), purpose="fine-tune").id
    job = mine.fine_tuning.jobs.create(model="smollm2", training_file=file, suffix="secret").id
    jobs = thief.fine_tuning.jobs
    for steal in (
        lambda: thief.files.retrieve(file),
        lambda: thief.files.content(file),
        lambda: jobs.retrieve(job),
        lambda: jobs.list_events(job),
        lambda: jobs.checkpoints.list(job),
        lambda: jobs.pause(job),
        lambda: jobs.cancel(job),
        lambda: thief.files.delete(file),
    ):
        with pytest.raises(openai.NotFoundError):
            steal()
    with pytest.raises(openai.BadRequestError) as refused:
        jobs.create(model="smollm2", training_file=file)
    assert refused.value.code == "invalid_training_file"
    assert (list(thief.files.list()), list(jobs.list())) == ([], [])

    token = access.rotate_token("program", by="boss")["token"]
    project.close()
    with pytest.raises(openai.AuthenticationError):
        mine.files.list()
    again = shop.client(token)
    assert [each.id for each in again.files.list()] == [file]
    assert again.files.content(file).read() == LINE * 20
    assert [each.id for each in again.fine_tuning.jobs.list()] == [job]
    assert [each.id for each in boss.fine_tuning.jobs.list()] == [job]
    assert boss.fine_tuning.jobs.cancel(job).status == "cancelled"
    again.files.delete(file)
    assert list(boss.files.list()) == []
