"""Costs planned by a file, with what a project knows: its tokens, its prices, the speed at which it trained."""

from __future__ import annotations

import json

import pytest

from preceptor import Project, UserError
from preceptor.runs.cost_plan import plan_costs
from preceptor.types import Model

EXAMPLE = """
[prices.feedback-api]
per = 1000
training = 0.04
input = 0.04
output = 0.04

[training]
tokens = 500_000

[serving]
requests = 100_000
input = 50

[local]
machine_hour = 0.10
training = 330
reading = 819
"""


@pytest.fixture
def write(tmp_path):
    def written(text):
        (tmp_path / "costs.toml").write_text(text, encoding="utf-8")
        return tmp_path / "costs.toml"

    return written


@pytest.fixture
def shop(tmp_path, tiny_cache, monkeypatch):
    """A project with a snapshot, and prices of its own."""
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project = Project.create(tmp_path / "shop", cost={"judgment": 0.2, "machine_hour": 0.5})
    project.add_question("q", "choice", ["bad", "good"])
    project.add_items({"id": f"i-{n}", "text": f"text {n} like no other, {'bad' if n % 2 else 'good'}"} for n in range(60))
    project.add_annotator("ann")
    for n in range(60):
        project.judge(f"i-{n}", "q", annotator="ann", answer="bad" if n % 2 else "good")
    project.snapshot("q", name="v1")
    yield project
    project.close()


def bills(found):
    return {bill["name"]: bill for bill in found.to_dict()["bills"]}


def test_the_example_is_twenty_dollars_and_two_hundred_a_month(write):
    found = plan_costs(write(EXAMPLE))
    assert bills(found)["feedback-api"] == {"name": "feedback-api", "training": 20.0, "serving_per_month": 200.0, "first_year": 2420.0}
    assert bills(found)["this machine"]["serving_per_month"] == pytest.approx(0.1696)
    assert "5,000,000 tokens a month" in found.summary_lines[1]
    assert "reading 819 tokens a second (given)" in found.summary_lines[2]
    json.dumps(found.to_dict(), allow_nan=False)


def test_listed_models_stand_side_by_side(write):
    found = plan_costs(write('hosted = ["gpt-4o-mini", "gpt-4.1-nano"]\n[serving]\nrequests = 1000\ninput = 900\noutput = 100\n'))
    assert bills(found)["gpt-4o-mini"]["serving_per_month"] == pytest.approx(0.39)
    assert bills(found)["gpt-4.1-nano"]["serving_per_month"] == pytest.approx(0.26)


def test_tokens_are_counted_and_prices_are_the_projects(write, shop):
    text = '[training]\nsnapshot = "v1"\nbase = "minilm"\nepochs = 3\n[annotators]\njudgments = 100\n[local]\ntraining = 1000\n'
    found = plan_costs(write(text), shop)
    from preceptor.model_ancestry import resolve_base_folder
    from preceptor.models.loading import load_tokenizer

    tokenizer = load_tokenizer(resolve_base_folder(shop, "minilm"))
    rows = list(shop.load_snapshot("v1").rows("train"))
    tokens = sum(len(tokenizer(f"{row.text}\n{row.answer}")["input_ids"]) for row in rows)
    assert found.costs.work.tokens == tokens >= 10 * len(rows)
    assert found.costs.annotation_cost == pytest.approx(20.0)
    assert found.costs.machine.hour == 0.5
    assert bills(found)["this machine"]["training"] == pytest.approx(round(3 * tokens / 1000 / 3600 * 0.5, 4))
    assert "counted with the tokenizer of minilm" in found.summary_lines[0]
    estimated = plan_costs(write(text.replace('base = "minilm"\n', "")), shop)
    assert "estimated from above by bytes" in estimated.summary_lines[0]
    assert estimated.costs.work.tokens > 0


def test_a_model_trained_here_says_how_fast_the_machine_is(write, shop, monkeypatch, tmp_path):
    manifest = {"tokens_per_second": 400.0, "recipe": "classify"}
    monkeypatch.setattr(Project, "model", lambda self, name: Model("m-abc", tmp_path, manifest))
    text = '[training]\ntokens = 1_440_000\n[serving]\nrequests = 10\ninput = 10\n[local]\nmodel = "m-abc"\n'
    found = plan_costs(write(text), shop)
    assert bills(found)["this machine"]["training"] == pytest.approx(0.5)
    assert found.costs.machine.training.source == "measured when m-abc was trained"
    assert "reading alone is faster" in found.summary_lines[2]
    given = plan_costs(write(text + "training = 800\n"), shop)
    assert bills(given)["this machine"]["training"] == pytest.approx(0.25)
    del manifest["tokens_per_second"]
    with pytest.raises(UserError, match="m-abc was trained isn't in its manifest"):
        plan_costs(write(text), shop)


def test_what_cant_be_costed_is_refused(write, subtests):
    for text, words in [
        ("[", "can't be read"),
        ("", "nothing to cost"),
        ("[training]\ntokens = 10\n", "nobody is named who would do it"),
        (EXAMPLE.replace("tokens = 500_000", ""), "takes tokens, or the snapshot"),
        (EXAMPLE.replace("tokens = 500_000", "tokens = -1"), "training.tokens"),
        (EXAMPLE.replace("requests = 100_000", "request = 100_000"), "did you mean|no option is called"),
        (EXAMPLE.replace("reading = 819", "reading = 0"), "local.reading"),
        (EXAMPLE.replace("reading = 819", ""), "how fast the machine is at reading isn't known"),
        (EXAMPLE.replace("input = 0.04", "input = -0.04"), "'feedback-api' isn't priced"),
        (EXAMPLE.replace("training = 0.04\n", ""), "what it costs to train feedback-api isn't known"),
        (EXAMPLE.replace("machine_hour = 0.10", ""), "the machine_hour of .local. is a project's to know"),
        ('hosted = ["gpt-4o-minni"]\n' + EXAMPLE, "did you mean 'gpt-4o-mini'"),
        ('hosted = ["gpt-4o-mini"]\ncurrency = "EUR"\n' + EXAMPLE, "in USD, the rest in EUR"),
        ('[training]\nsnapshot = "v1"\n[local]\nmachine_hour = 1\ntraining = 1\n', "snapshot v1 is a project's to know"),
        ("[annotators]\njudgments = 5\n", "the price of .annotators. is a project's to know"),
    ]:
        with subtests.test(text=text, words=words), pytest.raises(UserError, match=words):
            plan_costs(write(text))
