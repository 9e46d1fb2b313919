"""What comes first in the queue, what is noted of it, and that a trained model has its say."""

from __future__ import annotations

import random

import pytest

from preceptor.errors import UserError
from preceptor.storage import events

WORDS = {"negative": "bad awful broken poor worst", "neutral": "box cable blue two page", "positive": "good great love fine best"}


def reviews(count: int):
    """Items of five words, most of them from the list of one answer, which is item number modulo three."""
    drawn, every = random.Random(0), " ".join(WORDS.values()).split()
    lists = [words.split() for words in WORDS.values()]
    return [{"id": f"i-{n}", "text": " ".join(drawn.choices(lists[n % 3], k=3) + drawn.choices(every, k=4))} for n in range(count)]


@pytest.fixture
def shop(project, tiny_cache, monkeypatch):
    """A project of 200 unjudged reviews, in which `minilm` stands for the tiny model."""
    monkeypatch.setenv("PRECEPTOR_CACHE", str(tiny_cache))
    project.add_items(reviews(200))
    return project


def logged(project):
    with project.database.reading() as connection:
        return [event for event in events.read_events(connection) if event["kind"] == "items prioritised"]


def test_a_batch_comes_first_and_is_noted(shop):
    batch = shop.prioritise("sentiment", size=20)
    chosen = [row["item"] for row in batch["items"]]
    assert len(set(chosen)) == len(chosen) == 20
    assert [row["stream"] for row in batch["items"]] == ["random"] * 4 + ["diverse"] * 16
    assert [row["inclusion"] for row in batch["items"]] == [4 / 200] * 4 + [1.0] * 16
    (event,) = logged(shop)
    assert {name: event[name] for name in batch} == batch
    first = []
    shop.add_annotator("ann")
    for _ in range(21):
        handed = shop.next("ann")
        first.append(handed.item)
        shop.submit(handed.slot, "ann", "neutral")
    assert set(first[:20]) == set(chosen)
    assert first[20] not in chosen


def test_the_next_batch_has_other_items(shop):
    first, second = (shop.prioritise("sentiment", size=30, seed=1) for _ in range(2))
    assert not {row["item"] for row in first["items"]} & {row["item"] for row in second["items"]}
    assert (first["population"], second["population"]) == (200, 170)
    shop.prioritise("sentiment", size=1000)
    with pytest.raises(UserError, match="in the queue"):
        shop.prioritise("sentiment")


def test_a_trained_model_has_its_say(shop):
    from preceptor.models import class_probabilities

    for n in range(90):
        for who in ("ann", "bob"):
            shop.add_annotator(who)
            shop.judge(f"i-{n}", "sentiment", annotator=who, answer=list(WORDS)[n % 3])
    shop.snapshot("sentiment", name="v1")
    model = shop.train("classify", snapshot="v1", base="minilm", epochs=4, learning_rate=0.003, dtype="float32", evals_per_epoch=1)
    batch = shop.prioritise("sentiment", model.id, size=20)
    assert (batch["population"], batch["model"]) == (110, model.id)
    assert [row["stream"] for row in batch["items"]] == ["random"] * 4 + ["uncertain"] * 8 + ["diverse"] * 8

    texts = {row["id"]: row["text"] for row in reviews(200)[90:]}
    two = class_probabilities(model.path, list(texts.values()))
    two.sort(axis=1)
    margin = dict(zip(texts, two[:, -1] - two[:, -2], strict=True))
    unsure = sorted(margin[row["item"]] for row in batch["items"] if row["stream"] == "uncertain")
    assert unsure[-1] <= sorted(margin.values())[20]  # few are passed over as drawn already, or as repetitions

    shop.add_question("length", "choice", ["short", "long"])
    with pytest.raises(UserError, match="answers 'sentiment', not 'length'"):
        shop.prioritise("length", model)
