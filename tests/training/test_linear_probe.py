from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from preceptor.errors import UserError
from preceptor.models import class_probabilities, load_classifier
from preceptor.models.loading import prepare_classifier
from preceptor.training import TrainingRun, recipes


def train(run, **options):
    recipe = recipes.get("linear_probe")
    return recipe(run, recipe.Options.parse({"dtype": "float32", **options}, of="linear_probe"))


def body_of(model):
    return {name: weights.clone() for name, weights in model.body.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


def test_the_head_learns_and_the_encoder_stays(snapshot, base, tmp_path):
    told = []
    model = train(TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny", progress=told.append))
    probabilities = class_probabilities(model.path, [row.text for row in snapshot.validation])
    targets = np.array([[row.target[answer] for answer in snapshot.answers] for row in snapshot.validation])
    loss = np.average(-(targets * np.log(probabilities)).sum(1), weights=[row.weight for row in snapshot.validation])
    assert model.manifest["history"][0]["validation_loss"] == pytest.approx(loss, abs=1e-5)
    assert loss < np.log(3)
    before = prepare_classifier(base, snapshot.answers, 0)
    assert same(body_of(before), body_of(load_classifier(model.path)))
    assert told
    assert "the head was fitted until it no longer moved" in model.manifest["summary"][0]
    again = train(TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny", progress=pytest.fail))
    assert again == model


def test_tuning_begins_at_the_probe_and_is_kept_only_if_it_helps(snapshot, base, tmp_path):
    probe = train(TrainingRun(tmp_path / "probe", base, snapshot))
    tuned = train(TrainingRun(tmp_path / "tuned", base, snapshot), tune=True, learning_rate=2e-4, epochs=3)
    assert tuned.manifest["probe"]["validation_loss"] == pytest.approx(probe.manifest["history"][0]["validation_loss"], abs=1e-6)
    assert min(step["validation_loss"] for step in tuned.manifest["history"]) <= tuned.manifest["probe"]["validation_loss"]
    spoilt = train(TrainingRun(tmp_path / "spoilt", base, snapshot), tune=True, learning_rate=0.5, epochs=1)
    assert spoilt.manifest["probe"]["kept"]
    texts = [row.text for row in snapshot.validation]
    assert class_probabilities(spoilt.path, texts) == pytest.approx(class_probabilities(probe.path, texts), abs=1e-6)


def test_an_earlier_classifier_gives_its_encoder(snapshot, base, tmp_path):
    classify = recipes.get("classify")
    options = {"learning_rate": 3e-3, "epochs": 1, "dtype": "float32", "min_steps": 1}
    earlier = classify(TrainingRun(tmp_path / "earlier", base, snapshot), classify.Options.parse(options, of="classify"))
    renamed = {"negative": "bad", "neutral": "fair", "positive": "fine"}
    rows = {
        split: [replace(row, target={renamed[answer]: share for answer, share in row.target.items()}) for row in snapshot.rows(split)]
        for split in ("train", "validation")
    }
    other = replace(snapshot, **rows, answers=tuple(renamed.values()), digest="e" * 64)
    model = train(TrainingRun(tmp_path / "later", earlier.path, other))
    later, before = load_classifier(model.path), load_classifier(earlier.path)
    assert list(later.config.id2label.values()) == ["bad", "fair", "fine"]
    assert same(body_of(before), body_of(later))
    assert not torch.equal(before.head.weight, later.head.weight)


def test_a_decoder_with_other_answers_gets_a_new_head_over_its_body(decoder, tmp_path):
    torch.manual_seed(0)
    first = prepare_classifier(decoder, ("a", "b"), 0)
    first.save_pretrained(tmp_path / "first")
    torch.manual_seed(1)
    again, other, more = (prepare_classifier(tmp_path / "first", answers, 0) for answers in (("a", "b"), ("c", "d"), ("a", "b", "c")))
    assert torch.equal(again.score.weight, first.score.weight)
    assert not torch.equal(other.score.weight, first.score.weight)
    assert more.score.out_features == 3
    for model in (again, other, more):
        assert same(first.model.state_dict(), model.model.state_dict())


def test_what_cant_be_probed_is_refused_at_once(snapshot, base, decoder, tmp_path):
    with pytest.raises(UserError, match=r"is not an encoder.*linear_probe needs an encoder"):
        train(TrainingRun(tmp_path / "run", decoder, snapshot))
    lacking = replace(snapshot, train=[row for row in snapshot.train if max(row.target, key=row.target.get) != "neutral"])
    with pytest.raises(UserError, match="'neutral'"):
        train(TrainingRun(tmp_path / "run", base, lacking))
    assert not (tmp_path / "run").exists()


def test_more_tokens_than_the_base_reads_and_fewer_rows_than_answers_are_refused(snapshot, base, tmp_path):
    run = TrainingRun(tmp_path / "run", base, snapshot, base_name="tiny")
    with pytest.raises(UserError, match="max_tokens=4096 is more than tiny reads at once"):
        train(run, max_tokens=4096)
    with pytest.raises(UserError, match="max_train_rows=2 can't show each of 3 answers"):
        train(run, max_train_rows=2)
